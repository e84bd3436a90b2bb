"""Names of content."""

from __future__ import annotations

import pytest

from artstore.errors import Corrupt
from artstore.format import ids
from artstore.model import ObjectKind

# Frozen: another value means that no store of an earlier release can be read.
GOLDEN = {
    "chunk": "7db3207666d81b53fcd5b37f4b1625e767c7602925a8c25908f2acaa97b29172",
    "tree page": "07427b7a4664ae7d8b757a642cd9ddf6e8b2ac9e0f4e60d48a99a96367817a1b",
    "recipe page": "8e0e7fd9e20f084e07fc8d6a12157c14577d2869a353989bb228e3032ffa7955",
    "version": "fba5eb02702b4d75ce7fa477035733a4b141c1b5b05f9652823afe203e19518d",
    "move": "c3311b4c8cdef706543ee0477721f00c0fd53ec99f2a77544bf13880e22118ca",
}


def test_ids_are_those_of_every_release() -> None:
    """Every id in every store would change."""
    data = b"artstore"
    assert {
        "chunk": ids.chunk_id(data).hex(),
        "tree page": ids.tree_page_id(data).hex(),
        "recipe page": ids.recipe_page_id(data).hex(),
        "version": ids.version_id(data).hex(),
        "move": ids.move_id(data).hex(),
    } == GOLDEN


def test_an_empty_input_has_the_published_blake3() -> None:
    """Chunk ids could not be checked with other tools (b3sum)."""
    assert ids.chunk_id(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def test_a_file_never_passes_for_a_page() -> None:
    """A user could commit a file whose bytes are then read as a directory."""
    assert len({ids.object_id(kind, b"same bytes") for kind in ObjectKind} | {ids.move_id(b"same bytes")}) == 5


@pytest.mark.parametrize("buffer", [bytearray(b"abc"), memoryview(b"abc")])
def test_all_buffers_have_the_id_of_their_bytes(buffer: bytearray | memoryview) -> None:
    """A chunk hashed in place would get another id than one that was copied."""
    assert all(ids.object_id(kind, buffer) == ids.object_id(kind, b"abc") for kind in ObjectKind)


@pytest.mark.parametrize("kind", ObjectKind)
def test_wrong_bytes_are_refused(kind: ObjectKind) -> None:
    """Damaged bytes would be handed out as data."""
    id = ids.object_id(kind, b"right")
    ids.verify_object(kind, id, b"right")
    with pytest.raises(Corrupt) as caught:
        ids.verify_object(kind, id, b"wrong")
    assert caught.value.digest == id

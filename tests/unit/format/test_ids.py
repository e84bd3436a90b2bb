"""Names of content."""

from __future__ import annotations

from threading import Thread

import pytest

from artstore.errors import Corrupt
from artstore.format.ids import KEY_BYTES, PLAIN, Ids, checksum
from artstore.model import ObjectKind

KEYED = Ids(bytes(range(KEY_BYTES)))
OTHER = Ids(bytes(KEY_BYTES))
SCHEMES = pytest.mark.parametrize("ids", [PLAIN, KEYED], ids=["plain", "keyed"])

# Frozen: another value means that no store of an earlier release can be read.
GOLDEN = {
    "chunk": "7db3207666d81b53fcd5b37f4b1625e767c7602925a8c25908f2acaa97b29172",
    "tree page": "07427b7a4664ae7d8b757a642cd9ddf6e8b2ac9e0f4e60d48a99a96367817a1b",
    "recipe page": "8e0e7fd9e20f084e07fc8d6a12157c14577d2869a353989bb228e3032ffa7955",
    "version": "fba5eb02702b4d75ce7fa477035733a4b141c1b5b05f9652823afe203e19518d",
    "move": "c3311b4c8cdef706543ee0477721f00c0fd53ec99f2a77544bf13880e22118ca",
}
GOLDEN_KEYED = {
    "chunk": "fbcb5578872ffe69409e6df3962b4837f64a517e7acab1567f3e9a23b5f256a6",
    "tree page": "3714a551798938c2929855912193d567db5fcc28c2980f26ba43ce04caea17b7",
    "recipe page": "421538fbb7df08535c6449c7982cc4bce45c2dd20aec4d6dcbd21dc25cec4982",
    "version": "13c096da718e01c72e03f352c8fd16a86d73bc542b3bfd4b43d24f705f639a14",
    "move": "1911ab7ae33bf04784fcd1c58b57bc21149d65ce2b53f190a4f24d470dcc1322",
}


def each(ids: Ids, data: bytes) -> dict[str, str]:
    """The id of these bytes as each kind."""
    return {
        "chunk": ids.chunk(data).hex(),
        "tree page": ids.tree_page(data).hex(),
        "recipe page": ids.recipe_page(data).hex(),
        "version": ids.version(data).hex(),
        "move": ids.move(data).hex(),
    }


def test_ids_are_those_of_every_release() -> None:
    """Every id in every store would change."""
    assert each(PLAIN, b"artstore") == GOLDEN
    assert each(KEYED, b"artstore") == GOLDEN_KEYED


def test_an_empty_input_has_the_published_blake3() -> None:
    """Chunk ids could not be checked with other tools (b3sum)."""
    assert PLAIN.chunk(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def test_checksums_are_plain_chunk_ids() -> None:
    """Rows of the stat cache lie under keys that earlier releases made by one and look up by the other."""
    assert checksum(b"stat") == PLAIN.chunk(b"stat")


def test_a_file_never_passes_for_a_page() -> None:
    """A user could commit a file whose bytes are then read as a directory; or two keys would share an id."""
    data = b"same bytes"
    assert len({id for ids in (PLAIN, KEYED, OTHER) for id in each(ids, data).values()}) == 15
    for ids in (PLAIN, KEYED, OTHER):
        assert [ids.of(kind, data).hex() for kind in ObjectKind] == list(each(ids, data).values())[:-1]


def test_equal_keys_give_equal_ids() -> None:
    """A clone of an encrypted store would find nothing in it."""
    again = Ids(bytes(range(KEY_BYTES)))
    assert again == KEYED != OTHER
    assert each(again, b"data") == each(KEYED, b"data")


def test_a_key_is_not_told() -> None:
    """An error's traceback or a log line with a store's values would hand out its key."""
    assert repr(KEYED) == repr(PLAIN) == "Ids()"


def test_marks_are_those_of_every_release() -> None:
    """No encrypted store could be opened any more; or a store would be opened with another one's key."""
    assert KEYED.mark.hex() == "720b1d77b2eb43b80d5214b58f4388ec"
    assert PLAIN.mark == b""
    assert OTHER.mark != KEYED.mark
    assert KEYED.mark not in {KEYED.chunk(b"")[:16], KEYED.move(b"")[:16]}


@SCHEMES
@pytest.mark.parametrize("buffer", [bytearray(b"abc"), memoryview(b"abc")])
def test_all_buffers_have_the_id_of_their_bytes(ids: Ids, buffer: bytearray | memoryview) -> None:
    """A chunk hashed in place would get another id than one that was copied."""
    assert all(ids.of(kind, buffer) == ids.of(kind, b"abc") for kind in ObjectKind)


@SCHEMES
@pytest.mark.parametrize("kind", ObjectKind)
def test_wrong_bytes_are_refused(ids: Ids, kind: ObjectKind) -> None:
    """Damaged bytes would be handed out as data."""
    id = ids.of(kind, b"right")
    ids.verify(kind, id, b"right")
    with pytest.raises(Corrupt) as caught:
        ids.verify(kind, id, b"wrong")
    assert caught.value.digest == id
    with pytest.raises(Corrupt):
        OTHER.verify(kind, id, b"right")


@SCHEMES
def test_threads_share_one_scheme(ids: Ids) -> None:
    """A commit's workers would mix up each other's hashes."""
    pieces = [bytes([number]) * (50_000 + number) for number in range(64)]
    expected = [Ids(ids.key).chunk(piece) for piece in pieces]
    found: list[list[bytes]] = []
    threads = [Thread(target=lambda: found.append([ids.chunk(piece) for piece in pieces])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4

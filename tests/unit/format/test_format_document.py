"""Holds docs/format.md to what the code does."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from artstore import limits
from artstore.chunking._gear_table import GEAR
from artstore.format import frame, ids, pack, reflog
from artstore.format.document import FORMAT

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "format.md").read_text(encoding="utf-8")
# What the document states, by the code's own values.
STATED = {
    "contexts": [
        ids.TREE_PAGE_CONTEXT,
        ids.RECIPE_PAGE_CONTEXT,
        ids.VERSION_CONTEXT,
        ids.MOVE_CONTEXT,
        ids.CHUNK_CONTEXT + ids.KEYED,
        ids.TREE_PAGE_CONTEXT + ids.KEYED,
        ids.MARK_CONTEXT,
    ],
    "magics": [magic.hex(" ").upper() for magic in (frame.MAGIC, pack.MAGIC, reflog.MAGIC)],
    "sizes": [
        f"{size:,}"
        for size in (
            limits.CHUNK_BYTES_MIN,
            limits.CHUNK_BYTES_TARGET,
            limits.CHUNK_BYTES_MAX,
            limits.FRAME_RAW_BYTES_MAX,
            limits.PACK_BYTES_MAX,
            limits.PACK_ENTRIES_MAX,
            limits.PAGE_BYTES_MAX,
            limits.PAGE_ENTRIES_MAX,
            limits.DOCUMENT_BYTES_MAX,
            limits.MESSAGE_BYTES_MAX,
            limits.METADATA_KEY_BYTES_MAX,
            limits.METADATA_KEYS_MAX,
            limits.PERSON_BYTES_MAX,
            limits.ERASURE_IDS_MAX,
            limits.SYMLINK_BYTES_MAX,
        )
    ],
    "headers": [
        f"{limits.FRAME_HEADER_BYTES} bytes, then the stored bytes",
        f"An entry of the table, {limits.TABLE_ENTRY_BYTES} bytes",
        f"The trailer, the last {limits.TRAILER_BYTES} bytes",
        f"whose first item is the format's number, {FORMAT}",
        f"Levels go from 0 to\n{limits.PAGE_LEVELS_MAX - 1}",
        f"at least the page's {limits.PAGE_ENTRIES_MIN}th",
        f"at most {limits.PARENTS_MAX}, none twice",
        f"at most {limits.REF_BYTES_MAX} bytes",
        f"A name has 1 to {limits.NAME_BYTES_MAX} bytes",
    ],
}


@pytest.mark.parametrize("group", STATED)
def test_the_document_states_the_codes_values(group: str) -> None:
    """Whoever writes a reader after the document would fail at real stores."""
    assert [value for value in STATED[group] if value not in TEXT] == []


def test_the_document_prints_the_gear_table() -> None:
    """A file could not be cut as artstore does without its source."""
    printed = TEXT.partition("## Gear table")[2].partition("```text\n")[2].partition("```")[0]
    assert [int(word, 16) for word in printed.split()] == list(GEAR)


def test_the_document_examples_have_their_ids() -> None:
    """The examples would lead a reader's author astray."""
    examples = re.findall(
        r"^\| (chunk|tree page|recipe page) `([0-9a-f ]*)` \| `([0-9a-f]{64})` \|$", TEXT, re.MULTILINE
    )
    assert len(examples) == 4
    for kind, data, id in examples:
        assert identify(ids.PLAIN)[kind](bytes.fromhex(data)).hex() == id


def test_the_documents_keyed_examples_have_their_ids() -> None:
    """A reader after the document could not make the ids of a store that has an id key."""
    stated = re.search(r"With the id key `([0-9a-f]{64})`, the bytes `([0-9a-f]*)` as each kind", TEXT)
    assert stated is not None
    key, data = map(bytes.fromhex, stated.groups())
    examples = re.findall(r"^\| ([a-z ]*) \| `([0-9a-f]{64})` \| `([0-9a-f]{64})` \|$", TEXT, re.MULTILINE)
    kinds = identify(ids.Ids(key))
    assert [kind for kind, _, _ in examples] == list(kinds)
    for kind, kind_key, id in examples:
        derived = blake3(key, derive_key_context=f"artstore 2026 {kind} 1 keyed").digest()
        assert derived.hex() == kind_key
        assert blake3(data, key=derived).hexdigest() == id == kinds[kind](data).hex()


def identify(store: ids.Ids) -> dict[str, Callable[[bytes], bytes]]:
    """How a store names each kind, by the document's word for it."""
    return {
        "chunk": store.chunk,
        "tree page": store.tree_page,
        "recipe page": store.recipe_page,
        "version": store.version,
        "move": store.move,
    }

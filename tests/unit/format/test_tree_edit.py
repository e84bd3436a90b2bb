"""Directories changed in place of being rebuilt."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import BadInput
from artstore.format.ids import PLAIN
from artstore.format.tree import TreeBuilder, TreeSummary
from artstore.format.tree_edit import Edit, edit_tree
from artstore.model import Content, Digest, Entry, Form, Kind, ObjectKind


class Pages(dict[bytes, bytes]):
    """Pages in memory, with a note of which were read and made."""

    def __init__(self) -> None:
        self.read: set[bytes] = set()
        self.made: set[bytes] = set()

    def emit(self, kind: ObjectKind, id: Digest, data: bytes) -> None:
        self.made.add(id)
        self[id] = data

    def load(self, kind: ObjectKind, id: Digest) -> bytes:
        self.read.add(id)
        return self[id]

    def build(self, entries: Sequence[Entry]) -> TreeSummary:
        builder = TreeBuilder(self.emit, PLAIN)
        for entry in entries:
            builder.add(entry)
        return builder.finish()


def link(number: int, size: int = 5) -> Entry:
    """An entry whose length can be chosen: it decides over pages that end by their size."""
    return Entry(b"%06d" % number, Kind.SYMLINK, size, Content(Form.SYMLINK, b"t" * size), 1)


def apply(entries: Sequence[Entry], edits: Sequence[Edit]) -> list[Entry]:
    """What the edits mean."""
    after: dict[bytes, Entry | None] = {entry.name: entry for entry in entries}
    after.update(edits)
    return [entry for _, entry in sorted(after.items()) if entry is not None]


@st.composite
def edited(draw: st.DrawFn) -> tuple[list[Entry], list[Edit]]:
    """A directory and edits of it: in clusters, of names that exist and others, with long entries and short ones."""
    sizes = draw(st.lists(st.sampled_from([5, 5, 5, 60, 200]), min_size=1, max_size=7))
    count = draw(st.integers(0, 500))
    entries = [link(2 * i, sizes[i % len(sizes)]) for i in range(count)]
    edits: dict[bytes, Entry | None] = {}
    for _ in range(draw(st.integers(0, 4))):
        first = draw(st.integers(0, 2 * count + 2))
        for number in range(first, first + draw(st.sampled_from([1, 1, 3, 40, 300])), draw(st.integers(1, 3))):
            removed = draw(st.booleans())
            edits[b"%06d" % number] = None if removed else link(number, draw(st.sampled_from([5, 6, 200])))
    return entries, sorted(edits.items(), key=lambda edit: edit[0])


@pytest.mark.usefixtures("small_pages")
@given(edited())
def test_an_edit_gives_the_pages_of_a_rebuild(case: tuple[list[Entry], list[Edit]]) -> None:
    """A version made by `commit --base` would have another id than the same content committed from a folder."""
    entries, edits = case
    pages = Pages()
    root = pages.build(entries).root
    before = set(pages)
    pages.made.clear()
    summary = edit_tree(root, edits, pages.load, pages.emit, PLAIN)
    rebuilt = Pages()
    assert summary == rebuilt.build(apply(entries, edits))
    assert set(rebuilt) <= before | pages.made
    assert all(pages[id] == data for id, data in rebuilt.items())


@pytest.fixture(scope="module")
def large() -> tuple[Pages, TreeSummary, list[Entry]]:
    """A directory of about a hundred leaves."""
    pages = Pages()
    entries = [link(2 * i) for i in range(60_000)]
    return pages, pages.build(entries), entries


@pytest.mark.parametrize(
    "edits",
    [
        [],
        [(link(60_001).name, link(60_001))],
        [(link(60_000).name, None)],
        [(link(60_000).name, link(60_000, 9))],
        [(link(0).name, None)],
        [(b"!", Entry(b"!", Kind.SYMLINK, 1, Content(Form.SYMLINK, b"t"), 1))],
        [(link(999_999).name, link(999_999))],
        [(b"absent", None)],
    ],
    ids=["none", "insert", "remove", "replace", "remove first", "put before", "append", "remove absent"],
)
def test_an_edit_touches_few_pages(large: tuple[Pages, TreeSummary, list[Entry]], edits: list[Edit]) -> None:
    """Adding a file to a huge dataset would read and write all of its directory."""
    pages, summary, entries = large
    pages.read.clear()
    pages.made.clear()
    after = edit_tree(summary.root, edits, pages.load, pages.emit, PLAIN)
    assert after.entries == len(apply(entries, edits))
    assert len(pages) > 80
    assert len(pages.read) <= 6
    assert len(pages.made) <= 6


def test_edits_far_apart_leave_what_is_between(large: tuple[Pages, TreeSummary, list[Entry]]) -> None:
    """Two small changes would cost as much as a new directory."""
    pages, summary, entries = large
    pages.read.clear()
    edits: list[Edit] = [(link(2_001).name, link(2_001)), (link(100_001).name, link(100_001))]
    assert edit_tree(summary.root, edits, pages.load, pages.emit, PLAIN) == Pages().build(apply(entries, edits))
    assert len(pages.read) <= 12


def test_everything_can_be_removed() -> None:
    """A directory that was emptied could not be written."""
    pages = Pages()
    entries = [link(i) for i in range(3000)]
    root = pages.build(entries).root
    emptied = edit_tree(root, [(entry.name, None) for entry in entries], pages.load, pages.emit, PLAIN)
    assert emptied == pages.build([])
    assert edit_tree(emptied.root, [(e.name, e) for e in entries], pages.load, pages.emit, PLAIN).root == root


@pytest.mark.parametrize(
    "edits",
    [
        [(b"b", None), (b"a", None)],
        [(b"a", None), (b"a", None)],
        [(b"000001", link(2))],
        [(b"a/b", Entry(b"a/b", Kind.FILE, 0, Content(Form.EMPTY, b""), 1))],
    ],
    ids=["order", "twice", "other name", "bad name"],
)
def test_edits_that_make_no_sense_are_refused(edits: list[Edit]) -> None:
    """A directory could be written that nobody can read."""
    pages = Pages()
    root = pages.build([link(0)]).root
    with pytest.raises(BadInput):
        edit_tree(root, edits, pages.load, pages.emit, PLAIN)

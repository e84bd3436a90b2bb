"""Directories: built, read, and refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import BadInput, Corrupt, NewerFormat
from artstore.format.document import FORMAT, Codec
from artstore.format.ids import PLAIN
from artstore.format.tree import TreeBuilder, TreeSummary, iter_entries, lookup, tree_summary
from artstore.format.tree_page import TreeInner, decode_tree_page
from artstore.model import Content, Digest, Entry, Form, Kind, ObjectKind, TreeBranch

ID = bytes(range(32))
LEAF: Codec[tuple[int, int, list[Entry]]] = Codec(tuple[int, int, list[Entry]], name="page", bytes_max=1 << 24)
INNER: Codec[tuple[int, int, list[TreeBranch]]] = Codec(
    tuple[int, int, list[TreeBranch]], name="page", bytes_max=1 << 24
)
EMPTY_FILE = Content(Form.EMPTY, b"")
# Frozen: the directories of GOLDEN_SMALL and GOLDEN_LARGE have these ids in every release.
GOLDEN_SMALL = (
    "9301009695c4096368756e6b2e62696e01ce000111709201c420000102030405060708090a0b0c0d0e0f101112131415"
    "161718191a1b1c1d1e1f0195c40364697203cf00000100000000009204c420000102030405060708090a0b0c0d0e0f10"
    "1112131415161718191a1b1c1d1e1fcd012c95c405656d70747900009200c4000195c4046c696e6b02039203c4032e2e"
    "2f0195c40672656369706500cf00000002000000009202c420000102030405060708090a0b0c0d0e0f10111213141516"
    "1718191a1b1c1d1e1f0195c40bff206e6f74205554462d3800019201c420000102030405060708090a0b0c0d0e0f1011"
    "12131415161718191a1b1c1d1e1f01"
)
GOLDEN_SMALL_ID = "42e75a01911b3b9bbb1900766d028bdd71d0bfe8781424bbb46bcd535316baa9"
GOLDEN_LARGE_ID = "974d6c2c3e22730225c16e1054eed22d9ddd26a863926d16cf0f16344a716a75"
GOLDEN_EMPTY = "930100" + "90"


class Pages:
    """Pages in memory, with a note of which were read."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.read: list[bytes] = []

    def emit(self, kind: ObjectKind, id: Digest, data: bytes) -> None:
        assert kind == ObjectKind.TREE_PAGE
        assert id == PLAIN.tree_page(data)
        self.data[id] = data

    def load(self, kind: ObjectKind, id: Digest) -> bytes:
        assert kind == ObjectKind.TREE_PAGE
        self.read.append(id)
        return self.data[id]

    def build(self, entries: Sequence[Entry]) -> TreeSummary:
        builder = TreeBuilder(self.emit, PLAIN)
        for entry in entries:
            builder.add(entry)
        return builder.finish()

    def put(self, data: bytes) -> Digest:
        id = PLAIN.tree_page(data)
        self.data[id] = data
        return id


def small_tree() -> list[Entry]:
    """One entry of each form."""
    return [
        Entry(b"chunk.bin", Kind.EXEC, 70_000, Content(Form.CHUNK, ID), 1),
        Entry(b"dir", Kind.DIR, 1 << 40, Content(Form.TREE, ID), 300),
        Entry(b"empty", Kind.FILE, 0, EMPTY_FILE, 1),
        Entry(b"link", Kind.SYMLINK, 3, Content(Form.SYMLINK, b"../"), 1),
        Entry(b"recipe", Kind.FILE, 1 << 33, Content(Form.RECIPE, ID), 1),
        Entry(b"\xff not UTF-8", Kind.FILE, 1, Content(Form.CHUNK, ID), 1),
    ]


def files_of(count: int) -> list[Entry]:
    """So many entries, from the number alone."""
    return [
        Entry(b"%06d.bin" % i, Kind.FILE, 1 + i, Content(Form.RECIPE if i else Form.CHUNK, ID), 1) for i in range(count)
    ]


@st.composite
def entries(draw: st.DrawFn, max_size: int = 150) -> list[Entry]:
    """A directory of any entries."""
    names = draw(st.lists(st.binary(min_size=1, max_size=4).filter(is_name), unique=True, max_size=max_size))
    kinds = st.sampled_from(small_tree())
    return [Entry(name, e.kind, e.size, e.content, e.files) for name in sorted(names) for e in [draw(kinds)]]


def is_name(name: bytes) -> bool:
    """May a file be called so?"""
    return b"/" not in name and b"\0" not in name and name not in (b".", b"..")


def test_directories_have_the_ids_of_every_release() -> None:
    """Every tree in every store would change."""
    pages = Pages()
    summary = pages.build(small_tree())
    assert pages.data[summary.root].hex() == GOLDEN_SMALL
    assert summary.root.hex() == GOLDEN_SMALL_ID
    assert pages.build(files_of(3000)).root.hex() == GOLDEN_LARGE_ID


def test_an_empty_directory_is_one_empty_page() -> None:
    """A folder that holds nothing could not be committed, or come back."""
    pages = Pages()
    summary = pages.build([])
    assert summary == TreeSummary(summary.root, 0, 0, 0)
    assert pages.data[summary.root].hex() == GOLDEN_EMPTY
    assert list(iter_entries(summary.root, pages.load)) == []
    assert list(iter_entries(summary.root, pages.load, b"x")) == []
    assert lookup(summary.root, b"x", pages.load) is None
    assert tree_summary(summary.root, pages.load) == summary


@pytest.mark.usefixtures("small_pages")
@given(entries(), st.binary(max_size=4))
def test_directories_are_read_as_they_were_written(entries: list[Entry], start: bytes) -> None:
    """Files would be missing from a version, or appear twice."""
    pages = Pages()
    summary = pages.build(entries)
    assert summary.entries == len(entries)
    assert summary.size == sum(entry.size for entry in entries)
    assert summary.files == sum(entry.files for entry in entries)
    assert tree_summary(summary.root, pages.load) == summary
    assert list(iter_entries(summary.root, pages.load)) == entries
    assert list(iter_entries(summary.root, pages.load, start)) == [e for e in entries if e.name >= start]
    by_name = {entry.name: entry for entry in entries}
    for name in [*by_name, start, start + b"\0", b"", b"\xff" * 5]:
        assert lookup(summary.root, name, pages.load) == by_name.get(name)


def test_a_look_up_in_a_large_directory_reads_one_page_of_each_level() -> None:
    """Opening a file of a huge directory would read all of the directory."""
    pages = Pages()
    entries = files_of(20_000)
    root = pages.build(entries).root
    assert lookup(root, entries[12_345].name, pages.load) == entries[12_345]
    assert len(pages.read) == 2
    pages.read.clear()
    assert next(iter_entries(root, pages.load, entries[12_345].name)) == entries[12_345]
    assert len(pages.read) == 2


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/", b"a\0", b"n" * 256])
def test_impossible_names_are_refused_both_ways(name: bytes) -> None:
    """A malicious tree could write outside of the folder that it is checked out into."""
    entry = Entry(name, Kind.FILE, 0, EMPTY_FILE, 1)
    with pytest.raises(BadInput) as caught:
        TreeBuilder(Pages().emit, PLAIN).add(entry)
    assert caught.value.paths == (name,)
    with pytest.raises(Corrupt):
        decode_tree_page(LEAF.encode((FORMAT, 0, [entry])))
    with pytest.raises(Corrupt):
        decode_tree_page(INNER.encode((FORMAT, 1, [TreeBranch(name, ID, 1, 1, 1), TreeBranch(b"z" * 9, ID, 1, 1, 1)])))


@pytest.mark.parametrize("names", [(b"b", b"a"), (b"a", b"a"), (b"a", b"b", b"ab")])
def test_names_out_of_order_are_refused_both_ways(names: tuple[bytes, ...]) -> None:
    """One directory could have two ids, or a name twice: one file would hide the other."""
    entries = [Entry(name, Kind.FILE, 0, EMPTY_FILE, 1) for name in names]
    with pytest.raises(BadInput):
        Pages().build(entries)
    with pytest.raises(Corrupt):
        decode_tree_page(LEAF.encode((FORMAT, 0, entries)))
    with pytest.raises(Corrupt):
        decode_tree_page(INNER.encode((FORMAT, 1, [TreeBranch(name, ID, 1, 1, 1) for name in names])))


@pytest.mark.parametrize(
    ("kind", "size", "form", "value", "files"),
    [
        (Kind.FILE, 1, Form.EMPTY, b"", 1),
        (Kind.FILE, 0, Form.EMPTY, b"x", 1),
        (Kind.FILE, 0, Form.CHUNK, ID, 1),
        (Kind.FILE, -1, Form.CHUNK, ID, 1),
        (Kind.FILE, limits.CHUNK_BYTES_MAX + 1, Form.CHUNK, ID, 1),
        (Kind.FILE, 5, Form.CHUNK, ID[:31], 1),
        (Kind.FILE, 1, Form.RECIPE, ID, 1),
        (Kind.FILE, 1 << 63, Form.RECIPE, ID, 1),
        (Kind.FILE, 5, Form.RECIPE, ID + b"x", 1),
        (Kind.FILE, 5, Form.TREE, ID, 1),
        (Kind.EXEC, 5, Form.SYMLINK, b"abcde", 1),
        (Kind.FILE, 5, Form.CHUNK, ID, 0),
        (Kind.FILE, 5, Form.CHUNK, ID, 2),
        (Kind.SYMLINK, 5, Form.SYMLINK, b"abcd", 1),
        (Kind.SYMLINK, 0, Form.SYMLINK, b"", 1),
        (Kind.SYMLINK, 3, Form.SYMLINK, b"a\0b", 1),
        (Kind.SYMLINK, 4097, Form.SYMLINK, b"a" * 4097, 1),
        (Kind.SYMLINK, 5, Form.CHUNK, ID, 1),
        (Kind.SYMLINK, 5, Form.SYMLINK, b"abcde", 0),
        (Kind.DIR, 5, Form.CHUNK, ID, 1),
        (Kind.DIR, 5, Form.TREE, ID[1:], 1),
        (Kind.DIR, -1, Form.TREE, ID, 1),
        (Kind.DIR, 5, Form.TREE, ID, -1),
        (Kind.DIR, 0, Form.EMPTY, b"", 0),
        (4, 5, Form.CHUNK, ID, 1),
        (-1, 5, Form.CHUNK, ID, 1),
        (Kind.FILE, 5, 5, ID, 1),
        (Kind.FILE, 5, -1, ID, 1),
    ],
)
def test_entries_that_contradict_themselves_are_refused_both_ways(
    kind: int, size: int, form: int, value: bytes, files: int
) -> None:
    """A reader would have to guess which of an entry's fields is true."""
    entry = Entry(b"name", kind, size, Content(form, value), files)
    with pytest.raises(BadInput):
        Pages().build([entry])
    with pytest.raises(Corrupt):
        decode_tree_page(LEAF.encode((FORMAT, 0, [entry])))


@pytest.mark.parametrize(
    "branches",
    [
        [],
        [TreeBranch(b"a", ID, 0, 1, 1)],
        [TreeBranch(b"a", ID, 1, -1, 1)],
        [TreeBranch(b"a", ID, 1, 1, -1)],
        [TreeBranch(b"a", ID, 1, 1 << 63, 1)],
        [TreeBranch(b"a", ID[1:], 1, 1, 1)],
    ],
)
def test_branches_that_contradict_themselves_are_refused(branches: list[TreeBranch]) -> None:
    """A malicious page could claim sizes that break whoever adds them up."""
    with pytest.raises(Corrupt):
        decode_tree_page(INNER.encode((FORMAT, 1, branches)))


@pytest.mark.parametrize("level", [-1, 0, limits.PAGE_LEVELS_MAX, 1000])
def test_levels_that_cannot_be_are_refused(level: int) -> None:
    """A malicious tree could nest pages without end."""
    with pytest.raises(Corrupt):
        decode_tree_page(INNER.encode((FORMAT, level, [TreeBranch(b"a", ID, 1, 1, 1), TreeBranch(b"b", ID, 1, 1, 1)])))


def test_pages_that_are_too_big_are_refused() -> None:
    """A malicious page could fill the memory of its reader."""
    many = [Entry(b"%05d" % i, Kind.FILE, 0, EMPTY_FILE, 1) for i in range(limits.PAGE_ENTRIES_MAX + 1)]
    decode_tree_page(LEAF.encode((FORMAT, 0, many[:-1])))
    with pytest.raises(Corrupt):
        decode_tree_page(LEAF.encode((FORMAT, 0, many)))
    long = [Entry(b"%03d" % i, Kind.SYMLINK, 4000, Content(Form.SYMLINK, b"t" * 4000), 1) for i in range(70)]
    with pytest.raises(Corrupt):
        decode_tree_page(LEAF.encode((FORMAT, 0, long)))


def test_a_page_of_a_later_release_asks_for_an_upgrade() -> None:
    """A user of an old release would be told that the store is damaged."""
    with pytest.raises(NewerFormat):
        decode_tree_page(b"\x93\x02\x00\x90")


@given(st.integers(min_value=0), st.binary(min_size=1, max_size=3))
def test_a_changed_page_is_refused_or_canonical(position: int, noise: bytes) -> None:
    """Damage that passes for a page would have to be one that a builder writes."""
    pages = Pages()
    data = bytearray(pages.data[pages.build(small_tree()).root])
    at = position % len(data)
    data[at : at + len(noise)] = noise
    try:
        page = decode_tree_page(bytes(data))
    except (Corrupt, NewerFormat):
        return
    assert not isinstance(page, TreeInner)
    assert LEAF.encode((FORMAT, 0, page.entries)) == data


LIES: list[Callable[[TreeBranch], TreeBranch]] = [
    lambda b: TreeBranch(b.first, b.child, b.entries + 1, b.size, b.files),
    lambda b: TreeBranch(b.first, b.child, b.entries, b.size - 1, b.files),
    lambda b: TreeBranch(b.first, b.child, b.entries, b.size, b.files + 1),
    lambda b: TreeBranch(b"000000", b.child, b.entries, b.size, b.files),
]


@pytest.mark.parametrize("lie", range(len(LIES)))
def test_a_page_that_lies_about_its_children_is_refused(lie: int) -> None:
    """`du` and the mount would show sizes that are not true; look-ups would miss names that exist."""
    pages = Pages()
    entries = files_of(3000)
    root = decode_tree_page(pages.data[pages.build(entries).root])
    assert isinstance(root, TreeInner)
    branches = [LIES[lie](root.branches[0]), *root.branches[1:]]
    id = pages.put(INNER.encode((FORMAT, 1, branches)))
    with pytest.raises(Corrupt) as caught:
        list(iter_entries(id, pages.load))
    assert caught.value.digest == root.branches[0].child
    with pytest.raises(Corrupt):
        lookup(id, entries[1].name, pages.load)


def test_a_child_whose_names_reach_into_the_next_page_is_refused() -> None:
    """A name could stand in a directory without being found there, or stand there twice."""
    pages = Pages()
    entries = files_of(6)
    halves = [pages.put(LEAF.encode((FORMAT, 0, half))) for half in (entries[:4], entries[3:])]
    branches = [
        TreeBranch(entries[0].name, halves[0], 4, 10, 4),
        TreeBranch(entries[3].name, halves[1], 3, 15, 3),
    ]
    root = pages.put(INNER.encode((FORMAT, 1, branches)))
    with pytest.raises(Corrupt):
        list(iter_entries(root, pages.load))
    with pytest.raises(Corrupt):
        lookup(root, entries[1].name, pages.load)


def test_levels_fall_by_one() -> None:
    """A malicious tree could nest pages without end, or a seek could land among pages instead of entries."""
    pages = Pages()
    root = pages.build(files_of(3000)).root
    summary = tree_summary(root, pages.load)
    page = decode_tree_page(pages.data[root])
    assert isinstance(page, TreeInner)
    for level in (2, 3):
        data = INNER.encode((FORMAT, level, page.branches))
        with pytest.raises(Corrupt):
            list(iter_entries(pages.put(data), pages.load))
    branch = TreeBranch(page.branches[0].first, root, summary.entries, summary.size, summary.files)
    nested = INNER.encode((FORMAT, 1, [branch, TreeBranch(b"z", root, 1, 1, 1)]))
    with pytest.raises(Corrupt):
        list(iter_entries(pages.put(nested), pages.load))


def test_a_root_of_one_branch_is_refused() -> None:
    """One directory could have two ids."""
    pages = Pages()
    summary = pages.build(files_of(5))
    branch = TreeBranch(b"000000.bin", summary.root, summary.entries, summary.size, summary.files)
    root = pages.put(INNER.encode((FORMAT, 1, [branch])))
    with pytest.raises(Corrupt) as caught:
        lookup(root, b"000000.bin", pages.load)
    assert caught.value.digest == root


def test_a_damaged_page_is_named() -> None:
    """The user could not be told which directory is damaged."""
    pages = Pages()
    root = pages.put(b"rubbish")
    with pytest.raises(Corrupt) as caught:
        tree_summary(root, pages.load)
    assert caught.value.digest == root

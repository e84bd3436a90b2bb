"""Where pages end: the builder against a specification that cuts whole lists."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.format import page
from artstore.format.ids import PLAIN
from artstore.format.page import HEAD_BYTES, bin_bytes, hits, int_bytes
from artstore.format.recipe import RecipeBuilder, RecipeInner, RecipeLeaf, decode_recipe_page
from artstore.format.tree import TreeBuilder
from artstore.format.tree_page import TreeInner, TreeLeaf, decode_tree_page, entry_bytes
from artstore.model import Content, Digest, Entry, Form, Kind, ObjectKind

names = st.lists(st.binary(min_size=1, max_size=6).map(bytes.hex).map(str.encode), unique=True, max_size=300)


def ends_of(items: Sequence[tuple[bytes, int]], level: int) -> list[int]:
    """The page rule, as docs/format.md says it: items are (key, encoded length); the index behind each page's end."""
    ends: list[int] = []
    begin = 0
    while begin < len(items):
        end, size = begin, HEAD_BYTES
        while end < len(items):
            key, length = items[end]
            size += length
            if size > limits.PAGE_BYTES_MAX:
                break
            end += 1
            count = end - begin
            hash = int.from_bytes(blake3(bytes([level]) + key).digest()[:2], "little")
            if count == limits.PAGE_ENTRIES_MAX:
                break
            if count >= limits.PAGE_ENTRIES_MIN and hash % (page.HIT_MASK + 1) == 0:
                break
        ends.append(end)
        begin = end
    return ends


def tree_pages(entries: Sequence[Entry]) -> list[TreeLeaf | TreeInner]:
    """All pages that a builder emits, in its order."""
    data: list[bytes] = []
    builder = TreeBuilder(lambda kind, id, page: data.append(page), PLAIN)
    for entry in entries:
        builder.add(entry)
    builder.finish()
    return [decode_tree_page(page) for page in data]


def link(name: bytes, target_bytes: int) -> Entry:
    """An entry of any length."""
    return Entry(name, Kind.SYMLINK, target_bytes, Content(Form.SYMLINK, b"t" * target_bytes), 1)


@pytest.mark.usefixtures("small_pages")
@given(names, st.integers(1, 60))
def test_pages_of_a_directory_end_where_the_rule_says(names: list[bytes], target_bytes: int) -> None:
    """Equal directories of two releases would have different ids."""
    entries = [link(name, target_bytes + len(name) % 5) for name in sorted(names)]
    pages = tree_pages(entries)
    items = [(entry.name, entry_bytes(entry)) for entry in entries]
    leaves = [page for page in pages if isinstance(page, TreeLeaf)]
    level = 0
    counts = [len(leaf.entries) for leaf in leaves]
    firsts = [leaf.entries[0].name for leaf in leaves if leaf.entries]
    while True:
        ends = ends_of(items, level) or [0]
        assert counts == [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
        if len(ends) == 1:
            break
        level += 1
        inner = [page for page in pages if isinstance(page, TreeInner) and page.level == level]
        branches = [branch for page in inner for branch in page.branches]
        assert [branch.first for branch in branches] == firsts
        items = [
            (b.first, 37 + len(b.first) + int_bytes(b.entries) + int_bytes(b.size) + int_bytes(b.files))
            for b in branches
        ]
        counts = [len(page.branches) for page in inner]
        firsts = [page.branches[0].first for page in inner]
    assert not any(isinstance(page, TreeInner) and page.level > level for page in pages)


@pytest.mark.usefixtures("small_pages")
@given(st.lists(st.integers(0, 5), min_size=2, max_size=300))
def test_pages_of_a_recipe_end_where_the_rule_says(seeds: list[int]) -> None:
    """Equal files of two releases would have different ids, those of one repeated chunk too."""
    ids = [bytes([seed]) * 32 for seed in seeds]
    data: list[bytes] = []
    builder = RecipeBuilder(lambda kind, id, page: data.append(page), PLAIN)
    builder.add_many(ids, [100] * len(ids))
    builder.finish()
    pages = [decode_recipe_page(page) for page in data]
    leaves = [page for page in pages if isinstance(page, RecipeLeaf)]
    counts = [len(leaf.chunks) for leaf in leaves]
    level, keys = 0, ids
    while True:
        ends = ends_of([(key, 0) for key in keys], level)
        assert counts == [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
        if len(ends) == 1:
            break
        level += 1
        inner = [page for page in pages if isinstance(page, RecipeInner) and page.level == level]
        keys = [branch.child for page in inner for branch in page.branches]
        counts = [len(page.branches) for page in inner]
    assert len(pages) == len(leaves) + sum(isinstance(page, RecipeInner) for page in pages)


def test_pages_hold_a_few_hundred_entries() -> None:
    """A directory of millions would become too many pages, or pages too big to be changed cheaply."""
    counts = [
        len(page.entries)
        for page in tree_pages([link(b"%06d" % i, 5) for i in range(30_000)])
        if isinstance(page, TreeLeaf)
    ]
    assert all(limits.PAGE_ENTRIES_MIN <= count <= limits.PAGE_ENTRIES_MAX for count in counts[:-1])
    assert 400 < sum(counts) / len(counts) < 900
    assert max(counts) > 1000


def test_pages_of_long_entries_stay_within_their_size() -> None:
    """A page could not be stored, or not be read again."""
    sizes: list[int] = []
    builder = TreeBuilder(lambda kind, id, data: sizes.append(len(data)), PLAIN)
    for i in range(300):
        builder.add(link(b"%03d" % i * 80, limits.SYMLINK_BYTES_MAX))
    builder.finish()
    longest = entry_bytes(link(b"%03d" % 0 * 80, limits.SYMLINK_BYTES_MAX))
    assert all(limits.PAGE_BYTES_MAX - longest < size <= limits.PAGE_BYTES_MAX for size in sizes[:-2])


def test_an_entry_has_the_length_that_the_size_rule_counts() -> None:
    """Pages would end elsewhere than documented, and another implementation would disagree about ids."""
    for size in (0, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1):
        for name in (b"n", b"n" * 31, b"n" * 32, b"n" * 255):
            entry = Entry(name, Kind.DIR, size, Content(Form.TREE, bytes(32)), size)
            (encoded,) = _pages_of(entry)
            assert len(encoded) == 4 + entry_bytes(entry)
    for target in (1, 255, 256, 4096):
        (encoded,) = _pages_of(link(b"n", target))
        assert len(encoded) == 4 + entry_bytes(link(b"n", target))


def _pages_of(entry: Entry) -> list[bytes]:
    data: list[bytes] = []
    builder = TreeBuilder(lambda kind, id, page: data.append(page), PLAIN)
    builder.add(entry)
    builder.finish()
    return data


def test_lengths_are_those_of_messagepack() -> None:
    """The size rule would not be computable from the items alone."""
    assert [int_bytes(n) for n in (0, 127, 128, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32)] == [
        1, 1, 2, 2, 3, 3, 5, 5, 9,
    ]  # fmt: skip
    assert [bin_bytes(bytes(n)) for n in (0, 255, 256)] == [2, 257, 259]


def test_hits_are_those_of_every_release() -> None:
    """Every directory with more than a page would get another id."""
    assert [i for i in range(3000) if hits(0, b"%d" % i)] == [101, 262, 553, 837, 1270, 1319, 1454, 1505, 2601]
    assert [i for i in range(3000) if hits(1, b"%d" % i)] == [164, 1860, 2083, 2286, 2413, 2751, 2791]


def test_emitted_ids_are_those_of_the_pages() -> None:
    """A page would be stored under an id under which it is then refused."""
    emitted: list[tuple[ObjectKind, Digest, bytes]] = []
    builder = TreeBuilder(lambda kind, id, data: emitted.append((kind, id, data)), PLAIN)
    summary = builder.finish()
    assert emitted == [(ObjectKind.TREE_PAGE, page_id, data) for _, page_id, data in emitted]
    assert summary.root == emitted[-1][1]

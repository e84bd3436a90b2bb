"""Recipes: built, read from any offset, and refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import BadInput, Corrupt, NewerFormat
from artstore.format.document import FORMAT, Codec
from artstore.format.ids import PLAIN
from artstore.format.recipe import (
    RecipeBuilder,
    RecipeInner,
    RecipeSummary,
    decode_recipe_page,
    iter_chunks,
    recipe_summary,
)
from artstore.model import ChunkRef, Digest, ObjectKind, RecipeBranch

ID = bytes(range(32))
LEAF: Codec[tuple[int, int, list[ChunkRef]]] = Codec(tuple[int, int, list[ChunkRef]], name="page", bytes_max=1 << 24)
INNER: Codec[tuple[int, int, list[RecipeBranch]]] = Codec(
    tuple[int, int, list[RecipeBranch]], name="page", bytes_max=1 << 24
)
# Frozen: these files have these ids in every release.
GOLDEN_SMALL = (
    "9301009292c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fce0001000092c42000"
    "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f07"
)
GOLDEN_SMALL_ID = "e323e1c7071cd7bc2b8bd8ac1935061bcadef4adcb73ade4e7d1357b0bcc3dac"
GOLDEN_LARGE_ID = "c7f3caedc32002c2bd5f480430f5d36c770c31f20339fc49dfa278579eeb0e36"


class Pages:
    """Pages in memory, with a note of which were read."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.read: list[bytes] = []

    def emit(self, kind: ObjectKind, id: Digest, data: bytes) -> None:
        assert kind == ObjectKind.RECIPE_PAGE
        assert id == PLAIN.recipe_page(data)
        self.data[id] = data

    def load(self, kind: ObjectKind, id: Digest) -> bytes:
        assert kind == ObjectKind.RECIPE_PAGE
        self.read.append(id)
        return self.data[id]

    def build(self, chunks: Sequence[ChunkRef]) -> RecipeSummary:
        builder = RecipeBuilder(self.emit, PLAIN)
        builder.add_many([chunk.id for chunk in chunks], [chunk.raw for chunk in chunks])
        return builder.finish()

    def put(self, data: bytes) -> Digest:
        id = PLAIN.recipe_page(data)
        self.data[id] = data
        return id


def chunks_of(count: int) -> list[ChunkRef]:
    """So many chunks, from the number alone."""
    return [ChunkRef(PLAIN.chunk(b"%d" % i), 1 + i % limits.CHUNK_BYTES_MAX) for i in range(count)]


def test_recipes_have_the_ids_of_every_release() -> None:
    """Every large file in every store would change."""
    pages = Pages()
    summary = pages.build([ChunkRef(ID, 65_536), ChunkRef(ID, 7)])
    assert pages.data[summary.root].hex() == GOLDEN_SMALL
    assert summary.root.hex() == GOLDEN_SMALL_ID
    assert pages.build(chunks_of(3000)).root.hex() == GOLDEN_LARGE_ID


@pytest.mark.usefixtures("small_pages")
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=2, max_size=200), st.data())
def test_recipes_are_read_as_they_were_written(numbers: list[tuple[int, int]], data: st.DataObject) -> None:
    """A file would come back with parts missing, or a seek would land elsewhere."""
    chunks = [ChunkRef(bytes([seed]) * 32, raw) for seed, raw in numbers]
    pages = Pages()
    summary = pages.build(chunks)
    size = sum(chunk.raw for chunk in chunks)
    assert summary == recipe_summary(summary.root, pages.load) == RecipeSummary(summary.root, size, len(chunks))
    read = list(iter_chunks(summary.root, pages.load))
    assert [at.ref for at in read] == chunks
    assert [at.start for at in read] == [sum(chunk.raw for chunk in chunks[:i]) for i in range(len(chunks))]
    offset = data.draw(st.integers(0, size + 1))
    rest = [at for at in read if at.start + at.ref.raw > offset]
    assert list(iter_chunks(summary.root, pages.load, offset)) == rest


@given(st.integers(2, 400))
def test_one_by_one_or_many_at_once_is_the_same(count: int) -> None:
    """The id of a file would depend on how fast it was read."""
    pages = Pages()
    builder = RecipeBuilder(pages.emit, PLAIN)
    for chunk in chunks_of(count):
        builder.add(chunk.id, chunk.raw)
    assert builder.finish() == pages.build(chunks_of(count))


def test_a_seek_reads_one_page_of_each_level() -> None:
    """Reading the end of a 10 TB file would read all of its recipe."""
    pages = Pages()
    chunks = [ChunkRef(PLAIN.chunk(b"%d" % i), 1000) for i in range(20_000)]
    root = pages.build(chunks).root
    at = next(iter_chunks(root, pages.load, 12_345_678))
    assert (at.start, at.ref) == (12_345_000, chunks[12_345])
    assert len(pages.read) == 2


@pytest.mark.parametrize("raw", [0, -1, limits.CHUNK_BYTES_MAX + 1])
def test_impossible_chunks_are_refused_both_ways(raw: int) -> None:
    """A malicious recipe could make a reader reserve any memory, or run for ever without moving on."""
    chunks = [ChunkRef(ID, 1), ChunkRef(ID, raw)]
    with pytest.raises(BadInput):
        Pages().build(chunks)
    with pytest.raises(Corrupt):
        decode_recipe_page(LEAF.encode((FORMAT, 0, chunks)))


def test_ids_of_another_length_are_refused_both_ways() -> None:
    """A recipe could be written that no look-up resolves."""
    chunks = [ChunkRef(ID, 1), ChunkRef(ID[1:], 1)]
    with pytest.raises(BadInput):
        Pages().build(chunks)
    with pytest.raises(Corrupt):
        decode_recipe_page(LEAF.encode((FORMAT, 0, chunks)))


@pytest.mark.parametrize(
    ("level", "branches"),
    [
        (1, []),
        (0, [RecipeBranch(ID, 5, 1)]),
        (-1, [RecipeBranch(ID, 5, 1)]),
        (limits.PAGE_LEVELS_MAX, [RecipeBranch(ID, 5, 1)]),
        (1, [RecipeBranch(ID[1:], 5, 1)]),
        (1, [RecipeBranch(ID, 0, 0)]),
        (1, [RecipeBranch(ID, 5, 6)]),
        (1, [RecipeBranch(ID, 5, -1)]),
        (1, [RecipeBranch(ID, 1 << 63, 9)]),
        (1, [RecipeBranch(ID, 5, 1)] * (limits.PAGE_ENTRIES_MAX + 1)),
    ],
)
def test_inner_pages_that_cannot_be_are_refused(level: int, branches: list[RecipeBranch]) -> None:
    """A malicious recipe could nest pages without end, or claim sizes that break whoever adds them up."""
    with pytest.raises(Corrupt):
        decode_recipe_page(INNER.encode((FORMAT, level, branches)))


@pytest.mark.parametrize("count", [0, limits.PAGE_ENTRIES_MAX + 1])
def test_leaves_of_no_or_too_many_chunks_are_refused(count: int) -> None:
    """A malicious page could fill the memory of its reader."""
    with pytest.raises(Corrupt):
        decode_recipe_page(LEAF.encode((FORMAT, 0, [ChunkRef(ID, 1)] * count)))


def test_a_page_of_a_later_release_asks_for_an_upgrade() -> None:
    """A user of an old release would be told that the store is damaged."""
    with pytest.raises(NewerFormat):
        decode_recipe_page(b"\x93\x02\x00\x90")


def test_a_recipe_of_one_chunk_is_refused() -> None:
    """One file could have two ids: its entry names a single chunk itself."""
    pages = Pages()
    root = pages.put(LEAF.encode((FORMAT, 0, [ChunkRef(ID, 1)])))
    with pytest.raises(Corrupt):
        recipe_summary(root, pages.load)
    builder = RecipeBuilder(pages.emit, PLAIN)
    builder.add(ID, 1)
    with pytest.raises(AssertionError):
        builder.finish()


LIES: list[Callable[[RecipeBranch], RecipeBranch]] = [
    lambda b: RecipeBranch(b.child, b.size + 1, b.chunks),
    lambda b: RecipeBranch(b.child, b.size, b.chunks - 1),
]


@pytest.mark.parametrize("lie", range(len(LIES)))
def test_a_page_that_lies_about_its_children_is_refused(lie: int) -> None:
    """A seek would land elsewhere than told, and hand out the wrong bytes of a file."""
    pages = Pages()
    root = decode_recipe_page(pages.data[pages.build(chunks_of(3000)).root])
    assert isinstance(root, RecipeInner)
    id = pages.put(INNER.encode((FORMAT, 1, [LIES[lie](root.branches[0]), *root.branches[1:]])))
    with pytest.raises(Corrupt) as caught:
        list(iter_chunks(id, pages.load))
    assert caught.value.digest == root.branches[0].child


def test_levels_fall_by_one() -> None:
    """A malicious recipe could nest pages without end."""
    pages = Pages()
    page = decode_recipe_page(pages.data[pages.build(chunks_of(3000)).root])
    assert isinstance(page, RecipeInner)
    for level in (2, 3):
        root = pages.put(INNER.encode((FORMAT, level, page.branches)))
        with pytest.raises(Corrupt):
            list(iter_chunks(root, pages.load))


def test_a_damaged_page_is_named() -> None:
    """The user could not be told which file is damaged."""
    pages = Pages()
    root = pages.put(b"rubbish")
    with pytest.raises(Corrupt) as caught:
        list(iter_chunks(root, pages.load))
    assert caught.value.digest == root

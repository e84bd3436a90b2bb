"""Files of several chunks as Merkle trees of pages: building them as chunks arrive, and seeking in them.

A page is MessagePack `[1, level, items]`: an item of level 0 is a chunk `[id, raw size]`, one of an inner level a
branch `[child id, size, chunks]`. A file of one chunk, or none, has no recipe: its entry says so itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple, NoReturn

from artstore import limits
from artstore.errors import BadInput, Corrupt
from artstore.format.document import FORMAT, Codec
from artstore.format.ids import DIGEST_BYTES, Ids
from artstore.format.page import HEAD_BYTES, Emit, Load, PageBuilder, int_bytes
from artstore.model import ChunkRef, Digest, ObjectKind, RecipeBranch


@dataclass(frozen=True, slots=True)
class RecipeSummary:
    """A file: id of its recipe's root page, its bytes and chunks."""

    root: Digest
    size: int
    chunks: int


class ChunkAt(NamedTuple):
    """A chunk and where in the file it begins."""

    start: int
    ref: ChunkRef


@dataclass(frozen=True, slots=True)
class RecipeLeaf:
    """A page of level 0."""

    chunks: list[ChunkRef]


@dataclass(frozen=True, slots=True)
class RecipeInner:
    """A page of a higher level."""

    level: int
    branches: list[RecipeBranch]


class RecipeBuilder:
    """Makes the pages of one file; `emit` receives each when it is complete. Memory: one page for each level."""

    def __init__(self, emit: Emit, ids: Ids) -> None:
        self._pages: PageBuilder[ChunkRef, RecipeBranch] = PageBuilder(_SHAPE, emit, ids)

    def add(self, id: bytes, raw: int) -> None:
        """Add the file's next chunk and its size."""
        self._pages.add_leaf(ChunkRef(id, raw), id, _CHUNK_BYTES)

    def add_many(self, ids: Iterable[bytes], raws: Iterable[int]) -> None:
        """`add` for each chunk and size."""
        add_leaf = self._pages.add_leaf
        for id, raw in zip(ids, raws, strict=True):
            add_leaf(ChunkRef(id, raw), id, _CHUNK_BYTES)

    def finish(self) -> RecipeSummary:
        """Emit the pages still open, the root last; at least two chunks were added. Of no use afterwards."""
        branch = self._pages.finish()
        assert branch.chunks > 1
        return _summary(branch)


def recipe_summary(root: bytes, load: Load) -> RecipeSummary:
    """What the root page alone tells of a file."""
    return _summary(_page_branch(_load_root(root, load), root))


def iter_chunks(root: bytes, load: Load, offset: int = 0) -> Iterator[ChunkAt]:
    """The chunks in order, beginning with the one that holds the byte at `offset`; none behind the end.

    Reads one page of each level before the first chunk, the others as they are needed.
    """
    return _chunks(_load_root(root, load), 0, offset, load)


def decode_recipe_page(data: bytes) -> RecipeLeaf | RecipeInner:
    """A page's value; Corrupt for whatever `RecipeBuilder` would not have written in one page."""
    _LEAF.check_format(data)
    if len(data) > 2 and data[2] == 0:
        chunks = _LEAF.decode(data)[2]
        _check_chunks(chunks, _corrupt)
        return RecipeLeaf(chunks)
    _, level, branches = _INNER.decode(data)
    if not 0 < level < limits.PAGE_LEVELS_MAX or not 0 < len(branches) <= limits.PAGE_ENTRIES_MAX:
        raise Corrupt(f"a recipe page has level {level}, {len(branches)} branches")
    for branch in branches:
        if len(branch.child) != DIGEST_BYTES or not 0 < branch.chunks <= branch.size <= limits.SIZE_MAX:
            raise Corrupt("a recipe page's branch contradicts itself")
    return RecipeInner(level, branches)


class _RecipeShape:
    """What the page builder must know of recipes."""

    kind = ObjectKind.RECIPE_PAGE

    def encode_leaf(self, items: Sequence[ChunkRef]) -> bytes:
        _check_chunks(items, _bad_input)
        return _LEAF.encode((FORMAT, 0, list(items)))

    def encode_inner(self, level: int, branches: Sequence[RecipeBranch]) -> bytes:
        return _INNER.encode((FORMAT, level, list(branches)))

    def leaf_branch(self, items: Sequence[ChunkRef], child: Digest) -> RecipeBranch:
        return RecipeBranch(child, sum(map(_raw, items)), len(items))

    def inner_branch(self, branches: Sequence[RecipeBranch], child: Digest) -> RecipeBranch:
        return RecipeBranch(child, sum(map(_size, branches)), sum(map(_count, branches)))

    def branch_key(self, branch: RecipeBranch) -> bytes:
        return branch.child

    def branch_bytes(self, branch: RecipeBranch) -> int:
        return 1 + 2 + DIGEST_BYTES + int_bytes(branch.size) + int_bytes(branch.chunks)


def _check_chunks(chunks: Sequence[ChunkRef], fail: Callable[[str], NoReturn]) -> None:
    if not 0 < len(chunks) <= limits.PAGE_ENTRIES_MAX:
        fail(f"a recipe page has {len(chunks)} chunks")
    if any(len(chunk.id) != DIGEST_BYTES for chunk in chunks):
        fail("a recipe names a chunk by an id of the wrong length")
    if not 0 < min(map(_raw, chunks)) <= max(map(_raw, chunks)) <= limits.CHUNK_BYTES_MAX:
        fail("a recipe has a chunk of an impossible size")


def _chunks(page: RecipeLeaf | RecipeInner, start: int, offset: int, load: Load) -> Iterator[ChunkAt]:
    """What `iter_chunks` gives of one page, which begins at `start` of the file."""
    if isinstance(page, RecipeLeaf):
        for chunk in page.chunks:
            if start + chunk.raw > offset:
                yield ChunkAt(start, chunk)
            start += chunk.raw
        return
    for branch in page.branches:
        if start + branch.size > offset:
            yield from _chunks(_load_child(branch, page.level - 1, load), start, offset, load)
        start += branch.size


def _load_root(root: bytes, load: Load) -> RecipeLeaf | RecipeInner:
    page = _load(root, load)
    if len(page.chunks if isinstance(page, RecipeLeaf) else page.branches) < 2:
        raise Corrupt(f"recipe {root.hex()} has a root page of one item", digest=root)
    return page


def _load_child(branch: RecipeBranch, level: int, load: Load) -> RecipeLeaf | RecipeInner:
    page = _load(branch.child, load)
    found = 0 if isinstance(page, RecipeLeaf) else page.level
    if found != level or _page_branch(page, branch.child) != branch:
        raise Corrupt(f"recipe page {branch.child.hex()} is not what the page above says", digest=branch.child)
    return page


def _load(id: bytes, load: Load) -> RecipeLeaf | RecipeInner:
    try:
        return decode_recipe_page(load(ObjectKind.RECIPE_PAGE, Digest(id)))
    except Corrupt as error:
        if error.digest is not None:
            raise
        raise Corrupt(f"recipe page {id.hex()}: {error.message}", digest=id) from error


def _page_branch(page: RecipeLeaf | RecipeInner, child: bytes) -> RecipeBranch:
    if isinstance(page, RecipeLeaf):
        return _SHAPE.leaf_branch(page.chunks, Digest(child))
    return _SHAPE.inner_branch(page.branches, Digest(child))


def _summary(branch: RecipeBranch) -> RecipeSummary:
    return RecipeSummary(Digest(branch.child), branch.size, branch.chunks)


def _corrupt(message: str) -> NoReturn:
    raise Corrupt(message)


def _bad_input(message: str) -> NoReturn:
    raise BadInput(message)


_SHAPE = _RecipeShape()
_LEAF: Codec[tuple[int, int, list[ChunkRef]]] = Codec(
    tuple[int, int, list[ChunkRef]], name="recipe page", bytes_max=limits.PAGE_BYTES_MAX
)
_INNER: Codec[tuple[int, int, list[RecipeBranch]]] = Codec(
    tuple[int, int, list[RecipeBranch]], name="recipe page", bytes_max=limits.PAGE_BYTES_MAX
)
_raw = attrgetter("raw")
_size = attrgetter("size")
_count = attrgetter("chunks")
# No page of a recipe comes near the size rule, so that any length up to the longest gives the same pages.
_CHUNK_BYTES = 1 + 2 + DIGEST_BYTES + 5
_BRANCH_BYTES = 1 + 2 + DIGEST_BYTES + 9 + 9
assert HEAD_BYTES + limits.PAGE_ENTRIES_MAX * max(_CHUNK_BYTES, _BRANCH_BYTES) < limits.PAGE_BYTES_MAX

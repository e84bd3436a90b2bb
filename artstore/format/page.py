"""Where the pages of a tree or recipe end, and how levels of them grow. Knows nothing of what the items mean.

A page is MessagePack `[format, level, items]`; level 0 holds entries or chunks, level n + 1 a branch for each page of
level n. Items are added from left to right. A page ends

- behind an item that is at least its 128th and whose key *hits*: BLAKE3(level as one byte ‖ key), its first two bytes
  read as a little-endian number, has its low nine bits zero (earlier hits count for nothing);
- behind its 2048th item;
- before an item that would take its size over 256 KiB, where size is 6 + the sum of its items' encoded lengths (6 are
  the most that the bytes before the items can take).

The key is the name for an entry, `first` for a tree's branch, the chunk or child id in a recipe. The lowest level which
has one page only is the root. Nothing depends on what came before the page, so equal items give equal pages [I7].

The hash stays plain in a store with an id key. A recipe's keys are ids, which nobody makes without it. A tree's are
names: who guesses every name of a directory of more than 128 can tell how many entries each of its pages has, and look
for pages of such sizes. Sizes aren't hidden anyhow, those of chunks neither. Stores of one id key agree on each page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from artstore import limits
from artstore.format.ids import Ids, checksum
from artstore.model import Digest, ObjectKind

Emit = Callable[[ObjectKind, Digest, bytes], None]
"""Receives each page when it is complete, children before parents; the same page may come twice."""

Load = Callable[[ObjectKind, Digest], bytes]
"""Gives the verified bytes of a page [I5]; one that is missing is Corrupt, never NotFound."""

LeafT = TypeVar("LeafT")
LeafT_contra = TypeVar("LeafT_contra", contravariant=True)
BranchT = TypeVar("BranchT")

HEAD_BYTES = 6  # headers of the page's array, format, level, header of an array of up to 65,535 items
HIT_MASK = limits.PAGE_ENTRIES_MEAN - 1
_LEVEL_PREFIXES = [bytes([level]) for level in range(limits.PAGE_LEVELS_MAX)]
assert HIT_MASK & limits.PAGE_ENTRIES_MEAN == 0
assert HIT_MASK < 1 << 16
assert limits.PAGE_ENTRIES_MAX < 1 << 16


def hits(level: int, key: bytes) -> bool:
    """May a page of this level end behind the item with this key?"""
    digest = checksum(_LEVEL_PREFIXES[level] + key)
    return (digest[0] | digest[1] << 8) & HIT_MASK == 0


def int_bytes(value: int) -> int:
    """Encoded length of an integer that is not negative."""
    if value < 0x80:
        return 1
    if value < 0x10000:
        return 2 if value < 0x100 else 3
    return 5 if value < 0x1_0000_0000 else 9


def bin_bytes(value: bytes) -> int:
    """Encoded length of a byte string of less than 64 KiB."""
    size = len(value)
    return size + 2 if size < 0x100 else size + 3


class Shape(Protocol[LeafT_contra, BranchT]):
    """What a page builder must know of the items: one for trees, one for recipes."""

    @property
    def kind(self) -> ObjectKind: ...
    def encode_leaf(self, items: Sequence[LeafT_contra]) -> bytes:
        """A page of level 0, verified."""
        ...

    def encode_inner(self, level: int, branches: Sequence[BranchT]) -> bytes: ...
    def leaf_branch(self, items: Sequence[LeafT_contra], child: Digest) -> BranchT:
        """The branch that names a page of level 0."""
        ...

    def inner_branch(self, branches: Sequence[BranchT], child: Digest) -> BranchT: ...
    def branch_key(self, branch: BranchT) -> bytes: ...
    def branch_bytes(self, branch: BranchT) -> int:
        """Its encoded length."""
        ...


class _InnerLevel(Generic[BranchT]):
    """The open page of one level above 0."""

    __slots__ = ("branches", "emitted", "size")

    def __init__(self) -> None:
        self.branches: list[BranchT] = []
        self.size = HEAD_BYTES
        self.emitted = 0  # at least so many pages of this level: is there more than the open one?


class PageBuilder(Generic[LeafT, BranchT]):
    """Turns items into pages as they arrive. Memory: one open page for each level."""

    def __init__(self, shape: Shape[LeafT, BranchT], emit: Emit, ids: Ids) -> None:
        self._shape = shape
        self._emit = emit
        self._ids = ids
        self._leaf: list[LeafT] = []
        self._leaf_size = HEAD_BYTES
        self._leaves_emitted = 0
        self._inner: list[_InnerLevel[BranchT]] = []  # that of level n + 1 at n

    def add_leaf(self, item: LeafT, key: bytes, size: int) -> None:
        """Add an item of level 0 with its key and encoded length."""
        total = self._leaf_size + size
        leaf = self._leaf
        if total > limits.PAGE_BYTES_MAX:
            self._close_leaf()
            leaf = self._leaf
            total = HEAD_BYTES + size
        leaf.append(item)
        self._leaf_size = total
        count = len(leaf)
        if count >= limits.PAGE_ENTRIES_MIN and (count >= limits.PAGE_ENTRIES_MAX or hits(0, key)):
            self._close_leaf()

    def add_page(self, level: int, branch: BranchT) -> None:
        """Add a whole page of `level`, which the store has already, by its branch; needs `at_boundary(level)`."""
        assert self.at_boundary(level)
        # It brings a page of each level below it: none of these is the root.
        self._leaves_emitted += 1
        for below in range(1, level + 1):
            self._level(below).emitted += 1
        self._add_branch(level + 1, branch)

    def at_boundary(self, level: int) -> bool:
        """Does the next item begin a page at each level up to this one?"""
        return not self._leaf and not any(inner.branches for inner in self._inner[:level])

    def finish(self) -> BranchT:
        """Emit what is open; return a branch that names the root and sums up all of it."""
        if self._leaves_emitted == 0:
            return self._emit_leaf()
        if self._leaf:
            self._close_leaf()
        level = 1
        while (inner := self._level(level)).emitted > 0:
            if inner.branches:
                self._close_inner(level)
            level += 1
        if len(inner.branches) == 1:
            return inner.branches[0]  # the level below has this one page
        return self._emit_inner(level, inner)

    def _add_branch(self, level: int, branch: BranchT) -> None:
        shape = self._shape
        inner = self._level(level)
        size = shape.branch_bytes(branch)
        if inner.size + size > limits.PAGE_BYTES_MAX:
            self._close_inner(level)
        inner.branches.append(branch)
        inner.size += size
        count = len(inner.branches)
        if count >= limits.PAGE_ENTRIES_MIN and (
            count >= limits.PAGE_ENTRIES_MAX or hits(level, shape.branch_key(branch))
        ):
            self._close_inner(level)

    def _level(self, level: int) -> _InnerLevel[BranchT]:
        assert level < limits.PAGE_LEVELS_MAX
        if level > len(self._inner):
            self._inner.append(_InnerLevel())
        return self._inner[level - 1]

    def _close_leaf(self) -> None:
        branch = self._emit_leaf()
        self._leaf = []
        self._leaf_size = HEAD_BYTES
        self._leaves_emitted += 1
        self._add_branch(1, branch)

    def _close_inner(self, level: int) -> None:
        inner = self._level(level)
        branch = self._emit_inner(level, inner)
        inner.branches = []
        inner.size = HEAD_BYTES
        inner.emitted += 1
        self._add_branch(level + 1, branch)

    def _emit_leaf(self) -> BranchT:
        shape = self._shape
        data = shape.encode_leaf(self._leaf)
        child = self._ids.of(shape.kind, data)
        self._emit(shape.kind, child, data)
        return shape.leaf_branch(self._leaf, child)

    def _emit_inner(self, level: int, inner: _InnerLevel[BranchT]) -> BranchT:
        shape = self._shape
        data = shape.encode_inner(level, inner.branches)
        child = self._ids.of(shape.kind, data)
        self._emit(shape.kind, child, data)
        return shape.inner_branch(inner.branches, child)

"""The two meta pages of LMDB's file: what they say, and whether that can be true. LMDB 0.9 checks little of it.

Transaction n writes meta page n mod 2, so that a sound file has n and n - 1. A crash before a meta page is written
leaves such a pair too, and LMDB goes on from the newer. A pair that isn't one means that a page was damaged later: LMDB
would go on from whichever says the greater number, and the next writer would cut what was reported from refs.log. That
is refused, since a rebuilt index has all of it.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import NamedTuple

from artstore import limits

# A page's header: its number, flags. Behind that: magic, version, address, map size; the databases of free pages (its
# first field holds the bytes of a page) and of names: flags, depth, counts, root; the last page in use; the number of
# the transaction.
_META = Struct("<Q2xH4x II QQ IHH32xQ 4xHH32xQ QQ")
_PAGE_HEADER = Struct("<Q2xH4x")
_MAGIC = 0xBEEFC0DE
_VERSION = 1
_FLAG_BRANCH, _FLAG_LEAF, _FLAG_META = 1, 2, 8
_FLAG_DIRTY = 0x10  # LMDB leaves it on pages that it wrote
_FREE_FLAGS = 8  # integer keys
_NAMES_FLAGS = 0
_NO_ROOT = (1 << 64) - 1
_PAGE_BYTES = (4096, 8192, 16384, 32768, 65536)
_DEPTH_MAX = 32
_UNWRITTEN_PAGES_MAX = 1 << 17  # a transaction's pages that were never written, since it needed them no more


class Tree(NamedTuple):
    """The root of one of LMDB's own two databases."""

    flags: int
    depth: int
    root: int


class Meta(NamedTuple):
    """A meta page."""

    number: int
    flags: int
    magic: int
    version: int
    page_bytes: int
    free: Tree
    names: Tree
    last: int
    transaction: int

    @property
    def size(self) -> int:
        """Bytes of all pages in use."""
        return (self.last + 1) * self.page_bytes


class Pages(NamedTuple):
    """Both meta pages as they were read, and the file's size behind that. `raw`: to see whether somebody writes."""

    raw: bytes
    metas: tuple[Meta, Meta]
    size: int

    @property
    def newest(self) -> Meta:
        """The one that LMDB goes by."""
        return max(self.metas, key=lambda meta: meta.transaction)


def read(descriptor: int) -> Pages | None:
    """The meta pages; None for a file that is too short for them, of which LMDB says why it can't be opened."""
    first = os.pread(descriptor, _META.size, 0)
    if len(first) < _META.size:
        return None
    page = _meta(first).page_bytes
    if page not in _PAGE_BYTES:  # the second page tells where it should be
        page = _PAGE_BYTES[0]
    second = os.pread(descriptor, _META.size, page)
    if len(second) < _META.size:
        return None
    size = os.fstat(descriptor).st_size
    return Pages(first + second, (_meta(first), _meta(second)), size)


def is_newer(pages: Pages) -> bool:
    """Both say that a later LMDB wrote them."""
    first, second = pages.metas
    return first.magic == second.magic == _MAGIC and first.version == second.version > _VERSION


def flaw(descriptor: int, pages: Pages) -> str | None:
    """What can't be true of the meta pages; None if nothing is."""
    for number, meta in enumerate(pages.metas):
        if (meta.number, meta.flags, meta.magic, meta.version) != (number, _FLAG_META, _MAGIC, _VERSION):
            return f"meta page {number} is none"
    first, second = pages.metas
    if not _are_in_turn(first, second):
        return f"its meta pages are of transactions {first.transaction} and {second.transaction}"
    if first.page_bytes != second.page_bytes or first.page_bytes not in _PAGE_BYTES:
        return f"its meta pages tell of pages of {first.page_bytes} and {second.page_bytes} bytes"
    newest = pages.newest
    if newest.last < 1 or newest.size > pages.size + _UNWRITTEN_PAGES_MAX * newest.page_bytes:
        return f"its last page should be {newest.last}, and it has {pages.size} bytes"
    if newest.size > limits.INDEX_MAP_BYTES:
        return f"its last page should be {newest.last}, more than an index can have"
    for name, tree, flags in (("free pages", newest.free, _FREE_FLAGS), ("names", newest.names, _NAMES_FLAGS)):
        if tree.flags != flags or not _is_root(descriptor, newest, tree, pages.size):
            return f"its meta page leads to no tree of {name}"
    return None


def _meta(raw: bytes) -> Meta:
    number, flags, magic, version, _, _, page, f_flags, f_depth, f_root, n_flags, n_depth, n_root, last, transaction = (
        _META.unpack(raw)
    )
    free, names = Tree(f_flags, f_depth, f_root), Tree(n_flags, n_depth, n_root)
    return Meta(number, flags, magic, version, page, free, names, last, transaction)


def _are_in_turn(first: Meta, second: Meta) -> bool:
    """Of a file that was just made, both are 0, and there is no other page."""
    if first.transaction == second.transaction == 0:
        return first.last == second.last == 1
    return first.transaction % 2 == 0 and abs(first.transaction - second.transaction) == 1


def _is_root(descriptor: int, meta: Meta, tree: Tree, size: int) -> bool:
    if tree.root == _NO_ROOT:
        return tree.depth == 0
    if not 1 < tree.root <= meta.last or not 0 < tree.depth <= _DEPTH_MAX:
        return False
    at = tree.root * meta.page_bytes
    if at >= size:
        return True  # cut off: reading all of it tells
    raw = os.pread(descriptor, _PAGE_HEADER.size, at)
    if len(raw) < _PAGE_HEADER.size:
        return True
    number: int
    flags: int
    number, flags = _PAGE_HEADER.unpack(raw)
    return number == tree.root and flags & ~_FLAG_DIRTY == (_FLAG_LEAF if tree.depth == 1 else _FLAG_BRANCH)

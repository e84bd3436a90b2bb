"""Directories as Merkle trees of pages: building them as names arrive, and reading them page by page."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from artstore.errors import BadInput, Corrupt
from artstore.format.ids import Ids
from artstore.format.page import Emit, Load, PageBuilder
from artstore.format.tree_page import SHAPE, TreeInner, TreeLeaf, check_name, decode_tree_page, entry_bytes
from artstore.model import Digest, Entry, ObjectKind, TreeBranch

LoadChild = Callable[[TreeBranch, int, bytes | None], TreeLeaf | TreeInner]
"""The page of a branch: of this level, its names below the last argument, if that is given."""


@dataclass(frozen=True, slots=True)
class TreeSummary:
    """A directory: id of its root page, its own entries, and the files and bytes of all below it."""

    root: Digest
    entries: int
    size: int
    files: int


class TreeBuilder:
    """Makes the pages of one directory; `emit` receives each when it is complete. Memory: one page for each level."""

    def __init__(self, emit: Emit, ids: Ids) -> None:
        self._pages: PageBuilder[Entry, TreeBranch] = PageBuilder(SHAPE, emit, ids)
        self._last = b""

    def add(self, entry: Entry) -> None:
        """Add the next entry in strictly ascending order of names' bytes.

        BadInput for a name out of order or which no file can have; at the latest with its page, also for an entry that
        contradicts itself.
        """
        name = entry.name
        check_name(name)
        if name <= self._last:
            raise BadInput(f"{name!r} comes after {self._last!r} in a directory", [name])
        self._last = name
        self._pages.add_leaf(entry, name, entry_bytes(entry))

    def add_page(self, level: int, branch: TreeBranch) -> None:
        """Add a whole page of `level` by its branch, unread: what `edit_tree` saves. Needs `at_boundary(level)`."""
        assert branch.first > self._last
        self._last = branch.first
        self._pages.add_page(level, branch)

    def at_boundary(self, level: int) -> bool:
        """Does the next entry begin a page at each level up to this one?"""
        return self._pages.at_boundary(level)

    def finish(self) -> TreeSummary:
        """Emit the pages still open, the root last. The builder is of no use afterwards."""
        return _summary(self._pages.finish())


def tree_summary(root: bytes, load: Load) -> TreeSummary:
    """What the root page alone tells of a directory."""
    page = load_root(root, load)
    return _summary(page_branch(page, root))


def lookup(root: bytes, name: bytes, load: Load) -> Entry | None:
    """The entry with this name; reads one page of each level."""
    return lookup_below(load_root(root, load), name, lambda branch, level, end: load_child(branch, level, end, load))


def lookup_below(page: TreeLeaf | TreeInner, name: bytes, child: LoadChild) -> Entry | None:
    """The entry with this name at or below a page, for who keeps pages: `child` is `load_child`, or remembers."""
    end: bytes | None = None
    while isinstance(page, TreeInner):
        branches = page.branches
        i = bisect_right(branches, name, key=_first) - 1
        if i < 0:
            return None
        end = branches[i + 1].first if i + 1 < len(branches) else end
        page = child(branches[i], page.level - 1, end)
    i = bisect_left(page.entries, name, key=_name)
    return page.entries[i] if i < len(page.entries) and page.entries[i].name == name else None


def iter_entries(root: bytes, load: Load, start: bytes | None = None) -> Iterator[Entry]:
    """The entries in order, from the first one whose name is not below `start`; reads pages as they are needed."""
    for leaf in _leaves(load_root(root, load), start or b"", None, load):
        skip = bisect_left(leaf, start, key=_name) if start is not None and leaf and leaf[0].name < start else 0
        yield from leaf[skip:] if skip else leaf


def load_root(root: bytes, load: Load) -> TreeLeaf | TreeInner:
    """The root page of a directory."""
    page = _load(root, load)
    if isinstance(page, TreeInner) and len(page.branches) < 2:
        raise Corrupt(f"tree {root.hex()} has a root page of one branch", digest=root)
    return page


def load_child(branch: TreeBranch, level: int, end: bytes | None, load: Load) -> TreeLeaf | TreeInner:
    """The page that a branch names, checked against it: of this level, with names below `end`, with these counts."""
    page = _load(branch.child, load)
    if isinstance(page, TreeLeaf):
        found, last = 0, page.entries[-1].name if page.entries else b""
    else:
        found, last = page.level, page.branches[-1].first
    if found != level or page_branch(page, branch.child) != branch or (end is not None and last >= end):
        raise Corrupt(f"tree page {branch.child.hex()} is not what the page above says", digest=branch.child)
    return page


def page_branch(page: TreeLeaf | TreeInner, child: bytes) -> TreeBranch:
    """The branch that names a page."""
    if isinstance(page, TreeLeaf):
        return SHAPE.leaf_branch(page.entries, Digest(child))
    return SHAPE.inner_branch(page.branches, Digest(child))


def _leaves(page: TreeLeaf | TreeInner, start: bytes, end: bytes | None, load: Load) -> Iterator[list[Entry]]:
    """The entries of each leaf below a page, without the leaves that lie wholly before `start`."""
    if isinstance(page, TreeLeaf):
        yield page.entries
        return
    branches = page.branches
    for i in range(max(bisect_right(branches, start, key=_first) - 1, 0), len(branches)):
        stop = branches[i + 1].first if i + 1 < len(branches) else end
        yield from _leaves(load_child(branches[i], page.level - 1, stop, load), start, stop, load)


def _load(id: bytes, load: Load) -> TreeLeaf | TreeInner:
    try:
        return decode_tree_page(load(ObjectKind.TREE_PAGE, Digest(id)))
    except Corrupt as error:
        if error.digest is not None:
            raise
        raise Corrupt(f"tree page {id.hex()}: {error.message}", digest=id) from error


def _summary(branch: TreeBranch) -> TreeSummary:
    return TreeSummary(Digest(branch.child), branch.entries, branch.size, branch.files)


_first = attrgetter("first")
_name = attrgetter("name")

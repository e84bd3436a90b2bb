"""Folders of versions, as look-ups and listings need them: the pages used lately are kept, decoded and checked.

Must know nothing of inodes.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.tree import iter_entries, load_child, load_root, lookup_below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.format.tree_page import TreeInner, TreeLeaf
    from artstore.model import Entry, TreeBranch
    from artstore.store.objects import Objects


class Trees:
    """Entries by the root page of their folder. Not thread-safe. Errors: Corrupt, Erased."""

    def __init__(self, objects: Objects) -> None:
        self._load = objects.load
        self._pages: OrderedDict[bytes, TreeLeaf | TreeInner] = OrderedDict()

    def lookup(self, root: bytes, name: bytes) -> Entry | None:
        """The entry of this name."""
        return lookup_below(self._root(root), name, self._child)

    def batches(self, root: bytes) -> Iterator[list[Entry]]:
        """All entries in the order of their names, as they are read."""
        entries = iter_entries(root, self._load)
        while batch := list(islice(entries, limits.MOUNT_LISTING_ENTRIES)):
            yield batch

    def _root(self, root: bytes) -> TreeLeaf | TreeInner:
        page = self._pages.get(root)
        if page is None:
            page = load_root(root, self._load)
        return self._keep(root, page)

    def _child(self, branch: TreeBranch, level: int, end: bytes | None) -> TreeLeaf | TreeInner:
        # A page is checked against the branch that first led to it; pages never change, and branches tell the truth.
        page = self._pages.get(branch.child)
        if page is None:
            page = load_child(branch, level, end, self._load)
        return self._keep(branch.child, page)

    def _keep(self, id: bytes, page: TreeLeaf | TreeInner) -> TreeLeaf | TreeInner:
        self._pages[id] = page
        self._pages.move_to_end(id)
        if len(self._pages) > limits.MOUNT_PAGES_MAX:
            self._pages.popitem(last=False)
        return page

"""Changing a directory without reading all of it: the pages of a full rebuild, made from the few that an edit touches.

A page stays as it is, unread, if the builder stands at a boundary at its level and those below, no edit lies within it
or the next page of its level (whose first item decides whether the size rule ended this one), and it isn't the last of
its level (nothing ended that one).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from artstore.errors import BadInput
from artstore.format.ids import Ids
from artstore.format.page import Emit, Load
from artstore.format.tree import TreeBuilder, TreeSummary, load_child, load_root
from artstore.format.tree_page import TreeInner, TreeLeaf
from artstore.model import Entry

Edit = tuple[bytes, Entry | None]
"""A name and what stands there afterwards; None removes it, if it is there."""


def edit_tree(root: bytes, edits: Sequence[Edit], load: Load, emit: Emit, ids: Ids) -> TreeSummary:
    """The directory at `root` with the edits, which stand in strictly ascending order of names.

    `emit` receives the pages that were made anew, some of which may exist. Each edit costs a few pages of each level.
    """
    for (before, _), (after, _) in pairwise(edits):
        if before >= after:
            raise BadInput(f"{after!r} comes after {before!r} among the edits of a directory", [after])
    for name, entry in edits:
        if entry is not None and entry.name != name:
            raise BadInput(f"the edit of {name!r} holds the entry {entry.name!r}", [name])
    return _Editor(edits, load, emit, ids).edit(root)


class _Editor:
    """Walks the old pages from left to right, merging edits into what it reads."""

    def __init__(self, edits: Sequence[Edit], load: Load, emit: Emit, ids: Ids) -> None:
        self._edits = edits
        self._next = 0  # of edits
        self._load = load
        self._builder = TreeBuilder(emit, ids)

    def edit(self, root: bytes) -> TreeSummary:
        self._rewrite(load_root(root, self._load), end=None, next_end=None)
        assert self._next == len(self._edits)
        return self._builder.finish()

    def _rewrite(self, page: TreeLeaf | TreeInner, *, end: bytes | None, next_end: bytes | None) -> None:
        """Add what lies below a page. Its names, and edits that belong into it, are below `end`; those of the next page
        of its level are below `next_end`. None: there is no such bound, or no such page.
        """
        if isinstance(page, TreeLeaf):
            self._merge(page.entries, end)
            return
        level = page.level - 1
        branches = page.branches
        # Behind the last child comes the first one of the next page, which ends somewhere before `next_end`.
        ends = [*(branch.first for branch in branches[1:]), end, next_end]
        for i, branch in enumerate(branches):
            child_end, child_next_end = ends[i], ends[i + 1]
            if child_end is not None and self._untouched(child_next_end) and self._builder.at_boundary(level):
                self._builder.add_page(level, branch)
            else:
                child = load_child(branch, level, child_end, self._load)
                self._rewrite(child, end=child_end, next_end=child_next_end)

    def _untouched(self, end: bytes | None) -> bool:
        """Is there no edit left below `end`?"""
        return self._next == len(self._edits) or (end is not None and self._edits[self._next][0] >= end)

    def _merge(self, entries: Sequence[Entry], end: bytes | None) -> None:
        for entry in entries:
            while not self._untouched(entry.name):
                self._apply_edit()
            if self._next < len(self._edits) and self._edits[self._next][0] == entry.name:
                self._apply_edit()
            else:
                self._builder.add(entry)
        while not self._untouched(end):
            self._apply_edit()

    def _apply_edit(self) -> None:
        entry = self._edits[self._next][1]
        self._next += 1
        if entry is not None:
            self._builder.add(entry)

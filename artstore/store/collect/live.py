"""How much of a pack is still needed: by marking what the versions that stay are made of.

Method. The versions that stay and whose set names one of the packs in question are walked: version, tree pages, recipe
pages, chunk ids. A page that several versions share is looked through once. All ids go through a sorter which spills to
disk, so that memory is bounded whatever the size of the store; then, in the order of ids, the index tells which packs
hold a copy of each, and that copy counts as live. Nothing is pruned by the index's rows of packs below a page: a row
says where copies were found when it was written, and another version may rely on another copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.pack import parse_tail
from artstore.format.recipe import RecipeInner, decode_recipe_page
from artstore.format.tree_page import TreeInner, decode_tree_page
from artstore.model import Digest, Form, ObjectKind
from artstore.store.spill import Masks, Sorter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

    from artstore.model import PackRow, TableEntry
    from artstore.store.context import Context
    from artstore.store.objects import Objects

_PAGES_TOGETHER = 64
OVERHEAD_BYTES = limits.FRAME_HEADER_BYTES + limits.TABLE_ENTRY_BYTES


@dataclass(frozen=True, slots=True)
class _Page:
    kind: ObjectKind
    id: bytes


class Needed:
    """Ids of all that some versions are made of, and of their roots of trees and recipes. A context: it uses
    temporary files.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._seen: set[bytes] = set()
        self._ids = Sorter(Masks(), ids_max=limits.COLLECT_IDS_MAX)
        self._roots = Sorter(Masks(), ids_max=limits.COLLECT_IDS_MAX)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ids.__exit__()
        self._roots.__exit__()

    def add(self, version: Digest) -> None:
        """Mark a version; Corrupt if a page of it can't be read."""
        self._ids.add(version, 1)
        stack = [_Page(ObjectKind.TREE_PAGE, self._objects.version(version).tree)]
        self._roots.add(stack[0].id, 1)
        while stack:
            for page, data in self._load(stack):
                stack += self._below(page, data)

    def ids(self) -> Iterator[bytes]:
        """Every id once, in order."""
        return (id for id, _ in self._ids)

    def roots(self) -> Iterator[bytes]:
        """Ids of the root pages, each once, in order."""
        return (id for id, _ in self._roots)

    def _load(self, stack: list[_Page]) -> list[tuple[_Page, bytes]]:
        """The next pages of one kind that were not seen yet, read together."""
        kind = stack[-1].kind
        pages: list[_Page] = []
        while stack and stack[-1].kind is kind and len(pages) < _PAGES_TOGETHER:
            page = stack.pop()
            if page.id not in self._seen:
                if len(self._seen) >= limits.COLLECT_PAGES_MAX:
                    self._seen.clear()
                self._seen.add(page.id)
                pages.append(page)
                self._ids.add(page.id, 1)
        found = self._objects.fetcher.many(kind, [page.id for page in pages])
        return [(page, found[page.id]) for page in pages]

    def _below(self, page: _Page, data: bytes) -> Iterator[_Page]:
        """The pages that a page names; the chunks it names are marked."""
        if page.kind is ObjectKind.RECIPE_PAGE:
            recipe = decode_recipe_page(data)
            if isinstance(recipe, RecipeInner):
                return (_Page(page.kind, branch.child) for branch in recipe.branches)
            for chunk in recipe.chunks:
                self._ids.add(chunk.id, 1)
            return iter(())
        tree = decode_tree_page(data)
        if isinstance(tree, TreeInner):
            return (_Page(page.kind, branch.child) for branch in tree.branches)
        below: list[_Page] = []
        for entry in tree.entries:
            form, value = entry.content.form, entry.content.value
            if form == Form.CHUNK:
                self._ids.add(value, 1)
            elif form in (Form.RECIPE, Form.TREE):
                self._roots.add(value, 1)
                below.append(_Page(ObjectKind.RECIPE_PAGE if form == Form.RECIPE else ObjectKind.TREE_PAGE, value))
        return iter(below)


def live_bytes(context: Context, ids: Iterable[bytes], packs: Iterable[int]) -> dict[int, int]:
    """Of each pack: bytes of the frames that hold one of the ids, their rows in the table included."""
    live = dict.fromkeys(packs, 0)
    rest = iter(ids)
    while batch := list(islice(rest, limits.INDEX_BATCH)):
        with context.index.read() as reader:
            for id in batch:
                for copy in reader.copies(id):
                    if copy.pack in live:
                        live[copy.pack] += copy.stored + OVERHEAD_BYTES
    return live


def table_of(context: Context, pack: PackRow) -> list[TableEntry]:
    """What a pack's own table says; Corrupt if it is damaged."""
    return parse_tail(pack.size, lambda offset, size: context.packs.read(pack.id, offset, size)).entries

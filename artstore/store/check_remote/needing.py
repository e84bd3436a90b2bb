"""Which paths of a version need some objects: found in its trees and recipes, as far as these can be read here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import ArtstoreError
from artstore.model import Digest, ObjectKind
from artstore.store.check.pages import PageWanted, take_apart

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from artstore.store.objects import Objects


@dataclass(slots=True)
class Needing:
    """Looks through versions for objects. `ids`: these. Pages below which there is none are remembered. One thread."""

    objects: Objects
    ids: Collection[bytes]
    _clean: set[bytes] = field(default_factory=set[bytes])

    def paths(self, version: Digest, *, most: int) -> list[bytes]:
        """Up to `most` paths that need one of the objects, or that can't be looked into; b"": all of the version."""
        if version in self.ids:
            return [b""]
        try:
            tree = self.objects.version(version).tree
        except ArtstoreError:
            return [b""]
        found: dict[bytes, None] = {}
        for path in self._below(PageWanted(ObjectKind.TREE_PAGE, tree, b"")):
            found[path] = None
            if len(found) >= most:
                break
        return list(found)

    def _below(self, top: PageWanted) -> Iterator[bytes]:
        """Depth first; a page is clean once all below it is."""
        stack: list[tuple[PageWanted, Iterator[PageWanted]]] = []
        dirty: set[bytes] = set()
        entering: PageWanted | None = top
        while entering is not None or stack:
            if entering is None:
                page, below = stack[-1]
                entering = next(below, None)
                if entering is None:
                    stack.pop()
                    if page.id not in dirty and len(self._clean) < limits.CHECK_PAGES_REMEMBERED:
                        self._clean.add(page.id)
                    elif stack:
                        dirty.add(stack[-1][0].id)
                continue
            wanted, entering = entering, None
            if wanted.id in self._clean:
                continue
            hurt, below = self._open(wanted, len(stack))
            yield from hurt
            stack.append((wanted, below))
            if hurt:
                dirty.add(wanted.id)

    def _open(self, wanted: PageWanted, depth: int) -> tuple[list[bytes], Iterator[PageWanted]]:
        """Paths that this page says need one of the objects, and the pages below it."""
        if wanted.id in self.ids or depth > 2 * limits.PATH_DEPTH_MAX:
            return [wanted.path], iter(())
        try:
            view = take_apart(wanted, self.objects.load(wanted.kind, wanted.id))
        except ArtstoreError:
            return [wanted.path], iter(())
        return list(dict.fromkeys(chunk.path for chunk in view.chunks if chunk.id in self.ids)), view.below

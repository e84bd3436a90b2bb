"""Which chunks a path has in some versions, and which of them anything else uses too: what an erasure must know first.

Every page of every version is looked through, those that several share once: nothing less tells for certain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import UsageError
from artstore.format.recipe import iter_chunks
from artstore.format.tree import lookup
from artstore.format.tree_page import TreeInner, decode_tree_page
from artstore.model import Entry, Form, Kind, ObjectKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from artstore.model import Digest
    from artstore.store.objects import Objects

Names = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PathIn:
    """A path of a version."""

    version: Digest
    path: bytes


@dataclass(slots=True)
class Sharing:
    """`chunks`: ids of all that the target has. `shared`: those of them that lie elsewhere too; `sharers` names such
    places, each content once, at most SHARERS_NAMED_MAX.
    """

    chunks: dict[bytes, int] = field(default_factory=dict[bytes, int])  # → raw bytes
    shared: set[bytes] = field(default_factory=set[bytes])
    sharers: list[PathIn] = field(default_factory=list["PathIn"])


@dataclass(frozen=True, slots=True)
class _Folder:
    """A page of a folder still to be looked through; `rest`: the way from it to the target, if that lies below."""

    page: bytes
    path: bytes
    rest: Names | None


def find(objects: Objects, tree: bytes, names: Names) -> Entry | None:
    """The entry at a path of at least one name, or None."""
    entry: Entry | None = None
    for name in names:
        if entry is not None:
            if entry.kind != Kind.DIR:
                return None
            tree = entry.content.value
        entry = lookup(tree, name, objects.load)
        if entry is None:
            return None
    return entry


class Surveyor:
    """Gathers a `Sharing`: first `take` all that is meant, then `compare` every version of the store."""

    def __init__(self, objects: Objects) -> None:
        self.result = Sharing()
        self._objects = objects
        self._seen: set[tuple[bytes, Names | None]] = set()

    def take(self, entry: Entry) -> None:
        """Note the chunks of a file, or of all files below a folder. UsageError for more than can be held."""
        match entry.content.form:
            case Form.CHUNK:
                self._take_chunk(entry.content.value, entry.size)
            case Form.RECIPE:
                if self._is_new(entry.content.value, None):
                    for _, chunk in iter_chunks(entry.content.value, self._objects.load):
                        self._take_chunk(chunk.id, chunk.raw)
            case Form.TREE:
                for _, below in self._walk(_Folder(entry.content.value, b"", None)):
                    if below.content.form != Form.TREE:
                        self.take(below)
            case _:
                pass

    def begin_comparison(self) -> None:
        """All has been taken."""
        self._seen.clear()

    def compare(self, version: Digest, tree: bytes, target: Names | None) -> None:
        """Find the chunks in a version, except at the target path (None: it has none that is meant)."""
        for path, entry in self._walk(_Folder(tree, b"", target)):
            form, value = entry.content.form, entry.content.value
            if form == Form.CHUNK:
                hit = self._share([value])
            elif form == Form.RECIPE and self._is_new(value, None):
                hit = self._share([chunk.id for _, chunk in iter_chunks(value, self._objects.load)])
            else:
                continue
            if hit and len(self.result.sharers) < limits.SHARERS_NAMED_MAX:
                self.result.sharers.append(PathIn(version, path))

    def _share(self, ids: Sequence[bytes]) -> bool:
        hit = [id for id in ids if id in self.result.chunks]
        self.result.shared.update(hit)
        return bool(hit)

    def _take_chunk(self, id: bytes, raw: int) -> None:
        self.result.chunks[id] = raw
        if len(self.result.chunks) > limits.PURGE_IDS_MAX:
            raise UsageError(
                f"that is more than {limits.PURGE_IDS_MAX} chunks, too many to be erased at once",
                hint="purge the paths below it one by one",
            )

    def _is_new(self, page: bytes, rest: Names | None) -> bool:
        """Was this page not seen, on this way? One that was seen whole needs no second look."""
        key = (page, rest)
        if key in self._seen or (page, None) in self._seen:
            return False
        if len(self._seen) >= limits.COLLECT_PAGES_MAX:
            self._seen.clear()
        self._seen.add(key)
        return True

    def _walk(self, top: _Folder) -> Iterator[tuple[bytes, Entry]]:
        """What lies below a folder, without the target, and without pages that were seen."""
        stack = [top]
        while stack:
            folder = stack.pop()
            if not self._is_new(folder.page, folder.rest):
                continue
            page = decode_tree_page(self._objects.load(ObjectKind.TREE_PAGE, folder.page))
            if isinstance(page, TreeInner):
                stack += [_Folder(branch.child, folder.path, folder.rest) for branch in reversed(page.branches)]
                continue
            for entry in page.entries:
                rest = folder.rest[1:] if folder.rest and folder.rest[0] == entry.name else None
                if rest == ():
                    continue  # the target
                path = folder.path + entry.name
                yield path, entry
                if entry.kind == Kind.DIR:
                    stack.append(_Folder(entry.content.value, path + b"/", rest))

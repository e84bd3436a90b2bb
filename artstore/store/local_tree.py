"""A local folder seen as a tree: entries with the content ids that a commit would give them, nothing stored.

Where a version's directory is given to compare with, a file is hashed by that version's chunks, which needs no cutting;
one that differs gets a placeholder for its content, since all that matters is that it differs.
"""

from __future__ import annotations

import os
import stat
from array import array
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits
from artstore.chunking import cut, find_starts
from artstore.format.ids import DIGEST_BYTES
from artstore.format.recipe import RecipeBuilder
from artstore.format.tree import iter_entries
from artstore.model import Content, Digest, Entry, Form, Kind, ObjectKind
from artstore.planning.ignore import IgnoreStack
from artstore.store.checkout.survey import begins_alike, read_fully
from artstore.store.trouble import translate
from artstore.store.write import source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.format.ids import Ids
    from artstore.store.objects import Objects

_WINDOW_BYTES = 4 * limits.MIB


@dataclass(frozen=True, slots=True)
class _Folder:
    """A local directory and, if the version has one of the same path, the id of that."""

    path: bytes
    depth: int
    rules: IgnoreStack
    counterpart: bytes | None


class LocalTree:
    """Lists local directories and those of a store alike, by id. Ids of local directories mean nothing elsewhere."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        # Random, so that no id of a store begins like it.
        self._token = os.urandom(DIGEST_BYTES - 8)
        self._folders: dict[bytes, _Folder] = {}
        self._numbers = 0

    def top(self, path: bytes, counterpart: bytes | None, rules: IgnoreStack) -> Entry:
        """The local directory `path` as an entry, beside a version's directory."""
        return self._directory(b"", _Folder(path, 0, rules, counterpart))

    def is_placeholder(self, content: Content) -> bool:
        """Whether a content is that of a local file which differs from the version's."""
        return content.value.startswith(self._token)

    def children(self, id: bytes) -> Iterator[Entry]:
        """The entries of a directory, local or not, in name order."""
        folder = self._folders.get(id)
        return iter_entries(id, self._objects.load) if folder is None else self._list(folder)

    def child(self, entry: Entry, name: bytes) -> Entry | None:
        """One entry of a local directory; the others are not looked at."""
        return next(self._list(self._folders[entry.content.value], name), None)

    def _list(self, folder: _Folder, only: bytes | None = None) -> Iterator[Entry]:
        try:
            descriptor = source.open_directory(folder.path, None, follow=folder.depth == 0)
        except OSError as error:
            raise translate(error, "open", folder.path) from error
        try:
            rules = folder.rules.enter(
                os.path.basename(folder.path) if folder.depth else b"", source.artignore(descriptor)
            )
            others = _Others(self._objects, folder.counterpart)
            for names in source.listing(descriptor) if only is None else _named(descriptor, only):
                for name, found in names:
                    other = others.find(name)
                    if rules.decide(name, stat.S_ISDIR(found.st_mode)).ignored:
                        continue
                    try:
                        entry = self._entry(folder, rules, descriptor, name, found, other)
                    except FileNotFoundError:
                        continue  # it vanished
                    except OSError as error:
                        raise translate(error, "read", folder.path + b"/" + name) from error
                    if entry is not None:
                        yield entry
        finally:
            os.close(descriptor)

    def _entry(
        self,
        folder: _Folder,
        rules: IgnoreStack,
        above: int,
        name: bytes,
        found: os.stat_result,
        other: Entry | None,
    ) -> Entry | None:
        if stat.S_ISDIR(found.st_mode):
            counterpart = other.content.value if other is not None and other.kind == Kind.DIR else None
            return self._directory(name, _Folder(folder.path + b"/" + name, folder.depth + 1, rules, counterpart))
        if stat.S_ISLNK(found.st_mode):
            target = os.readlink(name, dir_fd=above)
            return Entry(name, Kind.SYMLINK, len(target), Content(Form.SYMLINK, target), 1)
        if not stat.S_ISREG(found.st_mode):
            return None  # no version can hold it
        kind = Kind.EXEC if found.st_mode & 0o111 else Kind.FILE
        descriptor = source.open_file(name, above)
        try:
            return Entry(name, kind, found.st_size, self._content(descriptor, found.st_size, other), 1)
        finally:
            os.close(descriptor)

    def _content(self, descriptor: int, size: int, other: Entry | None) -> Content:
        if size == 0:
            return Content(Form.EMPTY, b"")
        if other is None or other.kind not in {Kind.FILE, Kind.EXEC}:
            return local_content(descriptor, size, self._objects.ids)
        same = other.size == size and begins_alike(self._objects, other, descriptor, size)
        return other.content if same else Content(Form.RECIPE, self._placeholder())

    def _directory(self, name: bytes, folder: _Folder) -> Entry:
        id = self._placeholder()
        self._folders[id] = folder
        return Entry(name, Kind.DIR, 0, Content(Form.TREE, id), 0)

    def _placeholder(self) -> bytes:
        self._numbers += 1
        return self._token + self._numbers.to_bytes(8, "big")


class _Others:
    """The entries of a version's directory, asked for in name order."""

    def __init__(self, objects: Objects, tree: bytes | None) -> None:
        self._entries = iter(()) if tree is None else iter_entries(tree, objects.load)
        self._next = next(self._entries, None)

    def find(self, name: bytes) -> Entry | None:
        while self._next is not None and self._next.name < name:
            self._next = next(self._entries, None)
        return self._next if self._next is not None and self._next.name == name else None


def local_content(descriptor: int, size: int, ids: Ids) -> Content:
    """The content that a commit gives an open file."""
    chunks = local_chunks(descriptor, size, ids)
    first, second = next(chunks, None), next(chunks, None)
    if first is None:
        return Content(Form.EMPTY, b"")
    if second is None:
        return Content(Form.CHUNK, first[0])
    recipe = RecipeBuilder(_drop, ids)
    for id, raw in (first, second):
        recipe.add(id, raw)
    for id, raw in chunks:
        recipe.add(id, raw)
    return Content(Form.RECIPE, recipe.finish().root)


def local_chunks(descriptor: int, size: int, ids: Ids) -> Iterator[tuple[Digest, int]]:
    """(id, raw size) of the chunks that a commit cuts an open file into; of one that shrinks, of what is left."""
    starts = find_starts(lambda offset, count: os.pread(descriptor, count, offset), size) if size else array("Q")
    buffer = memoryview(bytearray(min(_WINDOW_BYTES, size)))
    base = kept = 0  # where the buffer begins in the file, and what it holds of the round before
    while base + kept < size:
        count = min(len(buffer) - kept, size - base - kept)
        if not read_fully(descriptor, buffer[kept : kept + count], base + kept):
            return
        filled = kept + count
        ends = memoryview(cut(buffer[:filled], 0, filled, starts, base=base, final=base + filled == size)).cast("Q")
        begin = 0
        for end in ends:
            yield ids.chunk(buffer[begin:end]), end - begin
            begin = end
        kept = filled - begin
        buffer[:kept] = buffer[begin:filled].tobytes()
        base += begin


def _named(descriptor: int, name: bytes) -> Iterator[list[source.Named]]:
    with suppress(FileNotFoundError):
        yield [(name, os.stat(name, dir_fd=descriptor, follow_symlinks=False))]


def _drop(kind: ObjectKind, digest: Digest, data: bytes) -> None:
    """Only the root's id is of interest."""

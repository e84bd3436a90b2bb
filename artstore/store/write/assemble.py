"""From what happened, in order, to recipes and trees. One thread; memory: one open page per level and directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from artstore.format.recipe import RecipeBuilder
from artstore.format.tree import TreeBuilder
from artstore.model import Content, Entry, Form, Kind
from artstore.store.write.batch import Data, Drop, Enter, Known, Leave
from artstore.store.write.statcache import UNTRUSTED, RowWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.store.write.batch import Batch, FileMeta
    from artstore.store.write.packer import OpenPack
    from artstore.store.write.pages import PageStore

    Packs = set[int | OpenPack]

EMPTY = Content(Form.EMPTY, b"")


@dataclass(frozen=True, slots=True)
class TreeResult:
    """The root of what was read, and the packs that all of it needs."""

    root: bytes
    files: int
    size: int
    packs: frozenset[int | OpenPack]
    top: dict[bytes, Entry]  # the root's entries, if they were asked for


class _OpenFile:
    """A file whose chunks are arriving. It gets a recipe with its second chunk."""

    def __init__(self, pages: PageStore) -> None:
        self._pages = pages
        self._first: tuple[bytes, int] | None = None
        self._builder: RecipeBuilder | None = None
        self.packs: Packs = set()
        self.size = 0

    def add(self, ids: list[bytes], sizes: list[int]) -> None:
        if not ids:
            return
        self.size += sum(sizes)
        if self._builder is None:
            if self._first is None and len(ids) == 1:
                self._first = (ids[0], sizes[0])
                return
            self._builder = RecipeBuilder(self._pages.emit, self._pages.ids)
            if self._first is not None:
                ids, sizes = [self._first[0], *ids], [self._first[1], *sizes]
        self._pages.collect_into(self.packs)
        self._builder.add_many(ids, sizes)
        self._pages.collected()

    def finish(self) -> Content:
        if self._builder is None:
            return EMPTY if self._first is None else Content(Form.CHUNK, self._first[0])
        self._pages.collect_into(self.packs)
        root = self._builder.finish().root
        self._pages.collected()
        self._pages.needs(root, self.packs)
        return Content(Form.RECIPE, root)


class _OpenDirectory:
    """A directory whose entries are arriving."""

    def __init__(self, event: Enter, pages: PageStore) -> None:
        self.name = event.name
        self.mark = event.mark
        self.packs: Packs = set()
        self.builder = TreeBuilder(pages.emit, pages.ids)
        self.rows = RowWriter(event.key, event.place, pages.rows) if event.key else None


class Assembler:
    """Builds the tree. `pack_of` tells where a chunk that is not in the index lies."""

    def __init__(
        self, pages: PageStore, pack_of: Callable[[bytes], OpenPack | int | None], *, keep_top: bool = False
    ) -> None:
        self._pages = pages
        self._pack_of = pack_of
        self._keep_top = keep_top
        self._top: dict[bytes, Entry] = {}
        self._directories: list[_OpenDirectory] = []
        self._file: _OpenFile | None = None
        self.result: TreeResult | None = None

    def apply(self, batch: Batch) -> None:
        """Take in what happened while the batch was gathered; its chunks have been placed."""
        for event in batch.events:
            match event:
                case Data():
                    self._data(event, batch)
                case Known():
                    self._known(event)
                case Enter():
                    self._enter(event)
                case Leave():
                    self._leave(whole=event.whole)
                case Drop():
                    self._file = None
                case _:
                    assert_never(event)

    def _enter(self, event: Enter) -> None:
        directory = _OpenDirectory(event, self._pages)
        self._directories.append(directory)
        self._pages.collect_into(directory.packs)

    def _data(self, event: Data, batch: Batch) -> None:
        file = self._file
        if file is None:
            if event.ends and event.last - event.first == 1 and event.repeat == 1:
                self._small_file(event, batch)
                return
            file = self._file = _OpenFile(self._pages)
        ids = batch.ids[event.first : event.last]
        for i, digest in enumerate(ids, event.first):
            location = batch.known[i]
            pack = location.pack if location is not None else self._pack_of(digest)
            if pack is not None:
                file.packs.add(pack)
        sizes = [batch.ends[i] - batch.begins[i] for i in range(event.first, event.last)]
        file.add(ids * event.repeat, sizes * event.repeat)
        if event.ends:
            self._file = None
            content = file.finish()
            self._directories[-1].packs |= file.packs
            self._end_of_file(event.file, file.size, content)

    def _small_file(self, event: Data, batch: Batch) -> None:
        """A file of one chunk, as most are where there are many."""
        i = event.first
        digest, location = batch.ids[i], batch.known[i]
        pack = location.pack if location is not None else self._pack_of(digest)
        if pack is not None:
            self._directories[-1].packs.add(pack)
        self._end_of_file(event.file, batch.ends[i] - batch.begins[i], Content(Form.CHUNK, digest))

    def _end_of_file(self, meta: FileMeta, size: int, content: Content) -> None:
        directory = self._directories[-1]
        self._add(directory, Entry(meta.name, meta.kind, size, content, 1))
        if directory.rows is not None and meta.row:
            directory.rows.add(meta.name, meta.row, meta.kind, size, content)

    def _add(self, directory: _OpenDirectory, entry: Entry) -> None:
        directory.builder.add(entry)
        if self._keep_top and len(self._directories) == 1:
            self._top[entry.name] = entry

    def _known(self, event: Known) -> None:
        entry = event.entry
        if not self._directories:  # the root itself is as it was
            self.result = TreeResult(entry.content.value, entry.files, entry.size, frozenset(event.packs), {})
            return
        directory = self._directories[-1]
        self._add(directory, entry)
        directory.packs.update(event.packs)
        if directory.rows is not None and event.row:
            directory.rows.add(entry.name, event.row, entry.kind, entry.size, entry.content)

    def _leave(self, *, whole: bool) -> None:
        directory = self._directories.pop()
        summary = directory.builder.finish()
        self._pages.collected()
        self._pages.needs(summary.root, directory.packs)
        if directory.rows is not None:
            mark = directory.mark if whole else UNTRUSTED
            directory.rows.finish(mark, summary.root, summary.size, summary.files)
        if not self._directories:
            self.result = TreeResult(summary.root, summary.files, summary.size, frozenset(directory.packs), self._top)
            return
        parent = self._directories[-1]
        content = Content(Form.TREE, summary.root)
        self._add(parent, Entry(directory.name, Kind.DIR, summary.size, content, summary.files))
        parent.packs |= directory.packs

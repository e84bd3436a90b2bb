"""A store whose content is put there object by object: any tree, sound or hostile, without a commit.

For tests of what reads stores. Not for use on a store that matters: it takes no care of sessions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from artstore import limits
from artstore.adapters.clock import SystemClock
from artstore.adapters.lmdb_index.index import LmdbIndex
from artstore.adapters.packs import FilePacks
from artstore.adapters.sessions import FileSessions
from artstore.chunking import cut
from artstore.format import frame
from artstore.format.codec import Encoder
from artstore.format.ids import PLAIN, Ids
from artstore.format.pack import encode_tail
from artstore.format.recipe import RecipeBuilder
from artstore.format.tree import TreeBuilder
from artstore.format.version import encode_version
from artstore.model import (
    Content,
    Digest,
    Entry,
    Form,
    Kind,
    Metadata,
    ObjectKind,
    PackId,
    PackKind,
    TableEntry,
    Version,
)
from artstore.store.context import Context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from artstore.ports import PackFiles
    from artstore.store.sealed import Keychain

_NO_STARTS = memoryview(b"").cast("Q")


@dataclass(frozen=True, slots=True)
class Exec:
    """An executable file."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: bytes


@dataclass(frozen=True, slots=True)
class Raw:
    """An entry as it is given, but for its name; what it names is planted apart."""

    kind: Kind
    size: int
    content: Content


class Sealing(Protocol):
    """What makes keys."""

    def keychain(self) -> Keychain:
        """New ones."""
        ...


Planted = bytes | Exec | Link | Raw | dict[bytes, "Planted"]


class Planter:
    """Adds objects to a store of its own at `path`; what `flush` has written can be read. `sealing`: makes the keys of
    each, if they are to be encrypted.
    """

    sealing: ClassVar[Sealing | None] = None

    def __init__(self, path: str, ids: Ids = PLAIN) -> None:
        for name in ("packs", "sessions", "tmp"):
            os.makedirs(os.path.join(path, name), exist_ok=True)
        packs: PackFiles = FilePacks(path)
        if self.sealing is not None:
            from artstore.store.sealed import SealedPacks

            chain = self.sealing.keychain()
            packs, ids = SealedPacks(packs, chain), Ids(chain.keys.ids)
        self.context = Context(path, LmdbIndex(path, ids), packs, FileSessions(path), SystemClock(), ids)
        self._encoder = Encoder()
        self._waiting: dict[PackKind, dict[Digest, tuple[ObjectKind, bytes]]] = {PackKind.DATA: {}, PackKind.META: {}}
        self._session = self.context.sessions.begin()

    def put(self, kind: ObjectKind, data: bytes) -> Digest:
        """One object."""
        digest = self.context.ids.of(kind, data)
        self._emit(kind, digest, data)
        return digest

    def content(self, data: bytes) -> Content:
        """A file's bytes, cut as a commit cuts them (but for format-aware starts)."""
        ends = memoryview(cut(data, 0, len(data), _NO_STARTS, base=0, final=True)).cast("Q")
        chunks = [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
        return self.content_of([(self.put(ObjectKind.CHUNK, chunk), len(chunk)) for chunk in chunks])

    def content_of(self, chunks: list[tuple[Digest, int]]) -> Content:
        """A file of these chunks, stored or not."""
        if not chunks:
            return Content(Form.EMPTY, b"")
        if len(chunks) == 1:
            return Content(Form.CHUNK, chunks[0][0])
        recipe = RecipeBuilder(self._emit, self.context.ids)
        for id, raw in chunks:
            recipe.add(id, raw)
        return Content(Form.RECIPE, recipe.finish().root)

    def tree(self, files: Mapping[bytes, Planted]) -> Digest:
        """A directory: names with bytes, `Exec`, `Link`, `Raw` or a directory of their own."""
        return Digest(self._directory(b"", files).content.value)

    def version(self, files: Mapping[bytes, Planted], *, parents: tuple[bytes, ...] = ()) -> Digest:
        """A version of such a directory."""
        top = self._directory(b"", files)
        version = Version(top.content.value, list(parents), 1, "test", "", Metadata(), top.files, top.size)
        document = encode_version(version, self.context.ids)
        self._emit(ObjectKind.VERSION, document.id, document.data)
        return document.id

    def flush(self) -> None:
        """Write what waits into packs, and name it in the index."""
        for kind, objects in self._waiting.items():
            batch: dict[Digest, tuple[ObjectKind, bytes]] = {}
            size = 0
            for digest, held in objects.items():
                batch[digest] = held
                size += len(held[1])
                if size >= limits.PACK_BYTES_TARGET:
                    self._write_pack(kind, batch)
                    batch, size = {}, 0
            if batch:
                self._write_pack(kind, batch)
            objects.clear()

    def close(self) -> None:
        """Flush and let go of the store."""
        self.flush()
        self._session.close()
        self.context.index.close()

    def _directory(self, name: bytes, files: Mapping[bytes, Planted]) -> Entry:
        builder = TreeBuilder(self._emit, self.context.ids)
        for below, planted in sorted(files.items()):
            builder.add(self._entry(below, planted))
        summary = builder.finish()
        return Entry(name, Kind.DIR, summary.size, Content(Form.TREE, summary.root), summary.files)

    def _entry(self, name: bytes, planted: Planted) -> Entry:
        match planted:
            case bytes():
                return Entry(name, Kind.FILE, len(planted), self.content(planted), 1)
            case Exec(data):
                return Entry(name, Kind.EXEC, len(data), self.content(data), 1)
            case Link(target):
                return Entry(name, Kind.SYMLINK, len(target), Content(Form.SYMLINK, target), 1)
            case Raw(kind, size, content):
                return Entry(name, kind, size, content, 1)
            case _:
                return self._directory(name, planted)

    def _emit(self, kind: ObjectKind, digest: Digest, data: bytes) -> None:
        self._waiting[PackKind.DATA if kind == ObjectKind.CHUNK else PackKind.META][digest] = (kind, data)

    def _write_pack(self, kind: PackKind, objects: dict[Digest, tuple[ObjectKind, bytes]]) -> PackId:
        pack = self._session.next_pack_id()
        sink = self.context.packs.create(pack)
        table: list[TableEntry] = []
        for digest, (object_kind, data) in objects.items():
            codec, stored = self._encoder.encode(data)
            header = frame.header(digest, len(stored), len(data), codec, object_kind)
            offset = sink.append([header, stored])
            table.append(TableEntry(digest, offset, len(stored), len(data), codec, object_kind))
        sink.append([encode_tail(pack, kind, table)])
        sink.seal()
        with self.context.index.write() as writer:
            writer.add_pack(pack, kind, size=sink.size, created=self.context.clock.now_ns(), table=table)
        return pack

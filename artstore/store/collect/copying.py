"""Copies objects from old packs into new ones, each checked on the way [I5], in the order in which they lay.

Knows nothing of why. The new packs are durable and named in the index [I1] when `finish` returns; who reads finds
either copy, and what was copied in vain is garbage like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.codec import Decoder, Encoder
from artstore.format.frame import KIND_MASK, open_frame
from artstore.model import ObjectKind, PackKind
from artstore.store.context import Counters
from artstore.store.write.packer import PackWriter, seal_pack

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from artstore.model import PackRow, TableEntry
    from artstore.ports import PackSink, Session
    from artstore.store.context import Context
    from artstore.store.objects import Objects
    from artstore.store.write.packer import OpenPack

_WRITE_BYTES = limits.BATCH_BYTES


class Copier:
    """Writes new packs. A context: leaving it without `finish` removes what isn't sealed."""

    def __init__(self, context: Context, objects: Objects, session: Session) -> None:
        self._context = context
        self._objects = objects
        self._session = session
        self._decoder = Decoder()
        self._encoder = Encoder(context.level)
        self._sinks: list[PackSink] = []
        self._counters = Counters()
        self._writers = {kind: PackWriter(self._new_sink, kind, self._counters) for kind in PackKind}
        self._placed: dict[bytes, OpenPack] = {}
        self._moved: dict[int, set[OpenPack]] = {}
        self._queued = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sink in self._sinks:
            sink.abort()  # a sealed one has no temporary file any more

    @property
    def bytes_written(self) -> int:
        """Bytes of the new packs that are complete."""
        return self._counters.bytes_stored

    def copy(self, pack: PackRow, entries: Iterable[TableEntry]) -> None:
        """Copy some of a pack's objects; one that was copied already, from wherever, is not copied again.

        Corrupt when one is whole neither here nor in another pack.
        """
        targets: set[OpenPack] = set()
        for entry in entries:
            if entry.id not in self._placed:
                self._placed[entry.id] = self._place(pack, entry)
            targets.add(self._placed[entry.id])
        self._moved[pack.number] = targets

    def finish(self) -> dict[int, frozenset[int]]:
        """For each pack that was copied from: the numbers of the packs in which its objects lie now."""
        for writer in self._writers.values():
            self._close(writer)
        return {old: frozenset(_number(pack) for pack in packs) for old, packs in self._moved.items()}

    def _place(self, pack: PackRow, entry: TableEntry) -> OpenPack:
        writer = self._writers[pack.kind]
        if writer.is_full:
            self._close(writer)
        kind = ObjectKind(entry.flags & KIND_MASK)
        codec, stored = self._stored(pack, entry, kind)
        target = writer.add(entry.id, kind, entry.raw, codec, stored)
        self._queued += len(stored)
        if self._queued >= _WRITE_BYTES:
            writer.write()
            self._queued = 0
        return target

    def _stored(self, pack: PackRow, entry: TableEntry, kind: ObjectKind) -> tuple[int, bytes | memoryview]:
        try:
            frame = self._context.packs.read(pack.id, entry.offset, limits.FRAME_HEADER_BYTES + entry.stored)
            open_frame(frame, self._decoder, self._context.ids, id=entry.id, kind=kind)
        except Corrupt:
            return self._encoder.encode(self._objects.fetcher.one(kind, entry.id))
        return entry.codec, memoryview(frame)[limits.FRAME_HEADER_BYTES :]

    def _close(self, writer: PackWriter) -> None:
        pack = writer.close()
        if pack is not None:
            seal_pack(self._context, pack)
            pack.table = []
        self._queued = 0

    def _new_sink(self) -> PackSink:
        sink = self._context.packs.create(self._session.next_pack_id())
        self._sinks.append(sink)
        return sink


def _number(pack: OpenPack) -> int:
    assert pack.number is not None
    return pack.number

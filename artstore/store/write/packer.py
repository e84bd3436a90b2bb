"""Packs being filled, and the thread that makes them durable and names them in the index.

The order is law: a pack is durable before the index names it [I1]; a metadata pack follows the data packs that its
pages need [I2]. Killed anywhere, what is left over is a temporary file, or a pack without an entry, which gc removes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.frame import header
from artstore.format.pack import encode_tail
from artstore.model import Digest, PackKind, TableEntry
from artstore.store.write.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.model import ObjectKind
    from artstore.ports import Buffer, IndexWriter, PackSink
    from artstore.store.context import Context, Counters

FLUSH_BYTES = 16 * limits.MIB  # handed to the disk while the pack still grows


@dataclass(eq=False, slots=True)
class OpenPack:
    """A pack being written; `number` once the index names it. `notes` are put into the index together with it."""

    kind: PackKind
    sink: PackSink
    table: list[TableEntry] = field(default_factory=list[TableEntry])
    number: int | None = None
    flushed: int = 0
    notes: list[Callable[[IndexWriter], None]] = field(default_factory=lambda: [])


class PackWriter:
    """Appends frames to a pack of one kind. One thread at a time."""

    def __init__(self, new_sink: Callable[[], PackSink], kind: PackKind, counters: Counters) -> None:
        self._new_sink = new_sink
        self._kind = kind
        self._counters = counters
        self._bytes_target = limits.PACK_BYTES_TARGET if kind is PackKind.DATA else limits.METAPACK_BYTES_TARGET
        self._queued: list[Buffer] = []
        self._size = 0
        self.pack: OpenPack | None = None

    @property
    def is_full(self) -> bool:
        """Should the pack be closed before the next frame?"""
        pack = self.pack
        return pack is not None and (self._size >= self._bytes_target or len(pack.table) >= limits.PACK_ENTRIES_MAX)

    def add(self, digest: bytes, kind: ObjectKind, raw: int, codec: int, data: Buffer) -> OpenPack:
        """Append one frame; its bytes are written by the next `write`, and must not change until then."""
        pack = self.pack
        if pack is None:
            pack = self.pack = OpenPack(self._kind, self._new_sink())
            self._size = 0
        stored = len(data)
        pack.table.append(TableEntry(Digest(digest), self._size, stored, raw, codec, int(kind)))
        self._queued.append(header(digest, stored, raw, codec, int(kind)))
        self._queued.append(data)
        self._size += limits.FRAME_HEADER_BYTES + stored
        return pack

    def write(self) -> None:
        """Hand what was added to the operating system."""
        if self.pack is not None and self._queued:
            self.pack.sink.append(self._queued)
            self._queued = []

    def close(self) -> OpenPack | None:
        """The pack with its table and trailer, ready to be sealed; None if there is none."""
        self.write()
        pack, self.pack = self.pack, None
        if pack is not None:
            pack.sink.append([encode_tail(pack.sink.id, pack.kind, pack.table)])
            self._counters.bytes_stored += pack.sink.size
        return pack


class Sealer:
    """Makes packs durable and names them, one after the other, in the order given; `run` on a thread of its own."""

    def __init__(self, context: Context, forget: Callable[[OpenPack], None]) -> None:
        self._context = context
        self._forget = forget
        self._queue: Channel[Callable[[], None]] = Channel(2)

    def flush(self, pack: OpenPack) -> None:
        """Start writing out a growing pack, unless there is more than enough to do."""
        if pack.sink.size - pack.flushed >= FLUSH_BYTES and not self._queue.is_full:
            pack.flushed = pack.sink.size
            self._queue.put(pack.sink.flush)

    def seal(self, pack: OpenPack) -> None:
        """Queue a closed pack; waits while two others are queued."""
        self._queue.put(lambda: self.seal_now(pack))

    def seal_now(self, pack: OpenPack) -> None:
        """The same on this thread."""
        seal_pack(self._context, pack)
        self._forget(pack)

    def note(self, note: Callable[[IndexWriter], None]) -> None:
        """Queue what is to be entered into the index once all packs queued before are named."""
        self._queue.put(lambda: self.note_now(note))

    def note_now(self, note: Callable[[IndexWriter], None]) -> None:
        """The same on this thread."""
        with self._context.index.write() as writer:
            note(writer)

    def finish(self) -> None:
        """`run` returns once all that was queued is durable and named."""
        self._queue.finish()

    def close(self) -> None:
        """`run` ends now."""
        self._queue.close()

    def run(self) -> None:
        """Until finished."""
        while (work := self._queue.get()) is not None:
            work()


def seal_pack(context: Context, pack: OpenPack) -> None:
    """Make a closed pack durable, then name it in the index, with its notes, in one transaction [I1]."""
    pack.sink.seal()
    with context.index.write() as writer:
        name_pack(context, writer, pack)


def name_pack(context: Context, writer: IndexWriter, pack: OpenPack) -> None:
    """Enter a durable pack and its notes."""
    now = context.clock.now_ns()
    pack.number = writer.add_pack(pack.sink.id, pack.kind, size=pack.sink.size, created=now, table=pack.table)
    for note in pack.notes:
        note(writer)

"""Packs on their way: each object is checked before a pack is sent, and when one has come [I5].

At a remote a pack lies under a key minted for it; here it has a name of this machine's own, and which is which stands
in the journal. Neither is ever used for other bytes [I6].
"""

from __future__ import annotations

import io
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.codec import Decoder
from artstore.format.frame import KIND_MASK, open_frame
from artstore.format.incoming import IncomingPack
from artstore.format.pack import PackTail, encode_tail, parse_tail
from artstore.format.remote import PackAt, decode_remote, encode_remote
from artstore.model import ObjectKind, PackId, PackState, TableEntry
from artstore.store.collect.live import table_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from artstore.format.ids import Ids
    from artstore.model import PackRow
    from artstore.planning.push import Gathered
    from artstore.ports import IndexReader, IndexWriter, PackSink, Session, Streamed
    from artstore.store.context import Context

_PACKS = "pack-at/"
_REFS = "ref-at/"


@dataclass(frozen=True, slots=True)
class RemotePack:
    """A pack that is at the remote and here."""

    pack: PackId
    at: PackAt


def packs_at(reader: IndexReader, remote_id: bytes) -> Iterator[RemotePack]:
    """The packs of this machine that were sent to a remote, or came from there, as the journal knows them."""
    prefix = f"{_PACKS}{remote_id.hex()}/"
    for key in list(reader.journal_keys(prefix)):
        value = reader.journal(key)
        if value is not None:
            yield RemotePack(PackId(bytes.fromhex(key.removeprefix(prefix))), decode_remote(PackAt, value))


def note_pack(writer: IndexWriter, remote_id: bytes, pack: PackId, at: PackAt | None) -> None:
    """Note where a pack lies at a remote; None: nowhere."""
    value = None if at is None else encode_remote(at)
    writer.put_journal(f"{_PACKS}{remote_id.hex()}/{pack.hex()}", value)


def ref_at(reader: IndexReader, remote_id: bytes, name: str) -> bytes | None:
    """What a ref named at a remote when it was last seen there: a tag's version, an alias's last move."""
    return reader.journal(f"{_REFS}{remote_id.hex()}/{name}")


def note_ref(writer: IndexWriter, remote_id: bytes, name: str, id: bytes) -> None:
    """Note that."""
    writer.put_journal(f"{_REFS}{remote_id.hex()}/{name}", id)


def read_pack(context: Context, row: PackRow) -> tuple[bytes, PackTail]:
    """All bytes of a pack of this machine, each object checked. Corrupt, naming the pack."""
    data = context.packs.read(row.id, 0, row.size)
    return data, verified(data, context.ids, f"pack {row.id.hex()}")


def gather(context: Context, rows: Mapping[int, PackRow], wanted: Gathered, pack: PackId) -> tuple[bytes, PackTail]:
    """A new pack of objects from several of this machine, each checked. Corrupt, naming the pack that is damaged."""
    made = io.BytesIO()
    entries: list[TableEntry] = []
    decoder = Decoder()
    for piece in wanted.pieces:
        row = rows[piece.pack]
        with _naming(f"pack {row.id.hex()}"):
            table = table_of(context, row)
            for run in piece.runs:
                part = table[run.start : run.stop]
                start, end = part[0].offset, part[-1].offset + limits.FRAME_HEADER_BYTES + part[-1].stored
                data = context.packs.read(row.id, start, end - start)
                _open_frames(memoryview(data), part, decoder, context.ids, start=start)
                entries += [_moved(entry, made.tell() - start) for entry in part]
                made.write(data)
    made.write(encode_tail(pack, wanted.kind, entries))
    return made.getvalue(), PackTail(pack, wanted.kind, entries)


def store_pack(context: Context, session: Session, key: str, came: Streamed, remote_id: bytes) -> int:
    """Keep a pack that comes from a remote, under a name of ours: durable, then named in the index [I1]. Its number.

    Corrupt, and nothing is kept, unless each of its objects is what it says. No more of it is in memory than a frame
    and a piece.
    """
    pack = session.next_pack_id()
    with closing(came.pieces), _naming("a pack"):
        incoming = IncomingPack(came.size)
        sink = context.packs.create(pack)
        try:
            tail = incoming.finish(_receive(came.pieces, incoming, sink, context.ids))
            sink.append([encode_tail(pack, tail.kind, tail.entries)])
            size = sink.size
            sink.seal()
        except BaseException:
            sink.abort()
            raise
    with context.index.write() as writer:
        number = writer.add_pack(pack, tail.kind, size=size, created=context.clock.now_ns(), table=tail.entries)
        note_pack(writer, remote_id, pack, PackAt(key, ""))
    return number


def check_pack(came: Streamed, ids: Ids) -> PackTail:
    """Read a pack that comes from a remote and keep nothing; what its end says. Corrupt as `store_pack`."""
    with closing(came.pieces), _naming("a pack"):
        incoming = IncomingPack(came.size)
        return incoming.finish(_receive(came.pieces, incoming, None, ids))


def _receive(pieces: Iterable[bytes], incoming: IncomingPack, sink: PackSink | None, ids: Ids) -> bytes:
    """Check the frames that come and hand them on; what comes behind them."""
    decoder = Decoder()
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        with memoryview(waiting) as view:
            entries = incoming.take(view)
            if not entries:
                continue
            start, end = entries[0].offset, entries[-1].offset + limits.FRAME_HEADER_BYTES + entries[-1].stored
            with view[: end - start] as frames:
                _open_frames(frames, entries, decoder, ids, start=start)
                if sink is not None:
                    sink.append([frames])
        del waiting[: end - start]
    return bytes(waiting)


def live_packs(reader: IndexReader, remote_id: bytes) -> dict[PackId, PackAt]:
    """The same, of packs that may be relied on here."""
    found = {each.pack: each.at for each in packs_at(reader, remote_id)}
    rows = {pack: reader.pack_by_id(pack) for pack in found}
    return {
        pack: at
        for pack, at in found.items()
        if (row := rows[pack]) is not None and row.state is not PackState.DELETING
    }


def verified(data: bytes, ids: Ids, name: str) -> PackTail:
    """What the pack's end says, once each frame has been opened. Corrupt, naming the pack."""
    with _naming(name):
        tail = parse_tail(len(data), lambda offset, size: data[offset : offset + size])
        _open_frames(memoryview(data), tail.entries, Decoder(), ids, start=0)
    return tail


def _open_frames(data: memoryview, entries: Iterable[TableEntry], decoder: Decoder, ids: Ids, *, start: int) -> None:
    """Check each frame; `data` begins at byte `start` of the pack."""
    for entry in entries:
        at = entry.offset - start
        frame = data[at : at + limits.FRAME_HEADER_BYTES + entry.stored]
        open_frame(frame, decoder, ids, id=entry.id, kind=ObjectKind(entry.flags & KIND_MASK))


def _moved(entry: TableEntry, by: int) -> TableEntry:
    return TableEntry(entry.id, entry.offset + by, entry.stored, entry.raw, entry.codec, entry.flags)


@contextmanager
def _naming(name: str) -> Generator[None]:
    try:
        yield
    except Corrupt as error:
        raise Corrupt(f"{name} is damaged: {error.message}", digest=error.digest, pack=error.pack) from error

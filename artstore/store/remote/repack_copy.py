"""Makes the new packs of a repack: needed objects, from packs here or out of the old ones there, each checked [I5]."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, Erased, RemoteError
from artstore.format.codec import Decoder, Encoder
from artstore.format.frame import KIND_MASK, header, open_frame, parse_header
from artstore.format.pack import encode_table, encode_tail
from artstore.format.remote import ShardPack
from artstore.model import Location, ObjectKind, TableEntry
from artstore.planning.runs import end_of, plan_runs
from artstore.store.remote.plan import id_of
from artstore.store.remote.transfers import Transfer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from artstore.planning.remote_repack import NewPack, OldPack
    from artstore.ports import Remote
    from artstore.store.context import Context
    from artstore.store.objects import Objects
    from artstore.store.remote.transfers import Transfers

    Frames = dict[bytes, bytes]


class Copier:
    """Copies for one repack. `lost`: objects that are whole nowhere; `fetched_bytes`: that came from the remote."""

    def __init__(self, context: Context, objects: Objects, remote: Remote, transfers: Transfers) -> None:
        self.lost: set[bytes] = set()
        self.fetched_bytes = 0
        self._context = context
        self._objects = objects
        self._remote = remote
        self._transfers = transfers
        self._tools = _Tools(context.level)
        self._lock = threading.Lock()

    def send(self, new: Mapping[str, NewPack]) -> Iterator[ShardPack]:
        """Make and send packs under these keys, several at once; what a shard is to tell of each that is there."""
        sending = [Transfer(pack.size, partial(self._send, key, pack)) for key, pack in new.items()]
        for sent in self._transfers.run(sending, lambda sent: 0 if sent is None else sent.size):
            if sent is not None:
                yield sent

    def _send(self, key: str, new: NewPack) -> ShardPack | None:
        parts: list[bytes] = []
        entries: list[TableEntry] = []
        at = 0
        for piece in new.pieces:
            frames = self._frames(piece)
            for wanted in piece.entries:
                frame = frames.pop(wanted.id, None)
                if frame is None:
                    continue
                told = parse_header(frame, offset=at)
                entries.append(told)
                parts.append(frame)
                at += len(frame)
        if not entries:
            return None
        parts.append(encode_tail(id_of(key), new.kind, entries))
        data = b"".join(parts)
        del parts
        self._remote.put(key, data)
        return ShardPack(key, len(data), encode_table(entries))

    def _frames(self, piece: OldPack) -> Frames:
        """The frames of a piece's objects, each checked; without those that are whole nowhere."""
        frames = self._from_here(piece)
        absent = [entry for entry in piece.entries if entry.id not in frames]
        if absent:
            frames |= self._from_there(piece.key, absent)
        for entry in absent:
            if entry.id not in frames:
                self._rescue(entry, frames)
        return frames

    def _from_here(self, piece: OldPack) -> Frames:
        with self._context.index.read() as reader:
            found = zip(piece.entries, reader.find_many([entry.id for entry in piece.entries]), strict=True)
            # One that takes more room than the old one might make the new pack too large.
            places = [(e.id, place) for e, place in found if place is not None and place.stored <= e.stored]
            rows = {number: reader.pack(number) for number in {place.pack for _, place in places}}
        frames: Frames = {}
        for run in plan_runs(places):
            row = rows[run.pack]
            if row is None:
                continue
            try:
                data = self._context.packs.read(row.id, run.offset, run.size)
            except Corrupt:
                continue
            self._open(data, run.offset, run.objects, frames)
        return frames

    def _from_there(self, key: str, entries: Sequence[TableEntry]) -> Frames:
        frames: Frames = {}
        places = [(e.id, Location(0, e.offset, e.stored, e.raw, e.codec, e.flags)) for e in entries]
        for run in plan_runs(places, hole_bytes_max=limits.READ_HOLE_BYTES_MAX, run_bytes_max=limits.FAR_REQUEST_BYTES):
            try:
                data = self._remote.get_range(key, run.offset, run.size)
            except RemoteError as error:
                if error.transient:
                    raise
                continue  # it was cut short there
            except Corrupt:  # a part of what is sealed: each object is looked for by itself then
                continue
            if data is not None:
                with self._lock:
                    self.fetched_bytes += len(data)
                self._open(data, run.offset, run.objects, frames)
        return frames

    def _open(self, data: bytes, offset: int, objects: Iterable[tuple[bytes, Location]], frames: Frames) -> None:
        """Add the whole ones among the frames that lie in `data`, which begins at `offset` of its pack."""
        ids = self._context.ids
        for id, place in objects:
            frame = data[place.offset - offset : end_of(place) - offset]
            kind = ObjectKind(place.flags & KIND_MASK)
            try:
                open_frame(frame, self._tools.decoder, ids, id=id, kind=kind)  # I5
            except Corrupt:
                continue
            frames[id] = frame

    def _rescue(self, entry: TableEntry, frames: Frames) -> None:
        """From any other copy, here or there."""
        kind = ObjectKind(entry.flags & KIND_MASK)
        try:
            data = self._objects.fetcher.one(kind, entry.id)
        except (Corrupt, Erased):
            with self._lock:
                self.lost.add(entry.id)
            return
        codec, stored = self._tools.encoder.encode(data)
        frames[entry.id] = header(entry.id, len(stored), len(data), codec, entry.flags) + stored


class _Tools(threading.local):
    """What each thread has for itself."""

    def __init__(self, level: int) -> None:
        self.decoder = Decoder()
        self.encoder = Encoder(level)

"""Brings objects from packs into memory, each checked against its id [I5]; keeps nothing.

Decides what is read together: neighbours in a pack come in one read. Knows neither caches nor what the bytes mean.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.errors import Corrupt, Erased, RemoteError
from artstore.format.codec import RAW, ZSTD, Decoder
from artstore.format.frame import open_frame
from artstore.model import Location, ObjectKind, PackId
from artstore.planning.runs import plan_runs
from artstore.store.room import Room

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from artstore.format.ids import Buffer
    from artstore.model import Digest
    from artstore.planning.runs import Run
    from artstore.ports import IndexReader
    from artstore.store.context import Context
    from artstore.store.far import FarSource

_log: Final = logging.getLogger(__name__)
_PACK_IDS_MAX = 1 << 16  # pack numbers remembered with their ids

Found = tuple[bytes, Location]


class Fetcher:
    """Verified reads from the packs of this machine, and of what isn't here from remotes. Thread-safe; safe to use
    after a fork.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pack_ids: dict[int, PackId] = {}
        self._tools = _Tools()
        self._far: tuple[int, FarSource] | None = None  # and the process it belongs to
        self._opened: deque[Digest] = deque(maxlen=limits.FAR_RECENT_VERSIONS)  # lately, the latest last

    def note_opened(self, version: Digest) -> None:
        """Somebody reads this version: what of it isn't here can be found sooner."""
        if not self._opened or self._opened[-1] != version:
            self._opened.append(version)

    def far(self) -> FarSource | None:
        """Where what isn't here comes from; None for a store without remotes."""
        places = self._context.far
        if places is None:
            return None
        known = self._far
        if known is None or known[0] != os.getpid():  # a fork leaves locks and threads behind
            from artstore.store.far import FarSource
            from artstore.store.far.kept import KeptPacks

            kept = KeptPacks(places.cache, places.bounds)
            source = FarSource(self._context.index, self._context.ids, places.pool, kept, self._opened)
            known = self._far = os.getpid(), source
        return known[1]

    def close(self) -> None:
        """Let go of threads and connections; later reads open them again."""
        known, self._far = self._far, None
        if known is not None and known[0] == os.getpid():
            known[1].close()

    def one(self, kind: ObjectKind, id: bytes) -> bytes:
        """One object from whichever copy is whole.

        Erased when it was purged; Corrupt, naming id and packs, when no copy is whole or none is known.
        """
        found = self.many(kind, (id,))
        return found[id]

    def many(self, kind: ObjectKind, ids: Iterable[bytes], *, once: bool = False) -> dict[bytes, bytes]:
        """Every distinct object of `ids`, the caller having bounded their number; errors as `one`.

        `once`: they are not wanted again soon, and needn't stay in memory.
        """
        wanted = list(dict.fromkeys(ids))
        with self._context.index.read() as reader:
            places = reader.find_many(wanted)
            packs = self._packs_of(reader, places)
        objects: dict[bytes, bytes] = {}
        for run in plan_runs((id, place) for id, place in zip(wanted, places, strict=True) if place is not None):
            if run.pack in packs:
                self._read_run(kind, packs[run.pack], run, objects, once=once)
        absent = [id for id, place in zip(wanted, places, strict=True) if place is None]
        if absent:
            objects |= self._from_afar(kind, absent)
        for id in wanted:
            if id not in objects:
                objects[id] = self._rescue(kind, id)
        return objects

    def fill(self, chunks: Sequence[tuple[bytes, int]], target: memoryview) -> None:
        """Chunks one behind the other, each with its size as its recipe tells it, into `target`, which they fill.

        Each is checked there [I5]; errors as `one`. What is stored raw is read to its place without a copy.
        """
        spots: dict[bytes, memoryview] = {}
        again: list[tuple[bytes, memoryview]] = []
        at = 0
        for id, raw in chunks:
            spot = target[at : at + raw]
            at += raw
            if id in spots:
                again.append((id, spot))
            else:
                spots[id] = spot
        first = dict(spots)
        with self._context.index.read() as reader:
            places = reader.find_many(list(spots))
            packs = self._packs_of(reader, places)
        for run in plan_runs((id, place) for id, place in zip(first, places, strict=True) if place is not None):
            if run.pack in packs:
                self._fill_run(packs[run.pack], run, spots)
        absent = [id for id, place in zip(first, places, strict=True) if place is None]
        far = self._from_afar(ObjectKind.CHUNK, absent) if absent else {}
        for id, spot in spots.items():
            _put(spot, id, far[id] if id in far else self._rescue(ObjectKind.CHUNK, id))
        for id, spot in again:
            _put(spot, id, first[id])

    def _fill_run(self, pack: PackId, run: Run, spots: dict[bytes, memoryview]) -> None:
        """Fill the spots of the run's whole chunks, and take them out of `spots`."""
        tools, chunk_id = self._tools, self._context.ids.chunk
        is_raw = all(place.codec == RAW and place.stored == place.raw == len(spots[id]) for id, place in run.objects)
        try:
            if is_raw and 2 * len(run.objects) <= limits.READ_BUFFERS_MAX:
                self._context.packs.read_into(pack, run.offset, list(_scattered(run, spots, tools.room)))
                for id, _ in run.objects:
                    if chunk_id(spots[id]) == id:  # I5
                        del spots[id]
                return
            view = self._context.packs.read_range(pack, run.offset, run.size, tools.room.take(run.size), once=False)
            sound = [(id, place) for id, place in run.objects if place.raw == len(spots[id])]
            for id, data in _unpacked(tools.decoder, sound, view, run.offset):
                if chunk_id(data) == id:  # I5
                    spots.pop(id)[:] = data
        except Corrupt:
            return  # they are looked for one by one

    def _read_run(self, kind: ObjectKind, pack: PackId, run: Run, objects: dict[bytes, bytes], *, once: bool) -> None:
        """Add the run's whole objects; what is missing afterwards is damaged here, `_rescue` tries other copies."""
        tools = self._tools
        try:
            room = tools.room.take(run.size)
            view = self._context.packs.read_range(pack, run.offset, run.size, room, once=once)
        except Corrupt:
            return
        decode, id_of = tools.decoder.decode, self._context.ids.of
        skip = limits.FRAME_HEADER_BYTES - run.offset
        for id, place in run.objects:
            begin = place.offset + skip
            try:
                data = decode(place.codec, view[begin : begin + place.stored], place.raw)
            except Corrupt:
                continue
            if id_of(kind, data) == id:  # I5
                objects[id] = data

    def _rescue(self, kind: ObjectKind, id: bytes) -> bytes:
        """One object, from any copy."""
        tried: set[tuple[PackId, int]] = set()
        damage: Corrupt | None = None
        # A pack may be repacked and deleted between the look-up and the read: look again until nothing new is named.
        while copies := self._copies(id, tried):
            for pack, place in copies:
                tried.add((pack, place.offset))
                try:
                    return self._read(pack, place, kind=kind, id=id)
                except Corrupt as error:
                    damage = error
        try:
            found = self._from_afar(kind, (id,))
        except RemoteError:
            if damage is None:
                raise
            found = {}  # the damage here is what has to be told
        if id in found:
            if damage is not None:
                _log.warning("%s; it was read from a remote instead", damage.message)
            return found[id]
        raise self._lost(kind, id, tried, damage) from damage

    def _from_afar(self, kind: ObjectKind, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of these objects that a remote has, and that weren't purged here."""
        far = self.far()
        if far is None:
            return {}
        with self._context.index.read() as reader:
            wanted = [id for id in ids if not reader.erased(id)]
        return far.many(kind, wanted) if wanted else {}

    def _read(self, pack: PackId, place: Location, *, kind: ObjectKind, id: bytes) -> bytes:
        try:
            frame = self._context.packs.read(pack, place.offset, limits.FRAME_HEADER_BYTES + place.stored)
            return open_frame(frame, self._tools.decoder, self._context.ids, id=id, kind=kind)  # I5
        except Corrupt as error:
            named = error.message if id.hex() in error.message else f"object {id.hex()}: {error.message}"
            raise Corrupt(f"{named} (pack {pack.hex()})", digest=id, pack=pack.hex(), hint=error.hint) from error

    def _copies(self, id: bytes, tried: set[tuple[PackId, int]]) -> list[tuple[PackId, Location]]:
        """Copies not tried yet, the one that look-ups prefer first; packs that are being deleted still serve."""
        with self._context.index.read() as reader:
            preferred = reader.find(id)
            places = [preferred, *reader.copies(id)] if preferred is not None else reader.copies(id)
            named = [(row.id, place) for place in dict.fromkeys(places) if (row := reader.pack(place.pack)) is not None]
        return [(pack, place) for pack, place in named if (pack, place.offset) not in tried]

    def _lost(
        self, kind: ObjectKind, id: bytes, tried: set[tuple[PackId, int]], damage: Corrupt | None
    ) -> Corrupt | Erased:
        with self._context.index.read() as reader:
            erased = reader.erased(id)
        name = kind.name.lower().replace("_", " ")
        if erased:
            return Erased(f"{name} {id.hex()} was purged from this store")
        if damage is None:
            return Corrupt(f"{name} {id.hex()} is needed, but no pack is known to hold it", digest=id)
        pack = damage.pack or min(tried)[0].hex()
        return Corrupt(damage.message, digest=id, pack=pack, hint=damage.hint)

    def _packs_of(self, reader: IndexReader, places: Sequence[Location | None]) -> dict[int, PackId]:
        """The ids of at least the packs named here; numbers are never given twice, so ids are remembered."""
        known = self._pack_ids
        if len(known) > _PACK_IDS_MAX:
            # Another thread may still use what it was given: leave it that dictionary, begin a new one.
            known = self._pack_ids = {}
        for number in {place.pack for place in places if place is not None} - known.keys():
            if (row := reader.pack(number)) is not None:
                known[number] = row.id
        return known


def _scattered(run: Run, spots: dict[bytes, memoryview], room: Room) -> Iterator[memoryview]:
    """Buffers for all bytes of a run of raw chunks: what lies between them goes where nobody looks."""
    at = run.offset
    for id, place in run.objects:
        begin = place.offset + limits.FRAME_HEADER_BYTES
        yield room.take(limits.READ_LOCAL_HOLE_BYTES_MAX + limits.FRAME_HEADER_BYTES)[: begin - at]
        yield spots[id]
        at = begin + place.stored


def _unpacked(
    decoder: Decoder, objects: Sequence[Found], view: memoryview, offset: int
) -> Iterator[tuple[bytes, memoryview]]:
    """Objects out of the bytes from `offset` of their pack: unpacked together, since each call gives the GIL away."""
    skip = limits.FRAME_HEADER_BYTES - offset
    packed = [(id, place) for id, place in objects if place.codec == ZSTD]
    frames = [(place.offset + skip, place.stored, place.raw) for _, place in packed]
    yield from zip((id for id, _ in packed), decoder.unpack(view, frames) if frames else (), strict=True)
    for id, place in objects:
        if place.codec == RAW and place.stored == place.raw:
            begin = place.offset + skip
            yield id, view[begin : begin + place.stored]


def _put(spot: memoryview, id: bytes, data: Buffer) -> None:
    if len(data) != len(spot):
        raise Corrupt(f"chunk {id.hex()} has another size than its recipe says", digest=id)
    spot[:] = data


class _Tools(threading.local):
    """What each thread has for itself."""

    def __init__(self) -> None:
        self.decoder = Decoder()
        self.room = Room()

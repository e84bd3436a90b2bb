"""Objects that aren't here, from the cache or from a remote, each checked against its id [I5].

Decides what is asked for together: neighbours in a pack come in one request, what others are fetching already is waited
for, and what a reader who goes straight on will want next is asked for ahead.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import ArtstoreError, Corrupt, NotFound, RemoteError
from artstore.format.codec import Decoder
from artstore.format.frame import open_frame
from artstore.format.remote import FORMAT_KEY, RemoteFormat
from artstore.planning.ahead import ReadAhead, Span
from artstore.planning.runs import end_of, plan_runs
from artstore.store.far.flights import Flight, Flights
from artstore.store.far.kept import KeptPacks
from artstore.store.far.places import FarPlace, FarPlaces, cannot_reach
from artstore.store.remote.documents import read_document
from artstore.store.remote.opening import require_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from artstore.model import Digest, FarPack, Location, ObjectKind
    from artstore.ports import Index, RemotePool

_DAMAGED = "push it again from a store that has it"


class FarSource:
    """Verified reads of what lies at the remotes of one store. Thread-safe; `close` ends its threads."""

    def __init__(self, index: Index, pool: RemotePool, kept: KeptPacks) -> None:
        self.places = FarPlaces(index, pool)
        self.kept = kept
        self._index = index
        self._pool = pool
        self._flights = Flights(self._fetch)
        self._ahead = ReadAhead()
        self._ahead_lock = Lock()
        self._tools = _Tools()

    def note_opened(self, version: Digest) -> None:
        """Somebody reads this version."""
        self.places.note_opened(version)

    def many(self, kind: ObjectKind, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of these objects that a remote has. RemoteError if it doesn't answer; Corrupt for damage there."""
        wanted = list(dict.fromkeys(ids))
        found: dict[bytes, bytes] = {}
        try:
            for _ in range(limits.FAR_ATTEMPTS_MAX):
                places = self.places.find([id for id in wanted if id not in found])
                self._from_cache(kind, places, found, reading=True)
                gone = self._from_remotes(kind, _without(places, found), found)
                if not gone:
                    break
                for pack in gone:
                    self._require_known(pack)
                    self.places.forget(pack)
                    self.kept.drop(pack)
        except RemoteError as error:
            raise cannot_reach(error) from error
        return found

    def fetch(self, pack: FarPack, start: int, end: int) -> Flight:
        """Have a range come, for who keeps it all: `wait` gives it."""
        return self._flights.launch(pack, start, end)

    def wait(self, flight: Flight) -> bytes:
        """The bytes of a flight; errors as `many`, NotFound if the pack is gone."""
        return self._flights.wait(flight)

    def close(self) -> None:
        """Let go of threads and connections."""
        self._flights.close()
        self._pool.close()

    # --- the cache

    def _from_cache(
        self, kind: ObjectKind, places: Mapping[bytes, FarPlace], found: dict[bytes, bytes], *, reading: bool
    ) -> None:
        """Add what was kept. `reading`: it is for a reader, who may go on."""
        packs = {at.pack.number: at.pack for at in places.values()}
        for run in plan_runs((id, at.place) for id, at in places.items()):
            pack = packs[run.pack]
            data = self.kept.read(pack, run.offset, run.size)
            if data is not None:
                self._open(kind, data, run.offset, run.objects, found)
            if reading:
                self._read_ahead(pack, Span(run.offset, run.offset + run.size))

    def _open(
        self,
        kind: ObjectKind,
        data: bytes,
        offset: int,
        objects: Iterable[tuple[bytes, Location]],
        found: dict[bytes, bytes],
    ) -> None:
        """Add the whole objects among those that lie in bytes of a pack, from `offset` on."""
        view = memoryview(data)
        for id, place in objects:
            frame = view[place.offset - offset : end_of(place) - offset]
            try:
                found[id] = open_frame(frame, self._tools.decoder, id=id, kind=kind)  # I5
            except Corrupt:
                continue  # a hole, or what a crash left

    # --- remotes

    def _from_remotes(
        self, kind: ObjectKind, places: Mapping[bytes, FarPlace], found: dict[bytes, bytes]
    ) -> set[FarPack]:
        """Fetch what is left; the packs that turned out to be gone."""
        joined: defaultdict[Flight, list[tuple[bytes, Location]]] = defaultdict(list)
        touched: dict[bytes, FarPlace] = {}
        alone: dict[bytes, FarPlace] = {}
        for id, at in places.items():
            start, end = at.place.offset, end_of(at.place)
            flight = self._flights.join(at.pack, start, end)
            if flight is not None:
                joined[flight].append((id, at.place))
            elif self.kept.is_on and self._flights.touching(at.pack, start, end):
                touched[id] = at
            else:
                alone[id] = at
        # What landed between the look into the cache and the look at what is on its way.
        self._from_cache(kind, alone, found, reading=False)
        self._launch(_without(alone, found), joined)
        gone = self._land(kind, joined, found)
        for at in touched.values():
            for flight in self._flights.touching(at.pack, at.place.offset, end_of(at.place)):
                with suppress(ArtstoreError):  # it is asked for once more below
                    self._flights.wait(flight)
        self._from_cache(kind, touched, found, reading=False)
        again: defaultdict[Flight, list[tuple[bytes, Location]]] = defaultdict(list)
        self._launch(_without(touched, found), again)
        return gone | self._land(kind, again, found)

    def _launch(self, places: Mapping[bytes, FarPlace], into: dict[Flight, list[tuple[bytes, Location]]]) -> None:
        """Ask for what nobody has asked for yet, and add what is to be taken out of which flight."""
        packs = {at.pack.number: at.pack for at in places.values()}
        runs = plan_runs(
            ((id, at.place) for id, at in places.items()),
            hole_bytes_max=limits.READ_HOLE_BYTES_MAX,
            run_bytes_max=limits.FAR_REQUEST_BYTES,
        )
        for run in runs:
            flight = self._flights.launch(packs[run.pack], run.offset, run.offset + run.size)
            into.setdefault(flight, []).extend(run.objects)

    def _land(
        self, kind: ObjectKind, flights: Mapping[Flight, list[tuple[bytes, Location]]], found: dict[bytes, bytes]
    ) -> set[FarPack]:
        """Wait for flights and take their objects out of them; the packs that are gone."""
        gone: set[FarPack] = set()
        for flight, objects in flights.items():
            try:
                data = self._flights.wait(flight)
            except NotFound:
                gone.add(flight.pack)
                continue
            self._open(kind, data, flight.start, objects, found)
            for id, place in objects:
                if id not in found:
                    found[id] = self._once_more(kind, id, FarPlace(flight.pack, place))
        return gone

    def _once_more(self, kind: ObjectKind, id: bytes, at: FarPlace) -> bytes:
        """An object that came damaged: it may have been the network."""
        start, end = at.place.offset, end_of(at.place)
        data = self._fetch(at.pack, start, end - start)
        try:
            return open_frame(data, self._tools.decoder, id=id, kind=kind)  # I5
        except Corrupt as error:
            where = f"{self._pool.open(at.pack.remote).url}/{at.pack.key}"
            self.kept.drop(at.pack)
            raise Corrupt(f"{error.message} ({where}, at {start})", digest=id, hint=_DAMAGED) from error

    def _fetch(self, pack: FarPack, offset: int, size: int) -> bytes:
        data = self._pool.open(pack.remote).get_range(pack.key, offset, size)
        if data is None:
            raise NotFound(f"{pack.key} is not at the remote any more")
        self.kept.keep(pack, offset, data)
        return data

    def _require_known(self, pack: FarPack) -> None:
        """A pack is gone: is it the remote as a whole? RemoteError then."""
        remote = self._pool.open(pack.remote)
        told = read_document(remote, RemoteFormat, FORMAT_KEY)
        require_known(remote, None if told is None else told[0], known=pack.remote.hex())

    # --- ahead of readers

    def _read_ahead(self, pack: FarPack, span: Span) -> None:
        """Ask for what a reader who goes straight on will come to, in this pack and the next of the same push."""
        if not self.kept.is_on:
            return
        with self._ahead_lock:
            beyond = self._ahead.read(pack.number, span, size=pack.size)
        if beyond is not None:
            self._launch_ahead(pack, beyond)
        if pack.size - span.end < limits.FAR_AHEAD_BYTES_MAX and (following := self._following(pack)) is not None:
            with self._ahead_lock:
                beyond = self._ahead.go_on(pack.number, following.number, before_size=pack.size, size=following.size)
            if beyond is not None:
                self._launch_ahead(following, beyond)

    def _launch_ahead(self, pack: FarPack, beyond: Span) -> None:
        for offset, size in self.kept.holes(pack, beyond.start, beyond.end - beyond.start):
            for start in range(offset, offset + size, limits.FAR_REQUEST_BYTES):
                end = min(start + limits.FAR_REQUEST_BYTES, offset + size)
                if not self._flights.launch_ahead(pack, start, end):
                    return

    def _following(self, pack: FarPack) -> FarPack | None:
        folder, _, number = pack.key.rpartition("/")
        with self._index.read() as reader:
            return reader.far_pack_at(pack.remote, f"{folder}/{int(number) + 1:08}")


def _without(places: Mapping[bytes, FarPlace], found: Mapping[bytes, bytes]) -> dict[bytes, FarPlace]:
    return {id: at for id, at in places.items() if id not in found}


class _Tools(threading.local):
    """What each thread has for itself."""

    def __init__(self) -> None:
        self.decoder = Decoder()

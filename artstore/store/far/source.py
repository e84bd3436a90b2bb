"""Objects that aren't here, from the cache or from a remote, each checked against its id [I5].

Decides what is asked for together: neighbours in a pack come in one request, what others are fetching already is waited
for, and what a reader who goes straight on will want next is asked for ahead.
"""

from __future__ import annotations

import threading
import time
from threading import Lock
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, NotFound, RemoteError
from artstore.format.codec import Decoder
from artstore.format.frame import open_frame
from artstore.planning.ahead import ReadAhead, Span
from artstore.planning.runs import end_of, plan_runs
from artstore.store.far.flights import Arrived, Flights
from artstore.store.far.kept import KeptPacks
from artstore.store.far.places import FarPlace, FarPlaces, Trouble, cannot_reach
from artstore.store.remote.documents import MEND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from artstore.model import Digest, FarPack, Location, ObjectKind
    from artstore.planning.runs import Run
    from artstore.ports import Index, RemotePool
    from artstore.store.far.flights import Coming


class FarSource:
    """Verified reads of what lies at the remotes of one store. Thread-safe; `close` ends its threads."""

    def __init__(self, index: Index, pool: RemotePool, kept: KeptPacks, opened: Sequence[Digest]) -> None:
        """`opened`: versions that somebody reads, the latest last; the caller goes on adding to it."""
        self.places = FarPlaces(index, pool, opened)
        self.kept = kept
        self._index = index
        self._pool = pool
        self._flights = Flights(self._fetch, kept.holes)
        self._ahead = ReadAhead()
        self._ahead_lock = Lock()
        self._tools = _Tools()
        self._resting: dict[bytes, tuple[float, RemoteError]] = {}  # remotes that didn't answer, until when, and why

    def many(self, kind: ObjectKind, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of these objects that a remote has. RemoteError if it doesn't answer or is gone; Corrupt for damage."""
        wanted = list(dict.fromkeys(ids))
        found: dict[bytes, bytes] = {}
        trouble = Trouble()
        try:
            for _ in range(limits.FAR_ATTEMPTS_MAX):
                known = len(trouble.remotes), len(trouble.packs)
                places = self.find([id for id in wanted if id not in found], trouble)
                self._from_cache(kind, places, found)
                gone = self._from_remotes(kind, _without(places, found), found, trouble)
                for pack in gone:
                    self._require_known(pack, trouble)
                    self.places.forget(pack)
                    self.kept.drop(pack)
                if not gone and known == (len(trouble.remotes), len(trouble.packs)):
                    break
        except (RemoteError, NotFound) as error:
            raise cannot_reach(error) from error
        if len(found) < len(wanted):
            for damage in trouble.packs.values():
                raise damage
            for away in trouble.remotes.values():
                raise cannot_reach(away) from away
        return found

    def bring(self, run: Run, pack: FarPack) -> Coming:
        """Have a run come, for who keeps it all: `take` gives it."""
        return self._flights.bring(pack, run.offset, run.offset + run.size)

    def take(self, kind: ObjectKind, run: Run, coming: Coming, found: dict[bytes, bytes]) -> None:
        """Add the objects of a run. Errors as `many`, NotFound if the pack is gone."""
        try:
            arrived = self._flights.wait(coming)
        except Corrupt:  # a part of it is missing there: what isn't is had one by one
            arrived = Arrived(())
        for id, place in run.objects:
            start, end = place.offset, end_of(place)
            frame = arrived.take(start, end)
            if frame is None:  # a part of it was kept before
                frame = memoryview(self.kept.read(coming.pack, start, end - start) or b"")
            try:
                found[id] = open_frame(frame, self._tools.decoder, id=id, kind=kind)  # I5
            except Corrupt:
                found[id] = self._once_more(kind, id, FarPlace(coming.pack, place))

    def close(self) -> None:
        """Let go of threads and connections."""
        self._flights.close()
        self._pool.close()

    # --- the cache

    def _from_cache(self, kind: ObjectKind, places: Mapping[bytes, FarPlace], found: dict[bytes, bytes]) -> None:
        """Add what was kept, and have come what a reader who goes on will want."""
        packs = {at.pack.number: at.pack for at in places.values()}
        for run in plan_runs((id, at.place) for id, at in places.items()):
            pack = packs[run.pack]
            data = self.kept.read(pack, run.offset, run.size)
            if data is not None:
                self._open(kind, data, run.offset, run.objects, found)
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
        self, kind: ObjectKind, places: Mapping[bytes, FarPlace], found: dict[bytes, bytes], trouble: Trouble
    ) -> set[FarPack]:
        """Fetch what is left; the packs that turned out to be gone. What else goes wrong is in `trouble` then."""
        packs = {at.pack.number: at.pack for at in places.values()}
        runs = plan_runs(
            ((id, at.place) for id, at in places.items()),
            hole_bytes_max=limits.READ_HOLE_BYTES_MAX,
            run_bytes_max=limits.FAR_REQUEST_BYTES,
        )
        gone: set[FarPack] = set()
        for run, coming in [(run, self.bring(run, packs[run.pack])) for run in runs]:
            try:
                self.take(kind, run, coming, found)
            except NotFound:
                gone.add(coming.pack)
            except RemoteError as error:
                self._do_without(coming.pack, error, trouble)
            except Corrupt as error:
                if not self.places.has_several:
                    raise
                trouble.packs[coming.pack.number] = error
        return gone

    # --- another remote instead

    def find(self, ids: Sequence[bytes], trouble: Trouble | None = None) -> dict[bytes, FarPlace]:
        """Where these lie; at a remote that didn't answer lately only if no other one is known to have it. Errors as
        those of `FarPlaces.find`.
        """
        trouble = trouble or Trouble()
        moment = time.monotonic()
        resting = {id: error for id, (until, error) in list(self._resting.items()) if moment < until}
        if resting.keys() - trouble.remotes.keys() and self.places.has_several:
            try:
                places = self.places.find(ids, Trouble({**resting, **trouble.remotes}, trouble.packs))
            except (RemoteError, NotFound):
                places = {}
            if len(places) == len(set(ids)):
                return places
        return self.places.find(ids, trouble if trouble.remotes or trouble.packs else None)

    def _require_known(self, pack: FarPack, trouble: Trouble) -> None:
        """Something is gone there: the whole remote may be."""
        try:
            self.places.require_known(pack.remote)
        except RemoteError as error:
            self._do_without(pack, error, trouble)

    def _do_without(self, pack: FarPack, error: RemoteError, trouble: Trouble) -> None:
        """A remote doesn't answer. Raises that, unless there is another one to turn to, now and for the next reads."""
        if not self.places.has_several:
            raise error
        trouble.remotes[pack.remote] = error
        self._resting[pack.remote] = (time.monotonic() + limits.FAR_REST_S, error)

    def _once_more(self, kind: ObjectKind, id: bytes, at: FarPlace) -> bytes:
        """An object that came damaged: it may have been the network."""
        start, end = at.place.offset, end_of(at.place)
        try:
            data = self._fetch(at.pack, start, end - start)
            return open_frame(data, self._tools.decoder, id=id, kind=kind)  # I5
        except Corrupt as error:
            where = f"{self._pool.open(at.pack.remote).url}/{at.pack.key}"
            self.kept.drop(at.pack)
            named = error.message if id.hex() in error.message else f"object {id.hex()}: {error.message}"
            raise Corrupt(f"{named} ({where}, at {start})", digest=id, hint=MEND) from error

    def _fetch(self, pack: FarPack, offset: int, size: int) -> bytes:
        remote = self._pool.open(pack.remote)
        try:
            data = remote.get_range(pack.key, offset, size)
        except RemoteError as error:
            if not error.transient and (there := remote.head(pack.key)) is not None and there.size < pack.size:
                raise Corrupt(f"it was cut short: {there.size} of {pack.size} bytes are there") from error
            raise
        if data is None:
            raise NotFound(f"{pack.key} is not at the remote any more")
        self.kept.keep(pack, offset, data)
        return data

    # --- ahead of readers

    def _read_ahead(self, pack: FarPack, span: Span) -> None:
        """Ask for what a reader who goes straight on will come to, in this pack and the next of the same push."""
        if not self.kept.is_on:
            return
        with self._ahead_lock:
            beyond = self._ahead.read(pack.number, span, size=pack.size)
            is_near_end = self._ahead.reaches_beyond(pack.number, size=pack.size) > 0
        if beyond is not None:
            self._flights.bring_ahead(pack, *beyond)
        if is_near_end and (following := self._following(pack)) is not None:
            with self._ahead_lock:
                beyond = self._ahead.go_on(pack.number, following.number, before_size=pack.size, size=following.size)
            if beyond is not None:
                self._flights.bring_ahead(following, *beyond)

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

"""Objects that aren't here, from the cache or from a remote, each checked against its id [I5].

Decides what is asked for together: neighbours in a pack come in one request, what others are fetching already is waited
for, and what a reader who goes straight on will want next is asked for ahead.
"""

from __future__ import annotations

import logging
import threading
import time
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

from artstore import limits
from artstore.errors import ArtstoreError, Corrupt, NotFound, RemoteError
from artstore.format.codec import Decoder
from artstore.format.frame import open_frame
from artstore.planning.ahead import ReadAhead, Span
from artstore.planning.runs import end_of, plan_runs
from artstore.store.check_remote.cursor import bad_packs, note_bad
from artstore.store.far.flights import Arrived, Flights
from artstore.store.far.kept import KeptPacks
from artstore.store.far.places import FarPlace, FarPlaces, cannot_reach
from artstore.store.remote.documents import MEND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from artstore.format.ids import Ids
    from artstore.model import Digest, FarPack, Location, ObjectKind
    from artstore.planning.runs import Run
    from artstore.ports import Index, RemotePool
    from artstore.store.far.flights import Coming


_log: Final = logging.getLogger(__name__)


class Damaged(NamedTuple):
    """An object that can't be read in a pack at a remote, and why."""

    pack: FarPack
    error: Corrupt


class Came(NamedTuple):
    """What a request has brought: objects, and what of them is damaged there."""

    found: dict[bytes, bytes]
    damaged: dict[bytes, Damaged]


class FarSource:
    """Verified reads of what lies at the remotes of one store. Thread-safe; `close` ends its threads."""

    def __init__(self, index: Index, ids: Ids, pool: RemotePool, kept: KeptPacks, opened: Sequence[Digest]) -> None:
        """`opened`: versions that somebody reads, the latest last; the caller goes on adding to it."""
        self.places = FarPlaces(index, pool, opened)
        self.kept = kept
        self.ids = ids
        self.pool = pool
        self._index = index
        self._flights = Flights(self._fetch, kept.holes)
        self._ahead = ReadAhead()
        self._ahead_lock = Lock()
        self._tools = _Tools()
        self._resting: dict[bytes, tuple[float, RemoteError]] = {}  # remotes that didn't answer, until when, and why

    def many(self, kind: ObjectKind, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of these objects that a remote has. RemoteError if it doesn't answer or is gone; Corrupt for damage."""
        wanted = list(dict.fromkeys(ids))
        found: dict[bytes, bytes] = {}
        damage: dict[bytes, Damaged] = {}
        away: dict[bytes, RemoteError] = {}
        try:
            for _ in range(limits.FAR_ATTEMPTS_MAX):
                if not self._look_once(kind, wanted, found, damage, away):
                    break
        except (RemoteError, NotFound) as error:
            if not damage:
                raise cannot_reach(error) from error
        except Corrupt:  # of a set that may tell of another copy
            if not damage:
                raise
        finally:  # whatever ended it: what has no other copy known is asked for again the next time
            lost = {id: each for id, each in damage.items() if id not in found}
            self.places.avoid_no_more((id, each.pack) for id, each in lost.items())
        for each in damage.values():
            self._note_damage(each)
        if lost:
            raise next(iter(lost.values())).error
        for silent in away.values() if len(found) < len(wanted) else ():
            raise cannot_reach(silent) from silent
        return found

    def _look_once(
        self,
        kind: ObjectKind,
        wanted: Sequence[bytes],
        found: dict[bytes, bytes],
        damage: dict[bytes, Damaged],
        away: dict[bytes, RemoteError],
    ) -> bool:
        """Add what can be had now; is there reason to look again?"""
        known = len(away)
        places = self.find([id for id in wanted if id not in found], away)
        self._from_cache(kind, places, found)
        came = Came(found, {})
        gone = self._from_remotes(kind, _without(places, found), came, away)
        for pack in gone:
            self._require_known(pack, away)
            self.places.forget(pack)
            self.kept.drop(pack)
        if came.damaged:  # it may have been mended: sent again in another pack
            damage |= came.damaged
            self.places.avoid((id, each.pack) for id, each in came.damaged.items())
        return bool(gone or came.damaged) or known < len(away)

    def _note_damage(self, damaged: Damaged) -> None:
        """Let the next check and repair of that remote know."""
        pack = damaged.pack
        try:
            with self._index.read() as reader:
                is_known = pack.key in bad_packs(reader, pack.remote)
            if not is_known:
                note_bad(self._index, pack.remote, {pack.key: damaged.error.message})
        except ArtstoreError as error:  # a store that may only be read
            _log.debug("damage at a remote is not noted: %s", error)

    def bring(self, run: Run, pack: FarPack) -> Coming:
        """Have a run come, for who keeps it all: `take` gives it."""
        return self._flights.bring(pack, run.offset, run.offset + run.size)

    def take(self, kind: ObjectKind, run: Run, coming: Coming, came: Came) -> None:
        """Add the objects of a run, and what of it is damaged. Errors as `many`, NotFound if the pack is gone."""
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
                came.found[id] = open_frame(frame, self._tools.decoder, self.ids, id=id, kind=kind)  # I5
            except Corrupt:
                try:
                    came.found[id] = self._once_more(kind, id, FarPlace(coming.pack, place))
                except Corrupt as error:
                    came.damaged[id] = Damaged(coming.pack, error)

    def close(self) -> None:
        """Let go of threads and connections."""
        self._flights.close()
        self.pool.close()

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
                found[id] = open_frame(frame, self._tools.decoder, self.ids, id=id, kind=kind)  # I5
            except Corrupt:
                continue  # a hole, or what a crash left

    # --- remotes

    def _from_remotes(
        self, kind: ObjectKind, places: Mapping[bytes, FarPlace], came: Came, away: dict[bytes, RemoteError]
    ) -> set[FarPack]:
        """Fetch what is left; the packs that turned out to be gone. Remotes that don't answer are in `away` then."""
        packs = {at.pack.number: at.pack for at in places.values()}
        runs = plan_runs(
            ((id, at.place) for id, at in places.items()),
            hole_bytes_max=limits.READ_HOLE_BYTES_MAX,
            run_bytes_max=limits.FAR_REQUEST_BYTES,
        )
        gone: set[FarPack] = set()
        for run, coming in [(run, self.bring(run, packs[run.pack])) for run in runs]:
            try:
                self.take(kind, run, coming, came)
            except NotFound:
                gone.add(coming.pack)
            except RemoteError as error:
                self._do_without(coming.pack, error, away)
        return gone

    # --- another remote instead

    def find(self, ids: Sequence[bytes], away: Mapping[bytes, RemoteError] | None = None) -> dict[bytes, FarPlace]:
        """Where these lie; at a remote that didn't answer lately only if no other one is known to have it. Errors as
        those of `FarPlaces.find`.
        """
        away = away or {}
        moment = time.monotonic()
        resting = {id: error for id, (until, error) in list(self._resting.items()) if moment < until}
        if resting.keys() - away.keys() and self.places.has_several:
            try:
                places = self.places.find(ids, {**resting, **away})
            except (RemoteError, NotFound):
                places = {}
            if len(places) == len(set(ids)):
                return places
        return self.places.find(ids, away)

    def _require_known(self, pack: FarPack, away: dict[bytes, RemoteError]) -> None:
        """Something is gone there: the whole remote may be."""
        try:
            self.places.require_known(pack.remote)
        except RemoteError as error:
            self._do_without(pack, error, away)

    def _do_without(self, pack: FarPack, error: RemoteError, away: dict[bytes, RemoteError]) -> None:
        """A remote doesn't answer. Raises that, unless there is another one to turn to, now and for the next reads."""
        if not self.places.has_several:
            raise error
        away[pack.remote] = error
        self._resting[pack.remote] = (time.monotonic() + limits.FAR_REST_S, error)

    def _once_more(self, kind: ObjectKind, id: bytes, at: FarPlace) -> bytes:
        """An object that came damaged: it may have been the network."""
        start, end = at.place.offset, end_of(at.place)
        try:
            data = self._fetch(at.pack, start, end - start)
            return open_frame(data, self._tools.decoder, self.ids, id=id, kind=kind)  # I5
        except Corrupt as error:
            where = f"{self.pool.open(at.pack.remote).url}/{at.pack.key}"
            self.kept.drop(at.pack)
            named = error.message if id.hex() in error.message else f"object {id.hex()}: {error.message}"
            raise Corrupt(f"{named} ({where}, at {start})", digest=id, hint=MEND) from error

    def _fetch(self, pack: FarPack, offset: int, size: int) -> bytes:
        remote = self.pool.open(pack.remote)
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

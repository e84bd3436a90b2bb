"""Makes the index anew from packs and refs.log alone [I8], beside the old one, and puts it in its place in one step.

Nothing of the old index is believed, but for refs that the log has lost.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Busy
from artstore.store.context import Context, Counters
from artstore.store.objects import Objects
from artstore.store.rebuild.erased import rewrite_tainted
from artstore.store.rebuild.packs import PackEntries, enter_packs
from artstore.store.rebuild.refs import enter_refs
from artstore.store.rebuild.report import RebuildReport
from artstore.store.rebuild.sets import enter_sets

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from artstore.format.ids import Ids
    from artstore.model import PackId
    from artstore.ports import Clock, Index, PackFiles, RefsLog, Session, Sessions
    from artstore.store.rebuild.refs import RefEntries
    from artstore.store.rebuild.sets import SetEntries


@dataclass(frozen=True, slots=True)
class RebuildPorts:
    """A store without its index.

    `building`: a new, empty index that takes the old one's place when its context ends without an exception.
    `open_old`: the index that is replaced, if it can be read from end to end, else None. `ids`: how all of it is named.
    `written`: when a pack's file was written, in ns; None when it is gone. `has_remotes`: the store has some.
    """

    path: str
    packs: PackFiles
    sessions: Sessions
    clock: Clock
    ids: Ids
    log: RefsLog
    building: Callable[[], AbstractContextManager[Index]]
    open_old: Callable[[], Index | None]
    written: Callable[[PackId], int | None]
    has_remotes: bool = False


def rebuild_index(ports: RebuildPorts, counters: Counters | None = None) -> RebuildReport:
    """Make the index anew. Busy while other sessions run; this process may not have the store open.

    Killed at any moment it leaves the old index or the new one, or none and both beside, to be rebuilt again.
    """
    begun = time.monotonic()
    with ports.sessions.begin() as session:
        for _ in range(limits.REBUILD_ROUNDS_MAX):
            _refuse_others(ports, session)
            attempt = _Attempt(ports, session, counters or Counters())
            try:
                with ports.building() as index:
                    attempt.fill(index)
                    while attempt.is_outdated():
                        _refuse_others(ports, session)
                        attempt.fill(index)
                    _refuse_others(ports, session)
                # Between the last look and the swap a ref may have been moved by a process that has the old index
                # open: it is in the log.
                if not attempt.is_outdated():
                    attempt.delete_replaced()
                    return attempt.report(time.monotonic() - begun)
            except _VoidError:
                continue
    raise Busy("the store is being changed all the time", hint="rebuild its index when nobody uses it")


def _refuse_others(ports: RebuildPorts, session: Session) -> None:
    others = [id for id, _ in ports.sessions.running() if id != session.id]
    if others:
        raise Busy(
            f"{len(others)} other processes are writing to the store", hint="rebuild its index when they are done"
        )


class _VoidError(Exception):
    """What was entered into a new index isn't so any more."""


class _Attempt:
    """One new index."""

    def __init__(self, ports: RebuildPorts, session: Session, counters: Counters) -> None:
        self._ports = ports
        self._session = session
        self._counters = counters
        self._replaced: set[PackId] = set()
        self._packs = PackEntries()
        self._refs: RefEntries | None = None
        self._sets: SetEntries | None = None
        self._notes: list[str] = []
        self._rewriting: list[str] = []
        self._ref_count = 0

    def fill(self, index: Index) -> None:
        """Enter what isn't there yet."""
        ports = self._ports
        context = Context(ports.path, index, ports.packs, ports.sessions, ports.clock, ports.ids)
        known = None if self._refs is None else self._refs.erased
        refs = self._refs = enter_refs(index, ports.log, ports.open_old, ports.ids, ports.clock.now_ns())
        if known is not None and known != refs.erased:
            raise _VoidError
        enter_packs(context, self._packs, self._counters, refs.erased, ports.written)
        objects = Objects(context)
        try:
            replaced, kept = rewrite_tainted(context, objects, self._session, self._packs)
            self._replaced.update(replaced)
            self._rewriting += kept
            self._sets = enter_sets(context, objects, self._packs.versions, refs.targets, has_remotes=ports.has_remotes)
        finally:
            objects.close()
        with index.read() as reader:
            back = sum(place is not None for place in reader.find_many(sorted(refs.erased)))
            self._ref_count = sum(1 for _ in reader.tags()) + sum(1 for _ in reader.aliases())
        self._notes = [*refs.notes, *self._rewriting]
        if self._replaced:
            self._notes.append(f"{len(self._replaced)} packs held purged chunks still, and were rewritten without them")
        if self._sets.elsewhere:
            self._notes.append(
                f"{self._sets.elsewhere} versions are not whole here; what is missing is read from the remotes"
            )
        if back:
            self._notes.append(f"{back} chunks were purged and stored again since: purge them once more, if need be")

    def is_outdated(self) -> bool:
        """Has the store changed since?"""
        assert self._refs is not None
        if self._ports.log.size() != self._refs.log_size:
            return True
        there = {pack for pack, _ in self._ports.packs.list()}
        if not there.issuperset(self._packs.packs):
            raise _VoidError  # somebody collected or purged meanwhile
        return not there.issubset(self._packs.packs)

    def delete_replaced(self) -> None:
        """Unlink what the new index has in other packs [I4]."""
        for pack in self._replaced:
            self._ports.packs.delete(pack)

    def report(self, seconds: float) -> RebuildReport:
        """What the new index knows."""
        assert self._sets is not None
        packs = self._packs
        return RebuildReport(
            packs=len(packs.packs) - len(packs.unreadable) - len(self._replaced),
            objects=packs.objects,
            versions=self._sets.versions,
            refs=self._ref_count,
            scanned=tuple(packs.scanned),
            unreadable=tuple(packs.unreadable),
            hurt=tuple(self._sets.hurt),
            partial=self._sets.partial,
            notes=tuple(self._notes),
            seconds=seconds,
        )

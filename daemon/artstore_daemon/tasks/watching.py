"""One watched folder: what is heard goes to the machine, what it decides is done on a thread."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import trio

from artstore import limits
from artstore.errors import NotFound
from artstore_daemon.engine import Committed, commit_folder, is_there, own_places, told
from artstore_daemon.machine import folder
from artstore_daemon.machine.folder import FolderState, Hint, Outcome
from artstore_daemon.signals import Inbox
from artstore_daemon.watch.looking import parts_of
from artstore_daemon.watch.sources import Source, open_source

if TYPE_CHECKING:
    from artstore import Store
    from artstore_daemon.clock import Clock
    from artstore_daemon.settings import WatchSpec
    from artstore_daemon.watch.inotify import Notifier

_log: Final = logging.getLogger(__name__)
_WHOLE: Final = ""  # the part that is the folder itself

Told = Callable[[Committed, str | None], None]
"""How a commit ended, and what is wrong with the folder, or with one part of it."""


@dataclass(slots=True)
class WatchStatus:
    """How a watch stands, for people. `how`: what tells of changes; `why`: why it is polled, if it is."""

    how: str = "starting"
    why: str | None = None
    folders: int = 0
    commits: int = 0
    last_tag: str | None = None
    last_commit: float | None = None
    error: str | None = None
    kept: list[str] = field(default_factory=list[str])


class Watching:
    """The task of one watch. Made within trio."""

    def __init__(
        self,
        store: Store,
        spec: WatchSpec,
        clock: Clock,
        *,
        notifier: Callable[[], Notifier],
        committing: trio.CapacityLimiter,
        told: Told,
    ) -> None:
        self.spec = spec
        self.status = WatchStatus()
        self.states: dict[str, FolderState] = {}
        self._store = store
        self._clock = clock
        self._notifier = notifier
        self._committing = committing
        self._told = told
        self._inbox = Inbox[tuple[str, Hint]]()
        self._wakes: dict[str, float] = {}
        self._source: Source | None = None
        self._troubles: dict[str, str] = {}  # by part, of the last commit of each
        self._own = tuple(os.fsencode(place) for place in own_places(store.path))
        self._there: bool | None = None  # nobody has looked yet

    # --- from others

    def ask(self) -> None:
        """Commit it now. From a trio task."""
        for part in self._parts():
            self._inbox.put_here((part, Hint.ASKED))

    @property
    def is_pending(self) -> bool:
        """Is there anything that isn't in a version yet, as far as is known?"""
        if self._there is None and not self.spec.paused:  # nobody has looked yet
            return True
        return any(state.is_pending for state in self.states.values())

    @property
    def next_at(self) -> float | None:
        """When something will be tried next, on the daemon's clock."""
        return min(self._wakes.values(), default=None)

    # --- the task

    async def run(self) -> None:
        """Watch until cancelled. What a commit has begun it ends."""
        try:
            async with trio.open_nursery() as nursery:
                if self.spec.paused:
                    self.status.how = "paused"
                    await trio.sleep_forever()
                nursery.start_soon(self._look_after)
                await self._loop(nursery)
        finally:
            if self._source is not None:
                self._source.close()

    async def _loop(self, nursery: trio.Nursery) -> None:
        while True:
            until = min(self._wakes.values(), default=None)
            pause = None if until is None else max(0.0, until - self._clock.now())
            hints = await self._inbox.take(None if pause is None else trio.current_time() + pause)
            now = self._clock.now()
            for part, hint in hints:
                self._step(nursery, part, hint, now)
            for part in [part for part, at in self._wakes.items() if at <= now]:
                self._step(nursery, part, Hint.DUE, now)

    def _step(self, nursery: trio.Nursery, part: str, event: folder.Event, now: float) -> None:
        state, actions = folder.step(self.states.get(part, FolderState()), event, now=now, rules=self._rules())
        self.states[part] = state
        self._wakes.pop(part, None)
        for action in actions:
            match action:
                case folder.Wake():
                    self._wakes[part] = action.at
                case folder.Commit():
                    nursery.start_soon(self._commit, nursery, part, action.patient)

    async def _commit(self, nursery: trio.Nursery, part: str, patient: bool) -> None:
        done = await trio.to_thread.run_sync(
            lambda: commit_folder(self._store, self.spec, part, patient=patient),
            limiter=self._committing,
        )
        self._note(part, done)
        self._told(done, self._trouble)
        before = self.states[part]
        is_touched = before.changed is not None or before.asked  # while it was looked for
        ended = folder.Ended(done.outcome, error=done.error, spread=random.random())  # noqa: S311 - no secret
        self._step(nursery, part, ended, self._clock.now())
        self._inbox.nudge()  # there may be another time to wake at
        if part and done.outcome is Outcome.ABSENT and not is_touched:  # its version stays
            self.states.pop(part, None)
            self._wakes.pop(part, None)

    @property
    def _trouble(self) -> str | None:
        """What is wrong with the first part with which something is: that another one is well doesn't mend it."""
        return self._troubles[min(self._troubles)] if self._troubles else None

    def _note(self, part: str, done: Committed) -> None:
        status = self.status
        if done.error is not None and done.outcome in (Outcome.FAILED, Outcome.REFUSED):
            self._troubles[part] = done.error
        else:
            self._troubles.pop(part, None)
        status.error = self._trouble or done.error
        status.kept = [os.fsdecode(path) for path in done.kept]
        if done.made:
            status.commits += 1
            status.last_tag, status.last_commit = done.tag, self._clock.time()

    # --- what there is to be heard

    async def _look_after(self) -> None:
        """See to it that changes are heard of, and that a look is taken in any case now and then."""
        rescan = self._next_rescan()
        while True:
            there = await trio.to_thread.run_sync(self._is_there)
            if there != self._there or (self._source is not None and self._source.is_dead):
                if self._there is not None or not there:
                    self._vanish()
                self._there = there
                if there:
                    await self._appear()
            elif there and self._clock.now() >= rescan:
                rescan = self._next_rescan()
                self._missed()
            if there and self._source is not None:
                await self._tend(self._source)
            await trio.sleep(limits.WATCH_LOOK_S)

    def _is_there(self) -> bool:
        return is_there(self.spec)

    async def _appear(self) -> None:
        if not await self._open():
            return
        for part in {*self.states, *self._parts()}:  # the folder may be in the middle of changing
            self._inbox.put_here((part, Hint.BACK))
            self._inbox.put_here((part, Hint.TOUCHED))

    def _vanish(self) -> None:
        self.status.how, self.status.why = "gone", f"{self.spec.folder} isn't there"
        _log.info("%s isn't there, so that nothing of it is committed to %s", self.spec.folder, self.spec.artifact)
        if self._source is not None:
            self._source.close()
            self._source = None
        for part in self.states:
            self._inbox.put_here((part, Hint.GONE))

    async def _open(self) -> bool:
        """Have something tell of changes. False if that can't be: the next look tries again."""
        try:
            self._source = await trio.to_thread.run_sync(
                lambda: open_source(
                    self.spec.folder, self._notifier, poll_s=self.spec.poll_s, touched=self._heard, lost=self._missed
                )
            )
        except (NotFound, OSError) as error:  # gone again, or not ours to read
            self._there = None
            self.status.how, self.status.why = "gone", told(error)
            return False
        self.status.how, self.status.why = self._source.how, self._source.why
        return True

    async def _tend(self, source: Source) -> None:
        """What a source needs now and then: polling, registering what isn't."""
        await trio.to_thread.run_sync(source.tend, self._clock.now())
        self.status.how, self.status.why, self.status.folders = source.how, source.why, source.folders

    def _heard(self, path: bytes) -> None:
        """Something changed there. On another thread."""
        if any(path == own or path.startswith(own + b"/") for own in self._own):
            return
        for part in self._parts_of(os.fsdecode(path)):
            self._inbox.put((part, Hint.TOUCHED))

    def _missed(self) -> None:
        """Nobody knows what changed. On any thread."""
        for part in self._parts():
            self._inbox.put((part, Hint.TOUCHED))

    def _parts_of(self, path: str) -> Sequence[str]:
        """The parts of the folder that a change at a path concerns."""
        if self.spec.each is None:
            return [_WHOLE]
        inside = os.path.relpath(path, self.spec.folder)
        part = inside.partition(os.sep)[0]
        if part == os.curdir:  # the folder itself
            return self._parts()
        return [part] if fnmatchcase(part, self.spec.each) else []

    def _parts(self) -> Sequence[str]:
        """All that become versions of their own."""
        return parts_of(self.spec.folder, self.spec.each)

    def _rules(self) -> folder.Rules:
        settle_s = max(self.spec.settle_s, 0.0 if self._source is None else self._source.settle_s_min)
        return folder.Rules(settle_s, max(settle_s, self.spec.every_s))

    def _next_rescan(self) -> float:
        spread = random.uniform(0.9, 1.1)  # noqa: S311 - no secret; so that watches don't all look at once
        return self._clock.now() + limits.WATCH_RESCAN_S * spread

"""What one watch pushes to one remote, oldest first."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from artstore import limits
from artstore_daemon.engine import push_name, unpushed
from artstore_daemon.machine import sending
from artstore_daemon.machine.hours import parse_hours
from artstore_daemon.machine.sending import Hint, Outcome, SendingState
from artstore_daemon.signals import Inbox

if TYPE_CHECKING:
    from artstore import Store
    from artstore_daemon.clock import Clock
    from artstore_daemon.settings import WatchSpec

Told = Callable[[str, str, Outcome, str | None], None]
"""Remote, name, how it ended, what is to be said of it."""


class Sending:
    """The task of one watch and one remote. Made within trio."""

    def __init__(
        self, store: Store, spec: WatchSpec, remote: str, clock: Clock, *, pushing: trio.CapacityLimiter, told: Told
    ) -> None:
        self.spec = spec
        self.remote = remote
        self.state = SendingState()
        self.pushing: str | None = None
        self._store = store
        self._clock = clock
        self._limiter = pushing
        self._told = told
        self._hours = None if spec.only is None else parse_hours(spec.only)
        self._inbox = Inbox[Hint | str]()
        self._wake: float | None = None
        self._look_at = -math.inf

    def add(self, name: str) -> None:
        """There is something new. From a trio task."""
        self._inbox.put_here(name)

    def look(self) -> None:
        """There may be something that somebody else has made. From a trio task."""
        self._look_at = -math.inf
        self._inbox.nudge()

    def ask(self) -> None:
        """Try again now. From a trio task."""
        self._inbox.put_here(Hint.ASKED)

    @property
    def next_at(self) -> float | None:
        """When something will be tried next, on the daemon's clock."""
        return self._wake

    async def run(self) -> None:
        """Push until cancelled; a push that has begun is left to end, or to be gone on with next time."""
        async with trio.open_nursery() as nursery:
            if self.spec.paused:
                await trio.sleep_forever()
            while True:
                if self._clock.now() >= self._look_at:
                    self._look_at = self._clock.now() + limits.WATCH_RESCAN_S
                    await self._look(nursery)
                # The clock on the wall may be set: look once in a while whatever is told.
                pause = limits.SENDING_LOOK_S
                if self._wake is not None:
                    pause = min(pause, max(0.0, self._wake - self._clock.now()))
                for told in await self._inbox.take(trio.current_time() + pause):
                    if told is Hint.ASKED:
                        await self._look(nursery)
                    self._step(nursery, told if isinstance(told, Hint) else sending.Added((told,)))
                self._step(nursery, Hint.DUE)

    async def _look(self, nursery: trio.Nursery) -> None:
        """What was made before this daemon began, by others, or was left out, is pushed too."""
        names = await trio.to_thread.run_sync(unpushed, self._store, self.remote, self.spec.artifact)
        self._step(nursery, sending.Unpushed(tuple(names)))

    def _step(self, nursery: trio.Nursery, event: sending.Event) -> None:
        now, day_s = self._clock.now(), self._clock.day_s()
        self.state, actions = sending.step(self.state, event, now=now, day_s=day_s, hours=self._hours)
        self._wake = None
        for action in actions:
            match action:
                case sending.Wake():
                    self._wake = action.at
                case sending.Push():
                    nursery.start_soon(self._push, nursery, action.name)

    async def _push(self, nursery: trio.Nursery, name: str) -> None:
        self.pushing = name
        try:
            outcome, error = await trio.to_thread.run_sync(
                lambda: push_name(self._store, self.remote, name, limit_rate=self.spec.limit_rate),
                limiter=self._limiter,
            )
        finally:
            self.pushing = None
        self._told(self.remote, name, outcome, error)
        ended = sending.Ended(outcome, error=error, spread=random.random())  # noqa: S311 - no secret
        self._step(nursery, ended)
        self._inbox.nudge()  # there may be another time to wake at

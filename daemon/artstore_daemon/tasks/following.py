"""One follower: asks the remote, and takes the steps that the machine decides on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from artstore import limits
from artstore_daemon.follower import Follower
from artstore_daemon.machine import following
from artstore_daemon.machine.following import FollowState, Hint
from artstore_daemon.signals import Inbox

if TYPE_CHECKING:
    from artstore import Store
    from artstore_daemon.clock import Clock
    from artstore_daemon.settings import FollowSpec

Told = Callable[[FollowState, FollowState], None]
"""The state before and after a step."""


class Following:
    """The task of one follower. Made within trio."""

    def __init__(
        self, store: Store, spec: FollowSpec, clock: Clock, *, working: trio.CapacityLimiter, told: Told
    ) -> None:
        self.spec = spec
        self.looked: float | None = None
        self.look_error: str | None = None
        self._follower = Follower(store, spec)
        self._clock = clock
        self._working = working
        self._told = told
        self._rules = following.Rules(has_hook=spec.hook is not None)
        self._inbox = Inbox[Hint]()
        self._wake: float | None = None
        self._look_now = trio.Event()
        self._stepping = trio.Lock()
        self.state = FollowState()

    def ask(self) -> None:
        """Look, and try again what failed, now. From a trio task."""
        self._inbox.put_here(Hint.ASKED)
        self._look_now.set()

    @property
    def next_at(self) -> float | None:
        """When something will be tried next, on the daemon's clock."""
        return self._wake

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                remembered = await trio.to_thread.run_sync(self._follower.remembered)
                # What was begun is ended, also while paused: half a switch is nothing to rest at.
                self.state, actions = following.resume(replace(remembered, paused=self.spec.paused))
                self._act(nursery, actions)
                if not self.spec.paused:
                    nursery.start_soon(self._poll, nursery)
                while True:
                    until = None
                    if self._wake is not None:
                        until = trio.current_time() + max(0.0, self._wake - self._clock.now())
                    hints = await self._inbox.take(until)
                    for hint in hints or [Hint.DUE]:
                        await self._step(nursery, hint)
        finally:
            self._follower.close()

    async def _poll(self, nursery: trio.Nursery) -> None:
        """Look what the alias names, again and again; less often while that can't be found out."""
        failures = 0
        while True:
            version, error = await trio.to_thread.run_sync(self._follower.look)
            self.looked = self._clock.time()
            self.look_error = error
            failures = failures + 1 if error else 0
            if error is None or version is not None:
                await self._step(nursery, following.Seen(version))
                self._inbox.nudge()  # there may be another time to wake at
            pause = min(self.spec.poll_s * 2 ** min(failures, 5), max(limits.FOLLOW_POLL_S_MAX, self.spec.poll_s))
            with trio.move_on_after(pause):
                await self._look_now.wait()
            self._look_now = trio.Event()

    async def _step(self, nursery: trio.Nursery, event: following.Event) -> None:
        async with self._stepping:  # what is remembered is in the order of the steps
            await self._take(nursery, event)

    async def _take(self, nursery: trio.Nursery, event: following.Event) -> None:
        before = self.state
        self.state, actions = following.step(before, event, now=self._clock.now(), rules=self._rules)
        if self._follower.lasting(self.state) != self._follower.lasting(before):
            # Remembered before it is done: what is done twice does no harm, what is forgotten does.
            await trio.to_thread.run_sync(self._follower.remember, self.state)
        if self.state != before:
            self._told(before, self.state)
        self._act(nursery, actions)

    def _act(self, nursery: trio.Nursery, actions: Sequence[following.Action]) -> None:
        self._wake = None
        for action in actions:
            match action:
                case following.Wake():
                    self._wake = action.at
                case following.Fetch():
                    nursery.start_soon(self._do, nursery, self._follower.fetch, action.version)
                case following.Switch():
                    nursery.start_soon(self._do, nursery, self._follower.switch, action.version)
                case following.Hook():
                    nursery.start_soon(self._hook, nursery, action)

    async def _do(self, nursery: trio.Nursery, work: Callable[[str], str | None], version: str) -> None:
        error = await trio.to_thread.run_sync(work, version, limiter=self._working)
        await self._end(nursery, error)

    async def _hook(self, nursery: trio.Nursery, hook: following.Hook) -> None:
        error = await self._follower.run_hook(hook.old, hook.new)
        await self._end(nursery, error)

    async def _end(self, nursery: trio.Nursery, error: str | None) -> None:
        await self._step(nursery, following.Ended(error=error, spread=random.random()))  # noqa: S311 - no secret
        self._inbox.nudge()

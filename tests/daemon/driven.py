"""The daemon's machines, driven by hand: a clock that is turned, and what a machine wants to be done."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import assert_never

from artstore_daemon.machine import folder, following, sending
from artstore_daemon.machine.folder import FolderState
from artstore_daemon.machine.following import FollowState
from artstore_daemon.machine.hours import DAY_S, Hours
from artstore_daemon.machine.sending import SendingState

HOUR = 3600.0
DAY = 24 * HOUR
RULES = folder.Rules(settle_s=2.0, every_s=900.0)
Work = following.Fetch | following.Switch | following.Hook


@dataclass
class Driven:
    """A machine, and the time. `wake`: when it wants to be woken."""

    now: float = 1000.0
    wake: float | None = None

    def wake_at(self, at: float) -> None:
        """It wants to be woken then."""
        assert at > self.now, "it would be woken for ever"
        self.wake = at

    def pass_to_wake(self) -> float:
        """Let the time pass until it wants to be woken; how long that took."""
        assert self.wake is not None
        pause = self.wake - self.now
        self.now = self.wake
        return pause


@dataclass
class DrivenFolder(Driven):
    """What decides when a folder is committed."""

    rules: folder.Rules = RULES
    state: FolderState = field(default_factory=FolderState)

    def tell(self, event: folder.Event, *, after: float = 0.0) -> folder.Commit | None:
        """Tell it of something so many seconds later; what it wants to be done at once."""
        self.now += after
        self.state, actions = folder.step(self.state, event, now=self.now, rules=self.rules)
        self.wake = None
        begun: folder.Commit | None = None
        for action in actions:
            match action:
                case folder.Wake():
                    self.wake_at(action.at)
                case folder.Commit():
                    begun = action
                case _:
                    assert_never(action)
        assert begun is None or self.wake is None
        return begun

    def end(self, outcome: folder.Outcome, *, after: float = 0.0) -> folder.Commit | None:
        """A commit has ended."""
        is_well = outcome in (folder.Outcome.DONE, folder.Outcome.PARTLY)
        return self.tell(folder.Ended(outcome, error=None if is_well else outcome.value), after=after)

    def wait(self) -> float:
        """Wait until it begins the commit that it waits for; how long that took."""
        pause = self.pass_to_wake()
        assert self.tell(folder.Hint.DUE) is not None, "it was woken in vain"
        return pause

    def is_done(self) -> bool:
        """Is all in a version, and nothing waited for?"""
        return self.wake is None and not self.state.is_pending


@dataclass
class DrivenSending(Driven):
    """What decides when names are pushed. `noon`: when it is noon on the wall."""

    noon: float = 1000.0
    hours: Hours | None = None
    state: SendingState = field(default_factory=SendingState)

    @property
    def day_s(self) -> float:
        """What the clock on the wall says."""
        return (self.now - self.noon + 12 * HOUR) % DAY_S

    def tell(self, event: sending.Event, *, after: float = 0.0) -> str | None:
        """Tell it of something so many seconds later; the name that it wants to be pushed at once."""
        self.now += after
        self.state, actions = sending.step(self.state, event, now=self.now, day_s=self.day_s, hours=self.hours)
        self.wake = None
        begun: str | None = None
        for action in actions:
            match action:
                case sending.Wake():
                    self.wake_at(action.at)
                case sending.Push():
                    begun = action.name
                case _:
                    assert_never(action)
        assert begun is None or self.wake is None
        return begun

    def add(self, *names: str) -> str | None:
        """There are names to be pushed."""
        return self.tell(sending.Added(names))

    def end(self, outcome: sending.Outcome, *, after: float = 0.0, spread: float = 1.0) -> str | None:
        """A push has ended."""
        error = None if outcome is sending.Outcome.DONE else outcome.value
        return self.tell(sending.Ended(outcome, error=error, spread=spread), after=after)

    def wait(self) -> tuple[float, str | None]:
        """Wait until it wants to be woken; how long that took, and what it pushes then."""
        return self.pass_to_wake(), self.tell(sending.Hint.DUE)


@dataclass
class DrivenFollower(Driven):
    """What decides how a follower goes along."""

    has_hook: bool = True
    state: FollowState = field(default_factory=FollowState)

    def tell(self, event: following.Event, *, after: float = 0.0) -> Work | None:
        """Tell it of something so many seconds later; what it wants to be done at once."""
        self.now += after
        self.state, actions = following.step(
            self.state, event, now=self.now, rules=following.Rules(has_hook=self.has_hook)
        )
        return self._take(actions)

    def see(self, version: str | None) -> Work | None:
        """The alias names a version, or there is none."""
        return self.tell(following.Seen(version))

    def end(self, error: str | None = None) -> Work | None:
        """What was under way is done, or failed."""
        return self.tell(following.Ended(error))

    def wait(self) -> tuple[float, Work | None]:
        """Wait until it wants to be woken; how long that took, and what it does then."""
        return self.pass_to_wake(), self.tell(following.Hint.DUE)

    def restart(self, noted: FollowState | None = None) -> Work | None:
        """Killed, and begun again with what was noted, or with what lasts of its state."""
        self.state, actions = following.resume(lasting(self.state) if noted is None else noted)
        return self._take(actions)

    def served(self) -> str | None:
        """What is served, and nothing is under way."""
        assert self.state.phase is following.Phase.RESTING
        assert self.state.target is None
        return self.state.current

    def _take(self, actions: Sequence[following.Action]) -> Work | None:
        self.wake = None
        begun: Work | None = None
        for action in actions:
            match action:
                case following.Wake():
                    self.wake_at(action.at)
                case following.Fetch() | following.Switch() | following.Hook():
                    assert begun is None
                    begun = action
                case _:
                    assert_never(action)
        assert begun is None or self.wake is None
        return begun


def lasting(state: FollowState) -> FollowState:
    """What of a state outlives a daemon."""
    return FollowState(
        current=state.current, previous=state.previous, target=state.target, bad=state.bad, phase=state.phase
    )


@dataclass
class Days:
    """What happens to a machine in the course of days, at random, while the world is wild. `due`: wakes the machine."""

    chance: random.Random
    machine: Driven
    due: Callable[[], None]
    is_wild: bool = True
    _queue: list[tuple[float, int, Callable[[], None]]] = field(
        default_factory=list[tuple[float, int, Callable[[], None]]]
    )
    _order: count[int] = field(default_factory=count)

    def after(self, pause: float, happen: Callable[[], None]) -> None:
        """Once, after a pause, s."""
        heappush(self._queue, (self.machine.now + pause, next(self._order), happen))

    def now_and_then(self, mean: float, happen: Callable[[], None]) -> None:
        """Again and again, after pauses that are so long on average, s."""

        def once() -> None:
            if self.is_wild:
                happen()
                self.now_and_then(mean, happen)

        self.after(self.chance.expovariate(1 / mean), once)

    def run(self, pause: float) -> None:
        """Let so much time pass, s."""
        machine = self.machine
        until = machine.now + pause
        while True:
            next_at = self._queue[0][0] if self._queue else inf
            wake = inf if machine.wake is None else machine.wake
            machine.now = min(until, next_at, wake)
            if machine.now == until:
                return
            if next_at <= wake:
                heappop(self._queue)[2]()
            else:
                self.due()

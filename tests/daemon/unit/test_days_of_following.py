"""Days of a follower in a moment, with moves, failures, crashes: it serves what is named, or the last good version."""

from __future__ import annotations

import random
from typing import assert_never

import pytest

from artstore_daemon.machine.following import Ended, Event, Fetch, FollowState, Hint, Hook, Phase, Seen, Switch
from tests.daemon.driven import DAY, HOUR, Days, DrivenFollower, Work, lasting

VERSIONS = tuple(f"v{number}" for number in range(8))


class World:
    """An alias that moves, a machine that serves what it names, and a daemon that follows, and is killed now and then.

    `whole`: versions that are here; `good`: the last one whose hook was done; `untold`: one that was switched to, and
    whose hook has yet to be run; `failed`: versions whose hook failed last time; `noted`: what the daemon wrote down.
    """

    def __init__(self, chance: random.Random, *, has_hook: bool) -> None:
        self.chance = chance
        self.machine = DrivenFollower(has_hook=has_hook)
        self.days = Days(chance, self.machine, due=self.wake)
        self.broken = {version for version in VERSIONS if chance.random() < 0.3}
        self.trouble = chance.choice([0.02, 0.2, 0.5])
        self.alias: str | None = VERSIONS[0]
        self.seen: str | None = None
        self.served: str | None = None
        self.whole: set[str] = set()
        self.good: str | None = None
        self.untold: str | None = None
        self.failed: set[str] = set()
        self.noted = FollowState()
        self.under_way: Work | None = None
        self.is_paused = False
        self.life = 0  # of the daemon
        self.steps = self.hooks = 0
        self.reasons = 1  # to run a hook

    # --- the daemon

    def tell(self, event: Event) -> None:
        begun = self.machine.tell(event)
        self.steps += 1
        if not self.is_killed():
            self.noted = lasting(self.machine.state)  # before it is done
            if not self.is_killed():
                self.begin(begun)

    def is_killed(self) -> bool:
        if self.days.is_wild and self.chance.random() < 0.01:
            self.crash()
            return True
        return False

    def wake(self) -> None:
        life = self.life
        self.tell(Hint.DUE)
        assert self.under_way is not None or self.life != life, "it was woken in vain"

    def begin(self, begun: Work | None) -> None:
        state = self.machine.state
        assert state.current is None or state.current in self.whole
        if state.phase in (Phase.RESTING, Phase.FETCHING, Phase.SWITCHING):
            assert self.untold is None, "nobody was told"
        if begun is None:
            return
        assert self.under_way is None, "two at once"
        match begun:
            case Fetch():
                assert begun.version == self.seen
                assert not self.is_paused
            case Switch():
                assert begun.version in self.whole, "it isn't all here"
            case Hook():
                assert self.served == begun.new == state.current
                assert begun.old != begun.new
                self.hooks += 1
            case _:
                assert_never(begun)
        self.under_way = begun
        life, pause = self.life, self.chance.choice([1.0, 60.0, HOUR if isinstance(begun, Fetch) else 1.0])
        self.days.after(pause * self.chance.random(), lambda: self.end(begun) if self.life == life else None)

    def end(self, begun: Work) -> None:
        error = self.do(begun)
        if not self.is_killed():
            self.under_way = None
            if isinstance(begun, Switch) and error is None and self.machine.state.phase is Phase.SWITCHING:
                self.untold = begun.version if self.machine.has_hook else None
            self.tell(Ended(error, self.chance.random()))

    def do(self, begun: Work) -> str | None:
        """What comes of it. A switch that failed may have been made all the same."""
        fails = self.days.is_wild and self.chance.random() < self.trouble
        match begun:
            case Fetch():
                if not fails:
                    self.whole.add(begun.version)
            case Switch():
                if not fails or self.chance.random() < 0.3:
                    self.served = begun.version
            case Hook():
                self.untold = None
                fails = fails or begun.new in self.broken
                if fails:
                    self.failed.add(begun.new)
                else:
                    self.failed.discard(begun.new)
                    self.good = begun.new
            case _:
                assert_never(begun)
        return "it failed" if fails else None

    def crash(self) -> None:
        """It is killed, and begins again with what was noted; what was under way was done or not."""
        self.life += 1
        self.reasons += 1
        begun, self.under_way = self.under_way, None
        if begun is not None and self.chance.random() < 0.5:
            self.do(begun)
        if self.noted.phase is Phase.SWITCHING:  # that is done once more
            self.untold = None
        self.is_paused, self.seen = False, None
        self.begin(self.machine.restart(self.noted))
        self.look_later()

    def look_later(self) -> None:
        """It looks what the alias names again and again, if that can be found out."""
        life = self.life

        def look() -> None:
            if self.life != life:
                return
            self.look_later()
            if not self.days.is_wild or self.chance.random() < 0.9:
                self.seen = self.alias
                self.tell(Seen(self.alias))

        self.days.after(self.chance.choice([10.0, 60.0]), look)

    # --- what happens

    def move(self) -> None:
        """Somebody moves the alias, or removes it."""
        self.reasons += 1
        self.alias = self.chance.choice([None, *VERSIONS])

    def ask(self) -> None:
        """Somebody asks for what failed."""
        self.reasons += 1
        self.tell(Hint.ASKED)

    def pause(self) -> None:
        """Somebody pauses or resumes it."""
        self.is_paused = not self.is_paused
        self.tell(Hint.PAUSED if self.is_paused else Hint.RESUMED)

    def calm_down(self) -> None:
        """Nothing goes wrong any more but hooks that can't be run, and the alias stays where it is."""
        self.days.is_wild = False
        if self.is_paused:
            self.pause()
        self.alias = self.alias or VERSIONS[1]


@pytest.mark.parametrize("has_hook", [True, False])
@pytest.mark.parametrize("seed", range(30))
def test_days_of_it(seed: int, has_hook: bool) -> None:
    """After moves, failures and crashes a machine would serve half a version, a wrong one, or one that nobody knows."""
    chance = random.Random(f"{seed} {has_hook}")
    world = World(chance, has_hook=has_hook)
    world.look_later()
    world.days.now_and_then(chance.choice([60.0, 600.0, 2 * HOUR]), world.move)
    world.days.now_and_then(4 * HOUR, world.ask)
    world.days.now_and_then(8 * HOUR, world.pause)
    world.days.run(2 * DAY)
    assert world.hooks <= (world.reasons if has_hook else 0), "a hook that failed is tried again and again"
    world.calm_down()
    before = world.steps
    world.days.run(3 * HOUR)
    assert world.steps - before <= 3 * HOUR / 10 + 20, "it tries without a pause"
    assert world.machine.served() == world.served
    assert world.alias in world.whole
    if world.served != world.alias:
        assert world.alias in world.failed
        assert world.machine.state.error is not None
    if world.good is not None and world.good not in world.failed:  # a hook that was run twice may fail the second time
        assert world.served == world.good

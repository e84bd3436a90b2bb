"""Days of pushes in a moment, with crashes, networks that are away, clocks that are set: all comes to the remote."""

from __future__ import annotations

import random

import pytest

from artstore import limits
from artstore_daemon.machine.hours import DAY_S, Hours, parse_hours, until_open
from artstore_daemon.machine.sending import Added, Ended, Event, Hint, Outcome, SendingState
from tests.daemon.driven import DAY, HOUR, Days, DrivenSending


class World:
    """A remote, and a daemon that pushes to it names that somebody makes: numbers, in order."""

    def __init__(self, chance: random.Random, hours: Hours | None) -> None:
        self.chance = chance
        self.machine = DrivenSending(hours=hours)
        self.days = Days(chance, self.machine, due=lambda: self.tell(Hint.DUE))
        self.made = 0
        self.there: dict[int, None] = {}
        self.lost: set[int] = set()
        self.remote = Outcome.DONE  # what comes of a push
        self.pushing: int | None = None
        self.is_paused = False
        self.life = 0  # of the daemon
        self.hints = self.pushes = 0

    # --- the daemon

    def tell(self, event: Event) -> None:
        begun = self.machine.tell(event)
        if begun is None:
            return
        name = int(begun)
        assert self.pushing is None, "two at once"
        assert not self.is_paused
        assert self.machine.hours is None or until_open(self.machine.hours, self.machine.day_s) < 1e-6
        left = (each for each in range(name) if each not in self.lost and each not in self.there)
        assert next(left, None) is None, "it isn't the oldest"
        self.pushing = name
        self.pushes += 1
        life = self.life
        pause = self.chance.choice([1.0, 60.0, HOUR] if self.days.is_wild else [1.0])
        self.days.after(pause * self.chance.random(), lambda: self.end(name) if self.life == life else None)

    def hint(self, event: Event) -> None:
        self.hints += 1
        self.tell(event)

    def end(self, name: int) -> None:
        outcome = self.push(name)
        self.pushing = None
        self.tell(Ended(outcome, error=outcome.value, spread=self.chance.random()))

    def look(self) -> None:
        """The daemon looks at the clock on the wall once in a while."""
        self.tell(Hint.DUE)
        self.days.after(limits.SENDING_LOOK_S, self.look)

    def push(self, name: int) -> Outcome:
        """What comes of it."""
        if self.remote is not Outcome.DONE:
            return self.remote
        if self.days.is_wild and self.chance.random() < 0.1:
            return Outcome.AWAY
        if name in self.lost or (self.days.is_wild and self.chance.random() < 0.05):
            self.lost.add(name)
            return Outcome.LOST
        self.there[name] = None
        return Outcome.DONE

    # --- what happens

    def make(self) -> None:
        """There is a new version."""
        self.made += 1
        self.hint(Added((str(self.made - 1),)))

    def turn(self) -> None:
        """The remote is away, or lets nobody in, or is well."""
        self.remote = self.chance.choice([Outcome.DONE, Outcome.DONE, Outcome.AWAY, Outcome.REFUSED])

    def pause(self) -> None:
        """Somebody pauses or resumes it."""
        self.is_paused = not self.is_paused
        self.hint(Hint.PAUSED if self.is_paused else Hint.RESUMED)

    def set_clock(self) -> None:
        """Somebody sets the clock on the wall."""
        self.machine.noon += self.chance.choice([-DAY_S, DAY_S, -HOUR, 5 * HOUR * self.chance.random()])

    def crash(self) -> None:
        """The daemon is killed, and begins again; what it pushed may have landed."""
        self.life += 1
        if self.pushing is not None and self.chance.random() < 0.3:
            self.push(self.pushing)
        self.pushing, self.is_paused = None, False
        self.machine.state, self.machine.wake = SendingState(), None
        self.hint(Added(tuple(str(name) for name in range(self.made) if name not in self.there)))

    def calm_down(self) -> None:
        """Nothing goes wrong any more."""
        self.days.is_wild, self.remote = False, Outcome.DONE
        if self.is_paused:
            self.pause()
        self.make()


@pytest.mark.parametrize("hours", [None, "22:00-06:00", "12:00-12:30"])
@pytest.mark.parametrize("seed", range(15))
def test_days_of_it(seed: int, hours: str | None) -> None:
    """After a crash, a day without a network or a clock that was set a version would never come to the remote."""
    chance = random.Random(f"{seed} {hours}")
    world = World(chance, None if hours is None else parse_hours(hours))
    world.look()
    world.days.now_and_then(chance.choice([900.0, 2 * HOUR]), world.make)
    world.days.now_and_then(HOUR, world.turn)
    world.days.now_and_then(8 * HOUR, world.pause)
    world.days.now_and_then(8 * HOUR, world.set_clock)
    world.days.now_and_then(chance.choice([HOUR, DAY]), world.crash)
    world.days.now_and_then(4 * HOUR, lambda: world.hint(Hint.ASKED))
    world.days.run(5 * DAY)
    assert world.pushes <= world.hints + world.made + world.machine.now / 20, "it tries without a pause"
    world.calm_down()
    world.days.run(HOUR if hours is None else DAY)
    assert world.machine.state.waiting == ()
    assert list(world.there) == [name for name in range(world.made) if name not in world.lost], "in order of age"
    assert {int(name) for name in world.machine.state.lost} <= world.lost

"""When names are pushed, by a clock that is turned by hand, and another one on the wall."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import assert_never

import pytest

from artstore import limits
from artstore_daemon.machine.hours import DAY_S, Hours, parse_hours, until_open
from artstore_daemon.machine.sending import Added, Ended, Event, Hint, Outcome, Push, SendingState, Wake, step

HOUR = 3600.0
NIGHT = parse_hours("22:00-06:00")


@dataclass
class Machine:
    """A machine, and the time. `wake`: when it wants to be woken; `noon`: when it is noon on the wall."""

    now: float = 1000.0
    noon: float = 1000.0
    hours: Hours | None = None
    state: SendingState = field(default_factory=SendingState)
    wake: float | None = None

    @property
    def day_s(self) -> float:
        return (self.now - self.noon + 12 * HOUR) % DAY_S

    def tell(self, event: Event, *, after: float = 0.0) -> str | None:
        """Tell it of something so many seconds later; the name that it wants to be pushed at once."""
        self.now += after
        self.state, actions = step(self.state, event, now=self.now, day_s=self.day_s, hours=self.hours)
        self.wake = None
        begun: str | None = None
        for action in actions:
            match action:
                case Wake():
                    assert action.at > self.now, "it would be woken for ever"
                    self.wake = action.at
                case Push():
                    begun = action.name
                case _:
                    assert_never(action)
        assert begun is None or self.wake is None
        return begun

    def add(self, *names: str) -> str | None:
        return self.tell(Added(names))

    def end(self, outcome: Outcome, *, after: float = 0.0, spread: float = 1.0) -> str | None:
        """A push has ended."""
        error = None if outcome is Outcome.DONE else outcome.value
        return self.tell(Ended(outcome, error=error, spread=spread), after=after)

    def wait(self) -> tuple[float, str | None]:
        """Wait until it wants to be woken; how long that took, and what it pushes then."""
        assert self.wake is not None
        pause = self.wake - self.now
        return pause, self.tell(Hint.DUE, after=pause)


@pytest.fixture
def machine() -> Machine:
    """One that has nothing to do, at noon."""
    return Machine()


def test_names_are_pushed_one_after_the_other(machine: Machine) -> None:
    """A checkpoint that is needed at last would come after one that is needed no more; or the link would be shared."""
    assert machine.add() is None
    assert machine.add("v1", "v2") == "v1"
    assert machine.add("v3", "v2", "v1") is None
    assert machine.tell(Hint.DUE) is None
    assert machine.tell(Hint.ASKED) is None
    assert machine.end(Outcome.DONE) == "v2"
    assert machine.end(Outcome.DONE) == "v3"
    assert machine.end(Outcome.DONE) is None
    assert machine.state == SendingState()
    assert machine.wake is None


@pytest.mark.parametrize("outcome", [Outcome.AWAY, Outcome.REFUSED])
def test_a_remote_that_is_away_is_tried_for_ever(machine: Machine, outcome: Outcome) -> None:
    """After a day without a network nothing would be pushed any more; or the remote would be asked each second."""
    machine.add("v1", "v2")
    pauses: list[float] = []
    for number in range(300):
        assert machine.end(outcome) is None
        assert machine.state.failures == number + 1
        assert (machine.state.away, machine.state.refused) == (1000.0, outcome is Outcome.REFUSED)
        pause, begun = machine.wait()
        pauses.append(pause)
        assert begun == "v1", "none is pushed before an older one"
    assert pauses[:10] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0]
    assert set(pauses[10:]) == {limits.DAEMON_RETRY_S_MAX}
    assert machine.now > DAY_S / 2
    assert machine.state.error == outcome.value
    assert machine.end(Outcome.DONE) == "v2"
    assert machine.state == SendingState(waiting=("v2",), running=True)


def test_machines_that_failed_together_do_not_come_back_together(machine: Machine) -> None:
    """A service that was down would be asked by a whole fleet at once, and be down again."""
    pauses: set[float] = set()
    for spread in range(11):
        machine = Machine(state=SendingState(waiting=("v1",), running=True, failures=8))
        machine.end(Outcome.AWAY, spread=spread / 10)
        pauses.add(machine.wait()[0])
    assert len(pauses) == 11
    assert min(pauses) == limits.DAEMON_RETRY_S_MIN


def test_a_name_that_is_lost_is_left_out_and_told(machine: Machine) -> None:
    """A name that is another's at the remote would keep all others from being pushed, and nobody would know."""
    machine.add("v1", "v2", "v3")
    machine.end(Outcome.AWAY)
    machine.wait()
    assert machine.end(Outcome.LOST) == "v2"
    assert machine.state.lost == ("v1",)
    assert machine.state.error == "lost"
    assert (machine.state.failures, machine.state.away) == (0, None)
    assert machine.end(Outcome.DONE) == "v3"
    assert machine.add("v1") is None
    assert machine.end(Outcome.DONE) == "v1"
    assert machine.end(Outcome.LOST) is None
    assert machine.state.lost == ("v1",), "it is told once"
    assert machine.add("v1") == "v1"
    machine.end(Outcome.DONE)
    assert machine.state == SendingState()


def test_who_asks_does_not_wait(machine: Machine) -> None:
    """Who has plugged the network in again would wait for five minutes."""
    machine.add("v1")
    machine.end(Outcome.AWAY)
    assert machine.add("v2") is None, "that there is more to push makes the remote no better"
    assert machine.wake == machine.now + 1.0
    assert machine.tell(Hint.ASKED) == "v1"
    machine.tell(Hint.ASKED)
    assert machine.end(Outcome.AWAY) == "v1", "it was asked for while the push hung"
    assert machine.end(Outcome.AWAY) is None
    assert machine.wait() == (4.0, "v1")


def test_pauses(machine: Machine) -> None:
    """Somebody who needs the link for an hour could not have it; or nothing would be pushed after that."""
    machine.add("v1", "v2")
    assert machine.tell(Hint.PAUSED) is None
    assert machine.end(Outcome.DONE) is None, "what has begun ends"
    for event in (Hint.DUE, Hint.ASKED, Added(("v3",))):
        assert machine.tell(event, after=HOUR) is None
        assert machine.wake is None
    assert machine.tell(Hint.RESUMED) == "v2"
    assert machine.tell(Hint.RESUMED) is None
    assert machine.end(Outcome.DONE) == "v3"
    machine.tell(Hint.PAUSED)
    assert machine.end(Outcome.AWAY) is None
    assert machine.wake is None
    assert machine.tell(Hint.RESUMED) == "v3"


def test_hours_over_midnight(machine: Machine) -> None:
    """A link that is needed by day would be filled by day."""
    machine.hours = NIGHT
    assert machine.add("v1", "v2") is None
    assert machine.tell(Hint.ASKED) is None
    assert machine.wait() == (10 * HOUR, "v1")
    assert machine.end(Outcome.DONE, after=7 * HOUR) == "v2"
    assert machine.add("v3") is None
    assert machine.end(Outcome.AWAY, after=2 * HOUR) is None, "what began at night may end by day"
    assert machine.wait() == (15 * HOUR, "v2")
    machine.end(Outcome.AWAY, after=8 * HOUR - 0.5)
    assert machine.wait() == (16 * HOUR + 0.5, "v2"), "it isn't tried again after they have ended"


def test_a_clock_on_the_wall_that_is_set(machine: Machine) -> None:
    """Nothing would be pushed for a day since somebody set the clock, or all of it by day."""
    machine.hours = NIGHT
    machine.add("v1")
    machine.noon += DAY_S  # a day back
    assert machine.tell(Hint.DUE, after=60.0) is None
    assert machine.wake == machine.now + 10 * HOUR - 60.0
    machine.noon -= 9.5 * HOUR
    assert machine.tell(Hint.DUE) is None
    assert machine.wake == machine.now + 0.5 * HOUR - 60.0
    machine.noon -= HOUR
    assert machine.tell(Hint.DUE) == "v1"
    machine.end(Outcome.AWAY)
    machine.noon += 6 * HOUR
    assert machine.tell(Hint.DUE, after=1.0) is None, "by day again"
    assert machine.tell(Hint.DUE, after=6 * HOUR) == "v1"


def test_a_day_with_a_leap_second(machine: Machine) -> None:
    """A daemon would break at a midnight once in a few years."""
    for day_s in (0.0, DAY_S - 1e-9, float(DAY_S), DAY_S + 0.9):
        _, actions = step(SendingState(), Added(("v1",)), now=5.0, day_s=day_s, hours=NIGHT)
        assert actions == (Push("v1"),)


@pytest.mark.parametrize("drift", [1e-12, 1e-9, 1e-6, 0.999])
def test_a_clock_that_is_read_a_little_too_early(machine: Machine, drift: float) -> None:
    """A core would be busy for the second before pushes may begin."""
    machine = Machine(now=1e7, noon=1e7, hours=NIGHT)
    machine.add("v1")
    machine.noon += drift
    steps = 0
    begun: str | None = None
    while begun is None:
        _, begun = machine.wait()
        steps += 1
    assert begun == "v1"
    assert steps <= 3


# --- days of it


@dataclass
class World:
    """A remote, and a daemon that pushes to it names that somebody makes: numbers, in order."""

    chance: random.Random
    machine: Machine
    made: int = 0
    there: dict[int, None] = field(default_factory=dict[int, None])
    lost: set[int] = field(default_factory=set[int])
    pushing: int | None = None
    wild: bool = True
    state: Outcome = Outcome.DONE  # how the remote is
    is_paused: bool = False
    life: int = 0  # of the daemon
    pushes: int = 0
    hints: int = 0
    queue: list[tuple[float, int, Callable[[], None]]] = field(
        default_factory=list[tuple[float, int, Callable[[], None]]]
    )
    order: count[int] = field(default_factory=count)

    def run(self, until: float) -> None:
        """Let time pass; the clock on the wall is looked at once a minute."""
        machine = self.machine
        while machine.now < until:
            at = min(until, machine.now + limits.SENDING_LOOK_S, machine.wake or until)
            if self.queue and self.queue[0][0] <= at:
                machine.now, _, happen = heappop(self.queue)
                happen()
            else:
                machine.now = at
                self.tell(Hint.DUE)

    def after(self, pause: float, happen: Callable[[], None]) -> None:
        heappush(self.queue, (self.machine.now + pause, next(self.order), happen))

    def again(self, mean: float, happen: Callable[[], None]) -> None:
        """Now and then, as long as the world is wild."""

        def once() -> None:
            if self.wild:
                happen()
                self.again(mean, happen)

        self.after(self.chance.expovariate(1 / mean), once)

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
        pause = self.chance.choice([1.0, 60.0, HOUR] if self.wild else [1.0])
        self.after(pause * self.chance.random(), lambda: self.end(name, life))

    def end(self, name: int, life: int) -> None:
        """A push ends, if the daemon that began it is still there."""
        if self.life != life:
            return
        outcome = self.outcome(name)
        self.pushing = None
        self.tell(Ended(outcome, error=outcome.value, spread=self.chance.random()))

    def outcome(self, name: int) -> Outcome:
        if self.state is not Outcome.DONE:
            return self.state
        if self.wild and self.chance.random() < 0.1:
            return Outcome.AWAY
        if name in self.lost or (self.wild and self.chance.random() < 0.05):
            self.lost.add(name)
            return Outcome.LOST
        self.there[name] = None
        return Outcome.DONE

    # --- what happens

    def make(self) -> None:
        self.made += 1
        self.hint(Added((str(self.made - 1),)))

    def hint(self, event: Event) -> None:
        self.hints += 1
        self.tell(event)

    def turn(self) -> None:
        """The remote is away, or lets nobody in, or is back."""
        self.state = self.chance.choice([Outcome.DONE, Outcome.DONE, Outcome.AWAY, Outcome.REFUSED])

    def pause(self) -> None:
        self.is_paused = not self.is_paused
        self.hint(Hint.PAUSED if self.is_paused else Hint.RESUMED)

    def set_clock(self) -> None:
        self.machine.noon += self.chance.choice([-DAY_S, DAY_S, -HOUR, 5 * HOUR * self.chance.random()])

    def crash(self) -> None:
        """Killed, and begun again: what isn't at the remote is to be pushed. The push may have landed."""
        self.life += 1
        if self.pushing is not None and self.chance.random() < 0.3:
            self.outcome(self.pushing)
        self.pushing, self.is_paused = None, False
        self.machine.state, self.machine.wake = SendingState(), None
        self.hint(Added(tuple(str(name) for name in range(self.made) if name not in self.there)))


@pytest.mark.parametrize("hours", [None, "22:00-06:00", "12:00-12:30"])
@pytest.mark.parametrize("seed", range(8))
def test_days_of_it(seed: int, hours: str | None) -> None:
    """After a crash, a day without a network or a clock that was set a version would never come to the remote."""
    chance = random.Random(f"{seed} {hours}")
    machine = Machine(hours=None if hours is None else parse_hours(hours))
    world = World(chance, machine)
    for mean, happen in (
        (chance.choice([900.0, 2 * HOUR]), world.make),
        (HOUR, world.turn),
        (8 * HOUR, world.pause),
        (8 * HOUR, world.set_clock),
        (chance.choice([HOUR, DAY_S]), world.crash),
        (4 * HOUR, lambda: world.hint(Hint.ASKED)),
    ):
        world.again(mean, happen)
    world.run(3 * DAY_S)
    world.wild, world.state = False, Outcome.DONE
    if world.is_paused:
        world.pause()
    world.make()
    world.run(machine.now + (HOUR if hours is None else DAY_S))
    assert machine.state.waiting == ()
    assert list(world.there) == [name for name in range(world.made) if name not in world.lost]
    assert world.pushes <= world.hints + len(world.there) + machine.now / 20
    assert {int(name) for name in machine.state.lost} <= world.lost

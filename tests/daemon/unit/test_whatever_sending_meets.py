"""Whatever happens to pushes, in whatever order, whatever the clock on the wall says: all come, the oldest first."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore import limits
from artstore_daemon.machine.hours import DAY_S, Hours, parse_hours, until_open
from artstore_daemon.machine.sending import Ended, Hint, Outcome
from tests.daemon.driven import DAY, HOUR, DrivenSending

Happening = Hint | Ended | float | str

# What matters happens more often than what doesn't. `wait`: until it wants to be woken.
LIKELY: tuple[Happening, ...] = (
    *("made", "made", "wait", "wait", "wait"),
    *(Hint.ASKED, Hint.PAUSED, Hint.RESUMED, Hint.RESUMED, Hint.DUE),
    *(4 * (Ended(Outcome.DONE),)),
    *(2 * (Ended(Outcome.AWAY), Ended(Outcome.REFUSED, spread=0.0))),
    *(Ended(Outcome.LOST), Ended(Outcome.AWAY, spread=0.3)),
    *("an hour forth", "an hour back", "a day forth", "a day back"),
    *(0.0, 0.5, 30.0, HOUR, 7.3 * HOUR),
)
happenings = st.lists(st.sampled_from(LIKELY), min_size=20, max_size=50)
hours = st.sampled_from([None, *map(parse_hours, ("22:00-06:00", "12:00-12:01", "23:59-00:00", "06:00-05:59"))])
SET = {"an hour forth": -HOUR, "an hour back": HOUR, "a day forth": -DAY_S, "a day back": DAY_S}


@dataclass
class Watched:
    """A remote, and what decides when names are pushed to it: numbers. `asked`: since the push under way began."""

    machine: DrivenSending
    made: int = 0
    ended: list[int] = field(default_factory=list[int])
    pushing: int | None = None
    asked: bool = False

    def happen(self, happening: Happening) -> None:
        match happening:
            case "made":
                self.made += 1
                self.take(self.machine.add(str(self.made - 1)))
            case "wait":
                if self.machine.wake is not None:
                    self.pass_time(self.machine.wake - self.machine.now)
            case float() | int():
                self.pass_time(happening)
            case str():  # somebody sets the clock, or summer ends
                self.machine.noon += SET[happening]
                self.pass_time(limits.SENDING_LOOK_S)
            case Ended():
                if self.pushing is not None:
                    self.end(happening)
            case Hint():
                self.asked = self.asked or happening in (Hint.ASKED, Hint.RESUMED)
                self.take(self.machine.tell(happening))

    def pass_time(self, pause: float) -> None:
        """Let time pass, and wake it whenever it wants; the clock on the wall isn't set meanwhile."""
        machine, until = self.machine, self.machine.now + pause
        steps = 0
        while machine.wake is not None and machine.wake <= until:
            machine.now = machine.wake
            self.take(machine.tell(Hint.DUE))
            steps += 1
            assert steps < 5, "it is woken in vain"
        machine.now = until
        self.take(machine.tell(Hint.DUE))

    def end(self, ended: Ended) -> None:
        """A push has ended."""
        machine, before = self.machine, self.machine.state
        assert self.pushing is not None
        name, asked = self.pushing, self.asked
        self.pushing = None
        if ended.outcome in (Outcome.DONE, Outcome.LOST):
            self.ended.append(name)
        begun = machine.tell(ended)
        after = machine.state
        if ended.outcome in (Outcome.DONE, Outcome.LOST):
            assert (after.failures, after.away, after.refused) == (0, None, False)
        else:
            assert begun is None or asked, "it is tried again without a pause"
            assert (after.failures, after.error) == (before.failures + 1, ended.error)
            if machine.wake is not None:
                pause = min(2.0 ** min(before.failures, 20), limits.DAEMON_RETRY_S_MAX) * ended.spread
                assert asked or machine.wake >= machine.now + max(limits.DAEMON_RETRY_S_MIN, pause)
        self.take(begun)

    def take(self, begun: str | None) -> None:
        """It wants this to be done."""
        machine, state = self.machine, self.machine.state
        if begun is not None:
            assert self.pushing is None, "two at once"
            assert not state.paused
            assert int(begun) == len(self.ended), "it isn't the oldest"
            assert machine.hours is None or until_open(machine.hours, machine.day_s) == 0
            self.pushing, self.asked = int(begun), False
        assert state.running == (self.pushing is not None)
        assert state.waiting == tuple(map(str, range(len(self.ended), self.made)))
        if not (state.running or state.paused):
            assert (machine.wake is not None) == bool(state.waiting), "it is forgotten, or is woken for nothing"
            if machine.wake is not None:
                assert machine.wake <= machine.now + DAY + limits.DAEMON_RETRY_S_MAX


@settings(max_examples=150, derandomize=True, database=None)
@given(happenings, hours)
def test_whatever_happens(happenings: list[Happening], hours: Hours | None) -> None:
    """A version would never come to the remote, or before an older one, or by day, or a core be busy."""
    world = Watched(DrivenSending(hours=hours))
    for happening in happenings:
        world.happen(happening)
    world.happen(Hint.RESUMED)
    for _ in range(2 * world.made + 2):
        world.happen("wait" if world.pushing is None else Ended(Outcome.DONE))
    assert world.ended == list(range(world.made))


@pytest.mark.parametrize(("change", "night"), [(-HOUR, 7 * HOUR), (HOUR, 9 * HOUR)])
def test_nights_in_which_summer_begins_and_ends(change: float, night: float) -> None:
    """Pushes would go on into the day after that night, or begin an hour late the next evening."""
    machine = DrivenSending(now=0.0, noon=0.0, hours=parse_hours("22:00-06:00"))
    begun: list[float] = []
    while machine.now < 2 * DAY:
        if machine.state.running:
            machine.end(Outcome.DONE)
        if machine.tell(Hint.DUE, after=limits.SENDING_LOOK_S) or machine.add("v"):
            begun.append(machine.now)
        if machine.now == 14 * HOUR:  # 2 o'clock
            machine.noon = change
    nights = [[at for at in begun if at < DAY], [at for at in begun if at >= DAY]]
    for each, pause in zip(nights, (night, 8 * HOUR), strict=True):
        assert 0 <= pause - (each[-1] - each[0]) <= 2 * limits.SENDING_LOOK_S
    assert begun[0] == 10 * HOUR
    assert nights[1][0] == DAY + 10 * HOUR + change

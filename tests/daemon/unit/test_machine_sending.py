"""When names are pushed, by a clock that is turned by hand, and another one on the wall."""

from __future__ import annotations

import pytest

from artstore import limits
from artstore_daemon.machine.hours import DAY_S, parse_hours
from artstore_daemon.machine.sending import Added, Hint, Outcome, Push, SendingState, Unpushed, step
from tests.daemon.driven import HOUR, DrivenSending

NIGHT = parse_hours("22:00-06:00")


@pytest.fixture
def machine() -> DrivenSending:
    """One that has nothing to do, at noon."""
    return DrivenSending()


def test_names_are_pushed_one_after_the_other(machine: DrivenSending) -> None:
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
def test_a_remote_that_is_away_is_tried_for_ever(machine: DrivenSending, outcome: Outcome) -> None:
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


def test_machines_that_failed_together_do_not_come_back_together(machine: DrivenSending) -> None:
    """A service that was down would be asked by a whole fleet at once, and be down again."""
    pauses: set[float] = set()
    for spread in range(11):
        machine = DrivenSending(state=SendingState(waiting=("v1",), running=True, failures=8))
        machine.end(Outcome.AWAY, spread=spread / 10)
        pauses.add(machine.wait()[0])
    assert len(pauses) == 11
    assert min(pauses) == limits.DAEMON_RETRY_S_MIN


def test_a_name_that_is_lost_is_left_out_and_told(machine: DrivenSending) -> None:
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


def test_who_asks_does_not_wait(machine: DrivenSending) -> None:
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


def test_pauses(machine: DrivenSending) -> None:
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


def test_hours_over_midnight(machine: DrivenSending) -> None:
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


def test_a_clock_on_the_wall_that_is_set(machine: DrivenSending) -> None:
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


def test_a_day_with_a_leap_second(machine: DrivenSending) -> None:
    """A daemon would break at a midnight once in a few years."""
    for day_s in (0.0, DAY_S - 1e-9, float(DAY_S), DAY_S + 0.9):
        _, actions = step(SendingState(), Added(("v1",)), now=5.0, day_s=day_s, hours=NIGHT)
        assert actions == (Push("v1"),)


@pytest.mark.parametrize("drift", [1e-12, 1e-9, 1e-6, 0.999])
def test_a_clock_that_is_read_a_little_too_early(machine: DrivenSending, drift: float) -> None:
    """A core would be busy for the second before pushes may begin."""
    machine = DrivenSending(now=1e7, noon=1e7, hours=NIGHT)
    machine.add("v1")
    machine.noon += drift
    steps = 0
    begun: str | None = None
    while begun is None:
        _, begun = machine.wait()
        steps += 1
    assert begun == "v1"
    assert steps <= 3


def test_what_was_left_out_and_removed_is_over() -> None:
    """With `--keep-last` the names that the remote refuses would be told, and kept in memory, for months."""
    state = SendingState(lost=("v1", "v2"), paused=True)
    added, _ = step(state, Added(("v3",)), now=5.0, day_s=0.0, hours=None)
    assert (added.waiting, added.lost) == (("v3",), ("v1", "v2"))
    found, _ = step(added, Unpushed(("v2", "v3")), now=5.0, day_s=0.0, hours=None)
    assert (found.waiting, found.lost) == (("v3", "v2"), ("v2",))

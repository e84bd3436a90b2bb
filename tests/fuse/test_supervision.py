"""When a mount is looked at, given up on, started again: without a mount and without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore_fuse.supervision import Action, Event, Pace, Phase, State, begin, step

PACE = Pace(probe_s=10, failures_max=3, dump_s=1, ready_s=60, end_s=5, restarts_max=3, window_s=300)


def after(*events: Event | tuple[Event, float]) -> tuple[State, list[Action]]:
    """The state after these events, each at its time (else right when the state wakes), and all actions."""
    state, actions = begin(0.0, PACE)
    done, now = list(actions), 0.0
    for event in events:
        event, now = event if isinstance(event, tuple) else (event, state.wake_at if event is Event.TICK else now)
        state, actions = step(state, event, now, PACE)
        done += actions
    return state, done


def test_a_mount_that_answers_is_looked_at_for_ever() -> None:
    """A supervisor that looked only once would miss the hang of the next day."""
    state, done = after(Event.READY, *[Event.TICK, Event.ANSWERED] * 50)
    assert state.phase is Phase.RUNNING
    assert done == [Action.START, *[Action.PROBE] * 50]


def test_one_slow_answer_is_forgiven() -> None:
    """A machine that sleeps or swaps must not lose its mount."""
    look = [Event.TICK, Event.SILENT, Event.TICK, Event.TICK, Event.TICK, Event.ANSWERED]
    state, done = after(Event.READY, *look, *look)
    assert state.phase is Phase.RUNNING
    assert set(done) == {Action.START, Action.PROBE}


def test_a_mount_that_hangs_tells_where_and_is_replaced() -> None:
    """Programs that wait for it get an error, and the next ones a mount that works."""
    silent = [Event.TICK, Event.SILENT] * 3
    state, done = after(Event.READY, *silent, Event.TICK, Event.ENDED_WELL, Event.TICK, Event.READY)
    assert state.phase is Phase.RUNNING
    assert [action for action in done if action is not Action.PROBE] == [
        Action.START,
        Action.DUMP,
        Action.ABORT,
        Action.START,
    ]


def test_a_server_that_was_unmounted_is_left_in_peace() -> None:
    """What a user has unmounted must not come back."""
    state, done = after(Event.READY, Event.TICK, Event.ENDED_WELL)
    assert (state.phase, state.exit_code) == (Phase.LEFT, 0)
    assert done == [Action.START, Action.PROBE]


def test_a_server_that_never_was_ready_is_not_tried_again() -> None:
    """An error of the start is told at once, not five times."""
    state, done = after(Event.ENDED_BADLY)
    assert (state.phase, state.exit_code) == (Phase.LEFT, 1)
    assert done == [Action.START]


def test_crashes_are_answered_with_longer_pauses_and_an_end() -> None:
    """A server that crashes at each request must not keep the machine busy."""
    crash = [Event.ENDED_BADLY, Event.TICK, Event.READY]
    state, done = after(Event.READY, *crash * 3, Event.ENDED_BADLY)
    assert (state.phase, state.exit_code) == (Phase.LEFT, 1)
    assert done.count(Action.START) == 4
    assert state.restarts == (0.0, 0.0, 1.0)


def test_old_crashes_are_forgotten() -> None:
    """One crash a day is no reason to give up after a week."""
    day = 86_400.0
    events = [((Event.ENDED_BADLY, number * day), Event.TICK, Event.READY) for number in range(1, 20)]
    state, _ = after(Event.READY, *[event for group in events for event in group])
    assert state.phase is Phase.RUNNING
    assert len(state.restarts) == 1


@pytest.mark.parametrize("before", [[], [Event.READY], [Event.READY, Event.TICK]])
def test_a_stop_is_gentle_and_then_is_not(before: list[Event]) -> None:
    """A service manager's stop ends the mount even when its server doesn't listen."""
    state, done = after(*before, Event.STOP, Event.TICK, Event.ENDED_BADLY)
    assert done[-2:] == [Action.TERMINATE, Action.ABORT]
    assert (state.phase, state.exit_code) == (Phase.LEFT, 0)


def test_a_stop_between_two_starts_is_the_end() -> None:
    """Nothing runs then, and nothing may be started any more."""
    state, _ = after(Event.READY, Event.ENDED_BADLY, Event.STOP)
    assert state.phase is Phase.LEFT


def test_a_mount_of_somebody_else_is_theirs() -> None:
    """Two supervisors of one mount would start two servers."""
    state, _ = after(Event.READY, Event.ENDED_BADLY, Event.TICK, Event.UNWANTED)
    assert (state.phase, state.exit_code) == (Phase.LEFT, 0)


@given(st.lists(st.tuples(st.sampled_from(Event), st.floats(0, 100)), max_size=60))
def test_no_order_of_events_starts_two_servers(events: list[tuple[Event, float]]) -> None:
    """However signals, probes and ends come: a server is started only when there is none."""
    state, actions = begin(0.0, PACE)
    running, now = True, 0.0
    for event, later in events:
        now += later
        if event in (Event.ENDED_WELL, Event.ENDED_BADLY):
            if not running:
                continue
            running = False
        state, actions = step(state, event, now, PACE)
        if Action.START in actions:
            assert not running
            running = True
        assert not (state.phase is Phase.LEFT and actions)

"""When a mount is looked at, when it counts as hung, when it is started again: decided purely.

`step(state, event, now, pace) -> (state, actions)`; `supervisor` does the actions and finds the events. A mount that
ends in peace is left alone; one that crashes or hangs is started again, with growing pauses, and given up when that
happens too often.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Final

from artstore import limits


class Phase(enum.Enum):
    """What the server is doing."""

    STARTING = "starting"
    RUNNING = "running"
    PROBING = "probing"  # running, and looked at right now
    HUNG = "hung"  # told to write its stacks
    STOPPING = "stopping"
    PAUSING = "pausing"  # gone, and started again later
    LEFT = "left"  # nothing is left to be supervised


class Event(enum.Enum):
    """What happened."""

    READY = "ready"
    UNWANTED = "unwanted"  # a user took it away, or this store is mounted there by another supervisor
    ENDED_WELL = "ended well"
    ENDED_BADLY = "ended badly"
    ANSWERED = "answered"
    SILENT = "silent"
    STOP = "stop"
    TICK = "tick"  # `wake_at` has come


class Action(enum.Enum):
    """What is to be done."""

    START = "start"
    PROBE = "probe"
    DUMP = "dump"
    ABORT = "abort"
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long; seconds."""

    probe_s: float = limits.MOUNT_PROBE_S
    again_s: float = limits.MOUNT_PROBE_AGAIN_S
    failures_max: int = limits.MOUNT_PROBE_FAILURES_MAX
    dump_s: float = limits.MOUNT_DUMP_S
    ready_s: float = limits.MOUNT_READY_S_MAX
    end_s: float = 2 * limits.MOUNT_END_S_MAX
    restarts_max: int = limits.MOUNT_RESTARTS_MAX
    window_s: float = limits.MOUNT_RESTART_WINDOW_S


@dataclass(frozen=True, slots=True)
class State:
    """One mount. `wake_at`: when a TICK is due; `restarts`: when it was started again, lately; `exit_code` of LEFT."""

    phase: Phase
    wake_at: float
    failures: int = 0
    restarts: tuple[float, ...] = ()
    was_ready: bool = False
    exit_code: int = 0


Step = tuple[State, tuple[Action, ...]]
_RESTARTED: Final = frozenset({Phase.RUNNING, Phase.PROBING, Phase.HUNG, Phase.STARTING})


def begin(now: float, pace: Pace) -> Step:
    """The first step."""
    return State(Phase.STARTING, now + pace.ready_s), (Action.START,)


def step(state: State, event: Event, now: float, pace: Pace) -> Step:
    """What follows from an event; events that don't fit the phase change nothing."""
    match event:
        case Event.READY:
            ready = replace(state, phase=Phase.RUNNING, wake_at=now + pace.probe_s, failures=0, was_ready=True)
            return (ready, ()) if state.phase is Phase.STARTING else (state, ())
        case Event.UNWANTED:
            return _left(state, 0)
        case Event.STOP:
            return _stop(state, now, pace)
        case Event.ENDED_WELL | Event.ENDED_BADLY:
            return _ended(state, now, pace, well=event is Event.ENDED_WELL)
        case Event.ANSWERED | Event.SILENT if state.phase is Phase.PROBING:
            return _probed(state, now, pace, answered=event is Event.ANSWERED)
        case Event.TICK if now >= state.wake_at:
            return _tick(state, now, pace)
        case _:
            return state, ()


def _tick(state: State, now: float, pace: Pace) -> Step:
    match state.phase:
        case Phase.RUNNING:
            return replace(state, phase=Phase.PROBING, wake_at=now + pace.probe_s), (Action.PROBE,)
        case Phase.PROBING:
            return _probed(state, now, pace, answered=False)
        case Phase.PAUSING:
            return replace(state, phase=Phase.STARTING, wake_at=now + pace.ready_s), (Action.START,)
        case Phase.STARTING | Phase.HUNG | Phase.STOPPING:
            return replace(state, wake_at=now + pace.end_s), (Action.ABORT,)
        case Phase.LEFT:
            return state, ()


def _probed(state: State, now: float, pace: Pace, *, answered: bool) -> Step:
    failures = 0 if answered else state.failures + 1
    if failures >= pace.failures_max:
        return replace(state, phase=Phase.HUNG, wake_at=now + pace.dump_s, failures=0), (Action.DUMP,)
    wait_s = pace.again_s if failures else pace.probe_s
    return replace(state, phase=Phase.RUNNING, wake_at=now + wait_s, failures=failures), ()


def _stop(state: State, now: float, pace: Pace) -> Step:
    if state.phase in (Phase.PAUSING, Phase.LEFT):
        return _left(state, 0)
    if state.phase is Phase.STOPPING:
        return state, ()
    return replace(state, phase=Phase.STOPPING, wake_at=now + pace.end_s), (Action.TERMINATE,)


def _ended(state: State, now: float, pace: Pace, *, well: bool) -> Step:
    """Unmounted, stopped, never ready: that is the end. Crashed or hung: once more, first at once, then later."""
    if state.phase is Phase.STOPPING or (well and state.phase in (Phase.RUNNING, Phase.PROBING)):
        return _left(state, 0)
    recent = tuple(moment for moment in state.restarts if now - moment < pace.window_s)
    if state.phase not in _RESTARTED or not state.was_ready or len(recent) >= pace.restarts_max:
        return _left(state, 1)
    pause = float((1 << len(recent)) - 1)
    return replace(state, phase=Phase.PAUSING, wake_at=now + pause, restarts=(*recent, now)), ()


def _left(state: State, exit_code: int) -> Step:
    return replace(state, phase=Phase.LEFT, exit_code=exit_code), ()

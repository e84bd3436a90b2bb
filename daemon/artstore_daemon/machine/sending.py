"""When names are pushed to one remote: one after the other, oldest first, for as long as it takes.

A name that was refused for good is told and left out; a remote that can't be reached, or that lets nobody in, is tried
again and again, less and less often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from artstore_daemon.machine.backoff import retry_at
from artstore_daemon.machine.hours import DAY_S, Hours, until_open


@dataclass(frozen=True, slots=True)
class Added:
    """These names are to be pushed, in this order, behind those that wait already."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unpushed(Added):
    """The same of all that the remote isn't known to have: a name that was left out, and was removed since, is over."""


class Hint(Enum):
    """What is said of the sending as such."""

    ASKED = "asked"  # now, whatever went wrong before
    PAUSED = "paused"
    RESUMED = "resumed"
    DUE = "due"


class Outcome(Enum):
    """How a push ended."""

    DONE = "done"
    LOST = "lost"  # the name is another's there, or what it names is damaged here
    AWAY = "away"  # the remote can't be reached, or can't do it now
    REFUSED = "refused"  # it wants something else: rights, room, a bucket


@dataclass(frozen=True, slots=True)
class Ended:
    """A push has ended; `spread`: a random number of 0..1, for when it is tried again."""

    outcome: Outcome
    error: str | None = None
    spread: float = 1.0


Event = Added | Hint | Ended


@dataclass(frozen=True, slots=True)
class Push:
    """Push this name now."""

    name: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Tell `DUE` at this time, unless another `Wake` says otherwise."""

    at: float


Action = Push | Wake


@dataclass(frozen=True, slots=True)
class SendingState:
    """`waiting`: names, the next one first; it is `running` if it is being pushed, and `asked` if somebody asked for it
    meanwhile. `away`: since when it fails. `lost`: names that are left out, until
    they are pushed after all, or removed.
    """

    waiting: tuple[str, ...] = ()
    running: bool = False
    asked: bool = False
    failures: int = 0
    away: float | None = None
    not_before: float | None = None
    error: str | None = None
    refused: bool = False
    paused: bool = False
    lost: tuple[str, ...] = ()


def step(
    state: SendingState, event: Event, *, now: float, day_s: float, hours: Hours | None
) -> tuple[SendingState, Sequence[Action]]:
    """The state after an event, and what is to be done. `day_s`: seconds since midnight, as people here count them;
    `hours`: when pushes may begin, None for always.
    """
    assert 0 <= day_s < DAY_S + 1
    return _decide(_take(state, event, now=now), now=now, day_s=day_s, hours=hours)


def _take(state: SendingState, event: Event, *, now: float) -> SendingState:
    match event:
        case Added():
            waiting = tuple(dict.fromkeys((*state.waiting, *event.names)))
            lost = tuple(name for name in state.lost if name in event.names or not isinstance(event, Unpushed))
            return replace(state, waiting=waiting, lost=lost)
        case Hint.ASKED:
            return replace(state, asked=state.running, not_before=None)
        case Hint.PAUSED:
            return replace(state, paused=True)
        case Hint.RESUMED:
            return replace(state, paused=False, asked=state.running, not_before=None)
        case Hint.DUE:
            return state
        case Ended():
            return _ended(state, event, now=now)
        case _:
            assert_never(event)


def _ended(state: SendingState, event: Ended, *, now: float) -> SendingState:
    assert state.running
    ended = replace(state, running=False, asked=False)
    match event.outcome:
        case Outcome.DONE | Outcome.LOST:
            name, *rest = state.waiting
            lost = [each for each in state.lost if each != name]
            return replace(
                ended,
                waiting=tuple(rest),
                lost=(*lost, name) if event.outcome is Outcome.LOST else tuple(lost),
                failures=0,
                away=None,
                not_before=None,
                refused=False,
                error=event.error,
            )
        case Outcome.AWAY | Outcome.REFUSED:
            failures = state.failures + 1
            later = retry_at(failures, now=now, spread=event.spread)
            return replace(
                ended,
                failures=failures,
                away=now if state.away is None else state.away,
                not_before=None if state.asked else later,  # whoever asks may have mended it
                refused=event.outcome is Outcome.REFUSED,
                error=event.error,
            )
        case _:
            assert_never(event.outcome)


def _decide(
    state: SendingState, *, now: float, day_s: float, hours: Hours | None
) -> tuple[SendingState, Sequence[Action]]:
    if state.running or state.paused or not state.waiting:
        return state, ()
    due = now if state.not_before is None else max(now, state.not_before)
    if hours is not None:
        due += until_open(hours, (day_s + due - now) % DAY_S)
    if due > now:
        return state, (Wake(due),)
    return replace(state, running=True, not_before=None), (Push(state.waiting[0]),)

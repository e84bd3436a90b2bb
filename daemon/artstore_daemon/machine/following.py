"""How one follower goes along with an alias: fetch what it names, switch, run the hook; and back if the hook fails.

An alias is never moved from here. What a follower does not manage concerns this machine alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from artstore_daemon.machine.backoff import retry_at


class Phase(Enum):
    """What is under way."""

    RESTING = "resting"
    FETCHING = "fetching"
    SWITCHING = "switching"
    HOOKING = "hooking"
    RETURNING = "returning"  # to where it was before, since the hook failed


class Hint(Enum):
    """What is said of the following as such."""

    ASKED = "asked"  # try again what failed
    PAUSED = "paused"
    RESUMED = "resumed"
    DUE = "due"


@dataclass(frozen=True, slots=True)
class Seen:
    """The alias names this version; None: there is no such alias any more."""

    version: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """What was to be done is done, or failed; `spread`: a random number of 0..1, for when it is tried again."""

    error: str | None = None
    spread: float = 1.0


Event = Hint | Seen | Ended


@dataclass(frozen=True, slots=True)
class Fetch:
    """Have all of this version here."""

    version: str


@dataclass(frozen=True, slots=True)
class Switch:
    """Serve this version from now on."""

    version: str


@dataclass(frozen=True, slots=True)
class Hook:
    """Tell those who use it. It may be told twice, if the daemon is killed meanwhile."""

    old: str | None
    new: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Tell `DUE` at this time, unless another `Wake` says otherwise."""

    at: float


Action = Fetch | Switch | Hook | Wake


@dataclass(frozen=True, slots=True)
class FollowState:
    """`current`: the version that is served, `previous`: the one before; `wanted`: what the alias names; `target`: what
    is under way; `bad`: the version whose hook failed, which isn't tried again by itself. All but the last five lasts.
    """

    current: str | None = None
    previous: str | None = None
    target: str | None = None
    bad: str | None = None
    phase: Phase = Phase.RESTING
    wanted: str | None = None
    failures: int = 0
    not_before: float | None = None
    error: str | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """`has_hook`: is there anybody to be told?"""

    has_hook: bool


def resume(state: FollowState) -> tuple[FollowState, Sequence[Action]]:
    """What a daemon that was killed has left, and what is to be done again. Each step may be taken twice."""
    if state.phase is Phase.FETCHING or state.target is None:
        return replace(state, phase=Phase.RESTING, target=None), ()
    if state.phase is Phase.HOOKING:
        return state, (Hook(state.previous, state.target),)
    if state.phase in (Phase.SWITCHING, Phase.RETURNING):
        return state, (Switch(state.target),)
    return state, ()


def step(state: FollowState, event: Event, *, now: float, rules: Rules) -> tuple[FollowState, Sequence[Action]]:
    """The state after an event, and what is to be done about it."""
    match event:
        case Seen():
            return _decide(_seen(state, event.version), now=now)
        case Hint.ASKED:
            return _decide(replace(state, bad=None, not_before=None), now=now)
        case Hint.PAUSED:
            return replace(state, paused=True), ()
        case Hint.RESUMED:
            return _decide(replace(state, paused=False, not_before=None), now=now)
        case Hint.DUE:
            return _decide(state, now=now)
        case Ended():
            return _ended(state, event, now=now, rules=rules)
        case _:
            assert_never(event)


def _seen(state: FollowState, version: str | None) -> FollowState:
    if version is None:
        return replace(state, wanted=None, error="there is no such alias any more")
    if version == state.wanted:
        return state
    return replace(state, wanted=version, failures=0, not_before=None, error=None)


def _ended(state: FollowState, event: Ended, *, now: float, rules: Rules) -> tuple[FollowState, Sequence[Action]]:
    target = state.target
    assert target is not None
    match state.phase:
        case Phase.FETCHING:
            if event.error is not None:
                return _decide(_failed(state, event, now), now=now)
            if state.wanted not in (target, None):  # it has moved on
                return _decide(replace(state, phase=Phase.RESTING, target=None), now=now)
            return replace(state, phase=Phase.SWITCHING), (Switch(target),)
        case Phase.SWITCHING:
            if event.error is not None:
                return _decide(_failed(state, event, now), now=now)
            switched = replace(state, current=target, previous=state.current, failures=0, error=None)
            if rules.has_hook:
                return replace(switched, phase=Phase.HOOKING), (Hook(switched.previous, target),)
            return _decide(replace(switched, phase=Phase.RESTING, target=None), now=now)
        case Phase.HOOKING:
            rested = replace(state, phase=Phase.RESTING, target=None)
            if event.error is None:
                return _decide(replace(rested, bad=None), now=now)
            told = replace(rested, bad=target, error=event.error)
            if state.previous is None:  # there is nothing to go back to
                return _decide(told, now=now)
            return replace(told, phase=Phase.RETURNING, target=state.previous), (Switch(state.previous),)
        case Phase.RETURNING:
            if event.error is not None:  # it was served a moment ago: it is tried until it is served again
                later = _failed(state, event, now)
                return replace(later, phase=Phase.RETURNING, target=target), (Wake(later.not_before or now),)
            back = replace(state, current=target, previous=None, phase=Phase.RESTING, target=None, failures=0)
            return _decide(back, now=now)
        case Phase.RESTING:
            raise AssertionError("nothing was under way")
        case _:
            assert_never(state.phase)


def _failed(state: FollowState, event: Ended, now: float) -> FollowState:
    failures = state.failures + 1
    return replace(
        state,
        phase=Phase.RESTING,
        target=None,
        failures=failures,
        not_before=retry_at(failures, now=now, spread=event.spread),
        error=event.error,
    )


def _decide(state: FollowState, *, now: float) -> tuple[FollowState, Sequence[Action]]:
    if state.phase is Phase.RETURNING:
        if state.not_before is None or now < state.not_before or state.target is None:
            return state, ()
        return replace(state, not_before=None), (Switch(state.target),)
    if state.phase is not Phase.RESTING or state.paused:
        return state, ()
    if state.wanted is None or state.wanted in (state.current, state.bad):
        return state, ()
    if state.not_before is not None and now < state.not_before:
        return state, (Wake(state.not_before),)
    return replace(state, phase=Phase.FETCHING, target=state.wanted, not_before=None), (Fetch(state.wanted),)

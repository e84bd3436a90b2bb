"""How one follower goes along with an alias: fetch what it names, switch, run the hook; and back if the hook fails.

An alias is never moved from here. What a follower does not manage concerns this machine alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, assert_never

from artstore import limits
from artstore_daemon.machine.backoff import retry_at

_HOOK_FAILED: Final = "its hook failed; it isn't tried again until that is asked for"


class Phase(Enum):
    """What is under way."""

    RESTING = "resting"
    FETCHING = "fetching"
    SWITCHING = "switching"
    HOOKING = "hooking"
    RETURNING = "returning"  # to where it was before, since the hook failed, or switching did


class Hint(Enum):
    """What is said of the following as such."""

    ASKED = "asked"  # try again what failed
    PAUSED = "paused"
    RESUMED = "resumed"
    DUE = "due"


@dataclass(frozen=True, slots=True)
class Seen:
    """The alias names this version; None: there is no such alias."""

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
    """`current`: the version that is served, None if nobody knows; `previous`: the one before, whose hook hasn't failed
    as far as that is known; `target`: what is under way, or, at rest, has yet to be returned to; `bad`: the version
    whose hook failed, which isn't tried again by itself, and is left if it is served; `wanted`: what the alias names;
    `asked`: what failed, or will have failed, is to be tried again. All but the last six lasts.
    """

    current: str | None = None
    previous: str | None = None
    target: str | None = None
    bad: str | None = None
    phase: Phase = Phase.RESTING
    wanted: str | None = None
    asked: bool = False
    failures: int = 0
    not_before: float | None = None
    error: str | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """`has_hook`: is there anybody to be told?"""

    has_hook: bool


Step = tuple[FollowState, Sequence[Action]]


def resume(state: FollowState) -> Step:
    """What a daemon that was killed has left, and what is to be done again. Each step may be taken twice."""
    if state.target is None or state.phase is Phase.FETCHING:
        rested = _rested(state)
        return _back(rested) or (rested, ())
    return _begin(state, Phase.RETURNING if state.phase is Phase.RESTING else state.phase, state.target)


def step(state: FollowState, event: Event, *, now: float, rules: Rules) -> Step:
    """The state after an event, and what is to be done about it."""
    if not rules.has_hook:  # not any more, maybe
        state = replace(state, bad=None)
    match event:
        case Seen():
            return _decide(_seen(state, event.version), now=now)
        case Hint.ASKED:
            return _decide(replace(state, asked=True, not_before=None), now=now)
        case Hint.PAUSED:
            return _decide(replace(state, paused=True), now=now)
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
        was_there = state.wanted is not None or state.current is not None
        return replace(state, wanted=None, error=f"there is no such alias {'any more' if was_there else 'yet'}")
    if version == state.wanted:
        return state
    is_bad = version == state.bad
    asked = state.asked or (is_bad and state.wanted is not None)  # whoever moves it there once more wants it so
    error = _HOOK_FAILED if is_bad else None
    return replace(state, wanted=version, asked=asked, failures=0, not_before=None, error=error)


def _ended(state: FollowState, event: Ended, *, now: float, rules: Rules) -> Step:
    target = state.target
    assert target is not None
    match state.phase:
        case Phase.FETCHING:
            return _fetched(state, event, target, now=now)
        case Phase.SWITCHING:
            return _switched(state, event, target, now=now, rules=rules)
        case Phase.HOOKING:
            return _hooked(state, event, target, now=now)
        case Phase.RETURNING:
            return _returned(state, event, target, now=now)
        case Phase.RESTING:
            raise AssertionError("nothing was under way")
        case _:
            assert_never(state.phase)


def _fetched(state: FollowState, event: Ended, target: str, *, now: float) -> Step:
    if event.error is not None:
        return _decide(_failed(state, event, now), now=now)
    if state.paused or state.wanted != target:  # the alias has moved on, or is gone
        return _decide(_rested(state), now=now)
    return _begin(_heeded(state, target), Phase.SWITCHING, target)


def _switched(state: FollowState, event: Ended, target: str, *, now: float, rules: Rules) -> Step:
    if event.error is not None:
        failed = _failed(state, event, now)  # it may be served all the same
        return _decide(replace(failed, target=_good(state)), now=now)
    previous = _good(state)
    switched = replace(
        _heeded(state, target),
        current=target,
        previous=None if previous == target else previous,  # what wasn't known to be served may have been
        failures=0,
        error=None,
    )
    return _begin(switched, Phase.HOOKING, target) if rules.has_hook else _decide(_rested(switched), now=now)


def _hooked(state: FollowState, event: Ended, target: str, *, now: float) -> Step:
    bad = None if event.error is None else target
    return _decide(replace(_rested(state), bad=bad, failures=0, error=event.error), now=now)


def _returned(state: FollowState, event: Ended, target: str, *, now: float) -> Step:
    if event.error is not None:  # it was served a moment ago: it is tried until it is served again
        failed = replace(_failed(state, event, now), target=target)
        return _past(failed) or _decide(failed, now=now)
    if state.current == target:  # the switch that failed is tried again in its time
        return _decide(_rested(state), now=now)
    error = _HOOK_FAILED if state.failures and state.current is not None else state.error
    back = replace(_rested(state), current=target, previous=None, failures=0, not_before=None, error=error)
    return _decide(back, now=now)


def _past(state: FollowState) -> Step | None:
    """To what the alias names, though something is yet to be returned to: that may never go well, and then only
    another version helps. None if it is too early to say so, or there is no other.
    """
    if state.failures <= limits.FOLLOW_RETURNS_MAX or state.wanted == state.target:
        return None
    past = replace(state, asked=False, target=None)
    if state.current == state.target:  # whatever else was tried may be served as well
        past = replace(past, current=None, previous=state.current)
    return _forth(past)


def _good(state: FollowState) -> str | None:
    """What is served, or was before that, if it is no good or nobody knows what is; None if there is nothing."""
    is_bad = state.current is None or state.current == state.bad
    return (state.previous or state.current) if is_bad else state.current


def _heeded(state: FollowState, target: str) -> FollowState:
    """Who asked while a step to what the alias names was under way asked for this step, not for a later one."""
    return replace(state, asked=state.asked and state.wanted != target)


def _rested(state: FollowState) -> FollowState:
    return replace(state, phase=Phase.RESTING, target=None)


def _failed(state: FollowState, event: Ended, now: float) -> FollowState:
    """Try again later; at once if somebody asked meanwhile, who may have mended it. A return doesn't use that up, so it
    waits.
    """
    is_asked = state.asked and state.phase is not Phase.RETURNING
    later = None if is_asked else retry_at(state.failures + 1, now=now, spread=event.spread)
    return replace(_rested(state), failures=state.failures + 1, not_before=later, error=event.error)


def _decide(state: FollowState, *, now: float) -> Step:
    if state.phase is not Phase.RESTING:
        return state, ()
    wanted = state.wanted
    begun = _back(state)
    if begun is None:  # a hook that failed is run again only after it was gone back, where that can be
        if state.asked and wanted is not None and not state.paused:
            state = replace(state, asked=False, not_before=None)
            if wanted == state.bad == state.current:  # it is here, only its hook isn't done
                return _begin(state, Phase.HOOKING, wanted)
            state = replace(state, bad=None if wanted == state.bad else state.bad)
        begun = _forth(state)
    if begun is not None and state.not_before is not None and now < state.not_before:
        return state, (Wake(state.not_before),)
    return begun or (state, ())


def _back(state: FollowState) -> Step | None:
    """To what is to be served again, also while paused; None if that is served, or there is nothing."""
    target = state.target
    if target is None and state.bad is not None and state.bad == state.current:
        target = state.previous
    return None if target is None else _begin(replace(state, not_before=None), Phase.RETURNING, target)


def _forth(state: FollowState) -> Step | None:
    """To the version that the alias names; None if that is served, or isn't to be."""
    if state.paused or state.wanted is None or state.wanted in (state.current, state.bad):
        return None
    return _begin(replace(state, not_before=None), Phase.FETCHING, state.wanted)


def _begin(state: FollowState, phase: Phase, target: str) -> Step:
    begun = replace(state, phase=phase, target=target)
    if phase is Phase.HOOKING:
        return begun, (Hook(state.previous, target),)
    return begun, (Fetch(target) if phase is Phase.FETCHING else Switch(target),)

"""How many requests may be under way at once, found out by trying: as few as are as fast as more would be.

One level is tried after the other. A higher one is kept if it brings a good part of what it would on a way that isn't
full; a lower one, tried in turn, if it costs less than that. What has come out is left alone for a while. When a
service asks for less the level is halved, as TCP does (additive increase, multiplicative decrease: Chiu and Jain,
1989), and where that happened is not tried again soon.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from artstore import limits

WINDOWS_PER_TRIAL: Final = 2  # what one window measures is chance
WINDOWS_SKIPPED: Final = 1  # after a change: what they measure belongs to both levels
WINDOWS_CALM: Final = 4  # after a halving: what is refused now was sent before
STEP_SHARE: Final = 4  # a step is one part in so many of the level, at least one
GROWTH_MIN: Final = 1 / 3  # part of what a step would bring on a way that isn't full
TRIALS_RESTED: Final = 12  # between two steps that were no use
TRIALS_AVOIDED: Final = 60  # until a level at which the service refused is tried again


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of the level."""

    least: int = limits.REMOTE_TRANSFERS_MIN
    most: int = limits.REMOTE_TRANSFERS_MAX


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen for a moment. `full`: as many requests as allowed were under way all the time; `refused`: a request
    was told to come later, or not answered in time.
    """

    bytes_s: float
    full: bool
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many requests may be under way: `level`; the rest is how it came to that.

    `base`: the level that is compared with, and `base_bytes_s` what passed at it; `trial`: bytes/s of the windows at
    this level so far. `skip`, `calm`, `rest`, `avoid`: windows, windows, trials and trials left; `ceiling`: the level
    that is avoided. `up`: which way the next step goes.
    """

    level: int = limits.REMOTE_TRANSFERS_START
    base: int = limits.REMOTE_TRANSFERS_START
    base_bytes_s: float = 0.0
    trial: tuple[float, ...] = ()
    skip: int = WINDOWS_SKIPPED
    calm: int = 0
    rest: int = 0
    avoid: int = 0
    ceiling: int = 0
    up: bool = True


def begin(level: int, bounds: Bounds) -> Concurrency:
    """Before anything was seen."""
    level = max(bounds.least, min(level, bounds.most))
    return Concurrency(level=level, base=level)


def step(state: Concurrency, window: Window, bounds: Bounds) -> Concurrency:
    """After a window."""
    if window.refused and not state.calm:
        return _halved(state, bounds)
    state = replace(state, calm=max(0, state.calm - 1))
    if window.refused or not window.full:  # what passed is not what the way bears
        return state
    if state.skip:
        return replace(state, skip=state.skip - 1)
    trial = (*state.trial, window.bytes_s)
    if len(trial) < WINDOWS_PER_TRIAL:
        return replace(state, trial=trial)
    return _judged(replace(state, trial=(), avoid=max(0, state.avoid - 1)), sum(trial) / len(trial), bounds)


def _halved(state: Concurrency, bounds: Bounds) -> Concurrency:
    lower = max(bounds.least, state.level // 2)
    return Concurrency(lower, lower, skip=WINDOWS_SKIPPED, calm=WINDOWS_CALM, avoid=TRIALS_AVOIDED, ceiling=state.level)


def _judged(state: Concurrency, bytes_s: float, bounds: Bounds) -> Concurrency:
    """After a trial."""
    if state.level == state.base:
        state = replace(state, base_bytes_s=bytes_s)
        if state.rest:
            return replace(state, rest=state.rest - 1)
        return _stepped(state, bounds)
    change = (state.level - state.base) / max(state.level, state.base)
    if bytes_s >= state.base_bytes_s * (1 + GROWTH_MIN * change):
        return _stepped(replace(state, base=state.level, base_bytes_s=bytes_s), bounds)
    return replace(state, level=state.base, skip=WINDOWS_SKIPPED, rest=TRIALS_RESTED, up=not state.up)


def _stepped(state: Concurrency, bounds: Bounds) -> Concurrency:
    """On to the next level; at the end of the way rest, and turn round."""
    size = max(1, state.level // STEP_SHARE)
    most = min(bounds.most, state.ceiling - 1) if state.avoid else bounds.most
    wanted = state.level + size if state.up else state.level - size
    level = max(bounds.least, min(wanted, max(most, bounds.least)))
    if level == state.level or (level > state.level) != state.up:
        return replace(state, rest=TRIALS_RESTED, up=not state.up)
    return replace(state, level=level, skip=WINDOWS_SKIPPED)

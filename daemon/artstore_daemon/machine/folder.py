"""When a watched folder is committed: once it has been quiet for a while, and at the latest some time after it changed.

Knows nothing of how changes are found. An event is a hint: what has changed is what the commit finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from artstore.errors import UsageError
from artstore_daemon.machine.backoff import retry_at


@dataclass(frozen=True, slots=True)
class Rules:
    """`settle_s`: how long a folder has to be quiet; `every_s`: how long one that never is may wait."""

    settle_s: float
    every_s: float


class Hint(Enum):
    """What a watched folder's surroundings tell."""

    TOUCHED = "touched"  # something in it may have changed; at the start, after lost events, now and then
    ASKED = "asked"  # somebody wants it committed now
    GONE = "gone"  # there is no such folder, or its disk isn't mounted
    BACK = "back"
    PAUSED = "paused"
    RESUMED = "resumed"
    DUE = "due"  # the time has come that `Wake` asked for


class Outcome(Enum):
    """How a commit ended."""

    DONE = "done"  # a version was made, or there is one of just that
    PARTLY = "partly"  # the same, with some files as they were before, since they were being written
    BUSY = "busy"  # somebody was writing: nothing was made
    UNREADY = "unready"  # the file that says that all is there isn't
    ABSENT = "absent"  # there was no folder
    FAILED = "failed"  # for the moment
    REFUSED = "refused"  # until something is changed


@dataclass(frozen=True, slots=True)
class Ended:
    """A commit has ended; `spread`: a random number of 0..1, for when it is tried again."""

    outcome: Outcome
    error: str | None = None
    spread: float = 1.0


Event = Hint | Ended


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit the folder now. `patient`: not while somebody writes there; else such files stay as they were."""

    patient: bool


@dataclass(frozen=True, slots=True)
class Wake:
    """Tell `DUE` at this time, unless another `Wake` says otherwise."""

    at: float


Action = Commit | Wake


@dataclass(frozen=True, slots=True)
class FolderState:
    """`changed`: when the first change came that no version has; `last`: the latest one; `asked`: a commit is wanted in
    any case; `begun`: the changes that a commit under way may have found, as `changed`; `busy`: how often somebody was
    writing although nothing was touched meanwhile; `refused`: `not_before` holds until something is touched.
    """

    changed: float | None = None
    last: float | None = None
    asked: bool = False
    running: bool = False
    begun: float | None = None
    busy: int = 0
    refused: bool = False
    failures: int = 0
    not_before: float | None = None
    error: str | None = None
    paused: bool = False
    gone: bool = False

    @property
    def is_pending(self) -> bool:
        """Is there anything that isn't in a version and can be, as far as is known?"""
        return self.running or (not self.gone and (self.asked or self.changed is not None))


def step(state: FolderState, event: Event, *, now: float, rules: Rules) -> tuple[FolderState, Sequence[Action]]:
    """The state after an event, and what is to be done about it."""
    return _decide(_take(state, event, now=now, rules=rules), now=now, rules=rules)


def _take(state: FolderState, event: Event, *, now: float, rules: Rules) -> FolderState:
    match event:
        case Hint.TOUCHED:
            return _touched(state, now)
        case Hint.ASKED:
            return replace(state, asked=True, busy=0, not_before=None)
        case Hint.GONE:
            return replace(state, gone=True)
        case Hint.BACK:
            return _unseen(replace(state, gone=False), now) if state.gone else state
        case Hint.PAUSED:
            return replace(state, paused=True)
        case Hint.RESUMED:
            return _unseen(replace(state, paused=False), now) if state.paused else state
        case Hint.DUE:
            return state
        case Ended():
            return _ended(state, event, now=now, rules=rules)
        case _:
            assert_never(event)


def _touched(state: FolderState, now: float) -> FolderState:
    return replace(
        state,
        changed=now if state.changed is None else state.changed,
        last=now,
        busy=0,
        refused=False,
        not_before=None if state.refused else state.not_before,
    )


def _unseen(state: FolderState, now: float) -> FolderState:
    """What happened meanwhile nobody has seen, and it may be going on: as if it had begun just now."""
    return _touched(replace(state, changed=None, not_before=None), now)


def _ended(state: FolderState, event: Ended, *, now: float, rules: Rules) -> FolderState:
    assert state.running
    ended = replace(state, running=False, begun=None, refused=False, error=event.error)
    match event.outcome:
        case Outcome.DONE:
            return replace(ended, failures=0, busy=0, error=None)
        case Outcome.PARTLY:  # the rest has its whole time again, however long this took
            return replace(_touched(replace(ended, changed=None), now), failures=0, error=None)
        case Outcome.BUSY:
            still = _pending(ended, state.begun, now)
            if _is_patient(still, now, rules):
                return replace(still, last=now, busy=state.busy + 1)
            return _failed(still, event, now)
        case Outcome.UNREADY:  # the rest of it will be heard of, and its time begins then
            return replace(ended, failures=0, busy=0, error=None)
        case Outcome.ABSENT:  # whoever looks after it tells if it stays so; who asks for what isn't there waits, too
            return _failed(replace(_pending(ended, state.begun, now), asked=False), event, now)
        case Outcome.FAILED:
            return _failed(_pending(ended, state.begun, now), event, now)
        case Outcome.REFUSED:  # whoever mends it touches something, as a rule
            again = _touched(replace(ended, changed=None), now)
            is_mended = ended.changed is not None or ended.asked  # or so it seems
            return again if is_mended else replace(again, refused=True, not_before=now + rules.every_s)
        case _:
            assert_never(event.outcome)


def _pending(state: FolderState, begun: float | None, now: float) -> FolderState:
    """What a commit didn't bring is still to come; it has waited since `begun`."""
    changed = next((at for at in (begun, state.changed) if at is not None), now)
    return replace(state, changed=changed, last=now if state.last is None else state.last)


def _failed(state: FolderState, event: Ended, now: float) -> FolderState:
    """Try again later; at once if somebody asked meanwhile, who may have mended it."""
    failures = state.failures + 1
    later = None if state.asked else retry_at(failures, now=now, spread=event.spread)
    return replace(state, failures=failures, not_before=later)


def _decide(state: FolderState, *, now: float, rules: Rules) -> tuple[FolderState, Sequence[Action]]:
    if state.running or state.paused or state.gone:
        return state, ()
    due = _due(state, now=now, rules=rules)
    if due is None:
        return state, ()
    if due > now:
        return state, (Wake(due),)
    begun = replace(state, running=True, begun=state.changed, changed=None, last=None, asked=False, not_before=None)
    return begun, (Commit(_is_patient(state, now, rules)),)


def _due(state: FolderState, *, now: float, rules: Rules) -> float | None:
    """When the next commit is to begin; None: not before something happens."""
    if state.asked:
        due = now
    elif state.changed is not None:
        assert state.last is not None
        # A file may stay open for days: each look at who writes waits twice as long as the one before.
        due = min(state.last + rules.settle_s * 2.0 ** max(0, state.busy - 1), state.changed + rules.every_s)
    else:
        return None
    return due if state.not_before is None else max(due, state.not_before)


def _is_patient(state: FolderState, now: float, rules: Rules) -> bool:
    return state.changed is None or now < state.changed + rules.every_s


def require_rules(settle_s: float, every_s: float) -> Rules:
    """Rules that make sense."""
    if not 0 < settle_s <= every_s:
        raise UsageError(
            f"a folder that settles in {settle_s:g} s can't be committed every {every_s:g} s at the latest",
            hint="--every has to be at least as long as --settle",
        )
    return Rules(settle_s, every_s)

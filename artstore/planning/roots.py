"""Which versions local collection keeps, and why; the others go.

Roots are what tags name, what aliases name or named within their last moves, what followers serve, versions younger
than the undo window, and the inputs of all of these. Parents are no roots: a collected parent shows as such. Nor are
the moves of an alias that was removed: their versions can come back within the undo window, as any others. (Running
sessions hold packs, not versions: see `planning.gc`.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from artstore import limits
from artstore.model import Digest, Move, Tag


class Why(Enum):
    """What holds a version."""

    TAG = "tag"
    ALIAS = "alias"
    MOVE = "one of the last moves of"
    FOLLOWED = "served by the follower of"
    YOUNG = "younger than the undo window"
    INPUT = "input of"
    LAST = "among the last of"
    CHOSEN_NAME = "a name that was chosen:"
    WITHIN = "recent:"
    OTHER = "not asked for:"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a version stays; `name`: the ref, artifact or version that holds it."""

    why: Why
    name: str = ""

    def __str__(self) -> str:
        return f"{self.why.value} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class AliasHistory:
    """An alias with its newest moves, newest first. One that was removed holds nothing: its last leads nowhere."""

    name: str
    moves: Sequence[Move]


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What collection needs to know of a version."""

    created: int
    inputs: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True)
class RootsPlan:
    """`gone`: oldest first. `missing`: what a tag or alias names although it isn't there; collecting must not go on."""

    kept: Mapping[Digest, Reason]
    gone: tuple[Digest, ...]
    missing: tuple[tuple[str, Digest], ...] = ()


def plan_roots(
    *,
    tags: Iterable[Tag],
    histories: Iterable[AliasHistory],
    versions: Mapping[Digest, VersionFacts],
    now: int,
    followed: Mapping[Digest, str] | None = None,
    undo_ns: int = limits.UNDO_NS,
) -> RootsPlan:
    """Judge all versions of the store; a version with several reasons gets the first of the list in `Why`.

    `followed`: versions that are served here, and of which alias.
    """
    reasons: dict[Digest, Reason] = {}
    for tag in tags:
        reasons.setdefault(Digest(tag.version), Reason(Why.TAG, tag.name))
    held = held_by_aliases(histories)
    for version, reason in held.items():
        if reason.why is Why.ALIAS:
            reasons.setdefault(version, reason)
    missing = tuple((reason.name, version) for version, reason in reasons.items() if version not in versions)
    for version, reason in held.items():
        reasons.setdefault(version, reason)
    for version, alias in (followed or {}).items():
        reasons.setdefault(version, Reason(Why.FOLLOWED, alias))
    for version, facts in versions.items():
        if facts.created > now - undo_ns:
            reasons.setdefault(version, Reason(Why.YOUNG))
    kept = {version: reason for version, reason in reasons.items() if version in versions}
    add_inputs(kept, versions)
    gone = sorted(versions.keys() - kept.keys(), key=lambda version: (versions[version].created, version))
    return RootsPlan(kept, tuple(gone), missing)


def held_by_aliases(histories: Iterable[AliasHistory]) -> dict[Digest, Reason]:
    """What aliases name now, then what the last moves of each led from and to."""
    histories = [history for history in histories if history.moves and history.moves[0].target]
    held: dict[Digest, Reason] = {}
    for history in histories:
        held.setdefault(Digest(history.moves[0].target), Reason(Why.ALIAS, history.name))
    for history in histories:
        for move in history.moves[: limits.ALIAS_MOVES_KEPT]:
            for version in (move.target, move.source):
                if version:
                    held.setdefault(Digest(version), Reason(Why.MOVE, history.name))
    return held


def add_inputs(kept: dict[Digest, Reason], versions: Mapping[Digest, VersionFacts]) -> None:
    """Add the inputs of what is kept, and theirs. Inputs that aren't here are somewhere else, or were collected."""
    waiting = list(kept)
    while waiting:
        version = waiting.pop()
        for each in versions[version].inputs:
            if each in versions and each not in kept:
                kept[each] = Reason(Why.INPUT, version.hex())
                waiting.append(each)

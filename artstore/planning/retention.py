"""Which tags a retention policy removes: those that no rule keeps.

A version that an alias names or named within its last moves, or that is an input of one that stays, is never chosen,
and a version stays whole: as long as one of its tags is kept, all are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from artstore import limits
from artstore.errors import UsageError
from artstore.model import Digest, Tag
from artstore.planning.roots import AliasHistory, Reason, VersionFacts, Why, add_inputs, held_by_aliases
from artstore.revision import artifact_of, is_numbered

_SECOND_NS: Final = 1_000_000_000
_UNITS: Final[Mapping[str, int]] = {
    "s": 1,
    "min": 60,
    "h": 3600,
    "d": 24 * 3600,
    "w": 7 * 24 * 3600,
    "y": 365 * 24 * 3600,
}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:s|min|h|d|w|y))+")
_DURATION_PART = re.compile(r"([0-9]+)([a-z]+)")


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept; without any rule everything is.

    `keep_last`: so many of the newest tags of each artifact. `keep_tagged`: tags whose name somebody chose, which is
    all but the automatic `vN`. `keep_within`: tags younger than this (ns).
    """

    keep_last: int | None = None
    keep_tagged: bool = False
    keep_within: int | None = None

    def __post_init__(self) -> None:
        if self.keep_last is not None and self.keep_last < 1:
            raise UsageError(f"--keep-last {self.keep_last} keeps nothing", hint="keep at least 1")
        if self.keep_within is not None and self.keep_within <= 0:
            raise UsageError("--keep-within 0 keeps nothing", hint="write for instance --keep-within 30d")

    @property
    def is_empty(self) -> bool:
        """Is there no rule at all?"""
        return self.keep_last is None and not self.keep_tagged and self.keep_within is None


@dataclass(frozen=True, slots=True)
class KeptTag:
    """A tag that stays, and why."""

    tag: Tag
    reason: Reason


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """Tags by name. `versions` lose all their tags; when their data is freed is collection's decision."""

    removed: tuple[Tag, ...]
    kept: tuple[KeptTag, ...]
    versions: tuple[Digest, ...]


def plan_retention(
    *,
    tags: Iterable[Tag],
    histories: Iterable[AliasHistory],
    versions: Mapping[Digest, VersionFacts],
    policy: Policy,
    now: int,
    applies: Callable[[str], bool] = lambda artifact: True,
) -> RetentionPlan:
    """Judge all tags of the store; those of artifacts that the policy doesn't apply to stay and hold their versions."""
    tags = sorted(tags, key=lambda tag: tag.name)
    asked = [tag for tag in tags if not policy.is_empty and applies(artifact_of(tag.name))]
    ranks = _ranks(asked)
    kept = held_by_aliases(histories)
    for tag in tags:
        reason = _kept_by_rule(tag, policy, now, ranks[tag.name]) if tag.name in ranks else Reason(Why.OTHER, tag.name)
        if reason is not None:
            kept.setdefault(Digest(tag.version), reason)
    _hold_inputs(kept, tags, versions)
    removed = tuple(tag for tag in asked if tag.version not in kept)
    return RetentionPlan(
        removed,
        tuple(KeptTag(tag, kept[Digest(tag.version)]) for tag in tags if tag.version in kept),
        tuple(dict.fromkeys(Digest(tag.version) for tag in removed)),
    )


def parse_duration(text: str) -> int:
    """`30d`, `12h`, `1w2d` in ns: s, min, h, d, w, y (365 days). `m` is refused: minutes and months differ too much.

    The one reader of durations, for every option. Raises UsageError.
    """
    if _DURATION.fullmatch(text) is None:
        hint = "write 30min for minutes, 60d for months" if text.endswith("m") else "write for instance 30d, 12h or 1w"
        raise UsageError(f"{text!r} is no duration", hint=hint)
    seconds = sum(int(count) * _UNITS[unit] for count, unit in _DURATION_PART.findall(text))
    if seconds > limits.DURATION_S_MAX:
        raise UsageError(f"{text!r} is no duration", hint="no more than 100 years")
    return seconds * _SECOND_NS


def _ranks(tags: Iterable[Tag]) -> dict[str, int]:
    """How many tags of its artifact are newer, for each tag."""
    by_artifact: dict[str, list[Tag]] = {}
    for tag in tags:
        by_artifact.setdefault(artifact_of(tag.name), []).append(tag)
    ranks: dict[str, int] = {}
    for group in by_artifact.values():
        group.sort(key=lambda tag: (tag.created, tag.name), reverse=True)
        ranks.update((tag.name, rank) for rank, tag in enumerate(group))
    return ranks


def _kept_by_rule(tag: Tag, policy: Policy, now: int, rank: int) -> Reason | None:
    if policy.keep_last is not None and rank < policy.keep_last:
        return Reason(Why.LAST, artifact_of(tag.name))
    if policy.keep_tagged and not is_numbered(tag.name):
        return Reason(Why.CHOSEN_NAME, tag.name)
    if policy.keep_within is not None and tag.created > now - policy.keep_within:
        return Reason(Why.WITHIN, tag.name)
    return None


def _hold_inputs(kept: dict[Digest, Reason], tags: Iterable[Tag], versions: Mapping[Digest, VersionFacts]) -> None:
    """Add the inputs of all that stays: what is kept, and what has no tag and so isn't retention's to choose."""
    tagged = {tag.version for tag in tags}
    staying = {version: reason for version, reason in kept.items() if version in versions}
    staying |= {
        version: Reason(Why.OTHER, version.hex())
        for version in versions
        if version not in tagged and version not in kept
    }
    add_inputs(staying, versions)
    for version, reason in staying.items():
        kept.setdefault(version, reason)

"""What of home's names is copied to a mirror. What the mirror has and home hasn't is told, never merged.

Pure: a name as it stands at home and at the mirror in, what is to be done and why out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from artstore.format.remote import RemoteAlias, RemoteTag


class Step(Enum):
    """What becomes of a name at a mirror."""

    NOTHING = "nothing"
    COPY = "copy"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Decided:
    """The same, and why it is left alone."""

    step: Step
    why: str = ""


_NOTHING = Decided(Step.NOTHING)
_COPY = Decided(Step.COPY)


def plan_tag(home: RemoteTag | None, mirror: RemoteTag | None) -> Decided:
    """A tag. That it is the same one is told by when it was made: a tombstone says no more of it."""
    if home is None:
        if mirror is None or not mirror.version:
            return _NOTHING
        return _conflict(f"there it names version {_short(mirror.version)}, and home doesn't have it")
    if mirror is None:
        return _COPY
    if (home.version, home.created) == (mirror.version, mirror.created):
        return _NOTHING
    if not home.version and not mirror.version:
        return _NOTHING
    if home.version == mirror.version:
        return _COPY
    same = home.created == mirror.created
    if not mirror.version:  # what was removed there since it wasn't home's gives way
        return _conflict("there it was removed, and at home it wasn't") if same else _COPY
    if not home.version:
        told = f"there it names version {_short(mirror.version)}, and at home another one was removed"
        return _COPY if same else _conflict(told)
    return _conflict(f"there it names version {_short(mirror.version)}, at home {_short(home.version)}")


def plan_alias(home: RemoteAlias | None, mirror: RemoteAlias | None, *, goes_on: bool) -> Decided:
    """An alias. `goes_on`: does home's history lead on from where it stands at the mirror?"""
    if home is None:
        if mirror is None or not mirror.version:
            return _NOTHING
        return _conflict(f"there it was moved by others, to move {mirror.seq}, and home doesn't have it")
    if mirror is not None and mirror.move == home.move:
        return _NOTHING
    if mirror is None or goes_on:
        return _COPY
    return _conflict(
        f"there it was moved by others, to {_short(mirror.version)} (move {mirror.seq}), and at home to "
        f"{_short(home.version)} (move {home.seq}): home wins, and what was moved there is to be said again"
    )


def _conflict(why: str) -> Decided:
    return Decided(Step.CONFLICT, why)


def _short(version: bytes) -> str:
    return version.hex()[:8] if version else "nothing"

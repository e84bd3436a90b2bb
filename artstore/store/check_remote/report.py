"""What a check of a remote found: what is wrong there, with which object, and what can't be read because of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from artstore.store.check.report import Hurt


class FarProblemKind(StrEnum):
    """What is wrong; it decides what a repair does about it."""

    GC_STATE = "gc-state"  # what collection and pushes go by can't be read
    TAG = "tag"  # can't be read
    ALIAS = "alias"  # the same
    HISTORY = "history"  # a move of an alias is missing or damaged, or doesn't continue the one before
    SET = "set"  # of a version: it can't be read
    SET_MISSING = "set-missing"  # a name leads to a version that has none
    PACK = "pack"  # it is cut short or damaged, or isn't what its shard says
    PACK_MISSING = "pack-missing"  # a set names it, and it isn't there
    SHARD = "shard"  # it can't be read
    SHARD_MISSING = "shard-missing"


class Flaw(NamedTuple):
    """One finding, before it is known what it hurts. `key`: of the object there; `alias`: whose history it is in."""

    kind: FarProblemKind
    key: str
    message: str
    alias: str = ""


@dataclass(frozen=True, slots=True)
class FarProblem:
    """One thing that is wrong at a remote. `hurt`: versions that need it, with paths as far as they are known here."""

    kind: FarProblemKind
    key: str
    message: str
    hurt: tuple[Hurt, ...] = ()
    hurt_more: int = 0
    alias: str = ""


@dataclass(frozen=True, slots=True)
class RemoteCheckReport:
    """What was looked at, and what is wrong.

    `refs`: tags, aliases and tombstones; `versions`: that names lead to; `packs`, `bytes`: of these, with shards;
    `unneeded`: packs and shards that no name needs, and `unnamed`: sets of versions without one; `foreign`: objects
    that aren't artstore's. `read_packs`, `read_bytes`, `objects`: what was read and verified by this run, with `data`.
    `finished`, `resumed`: as of a check of a store. `notes`: what is no damage.
    """

    problems: tuple[FarProblem, ...]
    problems_more: int
    refs: int
    versions: int
    moves: int
    packs: int
    bytes: int
    shards: int
    unneeded: int
    unnamed: int
    foreign: int
    data: bool
    finished: bool
    resumed: bool
    read_packs: int
    read_bytes: int
    left_packs: int
    left_bytes: int
    objects: int
    requests: int
    seconds: float
    notes: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Was nothing wrong found?"""
        return not self.problems

    @property
    def hurt(self) -> tuple[Hurt, ...]:
        """Every version and path hurt, once."""
        return tuple(dict.fromkeys(hurt for problem in self.problems for hurt in problem.hurt))

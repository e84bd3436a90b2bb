"""What a check found: problems, and which versions and paths each of them hurts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from artstore import limits
from artstore.model import Digest
from artstore.store.check.damage import Damage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from artstore.model import PackId, PackRow


class ProblemKind(StrEnum):
    """What is wrong; it decides what a repair does about it."""

    INDEX = "index"  # a row of the index can't be read: rebuild it
    PACK_MISSING = "pack-missing"  # the index names a pack that has no file
    PACK_DAMAGED = "pack-damaged"  # wrong size, or a tail that can't be read
    OBJECT_DAMAGED = "object-damaged"  # a frame does not hold what its table says
    ROWS = "rows"  # the index says something else of a pack than the pack's own table
    SET = "set"  # a version's set lacks packs that it needs, or names packs that aren't there
    VERSION = "version"  # something that a version needs is nowhere, or contradicts itself
    REF = "ref"  # a ref leads nowhere, or index and refs.log tell different things
    LOG = "log"  # refs.log is missing or damaged
    NAME = "name"  # a ref is also a folder of refs


@dataclass(frozen=True, slots=True)
class Hurt:
    """A path of a version that can't be read any more; b"" is all of it. `refs`: names that lead to the version."""

    version: Digest
    path: bytes
    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `hurt` lists what can't be read because of it, `hurt_more` counts what is not listed."""

    kind: ProblemKind
    message: str
    pack: PackId | None = None
    digest: Digest | None = None
    hurt: tuple[Hurt, ...] = ()
    hurt_more: int = 0


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was looked at, and what is wrong.

    `data`: objects were read and verified. `finished`: nothing was left out for lack of time. `resumed`: an earlier
    check's work was continued. `leftovers`: sealed packs that the index doesn't know; harmless, `gc` removes them.
    `packs`, `objects`, `bytes`: of whose frames were verified by this run; without `data`, of which the tables were.
    """

    problems: tuple[Problem, ...]
    problems_more: int
    packs: int
    objects: int
    bytes: int
    versions: int
    refs: int
    leftovers: int
    data: bool
    finished: bool
    resumed: bool
    seconds: float
    hurt_packs: frozenset[int] = frozenset()  # local numbers: what a repair rewrites

    @property
    def is_sound(self) -> bool:
        """Was nothing wrong found?"""
        return not self.problems

    @property
    def hurt(self) -> tuple[Hurt, ...]:
        """Every version and path hurt, once."""
        return tuple(dict.fromkeys(hurt for problem in self.problems for hurt in problem.hurt))


@dataclass(slots=True)
class Draft:
    """A problem whose hurt paths are still being gathered."""

    kind: ProblemKind
    message: str
    pack: PackId | None
    digest: Digest | None
    hurt: dict[Hurt, None] = field(default_factory=dict[Hurt, None])
    hurt_more: int = 0

    def hurts(self, hurt: Hurt) -> None:
        """Keep a path, or count it."""
        if hurt in self.hurt:
            return
        if len(self.hurt) < limits.TROUBLE_PATHS_MAX:
            self.hurt[hurt] = None
        else:
            self.hurt_more += 1

    def finish(self) -> Problem:
        """The problem as it is reported."""
        return Problem(self.kind, self.message, self.pack, self.digest, tuple(self.hurt), self.hurt_more)


@dataclass(slots=True)
class Findings:
    """Gathers problems while a check runs; keeps a bounded number of them. For one thread.

    `damage`: what can't be read. `suspects`: versions that are to be looked through.
    """

    damage: Damage = field(default_factory=Damage)
    suspects: set[Digest] = field(default_factory=set[Digest])
    hurt_packs: set[int] = field(default_factory=set[int])
    packs: int = 0
    objects: int = 0
    size: int = 0  # bytes
    versions: int = 0
    refs: int = 0
    leftovers: int = 0
    more: int = 0
    _drafts: list[Draft] = field(default_factory=list[Draft])
    _by_pack: dict[int, Draft] = field(default_factory=dict[int, Draft])
    _by_digest: dict[bytes, Draft] = field(default_factory=dict[bytes, Draft])

    def add(self, kind: ProblemKind, message: str, *, row: PackRow | None = None, digest: bytes | None = None) -> Draft:
        """Keep a problem, or count it; `row`: of the pack that it is about."""
        draft = Draft(kind, message, None if row is None else row.id, None if digest is None else Digest(digest))
        if len(self._drafts) >= limits.CHECK_PROBLEMS_MAX:
            self.more += 1
            return draft
        self._drafts.append(draft)
        if digest is not None:
            self._by_digest.setdefault(digest, draft)
        elif row is not None:
            self._by_pack.setdefault(row.number, draft)
        return draft

    def about(self, digest: bytes, packs: Iterable[int]) -> Draft | None:
        """The problem that an object is the matter of, or else one of a pack that it lies in."""
        if digest in self._by_digest:
            return self._by_digest[digest]
        return next((self._by_pack[number] for number in packs if number in self._by_pack), None)

    def problems(self) -> tuple[Problem, ...]:
        """All that was kept."""
        return tuple(draft.finish() for draft in self._drafts)

"""What a repair did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artstore.model import Digest
    from artstore.store.check.report import Hurt, Problem


@dataclass(frozen=True, slots=True)
class RepairReport:
    """Numbers of what was mended, and what can't be.

    `rewritten`: damaged packs that a new pack with their sound objects replaces; `dropped`: packs of which nothing was
    left; `quarantined`: damaged copies that the index forgot; `lost`: ids among them which have no other copy, to be
    stored again by the next commit that meets them. `hurt`: what can't be read until then.
    `remaining`: problems that a repair can't mend; their messages say what to do.
    """

    rewritten: int
    dropped: int
    kept_objects: int
    quarantined: int
    lost: tuple[Digest, ...]
    lost_more: int
    reindexed: int
    sets_mended: int
    log_rewritten: bool
    refs_restored: int
    hurt: tuple[Hurt, ...]
    remaining: tuple[Problem, ...]
    needs_rebuild: bool
    seconds: float

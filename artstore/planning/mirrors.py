"""Which of several remotes decides names: home, mirrors, and what becomes of a promotion. DESIGN, "Home and mirrors".

Each remote says itself who its home is, and since which promotion (`epoch`). Promotions only raise the epoch, so that
of two that disagree the one with the greater epoch is later; two with the same one are a conflict for people to decide.
Pure: what remotes said in, what is to be done out.

    home's claim      mirror's claim                    standing
    (H, e)            (H, e)                            FOLLOWS    it takes copies
    (H, e)            (any, less than e), (itself, 0)   STALE      it didn't hear of the last promotion: it is told
    (H, e)            (another, more than e)            OVERTAKEN  home is another one by now, and didn't hear of it
    (H, e)            anything else                     SPLIT      two homes, each promoted without the other
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Claim:
    """What a remote says of who decides names. `remote`, `home`: ids; `url`: what the home is called, or ""."""

    remote: bytes
    home: bytes
    epoch: int = 0
    url: str = ""

    @property
    def is_home(self) -> bool:
        """Does it decide for itself?"""
        return self.home == self.remote


class Standing(Enum):
    """How a mirror stands to the remote that this store takes for home."""

    FOLLOWS = "follows"
    STALE = "stale"
    OVERTAKEN = "overtaken"
    SPLIT = "split"


def stand(home: Claim, mirror: Claim) -> Standing:
    """How that is. `home` takes itself for home, else nothing can be said."""
    assert home.is_home
    assert home.remote != mirror.remote
    if (mirror.home, mirror.epoch) == (home.remote, home.epoch):
        return Standing.FOLLOWS
    if mirror.epoch < home.epoch or (mirror.is_home and mirror.epoch == 0):
        return Standing.STALE
    if mirror.epoch > home.epoch and mirror.home != home.remote:
        return Standing.OVERTAKEN
    return Standing.SPLIT


def is_promoted(target: Claim, others: Iterable[Claim]) -> bool:
    """Is it home by a promotion already, later than all that others know of?"""
    return target.is_home and target.epoch > 0 and all(_agrees(target, other) for other in others)


def next_epoch(claims: Iterable[Claim], known: Iterable[int]) -> int:
    """The number of the next promotion: more than any remote that was asked, or this store, knows of."""
    return 1 + max((*(claim.epoch for claim in claims), *known), default=0)


def _agrees(target: Claim, other: Claim) -> bool:
    return other.epoch < target.epoch or (other.home, other.epoch) == (target.remote, target.epoch)

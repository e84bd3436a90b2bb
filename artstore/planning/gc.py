"""What becomes of packs at a collection: decided from their rows, who needs them, and the time.

A pack that nothing needs is condemned first: what was removed can be brought back until the undo window has passed,
and a commit that reuses it revives it. Only then it is to be deleted.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from artstore import limits
from artstore.model import PackRow, PackState

SESSION_BYTES = 12  # of a pack's id: the session that wrote it


@dataclass(frozen=True, slots=True)
class PackPlan:
    """Packs that change their state, and `waiting`: condemned ones that stay so for now. Packs being deleted already
    are in none of these.
    """

    revive: tuple[PackRow, ...]
    condemn: tuple[PackRow, ...]
    delete: tuple[PackRow, ...]
    waiting: tuple[PackRow, ...]


def plan_packs(
    packs: Iterable[PackRow], *, needed: Container[int], running: Container[bytes], now: int, at_once: bool
) -> PackPlan:
    """The next state of each pack. `needed`: numbers in the sets of versions that stay; `running`: session ids, whose
    packs are left alone. `at_once`: nothing is condemned, all that can go is deleted.
    """
    revive: list[PackRow] = []
    condemn: list[PackRow] = []
    delete: list[PackRow] = []
    waiting: list[PackRow] = []
    for pack in packs:
        if pack.number in needed:
            if pack.state is not PackState.LIVE:
                revive.append(pack)
        elif pack.state is PackState.DELETING or pack.id[:SESSION_BYTES] in running:
            continue
        elif at_once or (pack.state is PackState.CONDEMNED and now - pack.since >= limits.UNDO_NS):
            delete.append(pack)
        elif pack.state is PackState.LIVE:
            condemn.append(pack)
        else:
            waiting.append(pack)
    return PackPlan(tuple(revive), tuple(condemn), tuple(delete), tuple(waiting))

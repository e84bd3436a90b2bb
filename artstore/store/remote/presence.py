"""What can be relied on at a remote while others collect there: DESIGN, "Proof of presence".

A pack counts as present only if it was seen after a look at gc/state that doesn't list it. The proof holds while refs
are swapped soon enough: within half of the grace that collection leaves between listing a pack and deleting it, by a
clock of this machine that goes on while it sleeps, and by the remote's own clock afterwards.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore.store.remote.gc_state import held, read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from artstore.ports import Remote

_HEADS_MAX = 8  # of one push, asked for one by one; more are listed


def boot_time() -> float:
    """Seconds since this machine started, those it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Look:
    """What gc/state said, when by the remote's clock and when by this machine's; `gone`: packs it takes for garbage."""

    grace: int
    deletions: int
    gone: frozenset[str]
    remote_time: float
    local_time: float

    def is_fresh(self, now: float) -> bool:
        """May a ref still be swapped that relies on what was proven after this look?"""
        return now - self.local_time < self.grace / 2


def look(remote: Remote, *, now: Callable[[], float] = boot_time) -> Look:
    """Read gc/state. Busy, saying who and since when, while somebody has the remote for himself; Corrupt if it is
    missing.
    """
    moment = now()
    state, how = read_state(remote)
    if state.exclusive:
        raise held(remote, state)
    gone = frozenset([*(pack.key for pack in state.listed), *state.deleting])
    return Look(state.grace, state.deletions, gone, how.time, moment)


def absent(remote: Remote, keys: Iterable[str], seen: Look) -> set[str]:
    """Which of these packs can't be relied on: those that the look took for garbage, and those that aren't there."""
    wanted = set(keys)
    missing = wanted & seen.gone
    folders: defaultdict[str, set[str]] = defaultdict(set)
    for key in wanted - missing:
        folders[key.rpartition("/")[0] + "/"].add(key)
    for folder, inside in folders.items():
        if len(inside) <= _HEADS_MAX:
            missing |= {key for key in inside if remote.head(key) is None}
        else:
            missing |= inside - {found.key for found in remote.list(folder)}
    return missing

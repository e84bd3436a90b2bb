"""What a run of collection decides, as a function of values alone: one of the product can take its place.

Times are the remote's, in any unit; packs are named by anything that sorts.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

from tests.model_remote.rules import Rules
from tests.model_remote.states import DELETING, EXPIRED, FREE, LISTED, OLD, SINCE, WAITING


@dataclass(frozen=True, slots=True)
class Listing:
    """What gc/state says of packs. `listed`: since when, None: not known yet."""

    listed: Mapping[int, int | None] = field(default_factory=dict[int, int | None])
    deleting: frozenset[int] = frozenset()


class Decide(Protocol):
    """What gc/state is to say next.

    `packs`: those that lie at the remote, and since when; `marked`: those that something needs; `t0`: when `state` was
    read. Both were gathered after that. `at_once`: what isn't marked goes now. What is `deleting` stays so: it may be
    gone already.
    """

    def __call__(
        self,
        state: Listing,
        marked: AbstractSet[int],
        packs: Mapping[int, int],
        *,
        t0: int,
        grace: int,
        at_once: bool = False,
    ) -> Listing: ...


def decide(
    state: Listing,
    marked: AbstractSet[int],
    packs: Mapping[int, int],
    *,
    t0: int,
    grace: int,
    at_once: bool = False,
    rules: Rules | None = None,
) -> Listing:
    """The decision of DESIGN, "Collection"; `rules` takes parts of it out."""
    rules = rules or Rules()
    listed: dict[int, int | None] = {}
    deleting = set(state.deleting)
    for pack, since in state.listed.items():
        if pack in marked and rules.drop_marked:
            continue
        if at_once:
            deleting.add(pack)
        elif since is None:
            listed[pack] = t0
        elif t0 - since >= grace or not rules.wait:
            deleting.add(pack)
        else:
            listed[pack] = since
    for pack, made in packs.items():
        is_known = pack in state.listed or pack in state.deleting
        if at_once and not is_known and pack not in marked:
            deleting.add(pack)
        elif not is_known and pack not in marked and (t0 - made >= grace or not rules.old_only):
            listed[pack] = None if rules.since_later else t0
    return Listing(listed, frozenset(deleting))


_AGE: Final = {WAITING: 1, EXPIRED: 2}  # with a grace of 2: what is younger, what is as old
_YOUNG: Final = 1


class Decider:
    """Asks a decision about states of the model, and remembers the answers."""

    def __init__(self, decision: Decide) -> None:
        self._decision = decision
        self.decide = lru_cache(maxsize=None)(self._decide)

    def _decide(self, phases: tuple[int, ...], marked: int, present: int, t0: int, at_once: bool) -> tuple[int, ...]:
        """`phases`: as read; `marked`, `present`: packs (bits); `t0`: its age by now, which a time gets that is set."""
        listed: dict[int, int | None] = {}
        packs: dict[int, int] = {}
        for pack, phase in enumerate(phases):
            if present >> pack & 1:
                packs[pack] = -_AGE[EXPIRED] if phase != FREE else -_YOUNG
            if phase == LISTED:
                listed[pack] = None
            elif phase in _AGE:
                listed[pack] = -_AGE[phase]
        state = Listing(listed, frozenset(pack for pack, phase in enumerate(phases) if phase == DELETING))
        names = frozenset(pack for pack in range(len(phases)) if marked >> pack & 1)
        told = self._decision(state, names, packs, t0=0, grace=_AGE[EXPIRED], at_once=at_once)
        assert not told.deleting & told.listed.keys()
        return tuple([_phase(told, pack, phase, t0) for pack, phase in enumerate(phases)])


def _phase(told: Listing, pack: int, phase: int, t0: int) -> int:
    if pack in told.deleting:
        return DELETING
    if pack not in told.listed:
        return FREE
    since = told.listed[pack]
    if since is None:
        return LISTED
    if since == 0:
        return SINCE + t0
    assert since == -_AGE[phase], "a time is t0 of some run"
    return phase


def as_read(phases: tuple[int, ...], ages: tuple[int, ...], grace: int) -> tuple[int, ...]:
    """What a collector learns at t0: all that depends on the time then."""
    return tuple([_class(phase, age, grace) for phase, age in zip(phases, ages, strict=True)])


def _class(phase: int, age: int, grace: int) -> int:
    if phase >= SINCE:
        return EXPIRED if phase - SINCE >= grace else WAITING
    return OLD if phase == FREE and age >= grace else phase

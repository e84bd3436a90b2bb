"""Collection at a remote: what no ref there leads to is listed, and deleted a day or more later. DESIGN, "Collection".

No lock is held and no client's clock is believed. A run reads gc/state, then marks what is needed, then swaps
gc/state; who loses that race has done nothing. Killed anywhere, the next run goes on from what gc/state says.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.errors import Busy
from artstore.format.remote import CondemnedPack, GcState, Pin, all_keys, changed_state, is_pack_key
from artstore.planning.remote_gc import RemoteGcStep, Standing, plan_remote_gc
from artstore.planning.remote_grace import grace_at
from artstore.store.remote.documents import Found, read_documents
from artstore.store.remote.gc_state import held, held_since, hold_ends, read_state, swap_state
from artstore.store.remote.marking import living_sets
from artstore.store.remote.pins import PINS
from artstore.store.remote.sent import forget_packs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.model import Listed
    from artstore.ports import Remote
    from artstore.store.context import Context

_PACKS: Final = ("p/", "m/", "x/")
_SETS: Final = "sets/"


@dataclass(frozen=True, slots=True)
class RemoteGcPlan:
    """What one run of collection would do, as the remote was seen. `unnamed`: versions that no ref leads to; `read_at`:
    by the remote's clock, s since 1970; `grace`: s, that in force; `versions`: those that refs lead to; `requests`:
    that it took; `lifts`: somebody held the remote for himself, for so long that he must have died; `after`: what
    gc/state is to say.
    """

    step: RemoteGcStep
    versions: int
    unnamed: int
    read_at: float
    grace: int
    requests: int
    state: GcState
    after: GcState
    etag: str
    old_pins: tuple[str, ...]
    lifts: str = ""

    @property
    def changes(self) -> bool:
        """Would the run do anything?"""
        return bool(self.step.deleting or self.old_pins) or self.after != self.state


@dataclass(slots=True)
class RemoteGcResult:
    """What a run has done: packs and bytes that went, and how many requests all of it took."""

    plan: RemoteGcPlan
    deleted_packs: int = 0
    deleted_bytes: int = 0
    requests: int = 0
    notes: list[str] = field(default_factory=list[str])


class RemoteCollector:
    """Collects at one remote of a store, on whose journal it stands only to ask for less."""

    def __init__(self, context: Context, remote: Remote, remote_id: bytes) -> None:
        self._context = context
        self._remote = remote
        self._remote_id = remote_id

    def plan(self, *, hold: str = "", looking: bool = False) -> RemoteGcPlan:
        """What a run would do now. Corrupt, and nothing may be collected, if a set can't be read. Busy while somebody
        has the remote for himself.

        `hold`: the ETag of gc/state by which the caller has, since so long that whoever had proven something before has
        written his refs by now: all garbage goes at once then. Busy if that was taken from him. `looking`: it is not to
        be carried out, and somebody may hold the remote.
        """
        before = self._remote.stats.requests
        state, how = read_state(self._remote)
        lifts = "" if looking else self._require_free(state, how, hold)
        # From here on whatever is seen was there after gc/state was read.
        grace, former = grace_at(state.grace, state.former, read_at=how.time)
        versions, marked = self._mark()
        pins = list(self._remote.list(PINS))
        young = [pin.key for pin in pins if how.time - pin.time < grace]
        for found in read_documents(self._remote, Pin, young):
            marked.update(found[0].keys if found is not None else ())
        standing = Standing({pack.key: pack.since for pack in state.listed}, state.deleting)
        step = plan_remote_gc(standing, self._packs(), marked, read_at=how.time, grace=grace, at_once=bool(hold))
        unnamed = sum(1 for each in self._remote.list(_SETS) if each.key.removeprefix(_SETS) not in versions)
        dead = [pin.key for pin in pins if how.time - pin.time >= grace + limits.REMOTE_PIN_S]
        free = changed_state(state, exclusive=False, holder="", former=former)
        after = _standing(free, step.after) if step.changes else free
        requests = self._remote.stats.requests - before
        return RemoteGcPlan(
            step, len(versions), unnamed, how.time, grace, requests, state, after, how.etag, tuple(dead), lifts
        )

    def collect(self, plan: RemoteGcPlan) -> RemoteGcResult:
        """Carry a run out. Busy, and nothing is done, if another collector was quicker."""
        before = self._remote.stats.requests
        result = RemoteGcResult(plan)
        self._carry_out(plan, result)
        result.requests = self._remote.stats.requests - before
        return result

    def _carry_out(self, plan: RemoteGcPlan, result: RemoteGcResult) -> None:
        for key in plan.old_pins:
            self._remote.delete(key)
        if not plan.step.deleting and plan.after == plan.state:
            return
        done = swap_state(self._remote, plan.after, plan.etag)
        if done is None:
            raise Busy(
                f"{self._remote.url} is being collected by somebody else, who was quicker", hint="try again later"
            )
        if not plan.step.deleting:
            return
        keys = [pack.key for pack in plan.step.deleting]
        with ThreadPoolExecutor(limits.REMOTE_DELETES) as pool:
            for _ in pool.map(self._remote.delete, keys):
                result.deleted_packs += 1
        result.deleted_bytes = sum(pack.size for pack in plan.step.deleting)
        with self._context.index.write() as writer:
            forget_packs(writer, self._remote_id, set(keys))
        cleared = changed_state(
            plan.after, generation=plan.state.generation + 1, deletions=plan.state.deletions + 1, deleting=[]
        )
        if swap_state(self._remote, cleared, done.etag) is None:
            result.notes.append("another collector went on from here before the end")

    def _require_free(self, state: GcState, how: Found, hold: str) -> str:
        """Whose hold on the remote this run ends, if it may."""
        if hold and (how.etag != hold or not state.exclusive):
            raise Busy(
                f"{self._remote.url} was taken from this run, by another one or since it took too long",
                hint="nothing was deleted by this one; try again",
            )
        if not state.exclusive or hold:
            return ""
        if how.time < hold_ends(state, held_since(self._remote)):
            raise held(self._remote, state)
        return state.holder or "somebody"

    # --- what is needed

    def _mark(self) -> tuple[set[str], set[str]]:
        """The versions (hex) that refs lead to, and the packs and shards of their sets."""
        versions: set[str] = set()
        marked: set[str] = set()
        for version, told in living_sets(self._context, self._remote, self._remote_id):
            versions.add(version.hex())
            marked.update(all_keys(told))
        return versions, marked

    def _packs(self) -> Iterator[Listed]:
        for folder in _PACKS:
            yield from (found for found in self._remote.list(folder) if is_pack_key(found.key))


def _standing(state: GcState, to: Standing) -> GcState:
    listed = [CondemnedPack(key, since) for key, since in sorted(to.listed.items())]
    return changed_state(state, listed=listed, deleting=sorted(to.deleting))

"""Collection at a remote: what no ref there leads to is listed, and deleted a day or more later. DESIGN, "Collection".

No lock is held and no client's clock is believed. A run reads gc/state, then marks what is needed, then swaps
gc/state; who loses that race has done nothing. Killed anywhere, the next run goes on from what gc/state says.
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.errors import Busy, Corrupt
from artstore.format.remote import (
    GC_KEY,
    WRITE_BYTES,
    CondemnedPack,
    GcState,
    Pin,
    RemoteSet,
    all_keys,
    encode_remote,
    is_pack_key,
    set_key,
)
from artstore.model import Digest
from artstore.planning.remote_gc import RemoteGcStep, Standing, plan_remote_gc
from artstore.store.remote.documents import Found, read_document, read_documents
from artstore.store.remote.names import read_move
from artstore.store.remote.pins import PINS
from artstore.store.remote.pull import known_tags, read_refs
from artstore.store.remote.sent import forget_packs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from artstore.model import Alias, Listed, Move
    from artstore.ports import Remote
    from artstore.store.context import Context

_PACKS: Final = ("p/", "m/", "x/")
_SETS: Final = "sets/"
_SETS_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class RemoteGcPlan:
    """What one run of collection would do, as the remote was seen. `unnamed`: versions that no ref leads to; `read_at`:
    by the remote's clock, s since 1970; `grace`: s; `versions`: those that refs lead to; `requests`: that it took.
    """

    step: RemoteGcStep
    versions: int
    unnamed: int
    read_at: float
    grace: int
    requests: int
    state: GcState
    etag: str
    old_pins: tuple[str, ...]


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

    def plan(self) -> RemoteGcPlan:
        """What a run would do now. Corrupt, and nothing may be collected, if a set can't be read. Busy: see `look`."""
        before = self._remote.stats.requests
        state, how = self._state()
        # From here on whatever is seen was there after gc/state was read.
        versions, marked = self._mark()
        pins = list(self._remote.list(PINS))
        young = [pin.key for pin in pins if how.time - pin.time < state.grace]
        for found in read_documents(self._remote, Pin, young):
            marked.update(found[0].keys if found is not None else ())
        standing = Standing({pack.key: pack.since for pack in state.listed}, state.deleting)
        step = plan_remote_gc(standing, self._packs(), marked, read_at=how.time, grace=state.grace)
        unnamed = sum(1 for each in self._remote.list(_SETS) if each.key.removeprefix(_SETS) not in versions)
        dead = [pin.key for pin in pins if how.time - pin.time >= state.grace + limits.REMOTE_PIN_S]
        requests = self._remote.stats.requests - before
        return RemoteGcPlan(step, len(versions), unnamed, how.time, state.grace, requests, state, how.etag, tuple(dead))

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
        if not plan.step.changes and not plan.step.deleting:
            return
        etag = self._swap(plan.state, plan.step.after, plan.etag, deletions=plan.state.deletions)
        if etag is None:
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
        after = Standing(plan.step.after.listed, [])
        if self._swap(plan.state, after, etag, deletions=plan.state.deletions + 1, runs=2) is None:
            result.notes.append("another collector went on from here before the end")

    # --- gc/state

    def _state(self) -> tuple[GcState, Found]:
        found = read_document(self._remote, GcState, GC_KEY)
        if found is None:
            raise Corrupt(f"{self._remote.url}/{GC_KEY} is missing", hint="is this a remote of artstore?")
        if found[0].exclusive:
            raise Busy(f"{self._remote.url} is being collected by somebody who wants nobody else to write")
        return found

    def _swap(self, state: GcState, to: Standing, etag: str, *, deletions: int, runs: int = 1) -> str | None:
        listed = [CondemnedPack(key, since) for key, since in sorted(to.listed.items())]
        write = secrets.token_bytes(WRITE_BYTES)
        new = GcState(
            write, state.generation + runs, state.grace, state.exclusive, deletions, listed, sorted(to.deleting)
        )
        done = self._remote.swap(GC_KEY, encode_remote(new), etag)
        return None if done is None else done.etag

    # --- what is needed

    def _mark(self) -> tuple[set[str], set[str]]:
        """The versions (hex) that refs lead to, and the packs and shards of their sets."""
        with self._context.index.read() as reader:
            known = known_tags(reader, self._remote_id)
        refs = read_refs(self._remote, known=known)
        needed = {Digest(tag.version) for tag in refs.tags}
        needed |= {Digest(alias.version) for alias in refs.aliases if alias.version}
        past = {Digest(move.target) for alias in refs.aliases for move in self._moves(alias) if move.target}
        marked: set[str] = set()
        asked: set[Digest] = set()
        left = needed | past
        while left:
            asked |= left
            inputs: set[Digest] = set()
            for version, told in self._sets(left):
                if told is None and version in needed:
                    raise Corrupt(
                        f"version {version.hex()} has no set at {self._remote.url}: nothing is collected",
                        hint="`artstore push --all` from a store that has it all",
                    )
                if told is not None:
                    marked.update(all_keys(told))
                    inputs.update(map(Digest, told.inputs))
            left = inputs - asked
        return {version.hex() for version in asked}, marked

    def _sets(self, versions: Iterable[Digest]) -> Iterator[tuple[Digest, RemoteSet | None]]:
        """The set of each; a few are held at once."""
        ordered = sorted(versions)
        for at in range(0, len(ordered), _SETS_AT_ONCE):
            part = ordered[at : at + _SETS_AT_ONCE]
            answers = read_documents(self._remote, RemoteSet, map(set_key, part))
            for version, found in zip(part, answers, strict=True):
                yield version, None if found is None else found[0]

    def _moves(self, alias: Alias) -> Iterator[Move]:
        """The last moves of an alias, as far as it may be rolled back."""
        with self._context.index.read() as reader:
            here = {bytes(id): move for id, move in islice(reader.moves(alias.name), 2 * limits.ROLLBACK_MOVES_MAX)}
        id = bytes(alias.move)
        for _ in range(limits.ROLLBACK_MOVES_MAX):
            if not id:
                return
            move = here.get(id) or read_move(self._remote, id, self._context.ids)
            yield move
            id = bytes(move.previous)

    def _packs(self) -> Iterator[Listed]:
        for folder in _PACKS:
            yield from (found for found in self._remote.list(folder) if is_pack_key(found.key))

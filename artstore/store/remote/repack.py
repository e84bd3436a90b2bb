"""Repack at a remote: packs that are mostly dead, or small, are rewritten, and sets name the new ones.

A push in all but its refs: pin, packs, shards, a proof, then sets. Nothing is deleted here: an old pack that no set
names any more falls to collection. What is needed is known for the versions that were walked; a set of any other one,
be it pushed meanwhile, stays as it is, and keeps the old packs it names.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.remote import encode_shard
from artstore.model import PackKind
from artstore.planning.remote_repack import OldPack, moved_to, plan_new_packs
from artstore.store.collect.live import Needed
from artstore.store.remote.pins import PushPin
from artstore.store.remote.presence import boot_time, look
from artstore.store.remote.repack_copy import Copier
from artstore.store.remote.repack_survey import Survey, Surveyor, read_tables
from artstore.store.remote.repack_swap import Moved, Swapper
from artstore.store.remote.sent import forget_packs
from artstore.store.remote.transfers import Transfers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from artstore.format.remote import ShardPack
    from artstore.planning.remote_repack import PackUse
    from artstore.ports import Remote
    from artstore.store.context import Context, Counters
    from artstore.store.objects import Objects

_RANDOM_BYTES = 12


@dataclass(frozen=True, slots=True)
class RemoteRepackPlan:
    """What a repack would do. `versions`: those that names lead to; `touched`: of these, whose sets are replaced;
    `packs`, `bytes`: that their sets name. Of the packs to be rewritten: `dead` and `small`, how many; `old_bytes`;
    `live_bytes`, which are written; `fetch_bytes`, which aren't here. `requests`: about how many it takes; `spent`:
    those that finding this out took. `left`, `untold`: packs left alone, for want of room, or since no shard tells.
    """

    versions: int
    touched: int
    packs: int
    bytes: int
    dead: int
    small: int
    old_bytes: int
    live_bytes: int
    fetch_bytes: int
    requests: int
    spent: int
    left: int
    untold: int

    @property
    def is_empty(self) -> bool:
        """Is there nothing to be rewritten?"""
        return not (self.dead or self.small)


@dataclass(slots=True)
class RemoteRepackResult:
    """What a repack did: packs rewritten and their bytes, packs written and their bytes, sets replaced. `left`: packs,
    versions (hex) that were left alone, and why.
    """

    plan: RemoteRepackPlan
    packs: int = 0
    old_bytes: int = 0
    new_packs: int = 0
    new_bytes: int = 0
    fetched_bytes: int = 0
    sets: int = 0
    requests: int = 0
    left: dict[str, str] = field(default_factory=dict[str, str])


class RemoteRepack:
    """One repack, between what is to be done and doing it. A context: it holds temporary files and a session."""

    def __init__(
        self,
        context: Context,
        objects: Objects,
        remote: Remote,
        remote_id: bytes,
        counters: Counters,
        *,
        now: Callable[[], float] = boot_time,
    ) -> None:
        self._context = context
        self._objects = objects
        self._remote = remote
        self._remote_id = remote_id
        self._counters = counters
        self._now = now
        self._needed = Needed(objects)
        self._survey = Survey()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._needed)
        self._stack.enter_context(self._context.sessions.begin())  # what is read here is not collected meanwhile
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def plan(self) -> RemoteRepackPlan:
        """Find out what is to be rewritten. Busy while the remote is held, Corrupt if a living version is damaged."""
        before = self._remote.stats.requests
        look(self._remote, now=self._now)
        self._survey = Surveyor(self._context, self._remote, self._remote_id, self._needed).survey()
        uses = [use for uses in self._survey.rounds for use in uses]
        dead = [use for use in uses if use.is_dead]
        touches = sum(bits.bit_count() for bits in self._survey.touched.values())
        return RemoteRepackPlan(
            versions=len(self._survey.versions),
            touched=len(self._survey.touched),
            packs=self._survey.packs,
            bytes=self._survey.bytes,
            dead=len(dead),
            small=len(uses) - len(dead),
            old_bytes=sum(use.size for use in uses),
            live_bytes=sum(use.live_bytes for use in uses),
            fetch_bytes=sum(use.fetch_bytes for use in uses),
            requests=_requests(self._survey.rounds, touches),
            spent=self._remote.stats.requests - before,
            left=self._survey.left,
            untold=self._survey.untold,
        )

    def run(self, plan: RemoteRepackPlan) -> RemoteRepackResult:
        """Do what `plan`, the last one, says. Killed anywhere, every version stays readable, and what was written goes
        with the next collection or is used.
        """
        before = self._remote.stats.requests
        result = RemoteRepackResult(plan)
        self._counters.bytes_total = self._counters.bytes_done + plan.live_bytes
        for number, uses in enumerate(self._survey.rounds):
            self._round(number, uses, result)
        result.requests = self._remote.stats.requests - before
        return result

    def _round(self, number: int, uses: Sequence[PackUse], result: RemoteRepackResult) -> None:
        seen = look(self._remote, now=self._now)
        old = self._old(uses, result)
        names = _Names()
        new = {names.mint("p" if pack.kind is PackKind.DATA else "m"): pack for pack in plan_new_packs(old)}
        # One for each new pack is more than there will be: a pin may say too much, never too little.
        shards = [names.mint("x") for _ in new]
        pin = PushPin(self._remote, lambda: [*new, *shards], self._now, grace=seen.grace)
        if new:
            pin.put()
        copier = Copier(
            self._context, self._objects, self._remote, Transfers(self._remote, self._context.flow, self._counters)
        )
        told: list[ShardPack] = []
        for sent in copier.send(new):
            told.append(sent)
            pin.renew()
        moved = moved_to(old, new, copier.lost)
        for pack in old:
            if pack.key not in moved:
                result.left[pack.key] = "an object of it is damaged: `artstore push --all` from where it is whole"
        at = self._put_shards(told, shards)
        pin.renew()
        touched = [version for version, bits in self._survey.touched.items() if bits >> number & 1]
        swapper = Swapper(self._remote, Moved(moved, at, self._survey.tells), now=self._now, tick=pin.renew)
        swapped = swapper.swap(touched)
        with self._context.index.write() as writer:  # nothing new is to rely on them
            forget_packs(writer, self._remote_id, set(moved))
        pin.drop()
        sizes = {use.key: use.size for use in uses}
        result.packs += len(moved)
        result.old_bytes += sum(sizes[key] for key in moved)
        result.new_packs += len(told)
        result.new_bytes += sum(pack.size for pack in told)
        result.fetched_bytes += copier.fetched_bytes
        result.sets += swapped.sets
        result.left |= swapped.left

    def _old(self, uses: Sequence[PackUse], result: RemoteRepackResult) -> list[OldPack]:
        """The needed rows of the old packs' tables, which are read once more: all of them aren't held."""
        keys = {use.key for use in uses}
        shards = sorted({use.shard for use in uses})
        tables = {key: table for key, table in read_tables(self._remote, shards) if key in keys}
        for key in keys - tables.keys():
            result.left[key] = "its shard is gone"
        wanted = {entry.id for table in tables.values() for entry in table}
        live = {id for id in self._needed.ids() if id in wanted}
        return [
            OldPack(use.key, [entry for entry in tables[use.key] if entry.id in live])
            for use in uses
            if use.key in tables
        ]

    def _put_shards(self, packs: Iterable[ShardPack], names: Sequence[str]) -> dict[str, str]:
        """Shards that tell of new packs; which one tells of each."""
        at: dict[str, str] = {}
        batch: list[ShardPack] = []
        left = iter(names)

        def put() -> None:
            name = next(left)
            self._remote.put(name, encode_shard(batch))
            at.update((pack.key, name) for pack in batch)

        for pack in sorted(packs, key=lambda pack: pack.key):
            tables = sum(len(each.table) for each in batch) + len(pack.table)
            too_much = tables > limits.REMOTE_SHARD_TABLES_BYTES_MAX or len(batch) >= limits.REMOTE_SHARD_PACKS_MAX
            if batch and too_much:
                put()
                batch = []
            batch.append(pack)
        if batch:
            put()
        return at


class _Names:
    """Keys that were never used."""

    def __init__(self) -> None:
        self._random = secrets.token_hex(_RANDOM_BYTES)
        self._minted = 0

    def mint(self, kind: str) -> str:
        """The next one."""
        self._minted += 1
        return f"{kind}/{self._random}/{self._minted:08}"


def _requests(rounds: Sequence[Sequence[PackUse]], touches: int) -> int:
    """About how many a repack takes: ranges, packs, shards, pins and proofs, and for each set a read and a swap."""
    count = 2 * touches
    for uses in rounds:
        for kind in PackKind:
            of_kind = [use for use in uses if use.kind is kind]
            live = sum(use.live_bytes for use in of_kind)
            size_max = limits.PACK_BYTES_TARGET if kind is PackKind.DATA else limits.METAPACK_BYTES_TARGET
            count += sum(-(-use.fetch_bytes // limits.FAR_REQUEST_BYTES) for use in of_kind)
            count += 2 * -(-live // size_max)
        count += len({use.shard for use in uses}) + 6
    return count

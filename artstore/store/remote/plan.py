"""What becomes of each pack that a push needs: it lies at the remote, others have what it holds, or it is sent."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore.format.remote import all_keys
from artstore.model import PackId, PackKind
from artstore.planning.push import LocalPack, plan_sends
from artstore.store.collect.live import table_of
from artstore.store.remote.known import Known, learn
from artstore.store.remote.sent import places_of, sent_packs
from artstore.store.remote.transfer import live_packs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from artstore.format.remote import RemoteSet, ShardPack
    from artstore.model import Digest, PackRow
    from artstore.planning.push import Gathered
    from artstore.ports import Remote
    from artstore.store.context import Context
    from artstore.store.objects import Objects

_RANDOM_BYTES = 12


@dataclass(slots=True)
class Plan:
    """`new`: the versions that need a set; `rows`: the packs here by number.

    `whole`, `gathered`: what is to be sent, by number and by key; `untold`: what was sent before, and no shard tells
    of. `places`: of each pack here the keys at the remote that hold it; `shards`: which shard tells of a key.
    `learnt`: packs whose places the journal doesn't know yet. `borrowed`: of versions of which a part isn't here, the
    set there that names it.
    """

    new: set[Digest]
    rows: dict[int, PackRow]
    whole: dict[int, str] = field(default_factory=dict[int, str])
    gathered: dict[str, Gathered] = field(default_factory=dict[str, "Gathered"])
    untold: list[ShardPack] = field(default_factory=list["ShardPack"])
    places: dict[int, set[str]] = field(default_factory=dict[int, set[str]])
    shards: dict[str, str] = field(default_factory=dict[str, str])
    learnt: list[int] = field(default_factory=list[int])
    borrowed: dict[Digest, RemoteSet] = field(default_factory=dict["Digest", "RemoteSet"])
    _random: str = field(default_factory=lambda: secrets.token_hex(_RANDOM_BYTES))
    _minted: int = 0

    def mint(self, kind: str) -> str:
        """A key that was never used."""
        self._minted += 1
        return f"{kind}/{self._random}/{self._minted:08}"

    @property
    def has_uploads(self) -> bool:
        """Is there a pack or a shard to be sent?"""
        return bool(self.whole or self.gathered or self.untold)

    @property
    def bytes(self) -> int:
        """Of the packs that are to be sent."""
        return sum(self.rows[number].size for number in self.whole) + sum(new.size for new in self.gathered.values())

    def keys(self) -> set[str]:
        """Every pack at the remote that the versions need, and the shards that tell of them."""
        borrowed = {key for told in self.borrowed.values() for key in all_keys(told)}
        return {key for keys in self.places.values() for key in keys} | set(self.shards.values()) | borrowed

    def shards_of(self, number: int) -> Iterable[str]:
        """The shards that tell what a pack holds."""
        return {self.shards[key] for key in self.places[number] if key in self.shards}


def id_of(key: str) -> PackId:
    """The pack id of a pack that was made for the remote, by its key."""
    _, random, number = key.split("/")
    return PackId(bytes.fromhex(random) + int(number).to_bytes(4))


def lacking_sets(
    versions: Iterable[Digest], sets: Mapping[Digest, tuple[RemoteSet, str]], bad: Collection[str]
) -> set[Digest]:
    """The versions that have no set at the remote, or one that names packs or shards which can't be relied on."""
    unreliable = frozenset(bad)
    return {v for v in versions if v not in sets or not unreliable.isdisjoint(all_keys(sets[v][0]))}


class Planner:
    """Plans one push. `bad`: packs at the remote that can't be relied on."""

    def __init__(
        self, context: Context, objects: Objects, remote: Remote, remote_id: bytes, bad: Collection[str]
    ) -> None:
        self._context = context
        self._objects = objects
        self._remote = remote
        self._remote_id = remote_id
        self._bad = frozenset(bad)

    def plan(
        self,
        versions: dict[Digest, tuple[int, ...]],
        rows: dict[int, PackRow],
        sets: dict[Digest, tuple[RemoteSet, str]],
    ) -> Plan:
        """`versions`: the packs here of each; `rows`: these packs; `sets`: what of it the remote has, with ETags."""
        new = lacking_sets(versions, sets, self._bad)
        plan = Plan(new, rows)
        numbers = sorted({number for version in new for number in versions[version]})
        own, sent = self._from_journal(plan, numbers)
        unsent = [number for number in numbers if number not in plan.places]
        if unsent:
            known = learn(self._context, self._objects, self._remote, new, sets, own, self._bad)
            for pack in sent.values():
                known.add(pack)
            self._decide(plan, unsent, known)
        needed = {key for keys in plan.places.values() for key in keys}
        plan.untold = [pack for key, pack in sent.items() if key in needed]
        return plan

    def _from_journal(self, plan: Plan, numbers: Iterable[int]) -> tuple[set[str], dict[str, ShardPack]]:
        """Fill in what the journal knows; the packs that lie there as they are here, and those no shard tells of."""
        with self._context.index.read() as reader:
            journal = live_packs(reader, self._remote_id)
            sent = {pack.key: pack for pack in sent_packs(reader, self._remote_id) if pack.key not in self._bad}
            for number in numbers:
                at = journal.get(plan.rows[number].id)
                places = [at] if at is not None else places_of(reader, self._remote_id, plan.rows[number].id)
                if places and self._bad.isdisjoint(name for place in places for name in (place.key, place.shard)):
                    plan.places[number] = {place.key for place in places}
                    plan.shards |= {place.key: place.shard for place in places if place.shard}
        return {at.key for at in journal.values()}, sent

    def _decide(self, plan: Plan, numbers: Iterable[int], known: Known) -> None:
        """What is sent, and how."""
        sends = plan_sends(self._packs(plan, numbers), known.packs)
        for number in sends.whole:
            key = plan.mint("p" if plan.rows[number].kind is PackKind.DATA else "m")
            plan.whole[number] = key
            plan.places[number] = {key}
        for number, keys in sends.found.items():
            plan.places[number] = set(keys)
            plan.shards |= {key: known.shards[key] for key in keys if key in known.shards}
            plan.learnt.append(number)
        for new in sends.gathered:
            key = plan.mint("p" if new.kind is PackKind.DATA else "m")
            plan.gathered[key] = new
            for piece in new.pieces:
                plan.places[piece.pack].add(key)

    def _packs(self, plan: Plan, numbers: Iterable[int]) -> Iterator[LocalPack]:
        for number in numbers:
            row = plan.rows[number]
            yield LocalPack(number, row.kind, row.size, table_of(self._context, row))

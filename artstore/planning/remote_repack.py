"""Which packs at a remote are rewritten, what goes together into which new pack, and what a set names afterwards. Pure.

Rewritten is what is needed by less than 60 %, and what is small, once there are enough small ones to be worth it: what
is put together is small again at first, and must not be rewritten by every run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.remote import RemoteSet
from artstore.model import PackKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from artstore.model import TableEntry

ROW_BYTES = limits.FRAME_HEADER_BYTES + limits.TABLE_ENTRY_BYTES


@dataclass(frozen=True, slots=True)
class PackUse:
    """A pack at a remote that sets of living versions name. `live_bytes`: of its frames that these versions need, rows
    in its table included; `live`: how many these are; `fetch_bytes`: those that aren't here.
    """

    key: str
    size: int
    shard: str
    live: int
    live_bytes: int
    fetch_bytes: int

    @property
    def kind(self) -> PackKind:
        """What it holds."""
        return kind_of(self.key)

    @property
    def is_dead(self) -> bool:
        """Is too little of it needed? A small one takes no room worth a pack of its own."""
        is_small = self.size < limits.REMOTE_SMALL_PACK_BYTES
        return not is_small and self.live_bytes < self.size * limits.REPACK_LIVE_MIN


@dataclass(frozen=True, slots=True)
class OldPack:
    """A pack that is rewritten: the rows of its table that are needed, in order."""

    key: str
    entries: Sequence[TableEntry]


@dataclass(frozen=True, slots=True)
class NewPack:
    """A new pack: pieces of old ones, by their keys. `size`: of its file."""

    kind: PackKind
    size: int
    pieces: tuple[OldPack, ...]


def kind_of(key: str) -> PackKind:
    """What a pack at a remote holds."""
    return PackKind.DATA if key.startswith("p/") else PackKind.META


def small_keys(sizes: Mapping[str, int]) -> set[str]:
    """The packs that are to be put together, of those that sets name."""
    small = {key for key, size in sizes.items() if size < limits.REMOTE_SMALL_PACK_BYTES}
    many = [kind for kind in PackKind if sum(kind_of(key) is kind for key in small) >= limits.REMOTE_SMALL_PACKS_MIN]
    return {key for key in small if kind_of(key) in many}


def plan_rounds(packs: Iterable[PackUse]) -> list[tuple[PackUse, ...]]:
    """Which are rewritten together, before sets are replaced: as much as may be lost, and held in memory."""
    rounds: list[tuple[PackUse, ...]] = []
    batch: list[PackUse] = []
    for pack in sorted(packs, key=lambda pack: pack.key):
        ids = sum(each.live for each in batch) + pack.live
        size = sum(each.live_bytes for each in batch) + pack.live_bytes
        too_much = ids > limits.REMOTE_REPACK_ROUND_IDS_MAX or size > limits.REMOTE_REPACK_ROUND_BYTES_MAX
        if batch and too_much:
            rounds.append(tuple(batch))
            batch = []
        batch.append(pack)
    return [*rounds, tuple(batch)] if batch else rounds


def plan_new_packs(packs: Sequence[OldPack]) -> Iterator[NewPack]:
    """New packs that hold all of it, each object once, in the order in which they lie."""
    placed: set[bytes] = set()
    for kind in PackKind:
        size_max = limits.PACK_BYTES_TARGET if kind is PackKind.DATA else limits.METAPACK_BYTES_TARGET
        pieces: dict[str, list[TableEntry]] = {}
        size, count = limits.TRAILER_BYTES, 0
        for pack in packs:
            for entry in pack.entries if kind_of(pack.key) is kind else ():
                if entry.id in placed:
                    continue
                placed.add(entry.id)
                row = entry.stored + ROW_BYTES
                if pieces and (size + row > size_max or count == limits.PACK_ENTRIES_MAX):
                    yield _new(kind, size, pieces)
                    pieces, size, count = {}, limits.TRAILER_BYTES, 0
                pieces.setdefault(pack.key, []).append(entry)
                size, count = size + row, count + 1
        if pieces:
            yield _new(kind, size, pieces)


def _new(kind: PackKind, size: int, pieces: Mapping[str, Sequence[TableEntry]]) -> NewPack:
    return NewPack(kind, size, tuple(OldPack(key, tuple(entries)) for key, entries in pieces.items()))


def moved_to(
    packs: Sequence[OldPack], new: Mapping[str, NewPack], lost: Collection[bytes]
) -> dict[str, frozenset[str]]:
    """Of each old pack the keys of those that hold all of it now; without those of which an object is among `lost`."""
    at = {entry.id: key for key, pack in new.items() for piece in pack.pieces for entry in piece.entries}
    return {
        pack.key: frozenset(at[entry.id] for entry in pack.entries)
        for pack in packs
        if not any(entry.id in lost for entry in pack.entries)
    }


def replaced_set(
    told: RemoteSet,
    moved: Mapping[str, frozenset[str]],
    *,
    write: bytes,
    shards: Mapping[str, str],
    tells: Mapping[str, Collection[str]],
) -> RemoteSet:
    """The same set with new packs in place of old ones. `shards`: which shard tells of a new pack; `tells`: of which
    packs an old shard does, as far as that is known: one that tells of nothing any more is left out.
    """
    packs = {key for old in (*told.data, *told.meta) for key in moved.get(old, (old,))}
    kept = [shard for shard in told.shards if shard not in tells or not packs.isdisjoint(tells[shard])]
    new = {shards[key] for key in packs if key in shards}
    return RemoteSet(
        write,
        sorted(key for key in packs if kind_of(key) is PackKind.DATA),
        sorted(key for key in packs if kind_of(key) is PackKind.META),
        sorted({*kept, *new}),
        told.inputs,
    )

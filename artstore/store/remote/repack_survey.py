"""Which packs at a remote are mostly dead or small: its versions are walked, and compared with the tables of its packs.

Nothing but metadata is fetched for that, and what is here is not: of versions that were fetched, their sets and the
shards these name. Memory is bounded by the number of packs that are needed; ids go through a sorter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.format.remote import decode_shard
from artstore.planning.remote_repack import ROW_BYTES, PackUse, plan_rounds, small_keys
from artstore.store.far.places import table_of_shard
from artstore.store.remote.documents import read_checked
from artstore.store.remote.marking import living_sets

if TYPE_CHECKING:
    from artstore.format.remote import RemoteSet
    from artstore.model import Digest, TableEntry
    from artstore.ports import Remote
    from artstore.store.collect.live import Needed
    from artstore.store.context import Context


@dataclass(slots=True)
class Survey:
    """What was found. `versions`: those that were walked; `packs`: how many their sets name, and how many bytes these
    have; `small`: keys of those that are put together; `rounds`: what is rewritten, in turns; `touched`: which turns
    concern a version, as bits; `tells`: of which packs a shard does; `untold`: packs that no shard tells of, which are
    left alone; `left`: packs for which there was no room in this repack.
    """

    versions: list[Digest] = field(default_factory=list["Digest"])
    packs: int = 0
    bytes: int = 0
    small: set[str] = field(default_factory=set[str])
    rounds: list[tuple[PackUse, ...]] = field(default_factory=list[tuple[PackUse, ...]])
    left: int = 0
    touched: dict[Digest, int] = field(default_factory=dict["Digest", int])
    tells: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    untold: int = 0


class Surveyor:
    """Looks at one remote. `needed` gets all that its living versions are made of."""

    def __init__(self, context: Context, remote: Remote, remote_id: bytes, needed: Needed) -> None:
        self._context = context
        self._remote = remote
        self._remote_id = remote_id
        self._needed = needed

    def survey(self) -> Survey:
        """What is to be rewritten. Corrupt if a set, a tree or a recipe of a living version can't be read."""
        found = Survey()
        marked: set[str] = set()
        shards: set[str] = set()
        for version, told in self._living():
            self._needed.add(version)
            found.versions.append(version)
            marked.update(told.data, told.meta)
            shards.update(told.shards)
        sizes = {each.key: each.size for kind in ("p/", "m/") for each in self._remote.list(kind) if each.key in marked}
        found.packs, found.bytes = len(sizes), sum(sizes.values())
        found.small = small_keys(sizes)
        chosen: list[PackUse] = []
        for batch in self._tables(sorted(shards), sizes, found):
            chosen += [use for use in self._uses(batch, sizes) if use.is_dead or use.key in found.small]
        found.untold = len(sizes) - len({key for keys in found.tells.values() for key in keys if key in sizes})
        chosen.sort(key=lambda use: (use.live_bytes - use.size, use.key))
        found.left = len(chosen[limits.REMOTE_REPACK_PACKS_MAX :])
        found.rounds = plan_rounds(chosen[: limits.REMOTE_REPACK_PACKS_MAX])
        if found.rounds:
            self._touch(found)
        return found

    def _living(self) -> Iterator[tuple[Digest, RemoteSet]]:
        return living_sets(self._context, self._remote, self._remote_id)

    def _touch(self, found: Survey) -> None:
        """Which versions a round concerns: their sets are read once more, since all of them aren't held."""
        turn = {use.key: number for number, uses in enumerate(found.rounds) for use in uses}
        for version, told in self._living():
            bits = 0
            for key in (*told.data, *told.meta):
                bits |= 1 << turn[key] if key in turn else 0
            if bits:
                found.touched[version] = bits

    # --- tables

    def _tables(
        self, shards: Sequence[str], sizes: Mapping[str, int], found: Survey
    ) -> Iterator[list[tuple[str, str, Sequence[TableEntry]]]]:
        """Packs with the shard that tells of each and their tables; as many together as there may be ids in memory."""
        batch: list[tuple[str, str, Sequence[TableEntry]]] = []
        done: set[str] = set()
        count = 0
        for shard in shards:
            tables = dict(read_tables(self._remote, [shard]))
            if tables:
                found.tells[shard] = frozenset(tables)
            for key, table in tables.items():
                if key not in sizes or key in done:
                    continue
                if batch and count + len(table) > limits.REMOTE_REPACK_IDS_MAX:
                    yield batch
                    batch, count = [], 0
                done.add(key)
                batch.append((key, shard, table))
                count += len(table)
        if batch:
            yield batch

    def _uses(
        self, batch: Sequence[tuple[str, str, Sequence[TableEntry]]], sizes: Mapping[str, int]
    ) -> Iterator[PackUse]:
        """How much of each is needed."""
        wanted = {entry.id for _, _, table in batch for entry in table}
        live = {id for id in self._needed.ids() if id in wanted}
        for key, shard, table in batch:
            rows = [entry for entry in table if entry.id in live]
            with self._context.index.read() as reader:
                places = reader.find_many([entry.id for entry in rows])
            absent = sum(entry.stored for entry, place in zip(rows, places, strict=True) if place is None)
            yield PackUse(key, sizes[key], shard, len(rows), sum(e.stored + ROW_BYTES for e in rows), absent)


def read_tables(remote: Remote, shards: Iterable[str]) -> Iterator[tuple[str, Sequence[TableEntry]]]:
    """The packs that shards tell of, with their tables. One that is gone or damaged tells nothing."""
    for shard in shards:
        try:
            read = read_checked(remote, shard, decode_shard)
            yield from [(pack.key, table_of_shard(pack)) for pack in (read[0] if read is not None else ())]
        except (Corrupt, NewerFormat):
            continue

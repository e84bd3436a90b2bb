"""Where objects lie at remotes, learnt from sets and shards when somebody first needs them.

The index remembers what was learnt. A set is that of a version which somebody has opened, or of one that is known to
be here in part only; a pack counts only while a set names it, what else a shard tells may be garbage by now.
"""

from __future__ import annotations

import time
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from artstore import limits
from artstore.errors import Corrupt, NewerFormat, NotFound, RemoteError
from artstore.format.pack import decode_table, parse_tail
from artstore.format.remote import FORMAT_KEY, RemoteFormat, RemoteSet, decode_shard, set_key
from artstore.model import Digest, PackKind
from artstore.store.partial import partial_versions
from artstore.store.remote.documents import read_checked, read_document, read_documents
from artstore.store.remote.opening import require_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from artstore.format.remote import ShardPack
    from artstore.model import FarPack, Location, TableEntry
    from artstore.ports import Index, Remote, RemotePool


class FarPlace(NamedTuple):
    """An object in a pack at a remote."""

    pack: FarPack
    place: Location


class FarPlaces:
    """What one process knows of remotes. Thread-safe."""

    def __init__(self, index: Index, pool: RemotePool, opened: Sequence[Digest]) -> None:
        """`opened`: versions that somebody reads, the latest last: what is missing next is likely to be in their sets.
        The caller goes on adding to it.
        """
        self._index = index
        self._pool = pool
        self._opened = opened
        self._asked: dict[tuple[bytes, Digest], float] = {}  # when a version's set was last asked for
        self._avoided: set[tuple[bytes, int]] = set()  # copies that are damaged, by id and pack number
        self._remotes: frozenset[bytes] = frozenset()  # this store's, as far as they were asked for
        self._learning = Lock()

    @property
    def has_several(self) -> bool:
        """Has this store another remote to turn to?"""
        return len(self._pool.ids()) > 1

    def find(self, ids: Sequence[bytes], away: Mapping[bytes, RemoteError] | None = None) -> dict[bytes, FarPlace]:
        """Where these lie, as far as that can be learnt. RemoteError if it can't be, since a remote doesn't answer;
        NotFound if a remote that was removed from this store is the only one known to have one. `away`: remotes that
        didn't answer: elsewhere, then, as far as versions tell that somebody reads.
        """
        found = self.known(ids, away)
        if len(found) == len(set(ids)):
            return found
        down: dict[bytes, RemoteError] = dict(away or {})
        with self._learning:
            found = self.known(ids, away)  # another thread may have learnt it meanwhile
            for version in self._candidates(opened=bool(away)):
                if len(found) == len(set(ids)):
                    break
                if self._learn(version, down):
                    found = self.known(ids, away)
        lost = set(ids) - found.keys()
        for error in down.values() if lost else ():
            raise error
        self._require_remotes(lost)
        return found

    def known(self, ids: Sequence[bytes], away: Mapping[bytes, RemoteError] | None = None) -> dict[bytes, FarPlace]:
        """Where these lie, as far as the index knows, but for remotes that are `away`."""
        found: dict[bytes, FarPlace] = {}
        packs: dict[int, FarPack | None] = {}

        def usable(place: Location) -> FarPlace | None:
            if place.pack not in packs:
                pack = reader.far_pack(place.pack)
                is_bad = pack is None or not self._is_ours(pack.remote) or (away is not None and pack.remote in away)
                packs[place.pack] = None if is_bad else pack
            pack = packs[place.pack]
            return None if pack is None else FarPlace(pack, place)

        with self._index.read() as reader:
            for id, place in zip(ids, reader.far_find_many(ids), strict=True):
                if place is None:
                    continue
                at = usable(place) if (id, place.pack) not in self._avoided else None
                if at is None:
                    others = (each for each in reader.far_copies(id) if (id, each.pack) not in self._avoided)
                    at = next(filter(None, map(usable, others)), None)
                if at is not None:
                    found[id] = at
        return found

    def _is_ours(self, remote: bytes) -> bool:
        """Is it a remote of this store? What was learnt of one that was removed since serves if it is added again."""
        if remote not in self._remotes:
            self._remotes = frozenset(self._pool.ids())
        return remote in self._remotes

    def _require_remotes(self, lost: Iterable[bytes]) -> None:
        """NotFound, with what to do, if one of these lies at a remote that was removed."""
        with self._index.read() as reader:
            packs = [reader.far_pack(place.pack) for id in lost for place in reader.far_copies(id)]
        for pack in packs:
            if pack is not None:
                self._pool.open(pack.remote)

    def avoid(self, copies: Iterable[tuple[bytes, FarPack]]) -> None:
        """These are damaged there: others are found from now on. Sets of versions that somebody reads are asked for
        anew, since what is damaged may have been sent again.
        """
        if len(self._avoided) >= limits.FAR_AVOIDED_MAX:
            self._avoided = set()
        self._avoided |= {(id, pack.number) for id, pack in copies}
        recent = set(self._opened)
        with self._learning:
            for key in [key for key in self._asked if key[1] in recent]:
                del self._asked[key]

    def avoid_no_more(self, copies: Iterable[tuple[bytes, FarPack]]) -> None:
        """There is no other copy: whoever wants it is to be told why it can't be read."""
        self._avoided -= {(id, pack.number) for id, pack in copies}

    def forget(self, pack: FarPack) -> None:
        """It isn't there any more: sets may have been rewritten, and are to be asked for anew."""
        with self._index.write() as writer:
            writer.remove_far_pack(pack.number)
        self._asked.clear()

    def learn_set(self, remote: bytes, told: RemoteSet) -> None:
        """Know the packs that a set of a remote names; errors as `find`."""
        with self._learning:
            self._take_in(remote, self._pool.open(remote), told)

    def _candidates(self, *, opened: bool) -> Iterable[Digest]:
        """Versions whose sets may tell: those opened lately, the latest first, then, unless `opened`, all that are here
        in part.
        """
        recent = list(dict.fromkeys(reversed(tuple(self._opened))))
        yield from recent
        if opened:
            return
        with self._index.read() as reader:
            partial = [version for version in partial_versions(reader) if version not in recent]
        yield from partial

    def _learn(self, version: Digest, down: dict[bytes, RemoteError]) -> bool:
        """Take in what the remotes' sets of a version name; whether anything is new. The lock is held.

        One that doesn't answer goes into `down`: another one may have it.
        """
        new = False
        for id in self._pool.ids():
            moment = time.monotonic()
            if id in down or moment - self._asked.get((id, version), float("-inf")) < limits.FAR_ASK_AGAIN_S:
                continue
            try:
                new |= self._ask(id, version)
            except RemoteError as error:
                down[id] = error
                continue
            if len(self._asked) >= limits.FAR_ASKED_MAX:
                self._asked.clear()
            self._asked[id, version] = moment  # all that it tells is known: who failed half-way asks again
        return new

    def _ask(self, id: bytes, version: Digest) -> bool:
        """The same of one remote, which is there."""
        remote = self._pool.open(id)
        told = read_documents(remote, RemoteSet, [set_key(version)])[0]
        if told is not None:
            return self._take_in(id, remote, told[0])
        self.require_known(id)
        return False

    def require_known(self, id: bytes) -> None:
        """Something is gone from a remote: is it the remote as a whole? RemoteError then."""
        remote = self._pool.open(id)
        told = read_document(remote, RemoteFormat, FORMAT_KEY)
        require_known(remote, None if told is None else told[0], known=id.hex())

    def _take_in(self, id: bytes, remote: Remote, told: RemoteSet) -> bool:
        with self._index.read() as reader:
            unknown = {key for key in (*told.data, *told.meta) if reader.far_pack_at(id, key) is None}
        before = len(unknown)
        # A push mints the names of its packs and of its shards alike: its own shard tells of them.
        own = {_push_of(key) for key in unknown}
        shards = sorted(told.shards, key=lambda shard: _push_of(shard) not in own)
        for shard in shards:
            if not unknown:
                break
            unknown -= self._read_shard(id, remote, shard, unknown)
        for key in sorted(unknown):  # its shard is lost; the pack itself tells, by two requests more
            unknown -= self._read_tail(id, remote, key)
        return len(unknown) < before

    def _read_shard(self, id: bytes, remote: Remote, shard: str, wanted: set[str]) -> set[str]:
        """Enter the wanted packs that a shard tells of; their keys. One that is gone or damaged tells nothing."""
        try:
            read = read_checked(remote, shard, decode_shard)
        except (Corrupt, NewerFormat):
            return set()
        packs = [pack for pack in (read[0] if read is not None else ()) if pack.key in wanted]
        rest = iter(packs)
        while batch := list(islice(rest, limits.FAR_PACKS_PER_WRITE)):
            with self._index.write(sync=False) as writer:
                for pack in batch:
                    writer.add_far_pack(id, pack.key, size=pack.size, table=table_of_shard(pack))
        return {pack.key for pack in packs}

    def _read_tail(self, id: bytes, remote: Remote, key: str) -> set[str]:
        """Enter a pack by its own table; its key, unless it is gone or damaged."""
        listed = remote.head(key)
        if listed is None:
            return set()

        def read_at(offset: int, size: int) -> bytes:
            data = remote.get_range(key, offset, size)
            if data is None:
                raise Corrupt(f"{remote.url}/{key} is missing")
            return data

        try:
            tail = parse_tail(listed.size, read_at)
        except (Corrupt, NewerFormat):
            return set()
        with self._index.write(sync=False) as writer:
            writer.add_far_pack(id, key, size=listed.size, table=tail.entries)
        return {key}


def table_of_shard(pack: ShardPack) -> Sequence[TableEntry]:
    """What a shard says of a pack, as the pack's own table would. Corrupt if it makes no sense."""
    kind = PackKind.DATA if pack.key.startswith("p/") else PackKind.META
    return decode_table(pack.table, kind, size=pack.size)


def _push_of(key: str) -> str:
    return key.split("/")[1]


def cannot_reach(error: RemoteError | NotFound) -> RemoteError:
    """What to tell who reads something that isn't here, when the remote that has it doesn't answer, or is gone."""
    if isinstance(error, NotFound):  # what was asked for does exist
        return RemoteError(f"it isn't here, and the remote that has it is gone: {error.message}", hint=error.hint)
    return RemoteError(
        f"it isn't here, and the remote that has it doesn't answer: {error.message}",
        hint=error.hint or "try again when it can be reached; `artstore prefetch` keeps things here for such times",
    )

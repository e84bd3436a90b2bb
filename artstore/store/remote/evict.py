"""Eviction: packs of this machine go once a remote is seen to have all that they hold; it is read from there then.

A pack goes only if each version that needs it is named by a ref of the remote, now, and if each object of it lies in a
pack which that version's set there names and which was seen after a look at `gc/state`. It goes the way of collection:
marked as DELETING in one transaction with the sets that named it, unlinked when no session runs that began before [I4].
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import UsageError
from artstore.format.remote import ALIASES, TAGS, RemoteAlias, RemoteSet, RemoteTag, set_key
from artstore.model import Digest, PackKind, PackState
from artstore.store.collect import records
from artstore.store.collect.live import table_of
from artstore.store.followed import followed_versions
from artstore.store.partial import mark_partial
from artstore.store.remote.documents import read_document, read_documents
from artstore.store.remote.presence import absent, look

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from artstore.model import PackRow
    from artstore.ports import IndexReader, Remote
    from artstore.store.context import Context
    from artstore.store.far import FarSource
    from artstore.store.objects import Objects

_SESSION_BYTES = 12


@dataclass(slots=True)
class EvictResult:
    """What an eviction did. `waiting_bytes`: of packs that go when running commands have ended; `kept`: versions whose
    packs stay, and why.
    """

    packs: int = 0
    freed_bytes: int = 0
    waiting_bytes: int = 0
    cache_bytes: int = 0
    kept: dict[Digest, str] = field(default_factory=dict[Digest, str])


class Evictor:
    """One eviction of packs that a remote has."""

    def __init__(self, context: Context, objects: Objects, far: FarSource, remote: Remote, remote_id: bytes) -> None:
        self._context = context
        self._objects = objects
        self._far = far
        self._remote = remote
        self._remote_id = remote_id
        self._result = EvictResult()

    def evict(self, versions: Iterable[Digest] | None, *, bytes_max: int | None = None) -> EvictResult:
        """Evict packs that only these versions need (None: all may go), the oldest first, until `bytes_max` have gone.

        UsageError if `local.keep` is `all`. Killed anywhere, nothing is lost; the next `gc` unlinks what was marked.
        """
        if self._context.far is not None and self._context.far.keep_local:
            raise UsageError(
                "local.keep is `all`: nothing is evicted from this store",
                hint="`artstore config set local.keep needed` allows it",
            )
        allowed = None if versions is None else set(versions)
        with self._context.sessions.begin() as session:
            users = self._users(allowed, session.id)
            there = self._safe_sets({version for needing in users.values() for version in needing})
            going = self._choose(users, there, bytes_max)
            self._tell_shared(allowed or (), going)
            if going:
                self._mark(going, users, session.id)
                self._result.packs = len(going)
                self._result.freed_bytes = self._unlink(going, session.id)
                self._result.waiting_bytes = sum(row.size for row in going.values()) - self._result.freed_bytes
        return self._result

    def _users(self, allowed: set[Digest] | None, own: bytes) -> dict[int, set[Digest]]:
        """Of each data pack that may go, the versions that need it."""
        running = self._running(own)
        users: defaultdict[int, set[Digest]] = defaultdict(set)
        with self._context.index.read() as reader:
            for version in reader.versions():
                for number in reader.version_set(version) or ():
                    users[number].add(version)
            rows = {number: reader.pack(number) for number in users}
            served = followed_versions(reader)
        for version in served.keys() & (allowed or ()):
            self._keep(version, f"the follower of {served[version]} serves it, or would go back to it")
        return {
            number: needing
            for number, needing in users.items()
            if (row := rows[number]) is not None
            and row.kind is PackKind.DATA
            and row.state is PackState.LIVE
            and row.id[:_SESSION_BYTES] not in running
            and (allowed is None or needing <= allowed)
            and needing.isdisjoint(served)
        }

    def _tell_shared(self, allowed: Iterable[Digest], going: Mapping[int, PackRow]) -> None:
        """Of which of the named versions something stays since others need it."""
        with self._context.index.read() as reader:
            for version in allowed:
                left = [row for n in reader.version_set(version) or () if n not in going and (row := reader.pack(n))]
                if version not in self._result.kept and any(row.kind is PackKind.DATA for row in left):
                    self._keep(version, "other versions, or running commands, need a part of it, too")

    # --- what the remote has

    def _safe_sets(self, versions: set[Digest]) -> dict[Digest, RemoteSet]:
        """The sets there of the versions that a ref there leads to, and whose packs are all present."""
        named = self._named(versions)
        seen = look(self._remote)
        order = sorted(versions)
        answers = read_documents(self._remote, RemoteSet, map(set_key, order))
        sets = {version: found[0] for version, found in zip(order, answers, strict=True) if found is not None}
        missing = absent(self._remote, {key for told in sets.values() for key in (*told.data, *told.meta)}, seen)
        safe: dict[Digest, RemoteSet] = {}
        for version in order:
            told = sets.get(version)
            if version not in named:
                self._keep(version, "no name at the remote leads to it: `artstore push` it")
            elif told is None:
                self._keep(version, "the remote doesn't have it: `artstore push` it")
            elif not missing.isdisjoint((*told.data, *told.meta)):
                self._keep(version, "the remote lacks a part of it: `artstore push --all` sends it")
            else:
                self._far.places.learn_set(self._remote_id, told)
                safe[version] = told
        return safe

    def _named(self, versions: set[Digest]) -> set[Digest]:
        """Those of these versions that refs at the remote lead to, as they are there now."""
        with self._context.index.read() as reader:
            tags = [tag for tag in reader.tags() if tag.version in versions]
            aliases = {alias.name: _targets(reader, alias.name) for alias in reader.aliases()}
        aliases = {name: moves for name, moves in aliases.items() if not versions.isdisjoint(moves.values())}
        named: set[Digest] = set()
        answers = read_documents(self._remote, RemoteTag, [TAGS + tag.name for tag in tags])
        for tag, found in zip(tags, answers, strict=True):
            if found is not None and found[0].version == tag.version:
                named.add(Digest(tag.version))
        for name, moves in aliases.items():
            there = read_document(self._remote, RemoteAlias, ALIASES + name)
            if there is not None and there[0].move in moves:
                known = list(moves)
                named.update(moves[id] for id in known[known.index(there[0].move) :])
        return named | self._inputs(named)

    def _inputs(self, versions: set[Digest]) -> set[Digest]:
        """What these were made from, in any number of steps: the remote keeps it, too."""
        found: set[Digest] = set()
        left = list(versions)
        while left:
            with self._context.index.read() as reader:
                here = [version for version in left if reader.version_set(version) is not None]
            inputs = {
                Digest(bytes.fromhex(id))
                for version in here
                for id in self._objects.version(version).metadata.inputs.values()
            }
            left = list(inputs - found)
            found |= inputs
        return found

    # --- what goes

    def _choose(
        self, users: Mapping[int, set[Digest]], there: Mapping[Digest, RemoteSet], bytes_max: int | None
    ) -> dict[int, PackRow]:
        with self._context.index.read() as reader:
            rows = [row for number in users if (row := reader.pack(number)) is not None]
        going: dict[int, PackRow] = {}
        size = 0
        for row in sorted(rows, key=lambda row: (row.created, row.number)):
            if bytes_max is not None and size >= bytes_max:
                break
            if users[row.number] <= there.keys() and self._is_all_there(row, [there[v] for v in users[row.number]]):
                going[row.number] = row
                size += row.size
        return going

    def _is_all_there(self, row: PackRow, sets: Iterable[RemoteSet]) -> bool:
        """Does each of these sets name a pack for each object of this one?"""
        named = [frozenset(told.data) for told in sets]
        keys: dict[int, str] = {}
        with self._context.index.read() as reader:
            for entry in table_of(self._context, row):
                places = {place.pack for place in reader.far_copies(entry.id)}
                for number in places - keys.keys():
                    pack = reader.far_pack(number)
                    keys[number] = pack.key if pack is not None and pack.remote == self._remote_id else ""
                there = {keys[number] for number in places}
                if any(there.isdisjoint(packs) for packs in named):
                    return False
        return True

    def _mark(self, going: dict[int, PackRow], users: Mapping[int, set[Digest]], own: bytes) -> None:
        """Take the packs out of the sets and out of sight, but for those which somebody has come to need."""
        now = self._context.clock.now_ns()
        with self._context.index.write() as writer:
            sets = {version: writer.version_set(version) or () for version in writer.versions()}
            for version, packs in sets.items():
                for number in going.keys() & set(packs):
                    if version not in users[number]:
                        del going[number]
            for version, packs in sets.items():
                left = [number for number in packs if number not in going]
                if len(left) != len(packs):
                    writer.put_set(version, left)
                    mark_partial(writer, version, self._remote_id)
            for number in going:
                writer.set_pack_state(number, PackState.DELETING, now)
            # Asked inside the transaction: who runs by now may have seen these packs.
            records.put_witnesses(writer, going, self._running(own))

    def _unlink(self, going: Iterable[int], own: bytes) -> int:
        """Unlink what was marked, unless others run; the bytes that are free by that."""
        with self._context.index.write() as writer:
            if self._running(own):
                return 0
            needed = {number for version in writer.versions() for number in writer.version_set(version) or ()}
            found = [row for number in going if number not in needed and (row := writer.pack(number)) is not None]
            rows = [row for row in found if row.state is PackState.DELETING]
            for row in rows:  # I4: the entries, then the file
                writer.remove_pack(row.number)
            records.put_witnesses(writer, [row.number for row in rows], None)
        for row in rows:
            self._context.packs.delete(row.id)
        return sum(row.size for row in rows)

    def _running(self, own: bytes) -> frozenset[bytes]:
        return frozenset(id for id, _ in self._context.sessions.running()) - {own}

    def _keep(self, version: Digest, why: str) -> None:
        self._result.kept[version] = why


def _targets(reader: IndexReader, alias: str) -> dict[bytes, Digest]:
    """The last moves of an alias, newest first, and where they led."""
    moves = islice(reader.moves(alias), limits.ALIAS_MOVES_KEPT)
    return {bytes(id): Digest(move.target) for id, move in moves if move.target}

"""Erases content for good: from every pack that holds it, at once, without an undo.

Versions keep their ids, pages of directories and recipes stay; reading what was erased raises Erased. A chunk that any
other path uses is kept. The ids are in refs.log before a pack is touched, so that no rebuilt index brings them back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore.errors import Busy, Conflict, NotFound, UsageError
from artstore.model import PackState
from artstore.store.collect import records
from artstore.store.collect.copying import Copier
from artstore.store.collect.leftovers import remove_leftovers
from artstore.store.collect.live import table_of
from artstore.store.collect.repack import batches, replaced
from artstore.store.collect.sharing import PathIn, Surveyor, find
from artstore.store.read import split_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from artstore.model import Digest, PackRow, TableEntry
    from artstore.ports import IndexReader, IndexWriter, Session
    from artstore.store.context import Context
    from artstore.store.objects import Objects

    Moved = dict[int, frozenset[int]]

__all__ = ["PathIn", "PurgePlan", "PurgeResult", "purge", "purge_plan"]


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What would be erased. `places`: where the path was found; `chunks`, `size` (raw bytes): what goes for good;
    `kept_chunks`, `kept_size`: what stays since other paths, some of them `sharers`, use it too; `pack_bytes`: of packs
    to be rewritten. `erased` are the ids, `versions` those of the whole store.
    """

    path: bytes
    places: tuple[PathIn, ...]
    chunks: int
    size: int
    kept_chunks: int
    kept_size: int
    sharers: tuple[PathIn, ...]
    pack_bytes: int
    erased: frozenset[bytes]
    versions: frozenset[Digest]


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What was erased: chunks, their raw bytes; packs rewritten, and the bytes they got smaller by."""

    chunks: int
    size: int
    packs: int
    freed_bytes: int


def purge_plan(
    context: Context, objects: Objects, path: bytes, *, versions: Sequence[Digest] | None = None
) -> PurgePlan:
    """What erasing a file or folder from these versions (None: from all) would do. Nothing is changed.

    NotFound if none of them has it; Corrupt if a page of any version can't be read: it might use the same chunks.
    """
    names = tuple(split_path(path))
    if not names:
        raise UsageError("a purge needs a path within the version", hint="`artstore rm` removes whole versions")
    with context.index.read() as reader:
        everything = list(reader.versions())
    meant = frozenset(everything if versions is None else versions)
    places: list[PathIn] = []
    surveyor = Surveyor(objects)
    for version in everything:
        entry = find(objects, objects.version(version).tree, names) if version in meant else None
        if entry is not None:
            surveyor.take(entry)
            places.append(PathIn(version, b"/".join(names)))
    if not places:
        raise NotFound(f"no such path in these versions: {path.decode(errors='backslashreplace')}")
    surveyor.begin_comparison()
    for version in everything:
        surveyor.compare(version, objects.version(version).tree, names if version in meant else None)
    found = surveyor.result
    with context.index.read() as reader:
        erased = frozenset(
            id for id in found.chunks.keys() - found.shared if not reader.erased(id) or reader.copies(id)
        )
        rows = [reader.pack(number) for number in _holders(reader, erased)]
    return PurgePlan(
        path=b"/".join(names),
        places=tuple(places),
        chunks=len(erased),
        size=sum(found.chunks[id] for id in erased),
        kept_chunks=len(found.shared),
        kept_size=sum(found.chunks[id] for id in found.shared),
        sharers=tuple(found.sharers),
        pack_bytes=sum(row.size for row in rows if row is not None),
        erased=erased,
        versions=frozenset(everything),
    )


def purge(context: Context, objects: Objects, plan: PurgePlan, *, who: str, reason: str = "") -> PurgeResult:
    """Erase what a plan told of. Killed midway, it is finished by doing it again.

    Busy while other sessions run; Conflict if versions were made since the plan; Corrupt, with nothing erased from it,
    for a damaged pack that can't be rewritten.
    """
    with context.sessions.begin() as session:
        run = _Purge(context, objects, session, plan)
        run.log(who, reason)
        if context.far is not None:  # it may hold what was read of it from a remote
            for kept in list(context.far.cache.list()):
                context.far.cache.drop(kept.name)
        while rows := run.packs():
            run.rewrite_all(rows)
        remove_leftovers(context)  # of an earlier purge that was killed before it unlinked
    objects.forget()  # its caches may hold what was erased
    return PurgeResult(plan.chunks, plan.size, run.rewritten, run.freed)


class _Purge:
    """One erasure."""

    def __init__(self, context: Context, objects: Objects, session: Session, plan: PurgePlan) -> None:
        self._context = context
        self._objects = objects
        self._session = session
        self._plan = plan
        self.rewritten = 0
        self.freed = 0

    def log(self, who: str, reason: str) -> None:
        """Say for good what is erased, before anything is."""
        with self._context.index.write() as writer:
            self._check(writer)
            ids = sorted(id for id in self._plan.erased if not writer.erased(id))
            if ids:
                writer.put_erased(ids, time=self._context.clock.now_ns(), who=who, reason=reason)

    def packs(self) -> list[PackRow]:
        """Those that hold any of it."""
        with self._context.index.read() as reader:
            rows = [reader.pack(number) for number in sorted(_holders(reader, self._plan.erased))]
        return [row for row in rows if row is not None]

    def rewrite_all(self, rows: Sequence[PackRow]) -> None:
        """Rewrite packs, those of one state together, and unlink them."""
        groups: dict[tuple[PackState, int], list[PackRow]] = {}
        for row in rows:
            groups.setdefault((row.state, row.since), []).append(row)
        for (state, since), group in groups.items():
            for batch in batches(group):
                moved = {row.number: frozenset[int]() for row in batch}
                written = 0
                if state is not PackState.DELETING:
                    moved, written = self._copy(batch)
                self._replace(batch, moved, state, since)
                self.rewritten += len(batch)
                self.freed += sum(row.size for row in batch) - written

    def _copy(self, rows: Sequence[PackRow]) -> tuple[Moved, int]:
        with Copier(self._context, self._objects, self._session) as copier:
            for row in rows:
                copier.copy(row, self._staying(row))
            return copier.finish(), copier.bytes_written

    def _staying(self, row: PackRow) -> list[TableEntry]:
        """What the index knows in a pack, without what is erased."""
        table = [entry for entry in table_of(self._context, row) if entry.id not in self._plan.erased]
        with self._context.index.read() as reader:
            return [entry for entry in table if any(copy.pack == row.number for copy in reader.copies(entry.id))]

    def _replace(self, rows: Sequence[PackRow], moved: Moved, state: PackState, since: int) -> None:
        """Sets name the new packs; the old ones leave the index, then the disk [I4]."""
        numbers = moved.keys()
        with self._context.index.write() as writer:
            self._check(writer)
            for version in list(writer.versions()):
                packs = writer.version_set(version) or ()
                if not numbers.isdisjoint(packs):
                    writer.put_set(version, replaced(packs, moved))
            if state is PackState.CONDEMNED:
                for number in {target for targets in moved.values() for target in targets}:
                    writer.set_pack_state(number, state, since)
            records.put_witnesses(writer, numbers, None)
            records.put_suspects(writer, replaced(records.suspects(writer), moved))
            # Rows of what lies below a page name the old packs and are void by that: the stat cache must not believe
            # that the content of a file which was erased is here.
            for number in numbers:
                writer.remove_pack(number)
        for row in rows:
            self._context.packs.delete(row.id)

    def _check(self, writer: IndexWriter) -> None:
        """Nobody else writes, and no version was made that the plan hasn't seen."""
        if {id for id, _ in self._context.sessions.running()} - {self._session.id}:
            raise Busy("commits or other writers run", hint="purge when they have ended")
        if not self._plan.versions.issuperset(writer.versions()):
            raise Conflict("versions were made meanwhile, which may use the same content", hint="purge again")


def _holders(reader: IndexReader, ids: Iterable[bytes]) -> set[int]:
    return {copy.pack for id in ids for copy in reader.copies(id)}

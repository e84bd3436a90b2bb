"""Rewrites packs that are mostly dead: what is live is copied, sets are swapped, the old pack is condemned.

Only packs that may have dead parts are looked at: the suspects, noted when a version that used them went, or when they
were condemned and a commit revived them. Whoever relies on the old pack meanwhile keeps it: a version published after
the marking (the pack isn't swapped), a running session (its last transaction revives the pack), an undo (likewise).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.model import PackState
from artstore.planning.gc import plan_gc
from artstore.store.collect import records
from artstore.store.collect.copying import Copier
from artstore.store.collect.live import Needed, live_bytes, table_of
from artstore.store.collect.view import Facts, look

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from artstore.model import Digest, PackRow, TableEntry
    from artstore.ports import IndexReader, IndexWriter, Session
    from artstore.store.context import Context
    from artstore.store.objects import Objects

    Moved = dict[int, frozenset[int]]


@dataclass(slots=True)
class Repacked:
    """What was done: packs rewritten, their bytes, those written for them; packs left alone since they are damaged."""

    packs: int = 0
    old_bytes: int = 0
    new_bytes: int = 0
    damaged: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Marked:
    """What the marking found: the versions it saw, live bytes of the suspects, and which of these to rewrite."""

    versions: frozenset[Digest]
    live: Mapping[int, int]
    packs: tuple[PackRow, ...]


def mark(
    context: Context,
    objects: Objects,
    facts: Facts,
    needed: Needed,
    suspects: frozenset[int] | None = None,
    *,
    own: bytes = b"",
    allowed: frozenset[Digest] | None = None,
    undo_ns: int = limits.UNDO_NS,
) -> Marked:
    """Find out which suspects (None: those noted) are mostly dead. Corrupt if a page of a version that stays can't be
    read.
    """
    with context.index.read() as reader:
        sight = look(context, reader, facts, own=own, allowed=allowed, undo_ns=undo_ns)
        used = {number for packs in sight.view.kept.values() for number in packs}
        wanted = used & (records.suspects(reader) if suspects is None else suspects)
        touching = [version for version, packs in sight.view.kept.items() if not wanted.isdisjoint(packs)]
        versions = frozenset(sight.view.kept)
    if not wanted:
        return Marked(versions, {}, ())
    for version in touching:
        needed.add(version)
    live = live_bytes(context, needed.ids(), wanted)
    with context.index.read() as reader:
        sight = look(context, reader, facts, own=own, allowed=allowed, undo_ns=undo_ns)
        chosen = frozenset(plan_gc(replace(sight.view, live_bytes=live), undo_ns=undo_ns).repack)
        rows = [row for number in sorted(chosen) if (row := reader.pack(number)) is not None]
    return Marked(versions, live, tuple(row for row in rows if row.state is PackState.LIVE))


def repack(
    context: Context,
    objects: Objects,
    facts: Facts,
    session: Session,
    *,
    allowed: frozenset[Digest] | None,
    undo_ns: int,
) -> Repacked:
    """Rewrite the suspects that are mostly dead; those that were looked at are suspects no longer."""
    done = Repacked()
    with context.index.read() as reader:
        if not records.suspects(reader):
            return done
    with Needed(objects) as needed:
        try:
            marked = mark(context, objects, facts, needed, own=session.id, allowed=allowed, undo_ns=undo_ns)
        except (Corrupt, OSError) as error:  # a damaged page, or no room for temporary files
            done.damaged.append(str(error))
            return done
        rewritten: set[int] = set()
        for batch in batches(marked.packs):
            moved, damaged = _rewrite(context, objects, session, batch, needed, done)
            moved = _swap(context, moved, marked.versions)
            done.damaged += damaged
            done.packs += len(moved)
            rewritten |= moved.keys()
            done.old_bytes += sum(row.size for row in batch if row.number in moved)
            _update_page_packs(context, needed.roots(), moved)
    # What was rewritten stays a suspect: an undo or a commit may revive it.
    _clear_suspects(context, marked.live.keys() - rewritten)
    return done


def batches(packs: Sequence[PackRow]) -> Iterator[list[PackRow]]:
    """As many packs together as there may be ids in memory."""
    batch: list[PackRow] = []
    for pack in packs:
        if batch and sum(row.count for row in batch) + pack.count > limits.REPACK_IDS_MAX:
            yield batch
            batch = []
        batch.append(pack)
    if batch:
        yield batch


def _rewrite(
    context: Context, objects: Objects, session: Session, packs: Sequence[PackRow], needed: Needed, done: Repacked
) -> tuple[Moved, list[str]]:
    """Copy the live objects of some packs; a pack that is damaged is left to `check --repair`."""
    damaged: list[str] = []
    tables: dict[int, list[TableEntry]] = {}
    for pack in packs:
        try:
            tables[pack.number] = table_of(context, pack)
        except Corrupt as error:
            damaged.append(error.message)
    wanted = {entry.id for table in tables.values() for entry in table}
    live = {id for id in needed.ids() if id in wanted}
    with Copier(context, objects, session) as copier:
        for pack in packs:
            if pack.number not in tables:
                continue
            try:
                copier.copy(pack, [entry for entry in tables[pack.number] if entry.id in live])
            except Corrupt as error:
                damaged.append(error.message)
        moved = copier.finish()
        done.new_bytes += copier.bytes_written
    return moved, damaged


def _swap(context: Context, moved: Moved, marked: frozenset[Digest]) -> Moved:
    """In one transaction: sets of the marked versions name the new packs, the old ones are condemned."""
    if not moved:
        return moved
    with context.index.write() as writer:
        now = context.clock.now_ns()
        moved = _still_right(writer, moved, marked)
        touching = [
            version
            for version in writer.versions()
            if version in marked and not moved.keys().isdisjoint(writer.version_set(version) or ())
        ]
        for version in touching:
            writer.put_set(version, replaced(writer.version_set(version) or (), moved))
        for number in moved:
            writer.set_pack_state(number, PackState.CONDEMNED, now)
    return moved


def _still_right(reader: IndexReader, moved: Moved, marked: frozenset[Digest]) -> Moved:
    """Without packs that went or were condemned meanwhile, and those of versions that the marking hasn't seen."""
    right = {
        number: targets
        for number, targets in moved.items()
        if (row := reader.pack(number)) is not None and row.state is PackState.LIVE
    }
    gone = records.gone_since(reader)
    for version in reader.versions():
        if version not in marked and version not in gone:
            for number in reader.version_set(version) or ():
                right.pop(number, None)
    return right


def replaced(packs: Iterable[int], moved: Moved) -> set[int]:
    """The same set with the new packs in place of the old ones."""
    return {target for number in packs for target in moved.get(number, (number,))}


def _update_page_packs(context: Context, roots: Iterator[bytes], moved: Moved) -> None:
    """Let the rows of roots name the new packs, so that commits that know these roots don't revive the old ones."""
    while moved and (batch := list(islice(roots, limits.INDEX_BATCH))):
        with context.index.read() as reader:
            touching = [root for root in batch if not moved.keys().isdisjoint(reader.page_packs(root) or ())]
        if touching:
            with context.index.write() as writer:
                _replace_rows(writer, touching, moved)


def _replace_rows(writer: IndexWriter, roots: Iterable[bytes], moved: Moved) -> None:
    for root in roots:
        packs = writer.page_packs(root)
        if packs is not None:
            writer.put_page_packs(root, replaced(packs, moved))


def _clear_suspects(context: Context, examined: Iterable[int]) -> None:
    with context.index.write() as writer:
        known = records.suspects(writer)
        left = {number for number in known - set(examined) if writer.pack(number) is not None}
        if left != known:
            records.put_suspects(writer, left)

"""Replaces a damaged pack by a new one with what can be read; damaged copies leave the index with the old pack.

A pack never changes [I6], so that nothing is mended in place. The order keeps each moment sound: the new pack is
durable before it is named [I1], it is named in the transaction that forgets the old one, and the old file goes last
[I4]. A commit that counted on the old pack fails at its end and is to be done again; it never leads to what is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.frame import header
from artstore.format.pack import encode_tail
from artstore.model import PackState, TableEntry
from artstore.store.check.frames import FrameReader, entry_of, read_tail
from artstore.store.lost import put_lost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore.model import Digest, PackId, PackRow
    from artstore.ports import IndexWriter, PackSink, Session
    from artstore.store.context import Context


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What became of one pack: its sound objects, its damaged ones, and those of them which have no other copy."""

    kept: int
    quarantined: int
    lost: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class _Copy:
    """A new pack, durable; None when nothing could be saved."""

    pack: PackId | None
    size: int
    table: list[TableEntry]
    bad: list[TableEntry]


def salvage(context: Context, session: Session, row: PackRow) -> Salvaged:
    """Replace one pack. NoSpace leaves everything as it was."""
    copy = _copy_sound(context, session, row, _entries(context, row))
    with context.index.write() as writer:
        lost = _replace(context, writer, row, copy)
    context.packs.delete(row.id)
    return Salvaged(len(copy.table), len(copy.bad), lost)


def reindex(context: Context, row: PackRow) -> None:
    """Enter a sound pack anew, as its own table tells; Corrupt if that can't be read."""
    size = context.packs.size(row.id) or 0
    tail = read_tail(context.packs, row.id, size)
    with context.index.write() as writer:
        if not _is_same(writer, row):
            return
        writer.remove_pack(row.number)
        number = writer.add_pack(row.id, tail.kind, size=size, created=row.created, table=tail.entries)
        _keep_state(writer, number, row)
        replace_in_sets(writer, row.number, {number})


def replace_in_sets(writer: IndexWriter, old: int, new: set[int]) -> list[Digest]:
    """Put packs in the place of one, in every set that names it; return the versions."""
    hurt: list[Digest] = []
    for version in list(writer.versions()):
        packs = writer.version_set(version)
        if packs is not None and old in packs:
            writer.put_set(version, new.union(packs) - {old})
            hurt.append(version)
    return hurt


def _entries(context: Context, row: PackRow) -> list[TableEntry]:
    """What lay in the pack: by its table or, if that is lost, by the index."""
    size = context.packs.size(row.id)
    if size is not None:
        try:
            return read_tail(context.packs, row.id, size).entries
        except Corrupt:
            pass
    with context.index.read() as reader:
        return [entry_of(id, place) for id, place in reader.pack_contents(row.number)]


def _copy_sound(context: Context, session: Session, row: PackRow, entries: Sequence[TableEntry]) -> _Copy:
    table: list[TableEntry] = []
    bad: list[TableEntry] = []
    sink: PackSink | None = None
    try:
        for frame in (
            FrameReader(context.packs, context.ids).frames(row.id, entries) if context.packs.size(row.id) else ()
        ):
            entry = frame.entry
            if frame.stored is None or len(table) >= limits.PACK_ENTRIES_MAX:
                bad.append(entry)
                continue
            sink = sink or context.packs.create(session.next_pack_id())
            head = header(entry.id, entry.stored, entry.raw, entry.codec, entry.flags)
            offset = sink.append([head, frame.stored])
            table.append(TableEntry(entry.id, offset, entry.stored, entry.raw, entry.codec, entry.flags))
        if sink is None:
            return _Copy(None, 0, [], list(entries))
        sink.append([encode_tail(sink.id, row.kind, table)])
        sink.seal()  # I1
        return _Copy(sink.id, sink.size, table, bad)
    except BaseException:
        if sink is not None:
            sink.abort()
        raise


def _replace(context: Context, writer: IndexWriter, row: PackRow, copy: _Copy) -> tuple[Digest, ...]:
    """Name the new pack and forget the old one; return the ids that have no copy now."""
    if not _is_same(writer, row):  # collected meanwhile; the new pack is a leftover that gc removes
        return ()
    writer.remove_pack(row.number)
    packs: set[int] = set()
    if copy.pack is not None:
        number = writer.add_pack(copy.pack, row.kind, size=copy.size, created=context.clock.now_ns(), table=copy.table)
        _keep_state(writer, number, row)
        packs.add(number)
    ids = list(dict.fromkeys(entry.id for entry in copy.bad))
    places = writer.find_many(ids)
    packs.update(place.pack for place in places if place is not None)
    lost = tuple(id for id, place in zip(ids, places, strict=True) if place is None)
    versions = replace_in_sets(writer, row.number, packs)
    put_lost(writer, lost, versions)
    # Shortcuts that may lead to what is lost.
    writer.drop_page_packs()
    writer.drop_stat_blocks()
    return lost


def _keep_state(writer: IndexWriter, number: int, row: PackRow) -> None:
    if row.state is not PackState.LIVE:
        writer.set_pack_state(number, row.state, row.since)


def _is_same(writer: IndexWriter, row: PackRow) -> bool:
    now = writer.pack(row.number)
    return now is not None and now.id == row.id

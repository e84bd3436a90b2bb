"""Enters every pack into a new index: by its table or, where that is damaged, by searching it and verifying all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.model import Digest, ObjectKind, PackId, PackKind
from artstore.store.check.frames import FrameReader, read_tail

if TYPE_CHECKING:
    from artstore.model import TableEntry
    from artstore.store.context import Context, Counters


@dataclass(slots=True)
class PackEntries:
    """What was entered so far."""

    packs: set[PackId] = field(default_factory=set[PackId])
    versions: set[Digest] = field(default_factory=set[Digest])
    scanned: list[PackId] = field(default_factory=list[PackId])
    unreadable: list[PackId] = field(default_factory=list[PackId])
    objects: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    """A pack to be entered."""

    id: PackId
    kind: PackKind
    size: int
    entries: list[TableEntry]


def enter_packs(context: Context, entered: PackEntries, counters: Counters) -> None:
    """Enter the packs that aren't yet, in the order of their names: the same packs give the same index."""
    listed = sorted((pack, size) for pack, size in context.packs.list() if pack not in entered.packs)
    counters.files_total = len(entered.packs) + len(listed)
    frames = FrameReader(context.packs)
    batch: list[_Found] = []
    for pack, size in listed:
        entered.packs.add(pack)
        found = _look_into(context, frames, pack, size, entered)
        if found is not None:
            batch.append(found)
        waiting = sum(len(each.entries) for each in batch)
        if len(batch) >= limits.REBUILD_PACKS_PER_WRITE or waiting >= limits.PACK_ENTRIES_MAX:
            _write(context, batch, entered)
            batch = []
        counters.files_done += 1
    _write(context, batch, entered)


def _look_into(context: Context, frames: FrameReader, pack: PackId, size: int, entered: PackEntries) -> _Found | None:
    try:
        tail = read_tail(context.packs, pack, size)
        return _Found(pack, tail.kind, size, tail.entries)
    except Corrupt:
        entries = frames.scan(pack, size)
    if not entries:
        entered.unreadable.append(pack)
        return None
    entered.scanned.append(pack)
    # A pack is of chunks or of pages and documents: what was found first tells which.
    kind = PackKind.DATA if entries[0].flags == ObjectKind.CHUNK else PackKind.META
    return _Found(pack, kind, size, entries)


def _write(context: Context, batch: list[_Found], entered: PackEntries) -> None:
    if not batch:
        return
    now = context.clock.now_ns()
    with context.index.write() as writer:
        for found in batch:
            writer.add_pack(found.id, found.kind, size=found.size, created=now, table=found.entries)
    for found in batch:
        entered.objects += len(found.entries)
        entered.versions.update(entry.id for entry in found.entries if entry.flags == ObjectKind.VERSION)

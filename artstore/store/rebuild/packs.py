"""Enters every pack into a new index: by its table or, where that is damaged, by searching it and verifying all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.model import Digest, ObjectKind, PackId, PackKind
from artstore.store.check.frames import FrameReader, read_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from artstore.model import TableEntry
    from artstore.store.context import Context, Counters

    Written = Callable[[PackId], int | None]
    """When a pack's file was written, in ns; None when it is gone."""


@dataclass(slots=True)
class PackEntries:
    """What was entered so far. `tainted`: packs that hold what was purged, not entered yet."""

    packs: set[PackId] = field(default_factory=set[PackId])
    tainted: list[Found] = field(default_factory=list["Found"])
    versions: set[Digest] = field(default_factory=set[Digest])
    scanned: list[PackId] = field(default_factory=list[PackId])
    unreadable: list[PackId] = field(default_factory=list[PackId])
    objects: int = 0

    def count(self, found: Found) -> None:
        """Note what a pack has brought."""
        self.objects += len(found.entries)
        self.versions.update(entry.id for entry in found.entries if entry.flags == ObjectKind.VERSION)


@dataclass(frozen=True, slots=True)
class Found:
    """A pack to be entered. `erased`: so many of its objects were purged and are not among the entries."""

    id: PackId
    kind: PackKind
    size: int
    entries: list[TableEntry]
    erased: int = 0


def enter_packs(
    context: Context, entered: PackEntries, counters: Counters, erased: Mapping[bytes, int], written: Written
) -> None:
    """Enter the packs that aren't yet, in the order of their names: the same packs give the same index.

    `erased`: what was purged, and when. A pack that holds any of it, and was written before, is only noted.
    """
    listed = sorted((pack, size) for pack, size in context.packs.list() if pack not in entered.packs)
    counters.files_total = len(entered.packs) + len(listed)
    frames = FrameReader(context.packs, context.ids)
    batch: list[Found] = []
    for pack, size in listed:
        entered.packs.add(pack)
        found = _look_into(context, frames, pack, size, entered)
        if found is not None:
            found = _without_erased(found, erased, written)
            (entered.tainted if found.erased else batch).append(found)
        waiting = sum(len(each.entries) for each in batch)
        if len(batch) >= limits.REBUILD_PACKS_PER_WRITE or waiting >= limits.PACK_ENTRIES_MAX:
            enter(context, batch, entered)
            batch = []
        counters.files_done += 1
    enter(context, batch, entered)


def enter(context: Context, batch: Sequence[Found], entered: PackEntries) -> None:
    """Enter some packs in one transaction."""
    if not batch:
        return
    now = context.clock.now_ns()
    with context.index.write() as writer:
        for found in batch:
            writer.add_pack(found.id, found.kind, size=found.size, created=now, table=found.entries)
    for found in batch:
        entered.count(found)


def _without_erased(found: Found, erased: Mapping[bytes, int], written: Written) -> Found:
    """Without what was purged since the pack was written: what is younger was stored again on purpose."""
    if not any(entry.id in erased for entry in found.entries):
        return found
    time = written(found.id) or 0
    staying = [entry for entry in found.entries if erased.get(entry.id, -1) < time]
    return Found(found.id, found.kind, found.size, staying, len(found.entries) - len(staying))


def _look_into(context: Context, frames: FrameReader, pack: PackId, size: int, entered: PackEntries) -> Found | None:
    try:
        tail = read_tail(context.packs, pack, size)
        return Found(pack, tail.kind, size, tail.entries)
    except Corrupt:
        entries = frames.scan(pack, size)
    if not entries:
        entered.unreadable.append(pack)
        return None
    entered.scanned.append(pack)
    # A pack is of chunks or of pages and documents: what was found first tells which.
    kind = PackKind.DATA if entries[0].flags == ObjectKind.CHUNK else PackKind.META
    return Found(pack, kind, size, entries)

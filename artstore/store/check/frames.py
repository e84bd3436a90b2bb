"""Reads a pack from end to end and verifies each of its objects: long reads, nothing kept but the damage.

Where the table can't be trusted the caller gives other entries; they may overlap, or lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.codec import Decoder
from artstore.format.frame import header, open_stored
from artstore.format.pack import PackTail, ReadAt, parse_tail, scan_frames
from artstore.model import ObjectKind, TableEntry
from artstore.store.room import Room

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from artstore.format.ids import Ids
    from artstore.model import Digest, Location, PackId
    from artstore.ports import PackFiles

_KIND_MASK = 0x0F
_KINDS_MAX = max(ObjectKind)


@dataclass(frozen=True, slots=True)
class Frame:
    """One object of a pack. `stored`: its encoded bytes, verified, valid until the next one; None if it is damaged.

    `is_whole`: the header before them is right too.
    """

    entry: TableEntry
    stored: memoryview | None
    is_whole: bool


def read_tail(packs: PackFiles, pack: PackId, size: int) -> PackTail:
    """A pack's tail; Corrupt, naming the pack, if it can't be read or belongs to another pack."""
    try:
        tail = parse_tail(size, lambda offset, count: packs.read(pack, offset, count))
    except Corrupt as error:
        raise Corrupt(f"pack {pack.hex()}: {error.message}", pack=pack.hex()) from error
    if tail.id != pack:
        raise Corrupt(f"the file of pack {pack.hex()} holds pack {tail.id.hex()}", pack=pack.hex())
    return tail


class FrameReader:
    """Reads and verifies frames. Not thread-safe: one for each thread, with its decoder and its buffer."""

    def __init__(self, packs: PackFiles, ids: Ids) -> None:
        self._packs = packs
        self._ids = ids
        self._decoder = Decoder()
        self._room = Room()

    def frames(self, pack: PackId, entries: Iterable[TableEntry]) -> Iterator[Frame]:
        """Every entry with its verified bytes, in the order of offsets."""
        for run in _runs(sorted(entries, key=lambda entry: entry.offset)):
            start = run[0].offset
            size = max(map(_end, run)) - start
            try:
                view = self._packs.read_range(pack, start, size, self._room.take(size), once=True)
            except Corrupt:
                yield from (self._alone(pack, entry) for entry in run)
                continue
            for entry in run:
                yield _verified(entry, view[entry.offset - start : _end(entry) - start], self._decoder, self._ids)

    def scan(self, pack: PackId, size: int) -> list[TableEntry]:
        """What can be verified in a pack whose table is lost: whole frames which don't overlap, front to back."""
        found: list[TableEntry] = []
        size = min(size, limits.PACK_BYTES_MAX)
        for entry in scan_frames(lenient(lambda offset, count: self._packs.read(pack, offset, count)), size):
            if found and entry.offset < _end(found[-1]):
                continue
            if self._alone(pack, entry).is_whole:
                found.append(entry)
            if len(found) >= limits.PACK_ENTRIES_MAX:
                break
        return found

    def _alone(self, pack: PackId, entry: TableEntry) -> Frame:
        try:
            data = self._packs.read(pack, entry.offset, limits.FRAME_HEADER_BYTES + entry.stored)
        except Corrupt:
            return Frame(entry, None, is_whole=False)
        return _verified(entry, memoryview(data), self._decoder, self._ids)


def lenient(read: ReadAt) -> ReadAt:
    """The same, with zeros for what can't be read: in a sealed pack damage takes a whole segment away."""

    def read_leniently(offset: int, size: int) -> bytes:
        try:
            return read(offset, size)
        except Corrupt:
            step = limits.SEAL_SEGMENT_BYTES
        found: list[bytes] = []
        for end in [*range(offset - offset % step + step, offset + size, step), offset + size]:
            try:
                found.append(read(offset, end - offset))
            except Corrupt:
                found.append(bytes(end - offset))
            offset = end
        return b"".join(found)

    return read_leniently


def entry_of(id: Digest, place: Location) -> TableEntry:
    """What the index says of a copy, as a table would."""
    return TableEntry(id, place.offset, place.stored, place.raw, place.codec, place.flags)


def _end(entry: TableEntry) -> int:
    return entry.offset + limits.FRAME_HEADER_BYTES + entry.stored


def _runs(entries: Sequence[TableEntry]) -> Iterator[list[TableEntry]]:
    """Entries to be read at once."""
    run: list[TableEntry] = []
    for entry in entries:
        if run and _end(entry) - run[0].offset > limits.READ_RANGE_BYTES_MAX:
            yield run
            run = []
        run.append(entry)
    if run:
        yield run


def _verified(entry: TableEntry, frame: memoryview, decoder: Decoder, ids: Ids) -> Frame:
    """I5: the object, from its stored bytes; then its header, which nothing but a scan relies on."""
    stored = frame[limits.FRAME_HEADER_BYTES :]
    kind = entry.flags & _KIND_MASK
    if kind > _KINDS_MAX or entry.flags != kind or not entry.stored or not entry.raw:
        return Frame(entry, None, is_whole=False)
    try:
        open_stored(stored, decoder, ids, id=entry.id, kind=ObjectKind(kind), codec=entry.codec, raw=entry.raw)
    except Corrupt:
        return Frame(entry, None, is_whole=False)
    expected = header(entry.id, entry.stored, entry.raw, entry.codec, entry.flags)
    return Frame(entry, stored, is_whole=bytes(frame[: limits.FRAME_HEADER_BYTES]) == expected)

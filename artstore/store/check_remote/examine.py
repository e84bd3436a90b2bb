"""What of one pack at a remote can be read: object by object, by ranges, whatever of its end or of shards is damaged.

For packs that are known to be damaged; sound ones are read through in one stream.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.codec import Decoder
from artstore.format.frame import KIND_MASK, open_frame
from artstore.format.pack import parse_tail, scan_frames
from artstore.model import ObjectKind
from artstore.store.check.frames import lenient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from artstore.format.ids import Ids
    from artstore.model import TableEntry
    from artstore.ports import Remote


@dataclass(slots=True)
class Examined:
    """`size`: None if it is gone. `wanted`: what the pack should hold, by id, as far as tables tell, its own and those
    given; `good`: frames that were read and verified there; `tail`: what is wrong with its end, None if nothing is.
    """

    key: str
    size: int | None
    wanted: dict[bytes, TableEntry] = field(default_factory=dict[bytes, "TableEntry"])
    good: dict[bytes, TableEntry] = field(default_factory=dict[bytes, "TableEntry"])
    tail: str | None = None

    @property
    def bad(self) -> list[TableEntry]:
        """What should be there and can't be read."""
        return [entry for id, entry in self.wanted.items() if id not in self.good]


def examine(remote: Remote, key: str, tables: Iterable[Sequence[TableEntry]], naming: Ids) -> Examined:
    """Look at each object of a pack. `tables`: what shards and journals say that it holds."""
    there = remote.head(key)
    found = Examined(key, None if there is None else there.size)
    for table in tables:
        found.wanted.update((entry.id, entry) for entry in table)
    if there is None:
        found.tail = "it is missing"
        return found
    reader = _Reader(remote, key, there.size)
    entries: list[TableEntry] = list(found.wanted.values())
    try:
        own = parse_tail(there.size, reader.read).entries
        found.wanted.update((entry.id, entry) for entry in own)
        entries = [*own, *entries]
    except Corrupt as error:
        found.tail = error.message
        entries += scan_frames(lenient(reader.read), min(there.size, limits.PACK_BYTES_MAX))
    for entry, _ in read_frames(reader, dict.fromkeys(map(_Place, entries)), naming):
        found.good[entry.id] = entry
    if found.tail is not None:  # a scan finds what no table tells of
        found.wanted.update((id, entry) for id, entry in found.good.items() if id not in found.wanted)
    return found


def frames_of(remote: Remote, found: Examined, ids: Iterable[bytes], naming: Ids) -> Iterator[tuple[TableEntry, bytes]]:
    """The objects with these ids, of those that were found to be good: each with its bytes, verified again [I5]."""
    if found.size is None:
        return
    reader = _Reader(remote, found.key, found.size)
    yield from read_frames(reader, [_Place(found.good[id]) for id in ids if id in found.good], naming)


@dataclass(frozen=True, slots=True)
class _Place:
    """An entry that can be told from others: several tables may place one object differently."""

    entry: TableEntry

    def __hash__(self) -> int:
        return hash((self.entry.id, self.entry.offset))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Ranges of one pack; Corrupt where there is nothing."""

    remote: Remote
    key: str
    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Exactly so many bytes."""
        if size <= 0:
            return b""
        if offset < 0 or offset + size > self.size:
            raise Corrupt(f"{self.key} ends before byte {offset + size}")
        data = self.remote.get_range(self.key, offset, size)
        if data is None:
            raise Corrupt(f"{self.key} is missing")
        return data


def read_frames(reader: _Reader, places: Iterable[_Place], ids: Ids) -> Iterator[tuple[TableEntry, bytes]]:
    """Those that are what they should be, with their bytes; neighbours come in one request."""
    decoder = Decoder()
    for run in _runs(sorted((place.entry for place in places), key=lambda entry: entry.offset), reader.size):
        start = run[0].offset
        try:
            data = reader.read(start, max(map(_end, run)) - start)
        except Corrupt:
            continue
        view = memoryview(data)
        for entry in run:
            frame = view[entry.offset - start : _end(entry) - start]
            try:
                yield entry, open_frame(frame, decoder, ids, id=entry.id, kind=ObjectKind(entry.flags & KIND_MASK))
            except (Corrupt, ValueError):  # ValueError: no kind of object that there is
                continue


def _runs(entries: Sequence[TableEntry], size: int) -> Iterator[list[TableEntry]]:
    run: list[TableEntry] = []
    for entry in entries:
        if _end(entry) > size:  # cut off
            continue
        if run and (_end(entry) - run[0].offset > limits.FAR_REQUEST_BYTES or entry.offset - _end(run[-1]) > _HOLE):
            yield run
            run = []
        run.append(entry)
    if run:
        yield run


def _end(entry: TableEntry) -> int:
    return entry.offset + limits.FRAME_HEADER_BYTES + entry.stored


_HOLE = limits.READ_HOLE_BYTES_MAX

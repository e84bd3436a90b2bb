"""A pack: `frames | table | trailer`. The table locates what the frames hold; the trailer vouches for the table.

A table entry, 40 bytes; a frame's offset is the sum of the frames before it:

| offset | bytes | field |
|---|---|---|
| 0 | 32 | id |
| 32 | 3 | stored: bytes behind the frame's header, little-endian |
| 35 | 3 | raw: bytes of the object |
| 38 | 1 | codec |
| 39 | 1 | flags, as in the frame |

The trailer, the last 64 bytes, little-endian:

| offset | bytes | field |
|---|---|---|
| 0 | 4 | magic AA 41 50 01 |
| 4 | 2 | format: 1 |
| 6 | 2 | PackKind |
| 8 | 4 | count of entries |
| 12 | 4 | offset of the table |
| 16 | 16 | pack id |
| 32 | 32 | BLAKE3 of the table and the trailer's first 32 bytes |

A later format keeps the magic, the format's place, the table's offset and this checksum: so it can be told from damage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from struct import Struct
from typing import NamedTuple

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.format import frame
from artstore.format.ids import DIGEST_BYTES, checksum
from artstore.model import Digest, ObjectKind, PackId, PackKind, TableEntry

ReadAt = Callable[[int, int], bytes]
"""`read_at(offset, size)`: exactly so many bytes of a pack."""

MAGIC = b"\xaaAP\x01"
FORMAT = 1
SCAN_WINDOW_BYTES = limits.MIB  # read at once while looking for the next frame
SCAN_OVERLAP_MAX = 2  # times the pack's size: bytes of frames that overlap others, told by a scan

_ROW = Struct("<32sQ")
_TRAILER = Struct("<4sHHII16s")
_SEALED_BYTES = limits.TRAILER_BYTES - DIGEST_BYTES
assert _ROW.size == limits.TABLE_ENTRY_BYTES
assert _TRAILER.size == _SEALED_BYTES
TABLE_BYTES_MAX = limits.PACK_ENTRIES_MAX * limits.TABLE_ENTRY_BYTES


class PackTail(NamedTuple):
    """What the end of a pack says."""

    id: PackId
    kind: PackKind
    entries: list[TableEntry]


def encode_table(entries: Sequence[TableEntry]) -> bytes:
    """The table of frames that lie one behind the other from offset 0."""
    row = _ROW.pack
    return b"".join([row(e.id, e.stored | e.raw << 24 | e.codec << 48 | e.flags << 56) for e in entries])


def encode_tail(pack_id: bytes, kind: PackKind, entries: Sequence[TableEntry]) -> bytes:
    """Table and trailer, to be appended to the frames. Decoded and compared before it is returned (STYLE 19)."""
    assert len(pack_id) == 16
    assert 0 < len(entries) <= limits.PACK_ENTRIES_MAX
    end = entries[-1].offset + limits.FRAME_HEADER_BYTES + entries[-1].stored
    table = encode_table(entries)
    sealed = table + _TRAILER.pack(MAGIC, FORMAT, kind, len(entries), end, pack_id)
    tail = sealed + checksum(sealed)
    read = parse_tail(end + len(tail), lambda offset, size: tail[offset - end : offset - end + size])
    assert read == (pack_id, kind, list(entries))
    return tail


def parse_tail(size: int, read_at: ReadAt) -> PackTail:
    """Id, kind and entries of a pack of `size` bytes; two reads, at its end. Anything odd is Corrupt."""
    if not limits.TRAILER_BYTES < size <= limits.PACK_BYTES_MAX:
        raise Corrupt(f"a pack can't have {size} bytes")
    end = size - limits.TRAILER_BYTES
    trailer = read_at(end, limits.TRAILER_BYTES)
    magic, format, kind, count, table_offset, pack_id = _TRAILER.unpack_from(trailer)
    if magic != MAGIC:
        raise Corrupt("a pack has no trailer: it was cut off, or is none")
    if not 0 <= end - table_offset <= TABLE_BYTES_MAX:
        raise Corrupt("a pack's trailer points outside of the pack")
    table = read_at(table_offset, end - table_offset)
    if checksum(table + trailer[:_SEALED_BYTES]) != trailer[_SEALED_BYTES:]:
        raise Corrupt("a pack's table does not match its checksum")
    if format > FORMAT:
        raise NewerFormat("a pack was written by a newer release of artstore", hint="upgrade it")
    if format != FORMAT or kind not in _KINDS or not 0 < count <= limits.PACK_ENTRIES_MAX:
        raise Corrupt("a pack's trailer makes no sense")
    if len(table) != count * limits.TABLE_ENTRY_BYTES:
        raise Corrupt("a pack's table has another length than its count says")
    kind = PackKind(kind)
    return PackTail(PackId(pack_id), kind, _decode_table(table, kind, table_offset))


def decode_table(table: bytes, kind: PackKind, *, size: int) -> list[TableEntry]:
    """The entries of a table that is told apart from its pack, of `size` bytes. Corrupt if it isn't that pack's."""
    if not table or len(table) % limits.TABLE_ENTRY_BYTES:
        raise Corrupt("a pack's table has no whole rows")
    return _decode_table(table, kind, size - limits.TRAILER_BYTES - len(table))


def scan_frames(read_at: ReadAt, size: int) -> Iterator[TableEntry]:
    """What looks like a frame in the first `size` bytes of a damaged pack, front to back, without its table.

    Only headers are judged: the caller reads and checks each object. Behind a frame that isn't followed by another one
    the search goes on from within it, since its length may be what is damaged; so a frame may overlap the one before.
    A pack may be made so that very many do: those that overlap have SCAN_OVERLAP_MAX times `size` bytes together.
    """
    window = _Window(read_at, size)
    position = covered = 0
    left = SCAN_OVERLAP_MAX * size
    while position >= 0:
        entry = _frame_at(window.read, size, position)
        if entry is None:
            position = window.next_magic(position + 1)
            continue
        end = position + limits.FRAME_HEADER_BYTES + entry.stored
        if position < covered:
            left -= end - position
            if left < 0:
                position = covered
                continue
        yield entry
        covered = max(covered, end)
        followed = left < 0 or _frame_at(window.read, size, end) is not None
        position = end if followed else position + limits.FRAME_HEADER_BYTES


class _Window:
    """Reads a pack for `scan_frames`: while it looks for the next frame, each byte once."""

    def __init__(self, read_at: ReadAt, size: int) -> None:
        self._read_at = read_at
        self._size = size
        self._start = 0
        self._data = b""

    def read(self, position: int, size: int) -> bytes:
        """Bytes of the pack, which may have been read already."""
        at = position - self._start
        return self._data[at : at + size] if 0 <= at <= len(self._data) - size else self._read_at(position, size)

    def next_magic(self, position: int) -> int:
        """Where the next frame's magic begins, from `position` on; -1 when there is none."""
        while position + limits.FRAME_HEADER_BYTES <= self._size:
            end = self._start + len(self._data)
            if not self._start <= position <= end - limits.FRAME_HEADER_BYTES:
                self._start = position
                self._data = self._read_at(position, min(SCAN_WINDOW_BYTES, self._size - position))
                end = position + len(self._data)
            found = self._data.find(frame.MAGIC, position - self._start)
            if found >= 0:
                return self._start + found
            position = end - len(frame.MAGIC) + 1
        return -1


def _decode_table(table: bytes, kind: PackKind, table_offset: int) -> list[TableEntry]:
    rows = list(_ROW.iter_unpack(table))
    offsets = accumulate(((packed & 0xFFFFFF) + limits.FRAME_HEADER_BYTES for _, packed in rows), initial=0)
    entries = [
        TableEntry(Digest(id), offset, packed & 0xFFFFFF, packed >> 24 & 0xFFFFFF, packed >> 48 & 0xFF, packed >> 56)
        for (id, packed), offset in zip(rows, offsets, strict=False)
    ]
    last = entries[-1]
    if last.offset + limits.FRAME_HEADER_BYTES + last.stored != table_offset:
        raise Corrupt("a pack's frames do not end where its table begins")
    for entry in entries:
        frame.check_entry(entry)
        if (entry.flags == ObjectKind.CHUNK) != (kind == PackKind.DATA):
            raise Corrupt(f"object {entry.id.hex()} lies in a pack of the wrong kind", digest=entry.id)
    return entries


def _frame_at(read_at: ReadAt, size: int, position: int) -> TableEntry | None:
    if position + limits.FRAME_HEADER_BYTES > size:
        return None
    try:
        entry = frame.parse_header(read_at(position, limits.FRAME_HEADER_BYTES), offset=position)
    except (Corrupt, NewerFormat):
        return None
    return entry if position + limits.FRAME_HEADER_BYTES + entry.stored <= size else None


_KINDS = frozenset(PackKind)

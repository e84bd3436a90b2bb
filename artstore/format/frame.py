"""A frame: one object in a pack, behind a header that repeats what the pack's table says of it.

| offset | bytes | field |
|---|---|---|
| 0 | 4 | magic AA 41 46 01 (the last byte is the format) |
| 4 | 32 | id |
| 36 | 3 | stored: bytes that follow, little-endian |
| 39 | 3 | raw: bytes of the object, little-endian |
| 42 | 1 | codec |
| 43 | 1 | flags: ObjectKind in the low four bits, the others 0 |
"""

from __future__ import annotations

from struct import Struct

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.format.codec import RAW, ZSTD, Decoder, check_codec
from artstore.format.ids import Buffer, Ids
from artstore.model import Digest, ObjectKind, TableEntry

MAGIC = b"\xaaAF\x01"
FAMILY = MAGIC[:3]
KIND_MASK = 0x0F

_HEADER = Struct("<4s32sQ")
_pack = _HEADER.pack
assert _HEADER.size == limits.FRAME_HEADER_BYTES


def header(id: bytes, stored: int, raw: int, codec: int, flags: int) -> bytes:
    """The 44 bytes before an object's stored bytes. Called for each chunk: sizes are the caller's promise."""
    assert 0 < stored <= 0xFFFFFF
    assert 0 < raw <= 0xFFFFFF
    return _pack(MAGIC, id, stored | raw << 24 | codec << 48 | flags << 56)


def parse_header(data: Buffer, *, offset: int = 0) -> TableEntry:
    """What a header (the first 44 bytes of `data`) says; `offset` is where it lies in its pack."""
    if len(data) < limits.FRAME_HEADER_BYTES:
        raise Corrupt(f"a frame at {offset} is cut off")
    magic, id, packed = _HEADER.unpack_from(data)
    if magic != MAGIC:
        if magic[:3] == FAMILY and magic[3] > MAGIC[3]:
            raise NewerFormat("a frame was written by a newer release of artstore", hint="upgrade it")
        raise Corrupt(f"there is no frame at {offset}")
    return check_entry(
        TableEntry(
            id=Digest(id),
            offset=offset,
            stored=packed & 0xFFFFFF,
            raw=packed >> 24 & 0xFFFFFF,
            codec=packed >> 48 & 0xFF,
            flags=packed >> 56,
        )
    )


def check_entry(entry: TableEntry) -> TableEntry:
    """The entry itself, or Corrupt: sizes, codec and flags which no release writes."""
    if entry.stored == 0 or entry.raw == 0:
        raise Corrupt(f"object {entry.id.hex()} is empty", digest=entry.id)
    if entry.flags > ObjectKind.VERSION:
        raise Corrupt(f"object {entry.id.hex()} has unknown flags {entry.flags:#04x}", digest=entry.id)
    codec = entry.codec
    if codec == ZSTD:
        return entry
    check_codec(codec)
    if codec == RAW and entry.stored != entry.raw:
        raise Corrupt(f"object {entry.id.hex()} has two sizes", digest=entry.id)
    return entry


def open_frame(frame: Buffer, decoder: Decoder, ids: Ids, *, id: bytes, kind: ObjectKind) -> bytes:
    """The object in a frame (header and stored bytes, nothing behind), checked in full [I5]."""
    entry = parse_header(frame)
    if entry.id != id or entry.flags & KIND_MASK != kind:
        raise Corrupt(f"object {entry.id.hex()} lies where {id.hex()} should be", digest=id)
    if len(frame) != limits.FRAME_HEADER_BYTES + entry.stored:
        raise Corrupt(f"object {id.hex()} has the wrong size", digest=id)
    stored = memoryview(frame)[limits.FRAME_HEADER_BYTES :]
    return open_stored(stored, decoder, ids, id=id, kind=kind, codec=entry.codec, raw=entry.raw)


def open_stored(
    stored: Buffer, decoder: Decoder, ids: Ids, *, id: bytes, kind: ObjectKind, codec: int, raw: int
) -> bytes:
    """The object behind a header, decoded and checked against its id [I5]."""
    try:
        data = decoder.decode(codec, stored, raw)
    except Corrupt as error:
        raise Corrupt(f"object {id.hex()}: {error.message}", digest=id) from error
    ids.verify(kind, id, data)
    return data

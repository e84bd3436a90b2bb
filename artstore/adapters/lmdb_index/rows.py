"""How the index's keys and values are written. LMDB's pages carry no checksums, so that each value has its own.

A value ends with a u32, little-endian: the CRC-32 of the key and of the bytes before it. Keys are big-endian, so that
they sort as numbers do; values are little-endian. Of a `chunk` value the hot path in reader.py knows the layout too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct, error
from zlib import crc32

import msgspec

from artstore.errors import Corrupt
from artstore.model import Alias, FarPack, Location, PackId, PackKind, PackRow, PackState, TableEntry, Tag

ID_BYTES = 32
FORMAT = 1
LOCAL_PLACE = b"\0"  # of sets: this machine's packs
LOCAL_ORIGIN = "local"  # of refs: never pushed
KEY_BYTES_MAX = 511  # LMDB's own bound
REBUILD = "run `artstore check --rebuild-index`"

CHUNK_VALUE = Struct("<IQI")  # offset, stored | raw << 24 | codec << 48 | flags << 56, check
CHUNK_CHECKED_BYTES = 12
_CHUNK_PLACE = Struct("<IQ")
_NUMBER = Struct(">I")
_CHECK = Struct("<I")
_PACK = Struct("<16sBBQIqq")  # id, kind, state, size, count, created, since
_LOG_END = Struct("<QQ")  # sequence, offset
_TIME = Struct("<q")
_FAR = Struct("<Q16s")  # size, remote

_REF_TAG = b"\1"
_REF_ALIAS = b"\2"
_encoder = msgspec.msgpack.Encoder()
_tag_decoder = msgspec.msgpack.Decoder(Tag)
_alias_decoder = msgspec.msgpack.Decoder(Alias)


def damaged(database: str, key: bytes) -> Corrupt:
    """The error for a row that isn't what was written."""
    return Corrupt(f"the index is damaged: row {key.hex()} of `{database}`", hint=REBUILD)


def seal(key: bytes, payload: bytes) -> bytes:
    """The value of a row: its payload and its checksum."""
    return payload + _CHECK.pack(crc32(payload, crc32(key)))


def unseal(database: str, key: bytes, value: bytes) -> bytes:
    """The payload of a row, or Corrupt."""
    payload = value[:-4]
    if len(value) < 4 or _CHECK.pack(crc32(payload, crc32(key))) != value[-4:]:
        raise damaged(database, key)
    return payload


def number_key(number: int) -> bytes:
    """A pack's number as a key, or as a key's last part."""
    return _NUMBER.pack(number)


def number_of(key: bytes) -> int:
    """The number that the last four bytes of a key stand for."""
    return int.from_bytes(key[-4:], "big")


def chunk_rows(number: int, table: Sequence[TableEntry]) -> list[tuple[bytes, bytes]]:
    """The rows of everything in one pack, in the order of keys."""
    suffix = _NUMBER.pack(number)
    place, check = _CHUNK_PLACE.pack, _CHECK.pack
    rows: list[tuple[bytes, bytes]] = []
    for entry in table:
        key = entry.id + suffix
        value = place(entry.offset, entry.stored | entry.raw << 24 | entry.codec << 48 | entry.flags << 56)
        rows.append((key, value + check(crc32(value, crc32(key)))))
    rows.sort()
    return rows


def location(key: bytes, value: bytes) -> Location:
    """Where a copy lies, or Corrupt."""
    try:
        offset, packed, check = CHUNK_VALUE.unpack(value)
    except error as wrong:
        raise damaged("chunk", key) from wrong
    if crc32(value[:CHUNK_CHECKED_BYTES], crc32(key)) != check:
        raise damaged("chunk", key)
    return Location(
        number_of(key), offset, packed & 0xFFFFFF, packed >> 24 & 0xFFFFFF, packed >> 48 & 0xFF, packed >> 56
    )


def pack_value(key: bytes, row: PackRow) -> bytes:
    """The value of a pack's row."""
    return seal(key, _PACK.pack(row.id, row.kind, row.state, row.size, row.count, row.created, row.since))


def pack_row(key: bytes, value: bytes) -> PackRow:
    """A pack's row, or Corrupt."""
    payload = unseal("pack", key, value)
    try:
        id, kind, state, size, count, created, since = _PACK.unpack(payload)
        return PackRow(number_of(key), PackId(id), PackKind(kind), PackState(state), size, count, created, since)
    except (error, ValueError) as wrong:
        raise damaged("pack", key) from wrong


def far_name(remote: bytes, key: str) -> str:
    """Where the journal has the number of a pack at a remote."""
    return f"far-name/{remote.hex()}/{key}"


def far_key(number: int) -> str:
    """Where the journal has the pack at a remote of that number."""
    return f"far/{number:010}"


def far_value(pack: FarPack) -> bytes:
    """A pack at a remote: its size (u64), the remote's id[16], its key."""
    return _FAR.pack(pack.size, pack.remote) + pack.key.encode()


def far_pack(number: int, value: bytes) -> FarPack:
    """The same, read; or Corrupt."""
    try:
        size, remote = _FAR.unpack_from(value)
        return FarPack(number, remote, value[_FAR.size :].decode(), size)
    except (error, UnicodeDecodeError) as wrong:
        raise damaged("journal", far_key(number).encode()) from wrong


def numbers_value(key: bytes, numbers: Iterable[int]) -> bytes:
    """A set of pack numbers: sorted u32."""
    ordered = sorted(set(numbers))
    return seal(key, Struct(f"<{len(ordered)}I").pack(*ordered))


def numbers(database: str, key: bytes, value: bytes) -> tuple[int, ...]:
    """A set of pack numbers, or Corrupt."""
    payload = unseal(database, key, value)
    if len(payload) % 4:
        raise damaged(database, key)
    found: tuple[int, ...] = Struct(f"<{len(payload) // 4}I").unpack(payload)
    return found


def integer(database: str, key: bytes, value: bytes) -> int:
    """A number of `meta` or `pack_name`, or Corrupt."""
    return int.from_bytes(unseal(database, key, value), "little")


def integer_value(key: bytes, number: int) -> bytes:
    """A number of `meta` or `pack_name`."""
    return seal(key, number.to_bytes(4, "little"))


def log_end_value(key: bytes, sequence: int, end: int) -> bytes:
    """How far the index knows refs.log: the last record's sequence number, and the offset behind it."""
    return seal(key, _LOG_END.pack(sequence, end))


def log_end(key: bytes, value: bytes) -> tuple[int, int]:
    """The same, read."""
    payload = unseal("meta", key, value)
    try:
        sequence, end = _LOG_END.unpack(payload)
    except error as wrong:
        raise damaged("meta", key) from wrong
    return sequence, end


def time_value(key: bytes, time: int) -> bytes:
    """When something happened, ns."""
    return seal(key, _TIME.pack(time))


def time(database: str, key: bytes, value: bytes) -> int:
    """The same, read."""
    payload = unseal(database, key, value)
    if len(payload) != _TIME.size:
        raise damaged(database, key)
    found: int = _TIME.unpack(payload)[0]
    return found


def ref_key(name: str) -> bytes:
    """The key of a ref of this machine."""
    return f"{LOCAL_ORIGIN}\0{name}".encode()


def ref_value(key: bytes, ref: Tag | Alias) -> bytes:
    """The value of a ref's row. An alias that was removed stays, with an empty version: its history goes on."""
    mark = _REF_TAG if isinstance(ref, Tag) else _REF_ALIAS
    return seal(key, mark + _encoder.encode(ref))


def ref(key: bytes, value: bytes) -> Tag | Alias:
    """A ref, or Corrupt."""
    payload = unseal("ref", key, value)
    decoder = _tag_decoder if payload[:1] == _REF_TAG else _alias_decoder
    try:
        return decoder.decode(payload[1:])
    except msgspec.DecodeError as wrong:
        raise damaged("ref", key) from wrong

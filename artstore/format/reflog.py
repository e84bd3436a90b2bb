"""refs.log: what happened to refs, one checksummed record after the other, so that the index can be rebuilt [I8].

The file begins with 8 bytes: magic AA 41 4C 01, then the format (1) as a little-endian u32. Then records:

| offset | bytes | field |
|---|---|---|
| 0 | 4 | length n of the payload, little-endian |
| 4 | 8 | sequence number, little-endian; greater than that of the record before |
| 12 | n | payload: MessagePack `[1, [tag, fields …]]` |
| 12 + n | 16 | first half of BLAKE3 over all before |

Tags: 0 TagSet, 1 TagRemoved, 2 Moved, 3 Erasure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import NamedTuple

import msgspec

from artstore import limits
from artstore.errors import BadInput, Corrupt, NewerFormat
from artstore.format.document import FORMAT, Codec
from artstore.format.ids import DIGEST_BYTES, checksum
from artstore.format.version import move_flaw, ref_name_flaw, text_flaw, time_flaw
from artstore.model import Move, Tag

ReadAt = Callable[[int, int], bytes]
"""`read_at(offset, size)`: exactly so many bytes of the file."""

MAGIC = b"\xaaAL\x01"
FILE_HEADER = MAGIC + FORMAT.to_bytes(4, "little")
FILE_HEADER_BYTES = len(FILE_HEADER)
SEARCH_WINDOW_BYTES = limits.MIB  # read at once while looking for the next record behind damage

_HEAD = Struct("<IQ")
_CHECK_BYTES = 16
_FRAME_BYTES = _HEAD.size + _CHECK_BYTES
_SEQ_STEP_MAX = 1 << 32  # behind damage, a sequence number further ahead is taken for noise


class TagSet(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=0):
    """Stored. A tag was made."""

    value: Tag


class TagRemoved(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """Stored. A tag was removed."""

    name: str
    time: int
    who: str


class Moved(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    """Stored. An alias was set, moved or removed."""

    move: Move


class Erasure(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    """Stored. Chunks were purged."""

    ids: list[bytes]
    time: int
    who: str
    reason: str


Record = TagSet | TagRemoved | Moved | Erasure


class LogRecord(NamedTuple):
    """A sound record: its bytes are those from `offset` to `end`."""

    offset: int
    end: int
    seq: int
    record: Record


class LogDamage(NamedTuple):
    """Bytes that are no record. `torn`: nothing sound follows, as after a crash while appending."""

    offset: int
    end: int
    torn: bool


def encode_record(seq: int, record: Record) -> bytes:
    """One record's bytes. BadInput for what may not be stored; decoded and compared before it is returned."""
    flaw = _record_flaw(record)
    if flaw is not None:
        raise BadInput(flaw)
    assert 0 < seq <= limits.SIZE_MAX
    payload = _PAYLOAD.encode((FORMAT, record))
    framed = _HEAD.pack(len(payload), seq) + payload
    data = framed + checksum(framed)[:_CHECK_BYTES]
    assert _decode_payload(payload) == record
    return data


def check_file_header(data: bytes) -> None:
    """Corrupt or NewerFormat unless a log begins with these 8 bytes."""
    if len(data) < FILE_HEADER_BYTES or data[:4] != MAGIC:
        raise Corrupt("refs.log does not begin as a log of refs")
    format = int.from_bytes(data[4:FILE_HEADER_BYTES], "little")
    if format > FORMAT:
        raise NewerFormat("refs.log was written by a newer release of artstore", hint="upgrade it")
    if format != FORMAT:
        raise Corrupt("refs.log has no format number")


def scan_records(read_at: ReadAt, size: int, start: int = FILE_HEADER_BYTES) -> Iterator[LogRecord | LogDamage]:
    """The records of a log of `size` bytes from offset `start`, where one begins, in order.

    Between them stands what is damaged, if anything is: at the end as a torn tail, which a writer may cut off; else
    records were lost, and the caller decides whether that is Corrupt. A sound record of a newer release is NewerFormat.
    """
    last_seq = 0
    while start < size:
        found = _record_at(read_at, size, start, last_seq)
        if found is None:
            found = _search(read_at, size, start + 1, last_seq)
            end = size if found is None else found.offset
            yield LogDamage(start, end, torn=found is None)
            if found is None:
                return
        start, last_seq = found.end, found.seq
        yield LogRecord(found.offset, found.end, found.seq, _decode_payload(found.payload))


class _Found(NamedTuple):
    """A record whose checksum is right."""

    offset: int
    end: int
    seq: int
    payload: bytes


def _record_at(read_at: ReadAt, size: int, offset: int, last_seq: int) -> _Found | None:
    if size - offset < _FRAME_BYTES:
        return None
    return _record_with(read_at, size, offset, last_seq, read_at(offset, _HEAD.size))


def _record_with(read_at: ReadAt, size: int, offset: int, last_seq: int, head: bytes) -> _Found | None:
    """The record at `offset`, whose first bytes are `head`."""
    length, seq = _HEAD.unpack(head)
    end = offset + _FRAME_BYTES + length
    if end > size or not 0 < length <= limits.REFS_LOG_RECORD_BYTES_MAX or not last_seq < seq:
        return None
    data = read_at(offset, end - offset)
    if checksum(data[:-_CHECK_BYTES])[:_CHECK_BYTES] != data[-_CHECK_BYTES:]:
        return None
    return _Found(offset, end, seq, data[_HEAD.size : -_CHECK_BYTES])


def _search(read_at: ReadAt, size: int, offset: int, last_seq: int) -> _Found | None:
    """The next sound record from `offset` on, wherever it begins."""
    seq_max = last_seq + _SEQ_STEP_MAX
    while size - offset >= _FRAME_BYTES:
        window = read_at(offset, min(SEARCH_WINDOW_BYTES, size - offset))
        for i in range(len(window) - _HEAD.size + 1):
            # Most offsets fall here, without a read of their own.
            if last_seq < int.from_bytes(window[i + 4 : i + 12], "little") <= seq_max:
                found = _record_with(read_at, size, offset + i, last_seq, window[i : i + _HEAD.size])
                if found is not None:
                    return found
        offset += len(window) - _HEAD.size + 1
    return None


def _decode_payload(payload: bytes) -> Record:
    record = _PAYLOAD.decode(payload)[1]
    flaw = _record_flaw(record)
    if flaw is not None:
        raise Corrupt(flaw)
    return record


def _record_flaw(record: Record) -> str | None:
    match record:
        case TagSet():
            tag = record.value
            wrong = len(tag.version) != DIGEST_BYTES
            flaw = "a tag names a version by an id of the wrong length" if wrong else None
            return flaw or ref_name_flaw(tag.name) or time_flaw(tag.created)
        case TagRemoved():
            return ref_name_flaw(record.name) or time_flaw(record.time) or _who_flaw(record.who)
        case Moved():
            return move_flaw(record.move)
        case Erasure():
            if not 0 < len(record.ids) <= limits.ERASURE_IDS_MAX or any(len(id) != DIGEST_BYTES for id in record.ids):
                return "an erasure names no chunks, too many, or some by an id of the wrong length"
            reason = text_flaw("reason", record.reason, limits.MESSAGE_BYTES_MAX)
            return reason or time_flaw(record.time) or _who_flaw(record.who)


def _who_flaw(who: str) -> str | None:
    return text_flaw("who", who, limits.PERSON_BYTES_MAX)


_PAYLOAD: Codec[tuple[int, Record]] = Codec(
    tuple[int, Record], name="record of refs.log", bytes_max=limits.DOCUMENT_BYTES_MAX
)

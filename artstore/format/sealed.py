"""A sealed object: anything that lies on a disk or at a remote under encryption. docs/format.md, "Sealed objects".

| offset | bytes | field |
|---|---|---|
| 0 | 4 | magic AA 41 53 01 (the last byte is the format) |
| 4 | 4 | epoch of the key, little-endian, from 1 on |
| 8 | 16 | salt, random |
| 24 | 8 | bytes of the object, little-endian; 2^64 - 1: not known when it was begun |
| 32 | | segments: 65,536 bytes of the object and a tag of 16; the last one may be shorter |

Each object has a key of its own: HKDF-SHA256 of the epoch's key, with `info` = context ‖ header ‖ name. A segment is
sealed by AES-256-GCM under it; its nonce is eight bytes of the segment's number, big-endian, then 00 00 00 and 01 for
the last segment, 00 for the others. So segments can't be exchanged, left out or cut off, an object can't stand for
another, and a range is opened without the rest. It is the construction STREAM (Hoang, Reyhanitabar, Rogaway, Vizár:
Online authenticated-encryption and its nonce-reuse misuse-resistance, CRYPTO 2015), with a key for each object as Tink
has it.

Whoever seals draws a new salt for each object and seals each segment once: no nonce is used twice under a key, however
often a process is killed, since a salt lives in one process's memory and no object is ever gone on with.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.format.cipher import KEY_BYTES, TAG_BYTES, Gcm, derive
from artstore.format.ids import Buffer

MAGIC: Final = b"\xaaAS\x01"
CONTEXT: Final = b"artstore 2026 sealed object 1"
SALT_BYTES: Final = 16
HEADER_BYTES: Final = 32
SEGMENT_BYTES: Final = limits.SEAL_SEGMENT_BYTES
UNKNOWN_SIZE: Final = (1 << 64) - 1
_STEP: Final = SEGMENT_BYTES + TAG_BYTES
_HEADER: Final = Struct("<4sI16sQ")
assert _HEADER.size == HEADER_BYTES


class Header(NamedTuple):
    """What stands in front of a sealed object. `size`: its bytes, or UNKNOWN_SIZE."""

    epoch: int
    salt: bytes
    size: int


class Stretch(NamedTuple):
    """Whole segments that hold a range: the first one, how many, and where they lie in the sealed object."""

    first: int
    segments: int
    offset: int
    size: int


def encode_header(header: Header) -> bytes:
    """Its 32 bytes."""
    assert len(header.salt) == SALT_BYTES
    return _HEADER.pack(MAGIC, *header)


def parse_header(data: Buffer) -> Header:
    """The header that a sealed object begins with. NewerFormat, Corrupt; only its segments prove that it is right."""
    if len(data) < HEADER_BYTES:
        raise Corrupt("it is too short to be sealed")
    magic, epoch, salt, size = _HEADER.unpack_from(data)
    if magic != MAGIC:
        if magic[:3] == MAGIC[:3] and magic[3] > MAGIC[3]:
            raise NewerFormat("it was sealed by a newer release of artstore", hint="upgrade it")
        raise Corrupt("it is not sealed")
    if epoch == 0:
        raise Corrupt("its key has no number")
    return Header(epoch, salt, size)


def sealed_size(size: int) -> int:
    """Bytes that an object of `size` bytes has once it is sealed."""
    return HEADER_BYTES + size + TAG_BYTES * segments_of(size)


def plain_size(sealed: int) -> int:
    """Bytes of an object that has so many when sealed; of one that was cut off, what may be left of it."""
    whole, rest = divmod(max(sealed - HEADER_BYTES, 0), _STEP)
    return whole * SEGMENT_BYTES + max(rest - TAG_BYTES, 0)


def segments_of(size: int) -> int:
    """How many segments an object has; an empty one has one, which is empty."""
    return max(1, -(-size // SEGMENT_BYTES))


def stretch_of(offset: int, size: int, *, total: int) -> Stretch:
    """The segments that hold a range, of at least one byte, of an object of `total` bytes."""
    assert size > 0
    assert 0 <= offset <= total - size
    first, last = offset // SEGMENT_BYTES, (offset + size - 1) // SEGMENT_BYTES
    start = HEADER_BYTES + first * _STEP
    end = min(HEADER_BYTES + (last + 1) * _STEP, sealed_size(total))
    return Stretch(first, last + 1 - first, start, end - start)


class Segments:
    """Seals and opens the segments of one object. Thread-safe."""

    __slots__ = ("_gcm", "header")

    def __init__(self, epoch_key: bytes, header: Header, name: bytes) -> None:
        """`epoch_key`: that of the header's epoch; `name`: what the object is called, where it lies."""
        assert len(epoch_key) == KEY_BYTES
        self.header = header
        self._gcm = Gcm(derive(epoch_key, info=CONTEXT + encode_header(header) + name))

    def seal(self, data: memoryview, *, first: int, ends: bool) -> bytearray:
        """Bytes of an object from segment `first` on: whole segments, but for the last one if the object `ends`."""
        count = segments_of(len(data)) if ends else len(data) // SEGMENT_BYTES
        sealed = bytearray(len(data) + TAG_BYTES * count)
        with memoryview(sealed) as room:
            self.seal_into(data, room, first=first, ends=ends)
        return sealed

    def seal_into(self, data: memoryview, room: memoryview, *, first: int, ends: bool) -> int:
        """The same into `room`, which may be longer; how many bytes that were."""
        count = segments_of(len(data)) if ends else len(data) // SEGMENT_BYTES
        assert ends or count * SEGMENT_BYTES == len(data)
        seal_into = self._gcm.seal_into
        for number in range(count):
            part = data[number * SEGMENT_BYTES : (number + 1) * SEGMENT_BYTES]
            at = number * _STEP
            nonce = _nonce(first + number, is_last=ends and number == count - 1)
            seal_into(nonce, part, room[at : at + len(part) + TAG_BYTES])
        return len(data) + TAG_BYTES * count

    def open_into(self, sealed: memoryview, room: memoryview, *, first: int, total: int) -> int:
        """Segments from `first` on of an object of `total` bytes, into `room`; how many bytes that were. Corrupt."""
        last = segments_of(total) - 1
        open_into = self._gcm.open_into
        done = at = 0
        number = first
        while at < len(sealed):
            part = sealed[at : at + _STEP]
            size = len(part) - TAG_BYTES
            if size < 0:
                raise Corrupt("it ends within a segment")
            open_into(_nonce(number, is_last=number == last), part, room[done : done + size])
            done += size
            at += _STEP
            number += 1
        return done

    def open_range(
        self, sealed: memoryview, target: memoryview, *, first: int, skip: int, total: int, room: memoryview
    ) -> None:
        """What lies `skip` bytes behind the beginning of segment `first`, into `target`, which is filled. Corrupt.

        Whole segments go to their place without a copy, others by `room`, of SEGMENT_BYTES.
        """
        last = segments_of(total) - 1
        done, number = 0, first
        for at in range(0, len(sealed), _STEP):
            part = sealed[at : at + _STEP]
            size = len(part) - TAG_BYTES
            nonce = _nonce(number, is_last=number == last)
            if size < 0:
                raise Corrupt("it ends within a segment")
            if not skip and done + size <= len(target):
                self._gcm.open_into(nonce, part, target[done : done + size])
            else:
                self._gcm.open_into(nonce, part, room[:size])
                size = min(size - skip, len(target) - done)
                target[done : done + size] = room[skip : skip + size]
                skip = 0
            done += size
            number += 1
        assert done == len(target)


def seal_object(data: Buffer, *, epoch: int, epoch_key: bytes, salt: bytes, name: bytes) -> bytes:
    """All of an object that is in memory. `salt`: new random bytes each time."""
    header = Header(epoch, salt, len(data))
    body = Segments(epoch_key, header, name).seal(memoryview(data), first=0, ends=True)
    return encode_header(header) + body


def open_object(sealed: Buffer, segments: Segments) -> bytes:
    """The same the other way round. Corrupt unless all of it is as it was sealed."""
    total = plain_size(len(sealed))
    if segments.header.size not in (total, UNKNOWN_SIZE) or len(sealed) != sealed_size(total):
        raise Corrupt("it is longer or shorter than it was sealed")
    room = bytearray(total)
    with memoryview(sealed) as view, memoryview(room) as target:
        segments.open_into(view[HEADER_BYTES:], target, first=0, total=total)
    return bytes(room)


def _nonce(number: int, *, is_last: bool) -> bytes:
    return (number << 32 | is_last).to_bytes(12, "big")

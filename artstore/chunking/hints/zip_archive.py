"""zip, and with it `.npz` and PyTorch checkpoints: the data of members that are stored without compression.

    end of directory (22):    0 "PK\\5\\6"   12 size of directory u32   16 its offset u32   20 length of comment u16
    its zip64 locator (20), before it:       0 "PK\\6\\7"    8 offset of the zip64 end u64
    zip64 end (56):           0 "PK\\6\\6"   40 size of directory u64   48 its offset u64
    directory entry (46):     0 "PK\\1\\2"    8 flags u16   10 method u16   20 stored size u32   24 size u32
                             28 name, 30 extra, 32 comment: lengths u16   42 offset of local header u32
    local header (30):        0 "PK\\3\\4"   26 name, 28 extra: lengths u16, then both, then the data

The data's place is known from the local header alone: writers pad its extra field so that tensors are aligned. In an
`.npy` member the array itself is the start. Source: PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from artstore.chunking._gear import CHUNK_MIN
from artstore.chunking.hints import npy
from artstore.chunking.hints.headers import Cursor, Unreadable

if TYPE_CHECKING:
    from artstore.chunking.hints.headers import Headers, Starts

_END_BYTES: Final = 22
_END: Final = Struct("<12xII")
_LOCATOR_BYTES: Final = 20
_END64_BYTES: Final = 56
_ENTRY: Final = Struct("<4s4xHH8xIIHHH8xI")
_LOCAL_BYTES: Final = 30
_COMMENT_BYTES_MAX: Final = 0xFFFF
_IN_EXTRA: Final = 0xFFFFFFFF
_ENCRYPTED: Final = 1
_MEMBER_HEAD_BYTES: Final = 512  # a local header, and mostly the beginning of the member too


def find(headers: Headers, starts: Starts) -> None:
    """Adds where the data of each stored member of at least CHUNK_MIN bytes begins."""
    offset, size = _directory(headers)
    cursor = Cursor(headers, at=offset, end=offset + size)
    while cursor.at < cursor.end:
        headers.step()
        magic, flags, method, stored, plain, name, extra, comment, local = _ENTRY.unpack(cursor.take(_ENTRY.size))
        if magic != b"PK\x01\x02":
            return
        cursor.skip(name)
        fields = cursor.take(extra)
        cursor.skip(comment)
        if _IN_EXTRA in (stored, plain, local):
            stored, local = _in_extra(fields, stored=stored, plain=plain, local=local)
        if method == 0 and stored >= CHUNK_MIN and not flags & _ENCRYPTED:
            starts.add(_data_of(headers, local))


def _directory(headers: Headers) -> tuple[int, int]:
    """Offset and size of the directory."""
    tail = headers.read(headers.size - _END_BYTES, _END_BYTES)
    if not (tail.startswith(b"PK\x05\x06") and tail.endswith(b"\0\0")):
        tail = headers.read(*_last(headers, _END_BYTES + _COMMENT_BYTES_MAX))
    end = _end_in(tail)
    size, offset = _END.unpack_from(tail, end)
    end += headers.size - len(tail)
    locator = headers.read(end - _LOCATOR_BYTES, _LOCATOR_BYTES)
    if locator.startswith(b"PK\x06\x07"):
        end64 = headers.read(int.from_bytes(locator[8:16], "little"), _END64_BYTES)
        if not end64.startswith(b"PK\x06\x06"):
            raise Unreadable
        size, offset = int.from_bytes(end64[40:48], "little"), int.from_bytes(end64[48:56], "little")
    return offset, size


def _end_in(tail: bytes) -> int:
    """Where the end of the directory stands in the file's last bytes: its comment reaches just to the file's end."""
    end = len(tail)
    while (end := tail.rfind(b"PK\x05\x06", 0, end)) >= 0:
        if end + _END_BYTES + int.from_bytes(tail[end + 20 : end + 22], "little") == len(tail):
            return end
    raise Unreadable


def _last(headers: Headers, count: int) -> tuple[int, int]:
    count = min(count, headers.size)
    return headers.size - count, count


def _in_extra(fields: bytes, *, stored: int, plain: int, local: int) -> tuple[int, int]:
    """Stored size and offset of an entry whose zip64 field (id 1) holds what its own fields can't, in this order."""
    at = 0
    while at + 4 <= len(fields):
        length = int.from_bytes(fields[at + 2 : at + 4], "little")
        if fields[at : at + 2] == b"\x01\x00":
            at += 4 + 8 * (plain == _IN_EXTRA)
            if stored == _IN_EXTRA:
                stored, at = int.from_bytes(fields[at : at + 8], "little"), at + 8
            if local == _IN_EXTRA:
                local = int.from_bytes(fields[at : at + 8], "little")
            return stored, local
        at += 4 + length
    return stored, local


def _data_of(headers: Headers, local: int) -> int:
    """Where the data of the member with this local header begins, or the array in it."""
    head = headers.read(local, min(_MEMBER_HEAD_BYTES, max(headers.size - local, 0)))
    if len(head) < _LOCAL_BYTES or not head.startswith(b"PK\x03\x04"):
        raise Unreadable
    name, extra = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
    begin = _LOCAL_BYTES + name + extra
    prefix = head[begin : begin + npy.PREFIX_BYTES]
    if len(prefix) < npy.PREFIX_BYTES:
        prefix = headers.read(local + begin, npy.PREFIX_BYTES)
    return local + begin + npy.data_offset(prefix)

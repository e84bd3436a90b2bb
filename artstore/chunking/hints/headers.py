"""What parsers may see of a file, and where they put what they find: bounded on both sides.

Every read is counted by what was asked for, whether or not it reached the file, so that the same bytes end at the same
bound on every machine [I7].
"""

from __future__ import annotations

import struct
from array import array
from typing import TYPE_CHECKING, Final

from artstore.limits import HINT_BYTES_MAX, HINT_STARTS_MAX, HINT_STEPS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK_BYTES: Final = 1 << 16
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")


class Unreadable(Exception):
    """The headers are not what the format prescribes, or more than the limits allow; `find_starts` ends there."""


class Headers:
    """Reads at any position of a file until the limits are used up."""

    __slots__ = ("_bytes_left", "_head", "_read_at", "_steps_left", "size")

    def __init__(self, read_at: Callable[[int, int], bytes], size: int, head: bytes) -> None:
        self._read_at = read_at
        self._head = head[:size]
        self._bytes_left = HINT_BYTES_MAX
        self._steps_left = HINT_STEPS_MAX
        self.size = size

    def read(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes, or Unreadable."""
        if count > self._bytes_left or offset < 0 or count < 0 or offset + count > self.size:
            raise Unreadable
        self._bytes_left -= count
        if offset + count <= len(self._head):
            return self._head[offset : offset + count]
        data = self._read_at(offset, count)
        if len(data) != count:
            raise Unreadable
        return data

    def step(self, count: int = 1) -> None:
        """Counts values that a parser is about to look at."""
        self._steps_left -= count
        if self._steps_left < 0:
            raise Unreadable


class Cursor:
    """Reads a range of a file forward, in blocks."""

    __slots__ = ("_block", "_block_at", "_headers", "_in_block", "end")

    def __init__(self, headers: Headers, *, at: int, end: int) -> None:
        self._headers = headers
        self._block = b""
        self._block_at = at
        self._in_block = 0
        self.end = min(end, headers.size)

    @property
    def at(self) -> int:
        """The position in the file of the next byte."""
        return self._block_at + self._in_block

    def take(self, count: int) -> bytes:
        """The next `count` bytes, or Unreadable where the range ends before."""
        self._load(count)
        data = self._block[self._in_block : self._in_block + count]
        self._in_block += count
        return data

    def skip(self, count: int) -> None:
        """Passes over bytes without reading them."""
        if count > self.end - self.at:
            raise Unreadable
        self._in_block += count

    def u32(self) -> int:
        """The next 4 bytes as a little-endian number."""
        value: int = _U32.unpack(self.take(4))[0]
        return value

    def u64(self) -> int:
        """The next 8 bytes as a little-endian number."""
        value: int = _U64.unpack(self.take(8))[0]
        return value

    def skip_texts(self, count: int) -> None:
        """Passes over texts, each of which states its length in 8 bytes: vocabularies have a million of them."""
        self._headers.step(count)
        while count > 0:
            self._load(8)
            block, at, last = self._block, self._in_block, len(self._block) - 8
            while count > 0 and at <= last:
                at += 8 + _U64.unpack_from(block, at)[0]
                count -= 1
            self._in_block = at

    def _load(self, count: int) -> None:
        if self._in_block + count <= len(self._block):
            return
        left = self.end - self.at
        if count > left:
            raise Unreadable
        at = self.at
        self._block = self._headers.read(at, min(left, max(count, _BLOCK_BYTES)))
        self._block_at, self._in_block = at, 0


class Starts:
    """Collects starts until there are enough."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: array[int] = array("Q")

    def add(self, start: int) -> None:
        """Takes one position, in any order; a position that no file has is not readable."""
        if len(self.found) >= HINT_STARTS_MAX or not 0 <= start < 1 << 63:
            raise Unreadable
        self.found.append(start)

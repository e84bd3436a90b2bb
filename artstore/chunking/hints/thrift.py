"""Thrift's compact protocol, as much as it takes to walk through a structure and read its integers.

    field: byte = id's distance from the field before << 4 | type; distance 0: the id follows as a number
    list: byte = count << 4 | type of its items; count 15: the count follows      map: count, byte = both types, items
    number: zigzag varint      text: its length as a varint, its bytes

Source: github.com/apache/thrift, doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from artstore.chunking.hints.headers import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.chunking.hints.headers import Headers

I64: Final = 6
LIST: Final = 9
STRUCT: Final = 12

_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _DOUBLE, _TEXT, _SET, _MAP, _UUID = 0, 1, 2, 3, 4, 5, 7, 8, 10, 11, 13
_INTEGERS: Final = (_I16, _I32, I64)
_BYTES_OF_TYPE: Final = {_TRUE: 1, _FALSE: 1, _BYTE: 1, _DOUBLE: 8, _UUID: 16}
_DEPTH_MAX: Final = 16
_VARINT_BITS_MAX: Final = 63


class Compact:
    """Reads values one after the other; whoever is told of a value reads or skips it before going on."""

    __slots__ = ("_at", "_data", "_headers")

    def __init__(self, headers: Headers, data: bytes) -> None:
        self._headers = headers
        self._data = data
        self._at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Id and type of each field of a structure."""
        field = 0
        while (byte := self._byte()) & 0xF != _STOP:
            self._headers.step()
            distance = byte >> 4
            field = field + distance if distance else self.integer()
            yield field, byte & 0xF

    def items(self) -> tuple[int, int]:
        """Type and count of a list's items, which follow."""
        byte = self._byte()
        count = byte >> 4
        return byte & 0xF, self._varint() if count == 0xF else count

    def integer(self) -> int:
        """A number of 16, 32 or 64 bits."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def skip(self, kind: int, depth: int = 0) -> None:
        """Passes over a field's value."""
        if kind not in (_TRUE, _FALSE):  # a field's truth value lies in its type
            self._skip_item(kind, depth)

    def _skip_item(self, kind: int, depth: int) -> None:
        self._headers.step()
        if depth > _DEPTH_MAX:
            raise Unreadable
        if kind in _INTEGERS:
            self._varint()
        elif kind in _BYTES_OF_TYPE:
            self._advance(_BYTES_OF_TYPE[kind])
        elif kind == _TEXT:
            self._advance(self._varint())
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind in (LIST, _SET):
            self._skip_items(*self.items(), depth=depth)
        elif kind == _MAP:
            self._skip_map(depth)
        else:
            raise Unreadable

    def _skip_items(self, kind: int, count: int, *, depth: int) -> None:
        if kind in _BYTES_OF_TYPE:
            self._advance(count * _BYTES_OF_TYPE[kind])
            return
        for _ in range(count):
            self._skip_item(kind, depth + 1)

    def _skip_map(self, depth: int) -> None:
        count = self._varint()
        kinds = self._byte() if count else 0
        for _ in range(count):
            self._skip_item(kinds >> 4, depth + 1)
            self._skip_item(kinds & 0xF, depth + 1)

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > _VARINT_BITS_MAX:
                raise Unreadable
        return value | byte << shift

    def _byte(self) -> int:
        if self._at >= len(self._data):
            raise Unreadable
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _advance(self, count: int) -> None:
        if count > len(self._data) - self._at:
            raise Unreadable
        self._at += count

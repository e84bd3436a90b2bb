"""GGUF: key-value pairs (among them the vocabulary), then a table of tensors, then their data.

    0  4  "GGUF"      4  4  version, 2 or 3      8  8  tensors      16  8  pairs
    pair: key, type u32, value      tensor: name, n u32, n dimensions u64, type u32, offset u64
    A text is its length u64 and its bytes; an array the type of its items u32, their count u64 and the items.

The data begins behind the table at the next multiple of `general.alignment`, 32 by default; offsets count from there.
Source: github.com/ggml-org/ggml, docs/gguf.md.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from artstore.chunking.hints.headers import Cursor, Unreadable

if TYPE_CHECKING:
    from artstore.chunking.hints.headers import Headers, Starts

_BYTES_OF_TYPE: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_U32: Final = 4
_TEXT: Final = 8
_ARRAY: Final = 9
_DIMENSIONS_MAX: Final = 8
_ALIGNMENT_MAX: Final = 1 << 20


def find(headers: Headers, starts: Starts) -> None:
    """Adds where each tensor begins."""
    cursor = Cursor(headers, at=4, end=headers.size)
    if cursor.u32() not in (2, 3):
        return
    tensors, pairs = cursor.u64(), cursor.u64()
    alignment = _read_pairs(headers, cursor, pairs)
    offsets = _read_offsets(headers, cursor, tensors)
    data = -(-cursor.at // alignment) * alignment
    for offset in offsets:
        starts.add(data + offset)


def _read_pairs(headers: Headers, cursor: Cursor, count: int) -> int:
    """Passes over the pairs and returns the alignment they state."""
    alignment = 32
    for _ in range(count):
        headers.step()
        key = cursor.take(cursor.u64())
        kind = cursor.u32()
        if key == b"general.alignment" and kind == _U32:
            alignment = cursor.u32()
        else:
            _skip_value(cursor, kind)
    if not 0 < alignment <= _ALIGNMENT_MAX:
        raise Unreadable
    return alignment


def _skip_value(cursor: Cursor, kind: int) -> None:
    count = 1
    if kind == _ARRAY:
        kind, count = cursor.u32(), cursor.u64()
    if kind == _TEXT:
        cursor.skip_texts(count)
    elif kind in _BYTES_OF_TYPE:
        cursor.skip(count * _BYTES_OF_TYPE[kind])
    else:  # an unknown type, or arrays of arrays, which nobody writes
        raise Unreadable


def _read_offsets(headers: Headers, cursor: Cursor, count: int) -> array[int]:
    offsets: array[int] = array("Q")
    for _ in range(count):
        headers.step()
        cursor.skip(cursor.u64())
        dimensions = cursor.u32()
        if dimensions > _DIMENSIONS_MAX:
            raise Unreadable
        cursor.skip(8 * dimensions + 4)
        offsets.append(cursor.u64())
    return offsets

"""tar (ustar, pax, GNU): each member is a header of 512 bytes and its data, padded to 512.

    124  12  size      148  8  checksum      156  1  type      257  5  "ustar"      482  1  GNU sparse: more headers

Numbers are octal, or big-endian behind a byte 0x80. A pax header states a size that the next member's field can't hold.
Source: POSIX.1-2017 pax, and the manual of GNU tar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from artstore.chunking.hints.headers import Unreadable

if TYPE_CHECKING:
    from artstore.chunking.hints.headers import Headers, Starts

_BLOCK_BYTES: Final = 512
_WITHOUT_DATA: Final = b"123456"  # links, devices, folders, FIFOs: a size they state means nothing
_PAX: Final = b"xX"
_DESCRIBING: Final = b"gKLNV"  # global pax headers, GNU long names and labels: their data is no file's
_SPARSE: Final = b"S"


def find(headers: Headers, starts: Starts) -> None:
    """Adds where each file's data begins."""
    at = 0
    size_in_pax: int | None = None
    while True:
        block = headers.read(at, _BLOCK_BYTES)
        kind = _kind_of(block)
        at += _BLOCK_BYTES
        if kind in _PAX:
            size = _number(block[124:136])
            size_in_pax = _size_in(headers.read(at, size))
        elif kind in _DESCRIBING:
            size = _number(block[124:136])
        else:
            size = _number(block[124:136]) if size_in_pax is None else size_in_pax
            size_in_pax = None
            if kind in _WITHOUT_DATA:
                size = 0
            elif kind in _SPARSE and block[482]:
                at = _behind_sparse_headers(headers, at)
            if size:
                starts.add(at)
        at += -(-size // _BLOCK_BYTES) * _BLOCK_BYTES


def _kind_of(block: bytes) -> bytes:
    """The member's type, once the header's checksum has told that it is one; the end of the archive is none."""
    stated = _number(block[148:156])
    if block[257:262] != b"ustar" or sum(block) - sum(block[148:156]) + 8 * ord(" ") != stated:
        raise Unreadable
    return block[156:157]


def _number(field: bytes) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise Unreadable
    return int(digits, 8)


def _size_in(records: bytes) -> int | None:
    """The size that pax records state; each is `LENGTH KEY=VALUE\\n`, and the length counts the whole record."""
    at = 0
    found = None
    while at < len(records):
        digits, space, _ = records[at : at + 20].partition(b" ")
        if not space or not digits.isdigit() or int(digits) <= len(digits) + 1:
            break
        key, _, value = records[at + len(digits) + 1 : at + int(digits) - 1].partition(b"=")
        if key == b"size" and value.isdigit() and len(value) < 20:
            found = int(value)
        at += int(digits)
    return found


def _behind_sparse_headers(headers: Headers, at: int) -> int:
    more = True
    while more:
        more = headers.read(at, _BLOCK_BYTES)[504] != 0
        at += _BLOCK_BYTES
    return at

"""NumPy's `.npy`: the array's data begins behind a header of a stated length.

    0  6  magic      6  2  version      8  2 (version 1) or 4  length of the header      then the header, then the data

Source: numpy.lib.format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from artstore.chunking.hints.headers import Headers, Starts

MAGIC: Final = b"\x93NUMPY"
PREFIX_BYTES: Final = 12


def find(headers: Headers, starts: Starts) -> None:
    """Adds where the data begins."""
    starts.add(data_offset(headers.read(0, PREFIX_BYTES)))


def data_offset(prefix: bytes) -> int:
    """Where the data begins in an array with these first PREFIX_BYTES; 0 if it is none."""
    if not prefix.startswith(MAGIC) or len(prefix) < PREFIX_BYTES:
        return 0
    if prefix[6] == 1:
        return 10 + int.from_bytes(prefix[8:10], "little")
    return 12 + int.from_bytes(prefix[8:12], "little")

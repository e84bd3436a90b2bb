"""The chunker's rule in Python: the specification of the native kernel, which must give the same bytes.

The hash is 0 at each cut. A chunk's first CHUNK_MIN - 64 bytes are skipped; each byte after them takes
h = (h << 1) + GEAR[byte], modulo 2^64, so that h is a function of the last 64 bytes. Then, for a chunk of L bytes:

- CHUNK_MIN <= L < CHUNK_TARGET: it ends where h < 2^46 (one place in 2^18);
- CHUNK_TARGET <= L < CHUNK_MAX: it ends where h < 2^50 (one place in 2^14);
- L = CHUNK_MAX: it ends;
- a format-aware start ends it, unless the start lies closer than CHUNK_MIN to where the chunk began;
- the end of the file ends it.

A boundary therefore depends on the last 64 bytes, the distance to the cut before and the starts: whoever begins at any
cut finds all the later ones. FastCDC (Xia et al., 2016) with normalisation level 2, on a Gear hash.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from artstore.chunking._gear_table import GEAR

if TYPE_CHECKING:
    from typing_extensions import Buffer

CHUNK_MIN: Final = 16 << 10
CHUNK_TARGET: Final = 64 << 10
CHUNK_MAX: Final = 256 << 10

_WINDOW: Final = 64
_STRICT_LIMIT: Final = 1 << (64 - 18)
_LOOSE_LIMIT: Final = 1 << (64 - 14)
_MASK: Final = (1 << 64) - 1
_SSIZE_MAX: Final = (1 << 63) - 1


def cut(data: Buffer, offset: int, end: int, starts: Buffer, *, base: int, final: bool) -> bytes:
    """The ends of the chunks of `data[offset:end]`, ascending, as native 64-bit numbers: `memoryview(ends).cast("Q")`.

    `offset` is a cut (or the beginning of the file), the ends are positions in `data`. `starts` are all format-aware
    starts of the file as a buffer of ascending 64-bit positions in the file, where `data[0]` lies at `base`.
    With `final`, `end` is the end of the file and the last chunk ends there; without, what later bytes may still decide
    (less than CHUNK_MAX bytes) is left out: call again with an `offset` at the last end given. However a file is split
    into calls, its chunks are the same. Raises ValueError, TypeError or BufferError on arguments that make no sense.
    """
    view = _bytes_of(data)
    wanted = _starts_of(starts)
    if not 0 <= offset <= end <= len(view):
        msg = f"0 <= offset <= end <= {len(view)} does not hold for offset {offset}, end {end}"
        raise ValueError(msg)
    if not 0 <= base <= _SSIZE_MAX - len(view) - CHUNK_MIN:
        msg = f"base {base} does not lie in a file"
        raise ValueError(msg)
    if any(wanted[i - 1] > wanted[i] for i in range(1, len(wanted))):
        msg = "starts do not ascend"
        raise ValueError(msg)
    ends = array("Q")
    at = offset
    while at < end:
        following = bisect_left(wanted, base + at + CHUNK_MIN)
        stop, stop_is_cut = end, final
        if following < len(wanted) and wanted[following] - base <= end:
            stop, stop_is_cut = wanted[following] - base, True
        length = _length_of_chunk(view[at:stop])
        if not length and not stop_is_cut:
            break
        at = at + length if length else stop
        ends.append(at)
    return ends.tobytes()


def _length_of_chunk(data: memoryview) -> int:
    """The length of the chunk that begins with `data`, 0 if no cut lies in it."""
    h = 0
    for length, byte in enumerate(data[CHUNK_MIN - _WINDOW : CHUNK_MAX], CHUNK_MIN - _WINDOW + 1):
        h = ((h << 1) + GEAR[byte]) & _MASK
        if length == CHUNK_MAX:
            return length
        if length >= CHUNK_MIN and h < (_STRICT_LIMIT if length < CHUNK_TARGET else _LOOSE_LIMIT):
            return length
    return 0


def _bytes_of(data: Buffer) -> memoryview:
    view = memoryview(data)
    if not view.c_contiguous:
        msg = "data is not contiguous"
        raise BufferError(msg)
    return view.cast("B")


def _starts_of(starts: Buffer) -> memoryview:
    view = memoryview(starts)
    if not view.c_contiguous:
        msg = "starts are not contiguous"
        raise BufferError(msg)
    if view.ndim != 1 or view.itemsize != 8 or view.format.removeprefix("@") not in ("Q", "L"):
        msg = "starts must be a flat buffer of unsigned 64-bit numbers, as array('Q')"
        raise TypeError(msg)
    return view

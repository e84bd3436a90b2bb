"""Chunks that were never cut: seeded ids, and tables of the packs that would hold them. Pure.

Id number n of a stream is always the same, whichever part of the stream is asked for: so a look-up can be made up
without keeping what was entered. Ids are uniform, as those of BLAKE3 are; what lies behind them doesn't matter to what
is measured, since no row, entry or item has a length that depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from artstore import limits
from artstore.model import Digest, PackId, TableEntry

# So many chunks of 64 KiB, as they are stored, fill a pack.
PACK_CHUNKS: Final = 1024
PRESENT: Final = 1  # the stream of ids that are entered
ABSENT: Final = 2  # one of ids that never are
STORED_BYTES: Final = limits.PACK_BYTES_TARGET // PACK_CHUNKS - limits.FRAME_HEADER_BYTES
PACK_BYTES: Final = (
    PACK_CHUNKS * (limits.FRAME_HEADER_BYTES + STORED_BYTES + limits.TABLE_ENTRY_BYTES) + limits.TRAILER_BYTES
)
_RAW_BYTES: Final = limits.CHUNK_BYTES_TARGET
_WORD_BYTES: Final = 8
_ID_BYTES: Final = 32
_ID_WORDS: Final = _ID_BYTES // _WORD_BYTES
_CODEC: Final = 1
_SESSION_BYTES: Final = 12


def ids(first: int, count: int, *, stream: int = PRESENT) -> list[Digest]:
    """Ids number `first` and on."""
    source = np.random.PCG64(stream)
    source.advance(first * _ID_WORDS)
    data = source.random_raw(count * _ID_WORDS).astype("<u8").tobytes()
    return [Digest(data[at : at + _ID_BYTES]) for at in range(0, len(data), _ID_BYTES)]


def sample(count: int, *, below: int, seed: int) -> list[Digest]:
    """So many of the first `below` ids that are entered, at random; one may come twice."""
    source = np.random.PCG64(seed)
    return [ids(int(number) % below, 1)[0] for number in source.random_raw(count)]


def table(pack: int, *, stream: int = PRESENT) -> list[TableEntry]:
    """The table of pack number `pack`, counted from 0."""
    step = limits.FRAME_HEADER_BYTES + STORED_BYTES
    return [
        TableEntry(id, number * step, STORED_BYTES, _RAW_BYTES, _CODEC, 0)
        for number, id in enumerate(ids(pack * PACK_CHUNKS, PACK_CHUNKS, stream=stream))
    ]


def pack_id(pack: int, *, stream: int = PRESENT) -> PackId:
    """The id of that pack."""
    return PackId(stream.to_bytes(_SESSION_BYTES) + pack.to_bytes(4))


def pack_key(pack: int) -> str:
    """Where that pack would lie at a remote: all were sent by one push."""
    return f"p/{PRESENT:024x}/{pack:08}"


def groups(first: int, end: int, size: int) -> Iterator[Sequence[int]]:
    """The packs from `first` to `end`, so many at once."""
    for start in range(first, end, size):
        yield range(start, min(end, start + size))

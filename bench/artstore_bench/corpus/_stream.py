"""Seeded draws that are the same on each machine and with each numpy.

Only the raw output of PCG64 is used, which numpy promises to keep; its distributions may change between releases, and
so every shape (ranges, normal quantiles, Zipf ranks) is made here from integers and tables.
"""

from __future__ import annotations

import hashlib
from functools import cache
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

QUANTILES_COUNT: Final = 1 << 16
_SEED: Final = 0xA275703E


class Stream:
    """An endless sequence of draws, named by its key."""

    def __init__(self, *key: int | str) -> None:
        name = hashlib.sha256(repr(key).encode()).digest()
        self._bits = np.random.PCG64(np.random.SeedSequence([_SEED, int.from_bytes(name[:16], "little")]))

    def words(self, count: int) -> NDArray[np.uint64]:
        """`count` uniform 64-bit integers."""
        return np.asarray(self._bits.random_raw(count), dtype=np.uint64)

    def bytes(self, size: int) -> bytes:
        """`size` uniform bytes, which no compressor shrinks."""
        return self.words(-(-size // 8)).tobytes()[:size]

    def shorts(self, count: int) -> NDArray[np.uint16]:
        """`count` uniform 16-bit integers: indexes into a table of quantiles."""
        return np.frombuffer(self.bytes(2 * count), dtype=np.uint16)

    def between(self, low: int, high: int, count: int) -> NDArray[np.int64]:
        """`count` integers in low ≤ x < high; the span is below 2^31."""
        assert 0 < high - low < 1 << 31
        scaled = (self.words(count) >> np.uint64(32)) * np.uint64(high - low) >> np.uint64(32)
        return scaled.astype(np.int64) + low

    def one(self, low: int, high: int) -> int:
        """One integer in low ≤ x < high."""
        return int(self.between(low, high, 1)[0])

    def order(self, count: int) -> NDArray[np.int64]:
        """A permutation of 0..count-1."""
        return np.argsort(self.words(count), kind="stable").astype(np.int64)


@cache
def normal_quantiles() -> NDArray[np.float64]:
    """The standard normal distribution as 65,536 equally likely values: index it with `Stream.shorts`."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse((k + 0.5) / QUANTILES_COUNT) for k in range(QUANTILES_COUNT)])

"""How fast bytes may go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.planning.rate import Bucket, piece_bytes, take


@given(
    st.integers(limits.RATE_BYTES_S_MIN, 10**10),
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, 1 << 20)), min_size=1, max_size=50),
)
def test_no_more_passes_than_is_allowed(rate: int, pieces: list[tuple[float, int]]) -> None:
    """Who shares a line with it would be pushed aside."""
    bucket, now = Bucket(rate), 0.0
    passed: list[tuple[float, int]] = []
    for pause, size in pieces:
        now += pause
        bucket, wait = take(bucket, size, now)
        assert wait >= 0
        passed.append((now + wait, size))
    passed.sort()
    for first in range(len(passed)):
        total = 0
        for moment, size in passed[first:]:
            total += size
            seconds = moment - passed[first][0]
            assert total <= rate * (seconds + limits.RATE_BURST_S) * 1.001 + (1 << 20) + 1


def test_all_that_is_allowed_passes() -> None:
    """A limit of 10 MB/s would be one of five."""
    bucket, now = Bucket(10_000_000), 0.0
    for _ in range(1000):
        bucket, wait = take(bucket, 100_000, now)
        now += wait
    assert 9.8 <= now <= 10.0


def test_time_that_went_unused_is_not_saved_up() -> None:
    """After a quiet hour everything would come at once."""
    bucket, _ = take(Bucket(1_000_000), 1, 0.0)
    _, wait = take(bucket, 1_000_000, 3600.0)
    assert wait == pytest.approx(1.0 - limits.RATE_BURST_S)


def test_pieces_are_small_at_low_rates() -> None:
    """A service takes a connection for dead on which nothing comes for a minute."""
    assert piece_bytes(None) == piece_bytes(10**9) == limits.TRANSFER_PIECE_BYTES_MAX
    assert piece_bytes(limits.RATE_BYTES_S_MIN) == limits.TRANSFER_PIECE_BYTES_MIN
    assert piece_bytes(1_000_000) == 50_000

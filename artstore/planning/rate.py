"""How fast bytes may go: a token bucket.

What is kept is the time at which all that was let through has gone by at the rate: the form of the bucket that the
"generic cell rate algorithm" has (ITU-T I.371), in which nothing has to be filled up.
"""

from __future__ import annotations

from dataclasses import dataclass

from artstore import limits


@dataclass(frozen=True, slots=True)
class Bucket:
    """`rate_bytes_s`: bytes per second; `due_s`: when what was taken has gone by."""

    rate_bytes_s: int
    due_s: float = float("-inf")


def take(bucket: Bucket, size: int, now_s: float) -> tuple[Bucket, float]:
    """Let so many bytes through: the bucket after that, and how long they have to wait, s.

    In any `t` seconds at most `rate * (t + RATE_BURST_S)` bytes pass, and one piece.
    """
    assert size >= 0
    begins = max(bucket.due_s, now_s - limits.RATE_BURST_S)
    due = begins + size / bucket.rate_bytes_s
    return Bucket(bucket.rate_bytes_s, due), max(0.0, due - now_s)


def piece_bytes(rate_bytes_s: int | None) -> int:
    """In what pieces a body moves; None: as fast as it can. Small ones at low rates, so that no connection is silent
    for long.
    """
    if rate_bytes_s is None:
        return limits.TRANSFER_PIECE_BYTES_MAX
    wanted = int(rate_bytes_s * limits.RATE_PIECE_S)
    return max(limits.TRANSFER_PIECE_BYTES_MIN, min(wanted, limits.TRANSFER_PIECE_BYTES_MAX))

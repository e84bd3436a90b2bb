"""How long to wait after something failed: a daemon's patience has no end, unlike a request's."""

from __future__ import annotations

from artstore import limits
from artstore.planning.retry import RetryPolicy, delay_s

_POLICY = RetryPolicy(
    attempts_max=1 << 62, delay_s_min=limits.DAEMON_RETRY_S_MIN, delay_s_max=limits.DAEMON_RETRY_S_MAX
)


def retry_at(failures: int, *, now: float, spread: float) -> float:
    """When to try again after so many failures in a row; `spread`: a random number of 0..1."""
    pause = delay_s(failures, spread=spread, asked_s=None, policy=_POLICY)
    assert pause is not None
    return now + max(pause, limits.DAEMON_RETRY_S_MIN)

"""How long to wait before a request is sent again: capped exponential back-off with full jitter.

As in M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015: clients that failed together don't
come back together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from artstore import limits


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often one request is sent at most, and the bounds of the pauses, s."""

    attempts_max: int = field(default_factory=lambda: limits.REMOTE_ATTEMPTS_MAX)
    delay_s_min: float = limits.REMOTE_DELAY_S_MIN
    delay_s_max: float = limits.REMOTE_DELAY_S_MAX
    asked_s_max: float = limits.REMOTE_RETRY_AFTER_S_MAX


def delay_s(attempts: int, *, spread: float, asked_s: float | None, policy: RetryPolicy) -> float | None:
    """The pause after so many attempts, s; None if that was the last one.

    `spread`: a random number of 0..1. `asked_s`: how long the remote asked to be left alone, kept to within the
    policy's bound; the pause comes on top, since all whom it asked are waiting for the same moment.
    """
    assert attempts >= 1
    assert 0.0 <= spread <= 1.0
    if attempts >= policy.attempts_max:
        return None
    doubled = policy.delay_s_min * float(1 << min(attempts - 1, limits.REMOTE_DOUBLINGS_MAX))
    pause = min(doubled, policy.delay_s_max) * spread
    return pause + min(max(asked_s or 0.0, 0.0), policy.asked_s_max)

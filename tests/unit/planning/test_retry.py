"""How long a client waits before it asks again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from artstore.planning.retry import RetryPolicy, delay_s

POLICY = RetryPolicy(attempts_max=5, delay_s_min=0.2, delay_s_max=3.0, asked_s_max=60.0)


def test_pauses_double_up_to_a_bound_and_end() -> None:
    """A remote that is overloaded would be asked ever faster, or for ever."""
    pauses = [delay_s(attempts, spread=1.0, asked_s=None, policy=POLICY) for attempts in range(1, 7)]
    assert pauses == [0.2, 0.4, 0.8, 1.6, None, None]
    long = RetryPolicy(attempts_max=1000, delay_s_min=0.2, delay_s_max=3.0)
    assert delay_s(900, spread=1.0, asked_s=None, policy=long) == 3.0


def test_what_the_remote_asks_for_is_kept_to() -> None:
    """`Retry-After` and SlowDown would be answered by more requests; an absurd figure by waiting for a day."""
    assert delay_s(1, spread=0.0, asked_s=20.0, policy=POLICY) == 20.0
    assert delay_s(4, spread=1.0, asked_s=0.5, policy=POLICY) == 2.1
    assert delay_s(1, spread=0.0, asked_s=86_400.0, policy=POLICY) == 60.0


def test_who_was_sent_away_together_does_not_come_back_together() -> None:
    """All clients of a service would come at the second that it named, and be sent away again."""
    pauses = {delay_s(1, spread=spread / 10, asked_s=5.0, policy=POLICY) for spread in range(10)}
    assert len(pauses) == 10


@given(st.integers(1, 4), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_pauses_keep_to_their_bounds(attempts: int, spread: float, asked: float | None) -> None:
    """A negative pause is an error, one too long a hang."""
    pause = delay_s(attempts, spread=spread, asked_s=asked, policy=POLICY)
    assert pause is not None
    assert 0.0 <= pause - min(asked or 0.0, POLICY.asked_s_max) <= POLICY.delay_s_max

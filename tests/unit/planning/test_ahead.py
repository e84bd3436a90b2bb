"""What is fetched ahead of readers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.planning.ahead import ReadAhead, Span

MIB = 1 << 20
SIZE = 64 * MIB


def test_a_first_read_fetches_nothing_more() -> None:
    """Who reads a header out of a model of gigabytes would wait for, and pay for, megabytes."""
    assert ReadAhead().read(1, Span(5 * MIB, 6 * MIB), size=SIZE) is None


def test_who_goes_on_gets_more_each_time() -> None:
    """A checkout through a slow network would wait once for each of its reads."""
    ahead = ReadAhead()
    ahead.read(1, Span(0, MIB), size=SIZE)
    fetched = 0
    for number in range(1, 16):
        span = ahead.read(1, Span(number * MIB, (number + 1) * MIB), size=SIZE)
        if span is not None:
            assert span.start == max(fetched, (number + 1) * MIB)
            fetched = span.end
    assert fetched == SIZE


def test_a_jump_begins_anew() -> None:
    """Random reads of a mount would each fetch megabytes that nobody wants."""
    ahead = ReadAhead()
    ahead.read(1, Span(0, MIB), size=SIZE)
    assert ahead.read(1, Span(40 * MIB, 41 * MIB), size=SIZE) is None
    assert ahead.read(1, Span(20 * MIB, 21 * MIB), size=SIZE) is None


def test_readers_of_several_packs_are_told_apart() -> None:
    """A version whose chunks lie in packs of several pushes is read through all of them in turn."""
    ahead = ReadAhead()
    for pack in (1, 2):
        ahead.read(pack, Span(0, MIB), size=SIZE)
    assert all(ahead.read(pack, Span(MIB, 2 * MIB), size=SIZE) for pack in (1, 2))


def test_the_next_pack_is_begun_before_this_one_ends() -> None:
    """Each pack of 64 MiB would begin with a pause."""
    ahead = ReadAhead()
    for number in range(60):
        ahead.read(1, Span(number * MIB, (number + 1) * MIB), size=SIZE)
    span = ahead.go_on(1, 2, before_size=SIZE, size=SIZE)
    assert span is not None
    assert span.start == 0
    assert span.end == limits.FAR_AHEAD_BYTES_MAX - (SIZE - 60 * MIB)
    assert ahead.go_on(3, 4, before_size=SIZE, size=SIZE) is None


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, SIZE - 1), st.integers(1, 4 * MIB)), max_size=60))
def test_what_is_fetched_lies_beyond_what_is_read(reads: list[tuple[int, int, int]]) -> None:
    """Bytes would be fetched twice, or those of another pack."""
    ahead = ReadAhead()
    for pack, start, size in reads:
        span = ahead.read(pack, Span(start, min(start + size, SIZE)), size=SIZE)
        if span is not None:
            assert start < span.start < span.end <= SIZE
            assert span.end - span.start <= limits.FAR_AHEAD_BYTES_MAX


def test_readers_are_bounded() -> None:
    """A mount that serves for months would remember each pack it ever read."""
    ahead = ReadAhead()
    for pack in range(2 * limits.FAR_STREAMS_MAX):
        ahead.read(pack, Span(0, MIB), size=SIZE)
    assert ahead.read(0, Span(MIB, 2 * MIB), size=SIZE) is None
    assert ahead.read(2 * limits.FAR_STREAMS_MAX - 1, Span(MIB, 2 * MIB), size=SIZE) is not None

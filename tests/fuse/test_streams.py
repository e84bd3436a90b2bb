"""Which reads belong together, and how far ahead of each reader to fetch."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore_fuse.streams import Ahead, Streams

KIB, MIB = limits.KIB, limits.MIB
START, MOST = limits.MOUNT_AHEAD_BYTES_START, limits.MOUNT_AHEAD_BYTES_MAX


def read_straight(streams: Streams, begin: int, end: int, size: int, file_size: int) -> list[Ahead]:
    """What one reader's reads lead to, from `begin` to `end`."""
    return [streams.step(at, size, file_size) for at in range(begin, end, size)]


def asked(aheads: list[Ahead]) -> list[tuple[int, int]]:
    """The ranges to be fetched, without the empty ones."""
    return [(ahead.begin, ahead.end) for ahead in aheads if ahead.begin < ahead.end]


def test_the_window_doubles() -> None:
    """Else a long read would wait for each megabyte, or a short one be followed by many that nobody wants."""
    ranges = asked(read_straight(Streams(), 0, 64 * MIB, 128 * KIB, 1 << 40))
    assert ranges[0] == (128 * KIB, 128 * KIB + START)
    sizes = [end - begin for begin, end in ranges]
    assert sizes[0] < sizes[1] < sizes[2]
    ahead = [end - at for at, (_, end) in zip(range(0, 64 * MIB, 128 * KIB), ranges, strict=False)]
    assert ahead
    last = ranges[-1][1] - 64 * MIB
    assert MOST // 2 - 128 * KIB <= last <= MOST


@given(
    st.integers(1, 40 * MIB),
    st.sampled_from([4 * KIB, 100_000, 128 * KIB, MIB]),
    st.integers(limits.MOUNT_AHEAD_BYTES_MIN, 2 * MOST),
)
def test_a_sequential_reader_has_each_byte_fetched_once(file_size: int, size: int, window_max: int) -> None:
    """Else bytes would be decoded twice, or the reader wait for some: never beyond the window or the file's end."""
    streams, fetched = Streams(), min(size, file_size)
    for at in range(0, file_size, size):
        ahead = streams.step(at, size, file_size, window_max=window_max)
        end = min(at + size, file_size)
        assert not ahead.is_random
        fetched = max(fetched, end)  # what was too little for the window is fetched by the read itself
        if ahead.begin < ahead.end:
            assert ahead.begin == fetched
            fetched = ahead.end
            assert fetched <= min(end + window_max, file_size)
    assert fetched == file_size


@given(st.integers(0, 1000), st.integers(2, 8))
def test_requests_out_of_order_are_one_reader(seed: int, together: int) -> None:
    """Else a reader would be taken for several: the kernel sends requests of its readahead in any order."""
    noise, size, file_size = random.Random(seed), 128 * KIB, 32 * MIB
    order: list[int] = []
    for begin in range(size, file_size, size * together):
        group = [at for at in range(begin, begin + size * together, size) if at < file_size]
        noise.shuffle(group)
        order += group
    streams = Streams()
    fetched = [(streams.step(0, size, file_size).end)]
    for at in order:
        ahead = streams.step(at, size, file_size)
        assert not ahead.is_random
        if ahead.begin < ahead.end:
            assert ahead.begin >= fetched[-1]
            fetched.append(ahead.end)
    assert fetched[-1] == file_size
    assert len(fetched) < 16 + file_size // MIB


def test_reads_here_and_there_fetch_nothing_ahead() -> None:
    """Else each lookup in a database of gigabytes would decode megabytes that nobody reads."""
    streams, noise = Streams(), random.Random(3)
    for _ in range(2000):
        ahead = streams.step(noise.randrange(1 << 20, 1 << 28) * 4096, 4096, 1 << 40)
        assert ahead.is_random
        assert ahead.begin == ahead.end


def test_a_reader_in_the_middle_is_known_by_his_second_read() -> None:
    """Else who goes on with half a download would read at half the speed."""
    streams = Streams()
    first = streams.step(500 * MIB, 128 * KIB, 1 << 40)
    assert first.is_random
    assert first.begin == first.end
    second = streams.step(500 * MIB + 128 * KIB, 128 * KIB, 1 << 40)
    assert not second.is_random
    assert second.begin == 500 * MIB + 256 * KIB < second.end


@given(st.integers(2, limits.MOUNT_STREAMS_MAX), st.integers(0, 1000))
def test_several_readers_share_a_file(count: int, seed: int) -> None:
    """Else the workers of a data loader, each in its own part of one file, would look like random readers."""
    streams, size, part = Streams(), 128 * KIB, 64 * MIB
    places = [reader * part for reader in range(count)]
    reached = [0] * count
    order = [reader for reader in range(count) for _ in range(80)]
    random.Random(seed).shuffle(order)
    for reader in order:
        ahead = streams.step(places[reader], size, count * part)
        places[reader] += size
        if ahead.begin < ahead.end:
            assert reader * part <= ahead.begin < ahead.end
            assert ahead.end <= max(places[reader] + MOST, ahead.begin)
            reached[reader] = ahead.end
    for reader in range(count):
        assert reached[reader] >= places[reader]
    # Each has his part of one window, but for what he had before there were so many: 1 + 1/2 + ... + 1/8 < 3.
    assert sum(reached) - sum(places) <= 3 * MOST


def test_seeks_make_the_beginning_smaller_and_use_makes_it_greater_again() -> None:
    """Else records of some hundred KiB, read here and there, would each be followed by a megabyte for nothing."""
    streams, size, file_size = Streams(), 64 * KIB, 1 << 40

    def begun_at(place: int) -> int:
        streams.step(place, size, file_size)
        ahead = streams.step(place + size, size, file_size)
        return ahead.end - ahead.begin

    windows = [begun_at(place * 100 * MIB) for place in range(1, 10)]
    assert windows == sorted(windows, reverse=True)
    assert windows[0] == START // 2
    assert windows[-1] == limits.MOUNT_AHEAD_BYTES_MIN
    read_straight(streams, 0, 32 * MIB, size, file_size)
    assert begun_at(5000 * MIB) == START // 2


def test_nothing_is_fetched_behind_the_end() -> None:
    """Else the last read of each file would be refused as one of a broken recipe."""
    streams = Streams()
    assert asked([streams.step(0, MIB, 1)]) == []
    assert asked(read_straight(Streams(), 0, 3 * MIB, 128 * KIB, 3 * MIB))[-1][1] == 3 * MIB
    assert asked([streams.step(2 * MIB - 1, MIB, 2 * MIB)]) == []


@given(st.lists(st.tuples(st.integers(0, 64 * MIB - 1), st.integers(1, MIB)), max_size=80), st.integers(1, 2 * MOST))
def test_whatever_is_read_little_is_fetched(reads: list[tuple[int, int]], window_max: int) -> None:
    """Else a hostile reader could have a mount decode far more than what he reads."""
    streams, file_size = Streams(), 64 * MIB
    for offset, size in reads:
        ahead = streams.step(offset, size, file_size, window_max=window_max)
        assert 0 <= ahead.begin <= ahead.end <= file_size
        assert ahead.end - ahead.begin <= max(window_max, limits.MOUNT_AHEAD_BYTES_MIN)
        assert not (ahead.is_random and ahead.begin < ahead.end)

"""What was fetched ahead of all readers together."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore_fuse.stretches import Stretches

MIB = limits.MIB


class Bench:
    """Stretches of 1 MiB in 8 MiB, on a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.stretches = Stretches(8 * MIB, clock=lambda: self.now)

    def add(self, reader: int, number: int, *, size: int = MIB, done: bool = True) -> bool:
        """One more stretch, fetched already or not."""
        future: Future[memoryview] = Future()
        if done:
            future.set_result(memoryview(bytes(1)))
        return self.stretches.add(reader, number, number * MIB, number * MIB + size, lambda: future)

    def held(self, reader: int) -> list[int]:
        """The numbers of this reader's stretches."""
        return [number for number in range(100) if self.stretches.has(reader, number)]


def test_nothing_is_thrown_away_that_others_are_about_to_read() -> None:
    """Else with many readers each would decode what the next one throws away, and none would get on."""
    bench = Bench()
    assert [bench.add(reader, 0) for reader in range(10)] == [True] * 8 + [False] * 2
    assert bench.stretches.held_bytes == 8 * MIB


def test_who_has_stopped_reading_gives_way() -> None:
    """Else ten thousand files that are open, and not read, would keep those that are read from being fetched ahead."""
    bench = Bench()
    for reader in range(8):
        bench.add(reader, 0)
    bench.now += limits.MOUNT_AHEAD_IDLE_S / 2
    assert bench.stretches.get(0, 0) is not None
    bench.now += limits.MOUNT_AHEAD_IDLE_S / 2
    assert bench.add(9, 0)
    assert bench.add(9, 1)
    assert [bench.held(reader) for reader in (0, 1, 2, 3, 9)] == [[0], [], [], [0], [0, 1]]


def test_a_reader_who_seeks_replaces_his_own() -> None:
    """Else who reads a few megabytes here and there would soon have nothing fetched ahead."""
    bench = Bench()
    bench.add(1, 0)
    for number in range(20):
        assert bench.add(2, number)
    assert bench.held(1) == [0]
    assert bench.held(2) == [13, 14, 15, 16, 17, 18, 19]


def test_what_is_still_being_fetched_stays() -> None:
    """Else a dead disk would be asked for more and more."""
    bench = Bench()
    for number in range(8):
        assert bench.add(1, number, done=False)
    bench.now += 10 * limits.MOUNT_AHEAD_IDLE_S
    assert not bench.add(1, 8)
    assert not bench.add(2, 0)


def test_a_queue_that_is_full_takes_nothing() -> None:
    """Else bytes that nobody fetches would count as held, for ever."""
    bench = Bench()
    assert not bench.stretches.add(1, 0, 0, MIB, lambda: None)
    assert bench.stretches.held_bytes == 0
    assert not bench.stretches.has(1, 0)


def test_readers_share_evenly() -> None:
    """Else the first reader would have all, and the second none."""
    bench = Bench()
    assert bench.stretches.share(1) == 8 * MIB
    bench.add(1, 0)
    assert (bench.stretches.share(1), bench.stretches.share(2)) == (8 * MIB, 4 * MIB)
    bench.stretches.leave(1)
    assert bench.stretches.share(2) == 8 * MIB


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "slow", "drop", "leave", "get", "wait"]),
            st.integers(0, 3),
            st.integers(0, 12),
            st.integers(1, 3 * MIB),
        ),
        max_size=60,
    )
)
def test_the_budget_holds(steps: list[tuple[str, int, int, int]]) -> None:
    """Else what is fetched ahead would take more memory than a mount was given."""
    bench = Bench()
    sizes: dict[tuple[int, int], int] = {}
    for step, reader, number, size in steps:
        match step:
            case "add" | "slow":
                if not bench.stretches.has(reader, number) and bench.add(reader, number, size=size, done=step == "add"):
                    sizes[reader, number] = size
            case "drop":
                bench.stretches.drop(reader, number)
            case "leave":
                bench.stretches.leave(reader)
                assert bench.held(reader) == []
            case "get":
                assert (bench.stretches.get(reader, number) is None) != bench.stretches.has(reader, number)
            case _:
                bench.now += size / MIB
        held = sum(size for key, size in sizes.items() if bench.stretches.has(*key))
        assert bench.stretches.held_bytes == held <= 8 * MIB


def test_what_nobody_wants_any_more_is_not_fetched() -> None:
    """A file that was closed must not keep the workers busy; what others will read goes on."""
    stretches = Stretches(8 * MIB)
    futures: list[Future[memoryview]] = [Future() for _ in range(3)]
    for reader, future in enumerate(futures):
        assert stretches.add(min(reader, 1), reader, 0, MIB, partial(identity, future))
    assert futures[0].set_running_or_notify_cancel()
    stretches.leave(0)
    stretches.leave(1)
    assert [future.cancelled() for future in futures] == [False, True, True]
    assert stretches.held_bytes == 0


def identity(future: Future[memoryview]) -> Future[memoryview]:
    """What was begun."""
    return future

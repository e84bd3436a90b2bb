"""What passes over all connections of a store: never more than is allowed, and seen while it moves."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock

import pytest

from artstore import limits
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import Interrupted, UsageError
from artstore.model import RemotePlace
from artstore.store.context import Counters
from artstore.store.remote.flow import Flow

RATE = 1_000_000


class Clock:
    """Time that passes when somebody sleeps: to when the one who sleeps longest wakes."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.lock = Lock()

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def flow(clock: Clock) -> Flow:
    return Flow(now=clock.now, sleep=clock.sleep)


def test_a_limit_holds_within_one_body(tmp_path: Path, flow: Flow, clock: Clock) -> None:
    """A pack of 64 MiB would fill the line for as long as it takes."""
    remote = FolderRemote(RemotePlace(url=f"file://{tmp_path / 'remote'}"), flow)
    with flow.limited(RATE):
        remote.put("a", bytes(10 * RATE))
        assert 9.8 <= clock.now_s <= 10
        found = remote.get("a")
        assert found is not None
        assert 19.8 <= clock.now_s <= 20
        remote.get_range("a", 0, RATE)
        assert 20.8 <= clock.now_s <= 21
    before = clock.now_s
    remote.put("b", bytes(10 * RATE))
    assert clock.now_s == before
    assert flow.moved_bytes == 31 * RATE


def test_the_lowest_limit_holds(flow: Flow, clock: Clock) -> None:
    """A fetch beside a push that may use a tenth of the line would lift its limit."""
    with flow.limited(10 * RATE):
        with flow.limited(RATE), flow.limited(None):
            before = clock.now_s
            flow.passing(5 * RATE)
            assert clock.now_s - before >= 5 - limits.RATE_BURST_S
        before = clock.now_s
        flow.passing(5 * RATE)
        assert clock.now_s - before < 1
    assert flow.piece_bytes == limits.TRANSFER_PIECE_BYTES_MAX


def test_a_limit_is_for_all_threads_together(clock: Clock) -> None:
    """Sixteen connections would take sixteen times what was allowed."""
    waits: list[float] = []
    flow = Flow(now=clock.now, sleep=waits.append)
    with flow.limited(RATE), ThreadPoolExecutor(16) as pool:
        list(pool.map(flow.passing, [RATE] * 16))
    assert sorted(round(wait + limits.RATE_BURST_S) for wait in waits) == list(range(1, 17))


@pytest.mark.parametrize("rate", [0, -1, limits.RATE_BYTES_S_MIN - 1, limits.RATE_BYTES_S_MAX + 1])
def test_what_is_no_rate(flow: Flow, rate: int) -> None:
    """It would stand still, or end with a traceback."""
    with pytest.raises(UsageError, match="bytes a second"), flow.limited(rate):
        pass


def test_what_moves_is_seen(flow: Flow) -> None:
    """A bar would stand still for a minute, jump, and after a repeated request be at more than all."""
    counters = Counters()
    with flow.counted(counters, 100):
        flow.passing(40)
        assert (counters.bytes_done, counters.bytes_moving) == (0, 40)
        flow.repeated()
        assert counters.bytes_moving == 0
        flow.passing(90)
        flow.passing(90)
        assert counters.bytes_moving == 100
        flow.land(counters, 100)
        assert (counters.bytes_done, counters.bytes_moving) == (100, 0)
    with suppress(OSError), flow.counted(counters, 100):
        flow.passing(40)
        raise OSError("cut")
    assert (counters.bytes_done, counters.bytes_moving) == (100, 0)
    flow.passing(7)
    assert counters.bytes_moving == 0


def test_what_others_move_is_seen(flow: Flow) -> None:
    """A prefetch, whose ranges come by threads of the store, would stand still and jump."""
    counters = Counters()
    with flow.seen(counters, 100) as land, ThreadPoolExecutor(4) as pool:
        list(pool.map(flow.passing, [20] * 4))
        assert (counters.bytes_done, counters.bytes_moving) == (0, 80)
        land(50)
        assert (counters.bytes_done, counters.bytes_moving) == (50, 30)
        flow.passing(100)
        assert counters.bytes_done + counters.bytes_moving == 100
        land(50)
    assert (counters.bytes_done, counters.bytes_moving) == (100, 0)


def test_what_is_given_up_ends(flow: Flow) -> None:
    """Ctrl-C would be heard when the pack has gone: at 1 MB/s a minute later; or be taken for a failed network."""
    given_up = Event()
    with flow.counted(Counters(), 100, given_up):
        flow.passing(10)
        given_up.set()
        with pytest.raises(Interrupted):
            flow.passing(10)
        with pytest.raises(Interrupted):
            flow.repeated()


def test_a_forked_child_passes(flow: Flow) -> None:
    """The workers of a loader would hang on a lock that a thread of their parent held."""
    with flow._lock:  # pyright: ignore[reportPrivateUsage]  # as a thread that the child doesn't have
        child = os.fork()
        if child == 0:
            flow.passing(10)
            os._exit(0 if flow.moved_bytes == 10 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

"""Packs on their way side by side: how many, how many bytes, and what becomes of them when one fails."""

from __future__ import annotations

import io
import threading
from functools import partial
from pathlib import Path
from typing import IO, cast

import pytest

from artstore import limits
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import RemoteError
from artstore.model import RemotePlace
from artstore.store.context import Counters
from artstore.store.remote.flow import Flow
from artstore.store.remote.retrying import RetryingRemote
from artstore.store.remote.transfers import Transfer, Transfers

MIB = 1 << 20
PATIENCE_S = 60


class Crowd:
    """Counts who is at work."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = self.held = self.held_most = self.begun = 0

    def work(self, size: int) -> int:
        with self.lock:
            self.begun += 1
            self.now += 1
            self.held += size
            self.most, self.held_most = max(self.most, self.now), max(self.held_most, self.held)
        threading.Event().wait(0.001)  # lets others in; nothing hangs on how long it takes
        with self.lock:
            self.now -= 1
            self.held -= size
        return size


@pytest.fixture
def remote(tmp_path: Path) -> FolderRemote:
    return FolderRemote(RemotePlace(url=f"file://{tmp_path / 'remote'}"))


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


def test_all_are_moved_and_counted(remote: FolderRemote, counters: Counters, crowd: Crowd) -> None:
    """A pack would be missing at the remote, or the bar end before its end."""
    transfers = Transfers(remote, Flow(), counters)
    came = list(transfers.run([Transfer(n, partial(crowd.work, n)) for n in range(1, 201)], lambda size: size))
    assert sorted(came) == list(range(1, 201))
    assert counters.bytes_done == sum(came)
    assert counters.bytes_moving == 0
    assert list(transfers.run([], int)) == []


def test_it_begins_with_a_few_at_once(remote: FolderRemote, counters: Counters) -> None:
    """One by one they would wait for each round trip."""
    together = threading.Barrier(limits.REMOTE_TRANSFERS_START)
    work = [Transfer(1, lambda: together.wait(PATIENCE_S))] * limits.REMOTE_TRANSFERS_START
    assert len(list(Transfers(remote, Flow(), counters).run(work, lambda _: 1))) == len(work)


@pytest.mark.parametrize("size", [limits.PACK_BYTES_TARGET, limits.PACK_BYTES_MAX, 2 * limits.REMOTE_HELD_BYTES_MAX])
def test_what_is_held_in_memory_is_bounded(
    remote: FolderRemote, counters: Counters, crowd: Crowd, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """32 packs of 64 MiB would take 2 GiB of a training machine."""
    monkeypatch.setattr(limits, "REMOTE_TRANSFERS_START", 32)
    work = [Transfer(size, lambda: crowd.work(size))] * 100
    assert len(list(Transfers(remote, Flow(), counters).run(work, lambda _: 0))) == 100
    assert crowd.held_most <= max(size, limits.REMOTE_HELD_BYTES_MAX)


def test_a_failure_ends_all(remote: FolderRemote, counters: Counters, crowd: Crowd) -> None:
    """A push whose credentials are revoked would go on for hours."""

    def fail() -> int:
        raise RemoteError("revoked")

    work = [Transfer(1, lambda: crowd.work(1))] * 10 + [Transfer(1, fail)] + [Transfer(1, lambda: crowd.work(1))] * 1000
    with pytest.raises(RemoteError, match="revoked"):
        list(Transfers(remote, Flow(), counters).run(work, lambda size: size))
    assert crowd.begun < 100
    assert crowd.now == 0, "what was under way has ended"


def test_who_stops_taking_results_ends_all(remote: FolderRemote, counters: Counters, crowd: Crowd) -> None:
    """Ctrl-C between two packs would be heard at the end."""
    running = Transfers(remote, Flow(), counters).run([Transfer(1, lambda: crowd.work(1))] * 1000, lambda size: size)
    next(running)
    running.close()  # type: ignore[attr-defined]  # a generator
    assert crowd.begun < 100
    assert crowd.now == 0


def test_a_body_that_is_given_up_is_not_sent_to_its_end(remote: FolderRemote, counters: Counters) -> None:
    """At a low rate Ctrl-C would be answered minutes later."""
    flow = Flow()
    paced = RetryingRemote(FolderRemote(RemotePlace(url=remote.url), flow), flow=flow)
    begun = threading.Event()

    class Endless(io.RawIOBase):
        def seek(self, position: int, whence: int = 0, /) -> int:
            return 0

        def tell(self) -> int:
            return 0

        def read(self, size: int = -1, /) -> bytes:
            begun.set()
            return bytes(size)

    def fail() -> int:
        assert begun.wait(PATIENCE_S)
        raise RemoteError("revoked")

    def send() -> int:
        paced.put("p/a", cast("IO[bytes]", Endless()))
        return 1

    with pytest.raises(RemoteError, match="revoked"):
        list(Transfers(paced, flow, counters).run([Transfer(1, send), Transfer(1, fail)], lambda size: size))
    assert list(remote.list("")) == []


class Line:
    """A line whose time is what has moved, by how much may move at a level."""

    def __init__(self, flow: Flow, most: float) -> None:
        self.flow = flow
        self.most = most
        self.transfers: Transfers | None = None
        self.seen = 0
        self.seconds = 0.0

    def now(self) -> float:
        level = limits.REMOTE_TRANSFERS_START if self.transfers is None else self.transfers.level
        moved = self.flow.moved_bytes
        self.seconds += (moved - self.seen) / min(level * MIB, self.most)
        self.seen = moved
        return self.seconds


@pytest.mark.parametrize(("most", "least", "highest"), [(1000 * MIB, 32, 32), (8 * MIB, 5, 10), (1 * MIB, 1, 3)])
def test_more_at_once_while_that_brings_more(
    remote: FolderRemote, counters: Counters, most: int, least: int, highest: int
) -> None:
    """A line of 10 Gbit/s would be used for a tenth, a slow one be stormed."""
    flow = Flow()
    line = Line(flow, most)
    line.transfers = transfers = Transfers(remote, flow, counters, now=line.now)

    def move() -> int:
        flow.passing(MIB)
        return MIB

    assert len(list(transfers.run([Transfer(MIB, move)] * 500, lambda size: size))) == 500
    assert least <= transfers.level <= highest


def test_fewer_when_a_service_asks_for_less(remote: FolderRemote, counters: Counters) -> None:
    """`SlowDown` would be answered by as many requests as before."""
    transfers = Transfers(remote, Flow(), counters)

    def refused() -> int:
        remote.stats.refused += 1
        return 1

    list(transfers.run([Transfer(1, refused)] * 200, lambda size: size))
    assert transfers.level == limits.REMOTE_TRANSFERS_MIN

"""What is on its way: each byte once, and what somebody waits for first."""

from __future__ import annotations

import threading
import time

import pytest

from artstore import limits
from artstore.errors import RemoteError
from artstore.model import FarPack
from artstore.store.far.flights import Flights

KIB4 = 4096
PACK = FarPack(1, b"r" * 16, "p/a/00000001", 100 * KIB4 + 10)
Asked = list[tuple[int, int]]


class Gate:
    """A remote that answers when it is told to; nothing is kept."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.open = threading.Event()

    def __call__(self, pack: FarPack, offset: int, size: int) -> bytes:
        assert pack == PACK
        self.asked.append((offset, size))
        assert self.open.wait(30)
        return bytes([offset // KIB4]) * size


@pytest.fixture
def asked() -> Asked:
    return []


def nothing_kept(pack: FarPack, offset: int, size: int) -> Asked:
    """All of it is missing."""
    del pack
    return [(offset, size)]


def test_what_is_on_its_way_is_not_asked_for_again(asked: Asked) -> None:
    """A reader who is quicker than what is read ahead of him would have it twice."""
    gate = Gate(asked)
    flights = Flights(gate, nothing_kept, threads=4)
    first = flights.bring(PACK, KIB4, 2 * KIB4)
    second = flights.bring(PACK, 3 * KIB4, 4 * KIB4)
    assert flights.bring_ahead(PACK, KIB4 + 100, 5 * KIB4)
    all_of_it = flights.bring(PACK, KIB4 + 10, 5 * KIB4 - 10)
    gate.open.set()
    flights.wait(first)
    flights.wait(second)
    arrived = flights.wait(all_of_it)
    flights.close()
    assert sorted(asked) == [(KIB4, KIB4), (2 * KIB4, KIB4), (3 * KIB4, KIB4), (4 * KIB4, KIB4)]
    inside, across = arrived.take(KIB4 + 10, KIB4 + 20), arrived.take(2 * KIB4 - 1, 4 * KIB4 + 1)
    assert inside is not None
    assert across is not None
    assert bytes(inside) == bytes([1]) * 10
    assert bytes(across) == bytes([1]) + bytes([2]) * KIB4 + bytes([3]) * KIB4 + bytes([4])
    assert arrived.take(KIB4 - 1, KIB4 + 1) is None
    assert arrived.take(5 * KIB4 - 1, 5 * KIB4 + 1) is None


def test_what_is_kept_is_not_asked_for(asked: Asked) -> None:
    """Whole blocks come: of a block that is there in part a cache would say that it is there."""

    def holes(pack: FarPack, offset: int, size: int) -> Asked:
        assert pack == PACK
        assert (offset, size) == (KIB4, 4 * KIB4)
        return [(KIB4, KIB4), (4 * KIB4, KIB4)]

    gate = Gate(asked)
    gate.open.set()
    flights = Flights(gate, holes, threads=1)
    arrived = flights.wait(flights.bring(PACK, KIB4 + 1, 4 * KIB4 + 1))
    flights.close()
    assert sorted(asked) == [(KIB4, KIB4), (4 * KIB4, KIB4)]
    assert arrived.take(KIB4 + 1, 3 * KIB4) is None


def test_nothing_behind_the_end_is_asked_for(asked: Asked) -> None:
    """A service would answer with less, which looks like a pack that was cut short."""
    gate = Gate(asked)
    gate.open.set()
    flights = Flights(gate, nothing_kept, threads=1)
    flights.wait(flights.bring(PACK, 100 * KIB4 + 1, 100 * KIB4 + 10))
    flights.close()
    assert asked == [(100 * KIB4, 10)]


def test_what_is_fetched_ahead_is_bounded(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick reader of many packs would fill the memory."""
    monkeypatch.setattr(limits, "FAR_FLIGHT_BYTES_MAX", 10 * KIB4)
    gate = Gate(asked)
    flights = Flights(gate, nothing_kept, threads=1)
    assert flights.bring_ahead(PACK, 0, 6 * KIB4)
    assert not flights.bring_ahead(PACK, 6 * KIB4, 12 * KIB4)
    gate.open.set()
    flights.wait(flights.bring(PACK, 0, 6 * KIB4))
    assert flights.bring_ahead(PACK, 6 * KIB4, 12 * KIB4)
    flights.close()


def test_what_was_not_begun_is_given_up_at_the_end(asked: Asked) -> None:
    """A process that ends would wait for what nobody reads."""
    gate = Gate(asked)
    flights = Flights(gate, nothing_kept, threads=1)
    flights.bring(PACK, 0, KIB4)
    while not asked:
        time.sleep(0.001)
    waiting = flights.bring(PACK, 2 * KIB4, 3 * KIB4)
    flights.close()
    gate.open.set()
    with pytest.raises(RemoteError, match="closed"):
        flights.wait(waiting)
    assert asked == [(0, KIB4)]


def test_who_waits_gets_the_error() -> None:
    """It would look like damage, or hang."""

    def fail(pack: FarPack, offset: int, size: int) -> bytes:
        raise RemoteError(f"{pack.key}: {offset}+{size}")

    flights = Flights(fail, nothing_kept, threads=1)
    coming = flights.bring(PACK, 0, 10)
    with pytest.raises(RemoteError, match=r"0\+4096"):
        flights.wait(coming)
    flights.close()

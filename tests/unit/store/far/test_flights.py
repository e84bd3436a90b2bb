"""What is on its way: each byte once, and what somebody waits for first."""

from __future__ import annotations

import threading

import pytest

from artstore import limits
from artstore.errors import RemoteError
from artstore.model import FarPack
from artstore.store.far.flights import Flights

PACK = FarPack(1, b"r" * 16, "p/a/00000001", 1000)
Asked = list[tuple[int, int]]


class Gate:
    """A remote that answers when it is told to."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.open = threading.Event()

    def __call__(self, pack: FarPack, offset: int, size: int) -> bytes:
        assert pack == PACK
        self.asked.append((offset, size))
        assert self.open.wait(30)
        return bytes([offset % 251]) * size


@pytest.fixture
def asked() -> Asked:
    return []


def test_what_is_on_its_way_is_not_asked_for_ahead(asked: Asked) -> None:
    """A reader who is quicker than what is read ahead of him would have it twice."""
    gate = Gate(asked)
    flights = Flights(gate, threads=4)
    first = flights.launch(PACK, 100, 200)
    second = flights.launch(PACK, 300, 400)
    assert flights.launch_ahead(PACK, 150, 500)
    gate.open.set()
    ahead = flights.touching(PACK, 0, 1000)
    for flight in {first, second, *ahead}:
        flights.wait(flight)
    flights.close()
    assert sorted(asked) == [(100, 100), (200, 100), (300, 100), (400, 100)]


def test_who_waits_for_the_same_range_shares_it(asked: Asked) -> None:
    """Two readers would pay twice."""
    gate = Gate(asked)
    flights = Flights(gate, threads=1)
    first = flights.launch(PACK, 100, 200)
    assert flights.launch(PACK, 120, 180) is first
    assert flights.join(PACK, 150, 200) is first
    assert flights.join(PACK, 150, 201) is None
    gate.open.set()
    assert flights.wait(first) == bytes([100]) * 100
    assert flights.join(PACK, 150, 200) is None
    flights.close()
    assert asked == [(100, 100)]


def test_what_is_fetched_ahead_is_bounded(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick reader of many packs would fill the memory."""
    monkeypatch.setattr(limits, "FAR_FLIGHT_BYTES_MAX", 100)
    gate = Gate(asked)
    flights = Flights(gate, threads=1)
    assert flights.launch_ahead(PACK, 0, 60)
    assert not flights.launch_ahead(PACK, 60, 120)
    gate.open.set()
    for flight in flights.touching(PACK, 0, 1000):
        flights.wait(flight)
    assert flights.launch_ahead(PACK, 60, 120)
    flights.close()


def test_what_was_not_begun_is_given_up_at_the_end(asked: Asked) -> None:
    """A process that ends would wait for what nobody reads."""
    gate = Gate(asked)
    flights = Flights(gate, threads=1)
    flights.launch(PACK, 0, 10)
    while not asked:
        pass
    waiting = flights.launch(PACK, 20, 30)
    flights.close()
    gate.open.set()
    with pytest.raises(RemoteError, match="closed"):
        waiting.future.result(30)
    assert asked == [(0, 10)]


def test_who_waits_gets_the_error(asked: Asked) -> None:
    """It would look like damage, or hang."""

    def fail(pack: FarPack, offset: int, size: int) -> bytes:
        raise RemoteError(f"{pack.key}: {offset}+{size}")

    flights = Flights(fail, threads=1)
    flight = flights.launch(PACK, 0, 10)
    with pytest.raises(RemoteError, match=r"0\+10"):
        flights.wait(flight)
    flights.close()
    assert asked == []

"""Ranges of packs on their way from remotes: each is asked for once, however many wait for it.

What readers wait for goes before what is fetched ahead of them; the latter is bounded in bytes, and given up when this
is closed.
"""

from __future__ import annotations

from collections import defaultdict, deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.model import FarPack

    Fetch = Callable[[FarPack, int, int], bytes]


@dataclass(slots=True, eq=False)
class Flight:
    """Bytes `start..end` of a pack; `future` gets them."""

    pack: FarPack
    start: int
    end: int
    ahead: bool
    future: Future[bytes] = field(default_factory=Future[bytes])


class Flights:
    """What is on its way in one process. `fetch` brings a range: pack, offset, size. Thread-safe."""

    def __init__(self, fetch: Fetch, *, threads: int = limits.FAR_THREADS_MAX) -> None:
        self._fetch = fetch
        self._threads_max = threads
        self._by_pack: defaultdict[int, list[Flight]] = defaultdict(list)
        self._urgent: deque[Flight] = deque()
        self._ahead: deque[Flight] = deque()
        self._ahead_bytes = 0
        self._idle = 0
        self._threads = 0
        self._closed = False
        self._lock = Lock()
        self._wake = Condition(self._lock)

    def join(self, pack: FarPack, start: int, end: int) -> Flight | None:
        """The flight that brings all of this range, if there is one."""
        with self._lock:
            return self._covering(pack.number, start, end)

    def touching(self, pack: FarPack, start: int, end: int) -> list[Flight]:
        """The flights that bring a part of this range."""
        with self._lock:
            flights = self._by_pack.get(pack.number, ())
            return [flight for flight in flights if flight.start < end and start < flight.end]

    def launch(self, pack: FarPack, start: int, end: int) -> Flight:
        """Ask for a range that somebody waits for, unless it is on its way; `wait` has to be called."""
        flight = Flight(pack, start, end, ahead=False)
        with self._lock:
            known = self._covering(pack.number, start, end)
            if known is not None:
                return known
            self._by_pack[pack.number].append(flight)
            self._urgent.append(flight)
            self._wake_one()
        return flight

    def launch_ahead(self, pack: FarPack, start: int, end: int) -> bool:
        """Ask for what of a range isn't on its way, and nobody waits for yet; False if too much is, already."""
        with self._lock:
            if self._closed or self._ahead_bytes + end - start > limits.FAR_FLIGHT_BYTES_MAX:
                return False
            for begin, stop in self._uncovered(pack.number, start, end):
                flight = Flight(pack, begin, stop, ahead=True)
                self._by_pack[pack.number].append(flight)
                self._ahead.append(flight)
                self._ahead_bytes += stop - begin
                self._wake_one()
        return True

    def wait(self, flight: Flight) -> bytes:
        """The bytes of a flight, fetched on this thread if no other has begun to. Raises as `fetch` does."""
        with self._lock:
            queue = self._ahead if flight.ahead else self._urgent
            mine = flight in queue
            if mine:
                queue.remove(flight)
        if mine:
            self._run(flight)
        return flight.future.result()

    def close(self) -> None:
        """End the threads; what is on its way comes, what was not begun fails. Idempotent."""
        with self._lock:
            self._closed = True
            left = [*self._urgent, *self._ahead]
            self._urgent.clear()
            self._ahead.clear()
            self._wake.notify_all()
        for flight in left:
            self._land(flight, None, RemoteError("the store was closed"))

    def _covering(self, number: int, start: int, end: int) -> Flight | None:
        flights = self._by_pack.get(number, ())
        return next((flight for flight in flights if flight.start <= start and end <= flight.end), None)

    def _uncovered(self, number: int, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of a range that no flight brings."""
        parts: list[tuple[int, int]] = []
        for flight in sorted(self._by_pack.get(number, ()), key=lambda flight: flight.start):
            if flight.end <= start or end <= flight.start:
                continue
            if start < flight.start:
                parts.append((start, flight.start))
            start = flight.end
        return [*parts, (start, end)] if start < end else parts

    def _wake_one(self) -> None:
        """The lock is held. Threads are daemons: a remote that hangs does not keep the process from ending."""
        if self._idle:
            self._wake.notify()
        elif self._threads < self._threads_max and not self._closed:
            self._threads += 1
            Thread(target=self._work, name=f"far-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                while not (self._urgent or self._ahead or self._closed):
                    self._idle += 1
                    self._wake.wait()
                    self._idle -= 1
                if self._closed:
                    return
                flight = self._urgent.popleft() if self._urgent else self._ahead.popleft()
            self._run(flight)
            del flight  # its bytes are megabytes, and the next one may be long in coming

    def _run(self, flight: Flight) -> None:
        data: bytes | None = None
        ended: BaseException | None = None
        try:
            data = self._fetch(flight.pack, flight.start, flight.end - flight.start)
        except BaseException as error:  # noqa: BLE001 - whoever waits for it is told, on whatever thread that is
            ended = error
        self._land(flight, data, ended)
        if ended is not None and not isinstance(ended, Exception):
            raise ended  # Ctrl-C goes on besides

    def _land(self, flight: Flight, data: bytes | None, error: BaseException | None) -> None:
        with self._lock:
            flights = self._by_pack[flight.pack.number]
            flights.remove(flight)
            if not flights:
                del self._by_pack[flight.pack.number]
            if flight.ahead:
                self._ahead_bytes -= flight.end - flight.start
        if error is None:
            assert data is not None
            flight.future.set_result(data)
        else:
            flight.future.set_exception(error)

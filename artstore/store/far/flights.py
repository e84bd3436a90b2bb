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
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from artstore.model import FarPack

    Fetch = Callable[[FarPack, int, int], bytes]
    Holes = Callable[[FarPack, int, int], Iterable[tuple[int, int]]]


@dataclass(slots=True, eq=False)
class Flight:
    """Bytes `start..end` of a pack; `future` gets them."""

    pack: FarPack
    start: int
    end: int
    ahead: bool
    future: Future[bytes] = field(default_factory=Future[bytes])


@dataclass(frozen=True, slots=True, eq=False)
class Coming:
    """A range of a pack, and the flights that bring what isn't kept of it, in its order."""

    pack: FarPack
    start: int
    end: int
    flights: tuple[Flight, ...]


class Arrived:
    """What flights have brought: pieces of a pack with their offsets."""

    def __init__(self, pieces: Sequence[tuple[int, bytes]]) -> None:
        self._pieces = pieces

    def take(self, start: int, end: int) -> memoryview | None:
        """The bytes `start..end`; None if they didn't come by these flights alone."""
        joined = bytearray()
        for at, data in self._pieces:
            if at <= start and end <= at + len(data):
                return memoryview(data)[start - at : end - at]
            reached = start + len(joined)
            if at <= reached < at + len(data):
                joined += data[reached - at : end - at]
        return memoryview(joined) if len(joined) == end - start else None


class Flights:
    """What is on its way in one process. Thread-safe.

    `fetch` brings a range: pack, offset, size. `holes` gives the parts of a range that aren't kept, as offsets and
    sizes; it is asked while the lock is held, so that a range is always on its way, kept, or nowhere.
    """

    def __init__(self, fetch: Fetch, holes: Holes, *, threads: int = limits.FAR_THREADS_MAX) -> None:
        self._fetch = fetch
        self._holes = holes
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

    def bring(self, pack: FarPack, start: int, end: int) -> Coming:
        """Have a range come that somebody waits for, as far as it isn't on its way; `wait` has to be called."""
        with self._lock:
            known = [
                flight for flight in self._by_pack.get(pack.number, ()) if flight.start < end and start < flight.end
            ]
            new = [Flight(pack, *part, ahead=False) for part in self._missing(pack, start, end)]
            for flight in new:
                self._by_pack[pack.number].append(flight)
                self._urgent.append(flight)
                self._wake_one()
        return Coming(pack, start, end, tuple(sorted([*known, *new], key=lambda flight: flight.start)))

    def bring_ahead(self, pack: FarPack, start: int, end: int) -> bool:
        """Have a range come that nobody waits for yet; False if too much is on its way already."""
        with self._lock:
            for begin, stop in self._missing(pack, start, end):
                if self._closed or self._ahead_bytes + stop - begin > limits.FAR_FLIGHT_BYTES_MAX:
                    return False
                flight = Flight(pack, begin, stop, ahead=True)
                self._by_pack[pack.number].append(flight)
                self._ahead.append(flight)
                self._ahead_bytes += stop - begin
                self._wake_one()
        return True

    def wait(self, coming: Coming) -> Arrived:
        """What came, fetched on this thread if no other has begun to. Raises as `fetch` does."""
        return Arrived([(flight.start, self._wait(flight)) for flight in coming.flights])

    def _wait(self, flight: Flight) -> bytes:
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

    def _missing(self, pack: FarPack, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of a range that are neither on their way nor kept, none longer than a request. The lock is held.

        In whole blocks: what a cache has of a block would be taken for all of it.
        """
        block = limits.FAR_BLOCK_BYTES
        start, end = start // block * block, min(-(-end // block) * block, pack.size)
        for begin, stop in self._uncovered(pack.number, start, end):
            for offset, size in self._holes(pack, begin, stop - begin):
                for at in range(offset, offset + size, limits.FAR_REQUEST_BYTES):
                    yield at, min(at + limits.FAR_REQUEST_BYTES, offset + size)

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

"""Decoded, verified chunks in memory: one fetch and one decode for each, however many readers wait for it.

Decides which thread fetches what, and in which order; where chunks lie in files is for `files` to know. Every chunk
was checked against its id when it came from a pack [I5].
"""

from __future__ import annotations

import errno
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from artstore import limits
from artstore.model import ObjectKind
from artstore_fuse.stretches import Stretches

if TYPE_CHECKING:
    from artstore.store.objects import Objects

T = TypeVar("T")


@dataclass(slots=True)
class ChunkStats:
    """Counts: look-ups that found a chunk or didn't, raw bytes decoded, chunks asked for ahead, chunks that failed."""

    hits: int = 0
    misses: int = 0
    decoded_bytes: int = 0
    requested: int = 0
    failed: int = 0


class Chunks:
    """Chunks and stretches of files in `memory_bytes`, and `threads` that fetch them. Thread-safe. `close` ends them.

    A chunk that can't be fetched fails for those alone who wait for it, and isn't remembered: who asks next has it
    fetched again. What was asked for by a reader goes before what is fetched ahead of one.
    """

    def __init__(self, objects: Objects, *, memory_bytes: int, threads: int) -> None:
        self.stats = ChunkStats()
        self.stretches = Stretches(memory_bytes // limits.MOUNT_AHEAD_SHARE)
        self._cached_bytes_max = memory_bytes - memory_bytes // limits.MOUNT_AHEAD_SHARE
        self._fetch = objects.fetcher.many
        self._fill = objects.fetcher.fill
        self._cached: OrderedDict[bytes, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._flights: dict[bytes, _Flight] = {}  # by chunk: queued, or being fetched
        self._urgent: deque[_Flight | _Job] = deque()
        self._jobs: deque[_Job] = deque()  # which nobody waits for
        self._closed = False
        self._lock = Lock()
        self._wake = Condition(self._lock)
        # They are daemons, so that one which hangs in a read of a dead disk does not keep the process from ending.
        count = max(1, min(threads, limits.MOUNT_THREADS_MAX))
        self._threads = [Thread(target=self._work, name=f"chunks-{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def get(self, id: bytes) -> bytes | None:
        """A chunk, if it is in the cache."""
        return self.find((id,))[0]

    def find(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """Each chunk that is in the cache, None for the others; counted as hits and misses."""
        with self._lock:
            found = [self._cached.get(id) for id in ids]
            absent = 0
            for id, data in zip(ids, found, strict=True):
                if data is None:
                    absent += 1
                else:
                    self._cached.move_to_end(id)
            self.stats.hits += len(found) - absent
            self.stats.misses += absent
        return found

    def peek(self, id: bytes) -> bytes | None:
        """A chunk, if it is in the cache; neither counted nor taken for a use."""
        return self._cached.get(id)

    def fill(self, chunks: Sequence[tuple[bytes, int]], target: memoryview) -> None:
        """Chunks (id, size) one behind the other into `target`, on the caller's thread; they are not kept here."""
        self._fill(chunks, target)
        with self._lock:
            self.stats.decoded_bytes += len(target)
            self.stats.requested += len(chunks)

    def is_under_way(self, ids: Iterable[bytes]) -> bool:
        """Whether any of these is queued or being fetched, so that `load` might wait for another thread."""
        return any(id in self._flights for id in ids)

    def load(self, ids: Sequence[bytes]) -> list[bytes]:
        """Chunks in order, the absent ones fetched on the caller's thread; those being fetched are waited for.

        Raises what the first chunk that can't be had failed with: Corrupt, Erased …
        """
        own, gathering = self._gather([ids], _in_order(ids), here=True)
        for at, flight in enumerate(own):
            try:
                self._run(flight)
            except BaseException:  # Ctrl-C: others may wait for the chunks that are left
                self._abandon(own[at + 1 :])
                raise
        return gathering.future.result()

    def collect(self, batches: Sequence[Sequence[bytes]], finish: Callable[[dict[bytes, bytes]], T]) -> Future[T]:
        """What `finish` makes of the chunks, by their ids, with which others may have come. Each batch's absent ones
        are fetched together, by a worker.

        The future is done by a worker, `finish` runs there. It fails as `load` does, or as `finish` does.
        """
        return self._gather(batches, finish, here=False)[1].future

    def submit(self, job: Callable[[], T]) -> Future[T] | None:
        """Have a worker do a job that nobody waits for yet; None if too many are queued already.

        One whose future is cancelled before a worker comes to it is not done.
        """
        future: Future[T] = Future()
        with self._lock:
            if len(self._jobs) >= limits.MOUNT_AHEAD_QUEUE_MAX:
                self._jobs = deque(queued for queued in self._jobs if not queued.future.cancelled())
            if self._closed or len(self._jobs) >= limits.MOUNT_AHEAD_QUEUE_MAX:
                return None
            self._jobs.append(_Job(job, future))
            self._wake.notify()
        return future

    def hurry(self, futures: Iterable[Future[Any]]) -> None:
        """Somebody waits for jobs now: they queue with what readers asked for, if they have not begun."""
        with self._lock:
            for future in futures:
                job = next((job for job in self._jobs if job.future is future), None)
                if job is not None:
                    self._jobs.remove(job)
                    self._urgent.append(job)

    def close(self) -> None:
        """End the threads and let go of the memory; who waits for what was not begun gets an OSError. Idempotent."""
        with self._lock:
            self._closed = True
            left = [*self._urgent, *self._jobs]
            self._urgent.clear()
            self._jobs.clear()
            self._wake.notify_all()
        self._abandon([each for each in left if isinstance(each, _Flight)])
        for each in left:
            if isinstance(each, _Job) and each.future.set_running_or_notify_cancel():
                each.future.set_exception(_closed())
        deadline = time.monotonic() + limits.MOUNT_CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._cached.clear()
            self._cached_bytes = 0
        self.stretches.clear()

    def _gather(
        self, batches: Sequence[Sequence[bytes]], finish: Callable[[dict[bytes, bytes]], T], *, here: bool
    ) -> tuple[list[_Flight], _Gathering[T]]:
        """Have chunks come together, and the flights that the caller has to run, `here`; else workers do."""
        own: list[_Flight] = []
        gathering = _Gathering(tuple(id for batch in batches for id in batch), finish)
        with self._lock:
            if self._closed:
                raise _closed()
            flights: set[_Flight] = set()
            for batch in batches:
                fresh: list[bytes] = []
                for id in dict.fromkeys(batch):
                    data = self._cached.get(id)
                    if data is not None:
                        gathering.found[id] = data
                    elif (flight := self._flights.get(id)) is not None:
                        flights.add(flight)
                    else:
                        fresh.append(id)
                if fresh:
                    own.append(self._take_off(fresh))
            if here:
                # Not begun yet: were all workers callers of this, nobody would be left to begin it.
                queued = [flight for flight in flights if flight in self._urgent]
                for flight in queued:
                    self._urgent.remove(flight)
                own += queued
            flights.update(own)
            for flight in flights:
                flight.waiting.append(gathering)
            gathering.remaining = len(flights)
            if not here:
                self._urgent.extend(own)
                self._wake.notify(len(own))
        if not gathering.remaining:
            gathering.complete()
        return own, gathering

    def _take_off(self, ids: Sequence[bytes]) -> _Flight:
        """Let others join the fetch of these; whoever calls sees to it that it is run. The lock is held."""
        flight = _Flight(tuple(ids))
        for id in ids:
            self._flights[id] = flight
        return flight

    def _work(self) -> None:
        while True:
            with self._lock:
                while not (self._urgent or self._jobs or self._closed):
                    self._wake.wait()
                if self._closed:
                    return
                work = self._urgent.popleft() if self._urgent else self._jobs.popleft()
            if isinstance(work, _Flight):
                self._run(work)
            else:
                work.do()
            del work  # its result is megabytes, and the next one may be long in coming

    def _run(self, flight: _Flight) -> None:
        """Fetch a flight's chunks. If that fails it fails for all of them, so that each is then tried by itself."""
        found: dict[bytes, bytes] = {}
        failures: dict[bytes, Exception] = {}
        try:
            found = self._fetch(ObjectKind.CHUNK, flight.ids)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to who waits for the chunk
            failures = {flight.ids[0]: error} if len(flight.ids) == 1 else self._run_singly(flight.ids, found)
        except BaseException:  # Ctrl-C, on the caller's thread: nobody may wait for ever
            self._abandon([flight])
            raise
        self._land(flight, found, failures)

    def _abandon(self, flights: Iterable[_Flight]) -> None:
        """Nobody fetches these any more: tell those who wait for them."""
        for flight in flights:
            self._land(flight, {}, dict.fromkeys(flight.ids, _closed()))

    def _run_singly(self, ids: Iterable[bytes], found: dict[bytes, bytes]) -> dict[bytes, Exception]:
        failures: dict[bytes, Exception] = {}
        for id in ids:
            try:
                found |= self._fetch(ObjectKind.CHUNK, (id,))
            except Exception as error:  # noqa: BLE001 - the same
                failures[id] = error
        return failures

    def _land(self, flight: _Flight, found: dict[bytes, bytes], failures: dict[bytes, Exception]) -> None:
        """Keep what came, and serve those who have all that they wait for."""
        with self._lock:
            for id in flight.ids:
                del self._flights[id]
            self.stats.failed += len(failures)
            if not self._closed:
                self._keep(found)
            complete: list[_Waiting] = []
            for gathering in flight.waiting:
                gathering.found.update(found)
                gathering.failures.update(failures)
                gathering.remaining -= 1
                if not gathering.remaining:
                    complete.append(gathering)
        for gathering in complete:
            gathering.complete()

    def _keep(self, found: dict[bytes, bytes]) -> None:
        """Put chunks into the cache, and the oldest out of it. The lock is held."""
        size = sum(map(len, found.values()))
        self.stats.decoded_bytes += size
        self._cached.update(found)
        self._cached_bytes += size
        while self._cached_bytes > self._cached_bytes_max:
            self._cached_bytes -= len(self._cached.popitem(last=False)[1])


class _Waiting:
    """Somebody who waits for chunks of `remaining` flights."""

    def __init__(self) -> None:
        self.remaining = 0
        self.found: dict[bytes, bytes] = {}
        self.failures: dict[bytes, Exception] = {}

    def complete(self) -> None:
        """All flights have landed."""
        raise NotImplementedError


class _Gathering(_Waiting, Generic[T]):
    """A future of what `finish` makes of the chunks `ids`."""

    def __init__(self, ids: tuple[bytes, ...], finish: Callable[[dict[bytes, bytes]], T]) -> None:
        super().__init__()
        self.future: Future[T] = Future()
        self._ids = ids
        self._finish = finish

    def complete(self) -> None:
        """Make the future done."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            if self.failures:
                for id in self._ids:
                    if id in self.failures:
                        raise self.failures[id]
            self.future.set_result(self._finish(self.found))
        except Exception as error:  # noqa: BLE001 - it belongs to who waits
            self.future.set_exception(error)


@dataclass(slots=True, eq=False)
class _Flight:
    """Chunks that are fetched together, and who waits for any of them."""

    ids: tuple[bytes, ...]
    waiting: list[_Waiting] = field(default_factory=lambda: [])


@dataclass(slots=True, eq=False)
class _Job:
    """Something to be done, and who is told of it."""

    call: Callable[[], Any]
    future: Future[Any]

    def do(self) -> None:
        """Do it, unless it was cancelled."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.call())
        except Exception as error:  # noqa: BLE001 - it belongs to who waits
            self.future.set_exception(error)


def _in_order(ids: Sequence[bytes]) -> Callable[[dict[bytes, bytes]], list[bytes]]:
    return lambda found: [found[id] for id in ids]


def _closed() -> OSError:
    return OSError(errno.EIO, "the mount is being ended")

"""Bytes of bodies on their way, over all connections of an opened store: bounded in rate, and counted as they move."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from threading import Event, Lock, local
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Interrupted, UsageError
from artstore.planning.rate import Bucket, piece_bytes, take

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from artstore.store.context import Counters


class Flow:
    """Implements `artstore.ports.Pace`. Thread-safe; a forked child counts and waits for itself."""

    def __init__(
        self, *, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._begin_process()

    def _begin_process(self) -> None:
        self.moved_bytes = 0
        self._lock = Lock()
        self._rates: list[int] = []
        self._bucket: Bucket | None = None
        self._here = _Here()
        self._seen: _Part | None = None
        self._process = os.getpid()

    @property
    def piece_bytes(self) -> int:
        """In what pieces bodies move now."""
        bucket = self._bucket
        return piece_bytes(None if bucket is None else bucket.rate_bytes_s)

    def passing(self, size: int) -> None:
        """So many bytes are about to be sent, or have come: wait until that many may have passed."""
        if self._process != os.getpid():  # a lock may be held by a thread that isn't here
            self._begin_process()
        wait = 0.0
        with self._lock:
            if self._bucket is not None:
                self._bucket, wait = take(self._bucket, size, self._now())
        if wait > 0:
            self._sleep(wait)
        part = self._here.part
        self._require_wanted(part)
        with self._lock:
            self.moved_bytes += size
            seen = part or self._seen
            if seen is not None:
                seen.add(size)

    def repeated(self) -> None:
        """What this thread has moved of a body is moved again. Interrupted if that isn't wanted any more."""
        part = self._here.part
        self._require_wanted(part)
        with self._lock:
            if part is not None:
                part.clear()

    @staticmethod
    def require(rate_bytes_s: int | None) -> None:
        """UsageError if a rate is too low to keep a connection alive, or none at all."""
        if rate_bytes_s is None or limits.RATE_BYTES_S_MIN <= rate_bytes_s <= limits.RATE_BYTES_S_MAX:
            return
        raise UsageError(f"{rate_bytes_s} bytes a second is too little or too much", hint="10k, 10 kB/s, is the least")

    @contextmanager
    def limited(self, rate_bytes_s: int | None) -> Generator[None]:
        """While it lasts no more than so many bytes a second pass; of several limits the lowest holds; None: none.

        UsageError as `require`.
        """
        self.require(rate_bytes_s)
        if rate_bytes_s is None:
            yield
            return
        with self._lock:
            self._rates.append(rate_bytes_s)
            self._set_rate()
        try:
            yield
        finally:
            with self._lock:
                self._rates.remove(rate_bytes_s)
                self._set_rate()

    def land(self, counters: Counters, size: int) -> None:
        """So many bytes that this thread has moved are done."""
        with self._lock:
            counters.bytes_done += size
            if self._here.part is not None:
                self._here.part.clear()

    @contextmanager
    def counted(self, counters: Counters, size_max: int, given_up: Event | None = None) -> Generator[None]:
        """Count what this thread moves as on its way (`bytes_moving`), at most `size_max` of it; `land` ends that.

        Once `given_up` is set the next piece raises Interrupted: at a low rate the rest of a body may take minutes.
        """
        part = self._here.part = _Part(counters, size_max, given_up)
        try:
            yield
        finally:
            with self._lock:
                part.clear()
                self._here.part = None

    @contextmanager
    def seen(self, counters: Counters, size_max: int) -> Generator[Callable[[int], None]]:
        """The same for what all threads move which count nothing themselves; what it gives is called with the bytes of
        each part that is done.
        """
        part = _Part(counters, size_max, None)

        def land(size: int) -> None:
            with self._lock:
                part.take(size)
                counters.bytes_done += size

        self._seen = part
        try:
            yield land
        finally:
            with self._lock:
                self._seen = None
                part.clear()

    @staticmethod
    def _require_wanted(part: _Part | None) -> None:
        if part is not None and part.given_up is not None and part.given_up.is_set():
            raise Interrupted("a transfer was given up")

    def _set_rate(self) -> None:
        if not self._rates:
            self._bucket = None
            return
        due = float("-inf") if self._bucket is None else self._bucket.due_s
        self._bucket = Bucket(min(self._rates), due)


class _Part:
    """What has moved of one object. The flow's lock is held."""

    def __init__(self, counters: Counters, size_max: int, given_up: Event | None) -> None:
        self.given_up = given_up
        self._counters = counters
        self._size_max = size_max
        self._moved: int = 0

    def add(self, size: int) -> None:
        size = min(size, self._size_max - self._moved)
        self._moved += size
        self._counters.bytes_moving += size

    def take(self, size: int) -> None:
        size = min(size, self._moved)
        self._moved -= size
        self._size_max -= size
        self._counters.bytes_moving -= size

    def clear(self) -> None:
        self._counters.bytes_moving -= self._moved
        self._moved = 0


class _Here(local):
    """What a thread is at."""

    part: _Part | None = None

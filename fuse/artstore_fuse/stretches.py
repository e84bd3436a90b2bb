"""What was fetched ahead of all readers of a mount: within one budget of bytes, whoever reads what.

Decides whose bytes are let go for whose. Knows neither chunks nor where bytes come from.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from artstore import limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future


@dataclass(slots=True, eq=False)
class Stretch:
    """Bytes `begin..end` of a file: being fetched, or there; how many of them nobody has read yet; the last use, s."""

    begin: int
    end: int
    future: Future[memoryview]
    left: int
    used: float


class Stretches:
    """At most `bytes_max` of stretches, by reader and number. Thread-safe.

    Where there is no room, a stretch that nobody has used for a second is let go, or an old one of the same reader
    if he holds more than his share. Else nothing is fetched ahead: of bytes that were thrown away before they were
    read nobody would have any good.
    """

    def __init__(self, bytes_max: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes_max = bytes_max
        self._clock = clock
        self._held: OrderedDict[tuple[int, int], Stretch] = OrderedDict()  # used last: last
        self._readers: dict[int, dict[int, int]] = {}  # by reader: bytes held, by number
        self._bytes = 0
        self._lock = Lock()

    @property
    def held_bytes(self) -> int:
        """Bytes of all stretches, also of those that are still to be fetched."""
        return self._bytes

    def share(self, reader: int) -> int:
        """Bytes that may be fetched ahead for this reader, beside those who hold something now."""
        with self._lock:
            return self._share(reader)

    def get(self, reader: int, number: int) -> Stretch | None:
        """A stretch, which counts as used now."""
        with self._lock:
            stretch = self._held.get((reader, number))
            if stretch is not None:
                stretch.used = self._clock()
                self._held.move_to_end((reader, number))
            return stretch

    def has(self, reader: int, number: int) -> bool:
        """Whether there is this stretch."""
        return (reader, number) in self._held

    def add(
        self, reader: int, number: int, begin: int, end: int, start: Callable[[], Future[memoryview] | None]
    ) -> bool:
        """Hold what `start` begins to fetch; False, and nothing begun, if there is no room or `start` has none."""
        with self._lock:
            if not self._make_room(reader, end - begin) or (future := start()) is None:
                return False
            self._held[reader, number] = Stretch(begin, end, future, end - begin, self._clock())
            self._readers.setdefault(reader, {})[number] = end - begin
            self._bytes += end - begin
        return True

    def drop(self, reader: int, number: int) -> None:
        """Let go of a stretch; nothing if it isn't there."""
        with self._lock:
            if (reader, number) in self._held:
                self._drop(reader, number)

    def leave(self, reader: int) -> None:
        """Let go of all that a reader has here; what wasn't begun is never fetched."""
        with self._lock:
            numbers = list(self._readers.get(reader, ()))
            futures = [self._held[reader, number].future for number in numbers]
            for number in numbers:
                self._drop(reader, number)
        for future in futures:  # which may call back
            future.cancel()

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._held.clear()
            self._readers.clear()
            self._bytes = 0

    def _share(self, reader: int) -> int:
        others = len(self._readers) - (reader in self._readers)
        return max(self._bytes_max // (others + 1), limits.MOUNT_AHEAD_BYTES_MIN)

    def _make_room(self, reader: int, size: int) -> bool:
        if size > self._bytes_max:
            return False
        while self._bytes + size > self._bytes_max:
            victim = self._victim(reader)
            if victim is None:
                return False
            self._drop(*victim)
        return True

    def _victim(self, reader: int) -> tuple[int, int] | None:
        """What is to go, the longest unused first; never what is still to be fetched: the work would be done anyway."""
        idle_since = self._clock() - limits.MOUNT_AHEAD_IDLE_S
        holds_much = sum(self._readers.get(reader, {}).values()) > self._share(reader)
        for key, stretch in self._held.items():
            if stretch.future.done() and (stretch.used <= idle_since or (holds_much and key[0] == reader)):
                return key
            if stretch.used > idle_since and not holds_much:
                break
        return None

    def _drop(self, reader: int, number: int) -> None:
        stretch = self._held.pop((reader, number))
        self._bytes -= stretch.end - stretch.begin
        numbers = self._readers[reader]
        del numbers[number]
        if not numbers:
            del self._readers[reader]

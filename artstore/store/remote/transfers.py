"""Runs transfers of packs side by side: as many as the way bears, which is found out as they go.

Each transfer holds its pack in memory: what runs at once is bounded in bytes, too, so that a push of packs of 64 MiB
takes at most REMOTE_HELD_BYTES_MAX, however fast its line.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Generic, TypeVar

from artstore import limits
from artstore.planning.concurrency import Bounds, Window, begin, step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from artstore.ports import Remote
    from artstore.store.context import Counters
    from artstore.store.remote.flow import Flow

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Transfer(Generic[T]):
    """Something to be moved: about how large it is, and what moves it, on any thread."""

    size: int
    work: Callable[[], T]


class Transfers:
    """Transfers to or from one remote. What has been found out about the way stays for the next `run`."""

    def __init__(
        self, remote: Remote, flow: Flow, counters: Counters, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._remote = remote
        self._flow = flow
        self._counters = counters
        self._now = now
        self._bounds = Bounds(limits.REMOTE_TRANSFERS_MIN, limits.REMOTE_TRANSFERS_MAX)
        self._state = begin(limits.REMOTE_TRANSFERS_START, self._bounds)

    @property
    def level(self) -> int:
        """How many may run now."""
        return self._state.level

    def run(self, transfers: Iterable[Transfer[T]], bytes_of: Callable[[T], int]) -> Iterator[T]:
        """Run them all; what each gives, as they end; `bytes_of` it are counted as done.

        The first that fails ends all, as does Ctrl-C: none is begun any more, those that run end with their next piece
        and are waited for, and it is raised.
        """
        waiting = iter(transfers)
        following = next(waiting, None)
        running: dict[Future[T], int] = {}
        given_up = Event()
        meter = _Meter(self._remote, self._flow, self._now)
        with ThreadPoolExecutor(limits.REMOTE_TRANSFERS_MAX, thread_name_prefix="transfer") as pool:
            try:
                while True:
                    while following is not None and self._has_room(running, following.size):
                        running[pool.submit(self._one, following, bytes_of, given_up)] = following.size
                        following = next(waiting, None)
                    if not running:
                        return
                    is_full = len(running) >= self._state.level and following is not None
                    ended, _ = wait(running, timeout=limits.REMOTE_WINDOW_S, return_when=FIRST_COMPLETED)
                    window = meter.look(is_full=is_full)
                    if window is not None:
                        self._state = step(self._state, window, self._bounds)
                    for future in ended:
                        del running[future]
                        yield future.result()
            except BaseException:
                given_up.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _has_room(self, running: dict[Future[T], int], size: int) -> bool:
        if not running:
            return True
        return len(running) < self._state.level and sum(running.values()) + size <= limits.REMOTE_HELD_BYTES_MAX

    def _one(self, transfer: Transfer[T], bytes_of: Callable[[T], int], given_up: Event) -> T:
        with self._flow.counted(self._counters, transfer.size, given_up):
            result = transfer.work()
            self._flow.land(self._counters, bytes_of(result))
        return result


class _Meter:
    """What passes, window by window."""

    def __init__(self, remote: Remote, flow: Flow, now: Callable[[], float]) -> None:
        self._remote = remote
        self._flow = flow
        self._now = now
        self._begin()

    def _begin(self) -> None:
        self._start_s = self._now()
        self._moved = self._flow.moved_bytes
        self._refused = self._remote.stats.refused
        self._is_full = True

    def look(self, *, is_full: bool) -> Window | None:
        """The window that ends now; None if it goes on. `is_full`: was all that may run under way since last time?"""
        self._is_full &= is_full
        seconds = self._now() - self._start_s
        refused = self._remote.stats.refused > self._refused
        if seconds < limits.REMOTE_WINDOW_S and not refused:
            return None
        window = Window((self._flow.moved_bytes - self._moved) / max(seconds, 1e-6), self._is_full, refused)
        self._begin()
        return window

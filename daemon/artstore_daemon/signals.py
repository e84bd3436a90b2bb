"""Wakes a trio task from other threads: whatever is told several times before it looks is told once."""

from __future__ import annotations

from threading import Lock
from typing import Generic, TypeVar

import trio

K = TypeVar("K")


class Inbox(Generic[K]):
    """A set of things that have happened, bounded by how many different ones there are. Made within trio."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._lock = Lock()
        self._things: dict[K, None] = {}
        self._event = trio.Event()
        self._is_told = False

    def put(self, thing: K) -> None:
        """It has happened. From any thread, also when trio has ended."""
        with self._lock:
            self._things[thing] = None
            if self._is_told:
                return
            self._is_told = True
        try:
            self._token.run_sync_soon(self._tell)
        except trio.RunFinishedError:
            return

    def put_here(self, thing: K) -> None:
        """The same, from a trio task."""
        with self._lock:
            self._things[thing] = None
        self._event.set()

    def nudge(self) -> None:
        """Nothing has happened, but whoever waits shall look. From a trio task."""
        self._event.set()

    async def take(self, until: float | None) -> list[K]:
        """What has happened since last time, in its order; nothing if nothing has by this time of trio's clock."""
        deadline = float("inf") if until is None else until
        with trio.move_on_at(deadline):
            await self._event.wait()
        await trio.lowlevel.checkpoint()
        self._event = trio.Event()
        with self._lock:
            things, self._things = list(self._things), {}
            self._is_told = False
        return things

    def _tell(self) -> None:
        self._event.set()

"""Keeps the names of a mounted store at what its home remote has, while it is mounted.

One thread asks, one request a look; the view shows what came at its own next look at the index. A remote that can't be
reached is told once and asked less and less often; what is here is served all the while.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.errors import ArtstoreError

if TYPE_CHECKING:
    from artstore import Store
    from artstore.store.remote.watch import RemoteWatch

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FollowingState:
    """`looked`, `fetched`: seconds since the epoch, None: not yet; `error`: why the last look failed."""

    url: str | None = None
    looked: float | None = None
    fetched: float | None = None
    error: str | None = None


class Following:
    """Looks every `every_s` seconds until `close`."""

    def __init__(self, store: Store, *, every_s: float) -> None:
        self._store = store
        self._every_s = every_s
        self._state = FollowingState()
        self._lock = Lock()
        self._ended = Event()
        # A daemon, so that a remote which hangs doesn't keep the process from ending.
        self._thread = Thread(target=self._run, name="following", daemon=True)
        self._thread.start()

    @property
    def state(self) -> FollowingState:
        """How it stands."""
        with self._lock:
            return self._state

    def close(self) -> None:
        """End it."""
        self._ended.set()
        self._thread.join(limits.MOUNT_CLOSE_S)

    def _run(self) -> None:
        watch: RemoteWatch | None = None
        wait_s = self._every_s
        while not self._ended.is_set():
            try:
                watch = watch or self._store.watch_remote()
                if watch.changed():
                    self._fetch(watch.url)
                self._note(watch.url, None)
                wait_s = self._every_s
            except Exception as error:  # noqa: BLE001 - whatever it is, the mount goes on with what is here
                self._trouble(watch, error)
                if watch is not None:
                    watch.close()
                watch = None  # the next look fetches, whatever it finds
                wait_s = min(2 * wait_s, max(limits.MOUNT_FOLLOW_S_MAX, self._every_s))
            self._ended.wait(wait_s)
        if watch is not None:
            watch.close()

    def _fetch(self, url: str) -> None:
        result = self._store.fetch()
        for conflict in result.conflicts:
            _log.warning("%s: %s: %s", url, conflict.name, conflict.why)
        if result.written:
            _log.info("%s: %d names came", url, len(result.written))
        with self._lock:
            self._state = FollowingState(url, self._state.looked, time.time(), None)

    def _note(self, url: str, error: str | None) -> None:
        with self._lock:
            before = self._state
            self._state = FollowingState(url, time.time(), before.fetched, error)
        if before.error is not None:
            _log.info("%s answers again", url)

    def _trouble(self, watch: RemoteWatch | None, error: Exception) -> None:
        message = error.message if isinstance(error, ArtstoreError) else str(error)
        with self._lock:
            before = self._state
            url = before.url if watch is None else watch.url
            self._state = FollowingState(url, before.looked, before.fetched, message)
        if before.error != message:
            is_ours = isinstance(error, ArtstoreError)
            _log.warning("names of the remote can't be fetched: %s", message, exc_info=not is_ours)

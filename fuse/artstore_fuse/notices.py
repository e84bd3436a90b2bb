"""Tells the kernel things unasked, on threads of its own: that may block until a request under way is answered.

A notice that finds its queue full is dropped: names expire by themselves after a second, bytes are only a favour.
Must know neither FUSE nor what is told.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final

_log: Final = logging.getLogger(__name__)


class Notices:
    """Calls, made one after the other on one thread; at most `count_max` wait, of at most `bytes_max` together."""

    def __init__(self, name: str, *, count_max: int, bytes_max: int = 0) -> None:
        self._queue: queue.Queue[tuple[Callable[[], None], int] | None] = queue.Queue()
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._lock = threading.Lock()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, call: Callable[[], None], size: int = 0) -> bool:
        """Have a call made soon; False if it was dropped. An OSError of it is nobody's loss."""
        with self._lock:
            too_much = self._queue.qsize() >= self._count_max or self._bytes + size > self._bytes_max
            if self._ending or too_much:
                return False
            self._bytes += size
        self._queue.put((call, size))
        return True

    def close(self, timeout_s: float) -> bool:
        """Make no more calls; False if one is still being made after `timeout_s`."""
        self._ending = True
        self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (notice := self._queue.get()) is not None and not self._ending:
            call, size = notice
            try:
                call()
            except OSError as error:  # the kernel doesn't know the name or the file, or has let go of the mount
                _log.debug("a notice was refused: %s", error)
            finally:
                with self._lock:
                    self._bytes -= size

"""Reads the next stretch of a file while the last one is cut: one thread, one read at a time."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from artstore.store.write.channel import Channel, Closed

_Request = tuple[int, memoryview, int]


class AheadReader:
    """`start`, then `finish`, in turn, from one thread. The thread of its own begins with the first read."""

    def __init__(self) -> None:
        self._requests: Channel[_Request] = Channel(1)
        self._answers: Channel[int | OSError] = Channel(1)
        self._thread: threading.Thread | None = None

    def start(self, descriptor: int, target: memoryview, offset: int) -> None:
        """Begin to fill `target`, which belongs to the reader until `finish` returns or this is closed."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="artstore-read", daemon=True)
            self._thread.start()
        self._requests.put((descriptor, target, offset))

    def finish(self) -> int:
        """Wait for the read that was begun; how many bytes came, which may be fewer. Raises its OSError."""
        answer = self._answers.get()
        if isinstance(answer, OSError):
            raise answer
        assert answer is not None
        return answer

    def close(self) -> None:
        """The thread has ended when this returns, and nobody writes to what it was given."""
        self._requests.close()
        self._answers.close()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with suppress(Closed):
            while (request := self._requests.get()) is not None:
                self._answers.put(_read(*request))


def _read(descriptor: int, target: memoryview, offset: int) -> int | OSError:
    try:
        return os.preadv(descriptor, [target], offset)
    except OSError as error:  # raised again in the thread that asked
        return error

"""Threads that work off tasks as they come: a bounded number waits, the first failure ends all.

Knows nothing of the tasks. Used where order does not matter; the commit pipeline, where it does, has its own.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Generic, TypeVar

from artstore import limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

T = TypeVar("T")


def worker_count(wanted: int | None = None) -> int:
    """As many threads as there are cores for this process, or as wanted; bounded."""
    return max(1, min(wanted or len(os.sched_getaffinity(0)), limits.WORKERS_MAX))


class Crew(Generic[T]):
    """A context: leaving it waits for all tasks; leaving it with an exception (Ctrl-C) skips those not yet begun.

    `put` and the end of the context raise the first failure of a task.
    """

    def __init__(self, work: Callable[[T], None], workers: int, *, waiting: int) -> None:
        self._work = work
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="artstore")
        self._pending: deque[Future[None]] = deque()
        self._pending_max = workers * (1 + waiting)

    def put(self, task: T) -> None:
        """Hand over a task; waits while too many are pending."""
        pending = self._pending
        while pending and pending[0].done():
            pending.popleft().result()
        if len(pending) >= self._pending_max:
            wait(pending, return_when=FIRST_COMPLETED)
            self._pending = pending = deque(future for future in pending if not _finished(future))
        pending.append(self._pool.submit(self._work, task))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                for future in self._pending:
                    future.result()
        finally:
            self._end()

    def _end(self) -> None:
        """Nothing may go on behind the back of who cleans up after us: a Ctrl-C that comes just now waits as well."""
        try:
            self._pool.shutdown(wait=True, cancel_futures=True)
        except BaseException:
            self._pool.shutdown(wait=True, cancel_futures=True)
            raise


def _finished(future: Future[None]) -> bool:
    """Whether a task has ended; raises what it failed with."""
    if not future.done():
        return False
    future.result()
    return True

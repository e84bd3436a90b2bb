"""A bounded queue between threads that can end in two ways: finished, when all is taken, or closed, at once [I9]."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Closed(Exception):
    """Somebody closed the channel: the pipeline has failed elsewhere, and its starter knows why."""


class Channel(Generic[Item]):
    """First in, first out, at most `size` items."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[Item] = deque()
        self._condition = threading.Condition()
        self._finished = False
        self._closed = False

    def put(self, item: Item) -> None:
        """Wait for room; Closed if closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or len(self._items) < self._size)
            if self._closed:
                raise Closed
            self._items.append(item)
            self._condition.notify_all()

    def get(self) -> Item | None:
        """Wait for an item; None once finished and empty; Closed if closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._items or self._finished)
            if self._closed:
                raise Closed
            if not self._items:
                return None
            item = self._items.popleft()
            self._condition.notify_all()
            return item

    @property
    def is_full(self) -> bool:
        """Would `put` wait?"""
        return len(self._items) >= self._size

    @property
    def is_empty(self) -> bool:
        """Would `get` wait?"""
        return not self._items

    def finish(self) -> None:
        """No more will be put."""
        with self._condition:
            self._finished = True
            self._condition.notify_all()

    def close(self) -> None:
        """Wake everybody up; what is queued is dropped."""
        with self._condition:
            self._closed = True
            self._items.clear()
            self._condition.notify_all()


class Turn:
    """Lets threads through in the order of their numbers."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._next = 0
        self._closed = False

    def wait(self, number: int) -> None:
        """Wait for `number`'s turn; Closed if closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._next == number)
            if self._closed:
                raise Closed

    def done(self) -> None:
        """Let the next one through."""
        with self._condition:
            self._next += 1
            self._condition.notify_all()

    def close(self) -> None:
        """Let nobody through any more."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

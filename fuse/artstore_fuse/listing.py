"""A folder being listed: where each entry is, so that a reader may stop anywhere, go on, or begin again.

An offset counts entries: it is what stands behind the entry of that number. Of a great folder only a part is in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")


class Listing(Generic[T]):
    """What `begin` gives, batch by batch, the same each time it is called. Not thread-safe."""

    def __init__(self, begin: Callable[[], Iterator[Sequence[T]]]) -> None:
        self._begin = begin
        self._batches = begin()
        self._batch: Sequence[T] = ()
        self._first = 0  # the offset of the batch

    def entries(self, offset: int) -> Iterator[tuple[T, int]]:
        """(entry, offset behind it), from an offset on."""
        if offset < self._first:
            self._batches, self._batch, self._first = self._begin(), (), 0
        while True:
            batch, first = self._batch, self._first
            for index in range(max(offset - first, 0), len(batch)):
                yield batch[index], first + index + 1
            following = next(self._batches, None)
            if following is None:
                return
            self._first += len(batch)
            self._batch = following

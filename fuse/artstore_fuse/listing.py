"""A folder being listed: where each entry is, so that a reader may stop anywhere, go on, or begin again.

An offset counts entries: it is what stands behind the entry of that number. Of a great folder only a part is in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")


class Listing(Generic[T]):
    """What `begin` gives, batch by batch, the same each time it is called. Not thread-safe.

    An error of its batches leaves as it is, each time that the listing comes to where it was, until it is mended.
    """

    def __init__(self, begin: Callable[[], Iterator[Sequence[T]]]) -> None:
        self._begin = begin
        self._batches = begin()
        self._batch: Sequence[T] = ()
        self._first = 0  # the offset of the batch

    def entries(self, offset: int) -> Iterator[tuple[T, int]]:
        """(entry, offset behind it), from an offset on."""
        if offset < self._first:
            self._rewind()
        while True:
            batch, first = self._batch, self._first
            for index in range(max(offset - first, 0), len(batch)):
                yield batch[index], first + index + 1
            try:
                following = next(self._batches, None)
            except Exception:
                self._rewind()  # an iterator that has failed would tell of an end next time
                raise
            if following is None:
                return
            self._first += len(batch)
            self._batch = following

    def _rewind(self) -> None:
        self._batches, self._batch, self._first = self._begin(), (), 0

"""Reads one file into batches and cuts it. The same bytes give the same chunks, however they fall into buffers.

Holes are not read: a run of zeros is one chunk, counted.
"""

from __future__ import annotations

import os
from array import array
from functools import cache
from typing import TYPE_CHECKING

from artstore import limits
from artstore.chunking import cut, find_starts
from artstore.store.write import source
from artstore.store.write.ahead import AheadReader
from artstore.store.write.batch import Batch, Data, Drop

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.store.write.batch import Event, FileMeta

NO_STARTS: array[int] = array("Q")


class Gatherer:
    """The batch being filled, and who reads ahead. `lend` gives a batch a buffer, `submit` takes it away."""

    def __init__(self, lend: Callable[[Batch], None], submit: Callable[[Batch], None]) -> None:
        self._lend = lend
        self._submit = submit
        self._following: Batch | None = None
        self.ahead = AheadReader()
        self.batch = Batch(0)

    def room(self, wanted: int) -> Batch:
        """The current batch with a buffer and `wanted` bytes free, or a new one."""
        if self.batch.room < wanted:
            self.flush()
        if self.batch.memory is None:
            self._lend(self.batch)
        return self.batch

    def following(self) -> Batch:
        """The batch that comes after this one, with a buffer."""
        if self._following is None:
            self._following = Batch(self.batch.sequence + 1)
        if self._following.memory is None:
            self._lend(self._following)
        return self._following

    def flush(self) -> None:
        """Hand the batch on and begin the next."""
        batch = self.batch
        self.batch, self._following = self._following or Batch(batch.sequence + 1), None
        self._submit(batch)

    def add(self, event: Event) -> None:
        """Note what happened."""
        events = self.batch.events
        events.append(event)
        if len(events) >= limits.BATCH_FILES_MAX:
            self.flush()


@cache
def zero_chunk_bytes() -> int:
    """The length of a chunk that begins within zeros and meets nothing else."""
    size = limits.CHUNK_BYTES_MAX
    (end,) = array("Q", cut(bytes(size), 0, size, NO_STARTS, base=0, final=False))[:1]
    return end


def read_small(gatherer: Gatherer, descriptor: int, size: int, meta: FileMeta) -> Data:
    """A file of less than CHUNK_BYTES_MIN: one read, one chunk, which no cut or format could divide.

    The caller adds what is returned, once it knows that the file did not change.
    """
    batch = gatherer.room(size + 1)
    begin = batch.used
    count = os.preadv(descriptor, [batch.view[begin : begin + size + 1]], 0)  # one byte more tells whether it grew
    first = len(batch.begins)
    if count:
        batch.begins.append(begin)
        batch.ends.append(begin + count)
        batch.used = begin + count
    return Data(meta, first, len(batch.begins), ends=True)


class Stream:
    """A larger file on its way into batches."""

    def __init__(self, gatherer: Gatherer, descriptor: int, size: int, meta: FileMeta, *, sparse: bool) -> None:
        self._gatherer = gatherer
        self._descriptor = descriptor
        self._size = size
        self._meta = meta
        self._sparse = sparse
        self._starts = NO_STARTS
        self._offset: int = 0  # in the file: what was read
        self._batch = gatherer.room(min(size, 2 * limits.CHUNK_BYTES_MAX))
        self._ahead = False  # is the next batch being filled, behind room for what isn't cut yet?
        self._cut = self._batch.used  # in the buffer: behind the last chunk
        self._first = len(self._batch.begins)  # of this file's chunks in this batch

    def read(self) -> Data:
        """Read it to its end, or to where it ends by now. The caller adds the result, if the file did not change."""
        head = os.pread(self._descriptor, 4096, 0)
        self._starts = find_starts(self._read_at, self._size, head=head)
        while self._offset < self._size:
            if self._sparse and self._skip_hole():
                continue
            wanted = min(self._batch.room, self._size - self._offset, self._data_ahead())
            if not wanted:
                self._next_batch()
                continue
            batch = self._batch
            count = self._fill(batch.view[batch.used : batch.used + wanted])
            if not count:
                self._size = self._offset  # it shrank
            batch.used += count
            self._offset += count
            self._read_ahead()
            self._find_cuts()
        return Data(self._meta, self._first, len(self._batch.begins), ends=True)

    def abandon(self) -> None:
        """It can't be read to its end: forget it."""
        self._pass_on(ends=False)
        self._gatherer.add(Drop())

    def _read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    def _fill(self, target: memoryview) -> int:
        if self._ahead:
            self._ahead = False
            return self._gatherer.ahead.finish()
        return os.preadv(self._descriptor, [target], self._offset)

    def _read_ahead(self) -> None:
        """Let the next buffer be filled while this one is cut, if it is full and there is enough to come."""
        if self._batch.room or self._sparse or self._size - self._offset < limits.COMMIT_AHEAD_BYTES_MIN:
            return
        size = min(limits.BATCH_BYTES - limits.CHUNK_BYTES_MAX, self._size - self._offset)
        target = self._gatherer.following().view[limits.CHUNK_BYTES_MAX :][:size]
        self._gatherer.ahead.start(self._descriptor, target, self._offset)
        self._ahead = True

    def _find_cuts(self) -> None:
        batch = self._batch
        if batch.room and self._offset < self._size and batch.used - self._cut < 2 * limits.CHUNK_BYTES_MAX:
            return  # the disk gives little at a time: wait for more
        data = batch.view[self._cut : batch.used]
        base = self._offset - len(data)
        ends = memoryview(cut(data, 0, len(data), self._starts, base=base, final=self._offset >= self._size)).cast("Q")
        begin = self._cut
        for end in ends:
            batch.begins.append(begin)
            begin = self._cut + end
            batch.ends.append(begin)
        self._cut = begin

    def _next_batch(self) -> None:
        """The buffer is full: what isn't cut yet moves to the next one."""
        self._find_cuts()
        rest = bytes(self._batch.view[self._cut : self._batch.used])
        self._pass_on(ends=False)
        self._gatherer.flush()
        self._batch = self._gatherer.room(len(rest) + 1)
        self._batch.used = limits.CHUNK_BYTES_MAX if self._ahead else len(rest)
        self._cut = self._batch.used - len(rest)
        self._batch.view[self._cut : self._batch.used] = rest
        self._first = 0

    def _pass_on(self, *, ends: bool) -> None:
        last = len(self._batch.begins)
        if last > self._first:
            self._batch.events.append(Data(self._meta, self._first, last, ends=ends))
            self._first = last

    def _data_ahead(self) -> int:
        """How much to read at once: in a sparse file up to the next hole, within one just to the next cut."""
        if not self._sparse:
            return self._size
        if source.hole_end(self._descriptor, self._offset, self._size) > self._offset:
            return limits.CHUNK_BYTES_MAX
        return max(1, source.data_end(self._descriptor, self._offset, self._size) - self._offset)

    def _skip_hole(self) -> bool:
        """Behind a cut that lies in a long hole: count its zero chunks instead of reading them."""
        behind = self._offset - (self._batch.used - self._cut)  # where the last cut lies in the file
        end = source.hole_end(self._descriptor, behind, self._size)
        if end - behind < 4 * limits.CHUNK_BYTES_MAX:
            return False
        following = next((start for start in self._starts if start > behind), end)
        zeros = zero_chunk_bytes()
        # Within CHUNK_BYTES_MAX of the hole's end the cut depends on what comes there.
        count = (min(end, following) - behind - limits.CHUNK_BYTES_MAX) // zeros
        if count < 2:
            return False
        self._batch.used, self._offset = self._cut, behind  # what was read since are zeros of this hole
        self._pass_on(ends=False)
        if self._batch.room < zeros:
            self._gatherer.flush()
        batch = self._batch = self._gatherer.room(zeros)
        begin = batch.used
        batch.view[begin : begin + zeros] = bytes(zeros)
        batch.used = self._cut = begin + zeros
        batch.begins.append(begin)
        batch.ends.append(batch.used)
        self._first = len(batch.begins)
        # Bounded, so that whoever unrolls the run needs little memory.
        repeat = min(count, limits.HOLE_RUN_MAX)
        batch.events.append(Data(self._meta, self._first - 1, self._first, ends=False, repeat=repeat))
        self._offset += repeat * zeros
        return True

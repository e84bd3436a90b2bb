"""An open file: which chunks a read needs, whether it can be answered at once, and what to fetch ahead of the reader.

Knows neither names nor FUSE. Which reads belong together `streams` decides; who fetches, `chunks`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.ids import DIGEST_BYTES
from artstore.store.content import iter_content
from artstore_fuse.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from artstore.model import Content
    from artstore.store.objects import Objects
    from artstore_fuse.chunks import Chunks
    from artstore_fuse.streams import Ahead
    from artstore_fuse.stretches import Stretch

_PAGE = 4096  # the kernel's cache takes whole pages
_WINDOW = limits.MOUNT_WINDOW_BYTES
_STRETCH = limits.MOUNT_STRETCH_BYTES


class OpenFile:
    """One file, shared by all who have it open. Thread-safe; `close` when the last one has closed it.

    Its memory is bounded whatever its size: of a great file's recipe only the parts used lately are held.
    """

    def __init__(self, objects: Objects, chunks: Chunks, content: Content, size: int) -> None:
        self._chunks = chunks
        self._size = size
        self._recipe = _Recipe(objects, content, size)
        self._streams = Streams()
        self._stretches = chunks.stretches  # of this file by offset // _STRETCH
        self._window_max = limits.MOUNT_AHEAD_BYTES_START
        self._misses: OrderedDict[tuple[int, int], _Span] = OrderedDict()
        self._lock = Lock()

    def read(self, offset: int, size: int) -> bytes | memoryview | Future[bytes | memoryview]:
        """Up to `size` bytes from `offset`, fewer at the file's end only; fetches ahead of a sequential reader.

        At once if all is in memory, or if what isn't is so little that decoding it here takes less than handing it
        over; else a future, which a worker makes done. Either raises Corrupt or Erased, or OSError when all ends.
        """
        end = min(offset + size, self._size)
        if offset >= end:
            return b""
        with self._lock:
            ahead = self._streams.step(offset, size, self._size, window_max=self._window_max)
            ready = self._stretches_of(offset, end)
        if ahead.begin < ahead.end:
            self._fetch_ahead(ahead)
        if ready is not None:
            return self._read_stretches(ready, offset, end)
        return self._read_chunks(offset, end, noted=size if ahead.is_random else 0)

    def _read_chunks(self, offset: int, end: int, noted: int = 0) -> bytes | memoryview | Future[bytes | memoryview]:
        """What wasn't fetched ahead; `noted`: the size of a random read, whose neighbours may be asked for."""
        with self._lock:
            span = self._recipe.span(offset, end)
        found = self._chunks.find(span.ids)
        missing = [index for index, data in enumerate(found) if data is None]
        future = None
        if missing:
            if noted:
                self._note_miss(offset, noted, span)
            if self._is_better_handed_over(span, missing):
                wanted = _batches((span.ids[i], span.bounds[i + 1] - span.bounds[i]) for i in missing)
                future = self._chunks.collect(wanted, lambda got: _cut(span, _merged(span, found, got), offset, end))
        if future is not None:
            return future.result() if future.done() else future
        if missing:
            ids = [span.ids[i] for i in missing]
            found = _merged(span, found, dict(zip(ids, self._chunks.load(ids), strict=True)))
        return _cut(span, found, offset, end)

    def rest_of_random_miss(self, offset: int, size: int) -> list[tuple[int, memoryview]]:
        """After the answer to a read: what else was decoded for it, as (offset, bytes) in whole pages of the file.

        Nothing unless that read stood alone and found its chunks missing; and nothing when asked again.
        """
        with self._lock:
            span = self._misses.pop((offset, size), None)
        if span is None:
            return []
        pieces: list[tuple[int, memoryview]] = []
        for id, begin, end in span:
            data = self._chunks.peek(id)
            if data is None or len(data) != end - begin:
                continue
            for first, last in ((begin, min(end, offset)), (max(begin, offset + size), end)):
                first = -(-first // _PAGE) * _PAGE
                last = last if last == self._size else last // _PAGE * _PAGE
                if first < last:
                    pieces.append((first, memoryview(data)[first - begin : last - begin]))
        return pieces

    def close(self) -> None:
        """Let others have what was fetched ahead for this file's readers."""
        self._stretches.leave(id(self))

    def _is_better_handed_over(self, span: _Span, missing: Sequence[int]) -> bool:
        """Whether decoding what is missing would hold up other requests for long, or another thread is at it."""
        raw = sum(span.bounds[i + 1] - span.bounds[i] for i in missing)
        if raw > limits.MOUNT_AT_ONCE_BYTES_MAX:
            return True
        return self._chunks.is_under_way(span.ids[i] for i in missing)

    def _note_miss(self, offset: int, size: int, span: _Span) -> None:
        with self._lock:
            self._misses[offset, size] = span
            if len(self._misses) > limits.MOUNT_MISSES_NOTED_MAX:
                self._misses.popitem(last=False)

    def _fetch_ahead(self, ahead: Ahead) -> None:
        """Have the stretches prepared that a reader comes to next."""
        self._window_max = min(self._stretches.share(id(self)), limits.MOUNT_AHEAD_BYTES_MAX)
        for key in range(ahead.begin // _STRETCH, -(-ahead.end // _STRETCH)):
            begin, end = max(key * _STRETCH, ahead.begin), min((key + 1) * _STRETCH, self._size)
            start = partial(self._chunks.submit, partial(self._prepare, begin, end))
            with self._lock:
                if not self._stretches.has(id(self), key) and not self._stretches.add(id(self), key, begin, end, start):
                    return

    def _prepare(self, begin: int, end: int) -> memoryview:
        """The bytes `begin..end`; on a worker."""
        with self._lock:
            span = self._recipe.span(begin, end)
        target = memoryview(bytearray(end - begin))
        chunks = list(span)
        whole = [(id, stop - start) for id, start, stop in chunks if begin <= start and stop <= end]
        # What belongs to two stretches is decoded once, if the cache keeps it until then.
        for id, start, stop in (chunks[0], chunks[-1]):
            if start < begin or stop > end:
                (data,) = self._chunks.load([id])
                if len(data) != stop - start:
                    raise Corrupt(f"chunk {id.hex()} has another size than its recipe says", digest=id)
                first, last = max(begin, start), min(end, stop)
                target[first - begin : last - begin] = data[first - start : last - start]
        if whole:
            at = max(span.bounds[0] if span.bounds[0] >= begin else span.bounds[1], begin) - begin
            self._chunks.fill(whole, target[at : at + sum(size for _, size in whole)])
        return target

    def _stretches_of(self, offset: int, end: int) -> list[Stretch] | None:
        """The stretches that hold `offset..end`, if all of it is, or will be, there. The lock is held.

        What has been read to its end is let go: the kernel keeps it, and here it would only push other memory out of
        the processor's caches.
        """
        found: list[Stretch] = []
        for key in range(offset // _STRETCH, -(-end // _STRETCH)):
            stretch = self._stretches.get(id(self), key)
            if stretch is None or max(offset, key * _STRETCH) < stretch.begin:
                return None
            found.append(stretch)
        for stretch in found:
            stretch.left -= min(end, stretch.end) - max(offset, stretch.begin)
            if stretch.left <= 0:
                self._stretches.drop(id(self), stretch.begin // _STRETCH)
        return found

    def _read_stretches(
        self, stretches: list[Stretch], offset: int, end: int
    ) -> bytes | memoryview | Future[bytes | memoryview]:
        waiting = [stretch.future for stretch in stretches if not stretch.future.done()]
        if not waiting:
            return self._join(stretches, offset, end)
        arrived: Future[bytes | memoryview] = Future()
        remaining = iter(range(len(waiting) - 1, -1, -1))  # `next` is atomic; callbacks come from several threads

        def tell(_: Future[memoryview]) -> None:
            if next(remaining):
                return
            try:
                data = self._join(stretches, offset, end)
            except Exception as error:  # noqa: BLE001 - it belongs to who reads
                arrived.set_exception(error)
                return
            if isinstance(data, Future):
                data.add_done_callback(partial(_hand_on, arrived))
            else:
                arrived.set_result(data)

        for future in waiting:
            future.add_done_callback(tell)
        self._chunks.hurry(waiting)
        return arrived

    def _join(self, stretches: list[Stretch], offset: int, end: int) -> bytes | memoryview | Future[bytes | memoryview]:
        """The bytes `offset..end` of stretches that are done; chunk by chunk if one of them has failed."""
        if any(stretch.future.cancelled() or stretch.future.exception() is not None for stretch in stretches):
            return self._read_chunks(offset, end)
        parts = [stretch.future.result()[max(offset - stretch.begin, 0) : end - stretch.begin] for stretch in stretches]
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _Span:
    """Consecutive chunks of a file: chunk `ids[i]` is its bytes `bounds[i]..bounds[i + 1]`."""

    __slots__ = ("bounds", "ids")

    def __init__(self, ids: list[bytes], bounds: list[int]) -> None:
        self.ids = ids
        self.bounds = bounds

    def __iter__(self) -> Iterator[tuple[bytes, int, int]]:
        return zip(self.ids, self.bounds, self.bounds[1:], strict=False)


@dataclass(frozen=True, slots=True)
class _Window:
    """The same, of a part of a recipe, in little memory: ids one behind the other."""

    ids: bytes
    bounds: array[int]

    @property
    def end(self) -> int:
        return self.bounds[-1]


class _Recipe:
    """Where the chunks of a file are. Not thread-safe."""

    def __init__(self, objects: Objects, content: Content, size: int) -> None:
        self._load = objects.load
        self._content = content
        self._size = size
        self._windows: OrderedDict[int, _Window] = OrderedDict()

    def span(self, offset: int, end: int) -> _Span:
        """The chunks that hold `offset..end`, within the file and not empty. Corrupt if this isn't its recipe."""
        ids: list[bytes] = []
        bounds = [offset]
        while bounds[-1] < end:
            window = self._window(bounds[-1])
            first = bisect_right(window.bounds, bounds[-1]) - 1
            last = bisect_left(window.bounds, end, first + 1)
            last = min(last, len(window.bounds) - 1)
            ids += [
                window.ids[at : at + DIGEST_BYTES]
                for at in range(first * DIGEST_BYTES, last * DIGEST_BYTES, DIGEST_BYTES)
            ]
            bounds[-1:] = window.bounds[first : last + 1]
        return _Span(ids, bounds)

    def _window(self, offset: int) -> _Window:
        key = offset // _WINDOW
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = self._read(key * _WINDOW, (key + 1) * _WINDOW)
            if len(self._windows) > limits.MOUNT_WINDOWS_MAX:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key)
        # Of chunks far smaller than those that a commit makes, a window holds only the first.
        return window if offset < window.end else self._read(offset, (key + 1) * _WINDOW)

    def _read(self, offset: int, until: int) -> _Window:
        """The chunks that hold `offset..until`, or the first ones of them."""
        ids: list[bytes] = []
        bounds: array[int] = array("Q")
        end = offset
        for start, id, raw in iter_content(self._load, self._content, self._size, offset):
            ids.append(id)
            bounds.append(start)
            end = start + raw
            # At the file's end the recipe is asked for more, so that it tells when it doesn't end there.
            if (end >= until and end < self._size) or len(ids) >= limits.MOUNT_WINDOW_CHUNKS_MAX:
                break
        if end <= offset:
            raise Corrupt(f"content {self._content.value.hex()} is not that of a file of {self._size} bytes")
        bounds.append(end)
        return _Window(b"".join(ids), bounds)


def _hand_on(to: Future[bytes | memoryview], done: Future[bytes | memoryview]) -> None:
    error = done.exception()
    if error is None:
        to.set_result(done.result())
    else:
        to.set_exception(error)


def _batches(chunks: Iterable[tuple[bytes, int]]) -> list[list[bytes]]:
    """Chunks (id, raw size) in order, as many together as one thread fetches at once."""
    batches: list[list[bytes]] = []
    size = limits.MOUNT_BATCH_BYTES
    for id, raw in chunks:
        if size + raw > limits.MOUNT_BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(id)
        size += raw
    return batches


def _merged(span: _Span, found: Iterable[bytes | None], got: dict[bytes, bytes]) -> list[bytes | None]:
    return [got[id] if data is None else data for id, data in zip(span.ids, found, strict=True)]


def _cut(span: _Span, chunks: Sequence[bytes | None], offset: int, end: int) -> bytes | memoryview:
    """The bytes `offset..end` out of the chunks of a span, all of which are there."""
    parts: list[bytes | memoryview] = []
    for data, (id, begin, stop) in zip(chunks, span, strict=True):
        assert data is not None
        if len(data) != stop - begin:
            raise Corrupt(f"chunk {id.hex()} has another size than its recipe says", digest=id)
        parts.append(data)
    bounds = span.bounds
    parts[-1] = memoryview(parts[-1])[: end - bounds[-2]]
    parts[0] = memoryview(parts[0])[offset - bounds[0] :]
    return parts[0] if len(parts) == 1 else b"".join(parts)

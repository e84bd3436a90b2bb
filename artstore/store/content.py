"""A file's content as a seekable, verified stream: which chunks a range of bytes needs, and their bytes in order.

Knows nothing of names and trees.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, UsageError
from artstore.format.recipe import iter_chunks
from artstore.model import Form

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.format.page import Load
    from artstore.model import Content
    from artstore.store.objects import Objects

_FIRST_WINDOW_CHUNKS = 64  # after a jump; what follows in order comes in full windows
_BUFFER_BYTES = 256 * limits.KIB


def iter_content(load: Load, content: Content, size: int, offset: int = 0) -> Iterator[tuple[int, bytes, int]]:
    """(start, chunk id, raw size) of a file's chunks in order, from the one that holds `offset`.

    Corrupt if they do not add up to `size`: checked behind the last one, and before a chunk that would go beyond it.
    """
    if content.form == Form.CHUNK:
        if offset < size:
            yield 0, content.value, size
        return
    if content.form == Form.EMPTY:
        return
    if content.form != Form.RECIPE:
        raise UsageError("only files have content; this is a folder or a symbolic link")
    end = offset
    for start, chunk in iter_chunks(content.value, load, offset):
        end = start + chunk.raw
        if end > size:
            break
        yield start, chunk.id, chunk.raw
    if end != max(offset, size):
        raise Corrupt(f"recipe {content.value.hex()} is not that of a file of {size} bytes", digest=content.value)


class VerifiedFile(io.BufferedReader):
    """A read-only file of a version; every byte was checked against its chunk's id [I5].

    Seekable like any binary file. `read_at` neither uses nor moves the position, and any thread may call it.
    """

    def __init__(self, objects: Objects, content: Content, size: int) -> None:
        self._verified = _RawFile(objects, content, size)
        super().__init__(self._verified, _BUFFER_BYTES)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._verified.size

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`: fewer at the end of the file only. ValueError if either is negative."""
        if offset < 0 or size < 0:
            raise ValueError(f"read_at({offset}, {size}): neither may be negative")
        return self._verified.read_at(offset, size)


class _RawFile(io.RawIOBase):
    """The unbuffered stream."""

    def __init__(self, objects: Objects, content: Content, size: int) -> None:
        super().__init__()
        self.size = size
        self._objects = objects
        self._places = _Places(objects, content, size)
        self._position = 0
        self._expected = -1  # where a reader who goes straight on would continue

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}.get(whence)
        if base is None:
            raise ValueError(f"invalid whence {whence}")
        if base + offset < 0:
            raise ValueError("seek before the beginning of the file")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # as collections.abc.Buffer of 3.12
        target = memoryview(buffer).cast("B")
        filled = 0
        for part in self._parts(self._position, len(target)):
            target[filled : filled + len(part)] = part
            filled += len(part)
        self._position += filled
        return filled

    def readall(self) -> bytes:
        data = self.read_at(self._position, self.size)
        self._position += len(data)
        return data

    def read_at(self, offset: int, size: int) -> bytes:
        return b"".join(self._parts(offset, size))

    def _parts(self, offset: int, size: int) -> Iterator[bytes | memoryview]:
        """The bytes `offset..offset + size` of the file, as far as there are any."""
        end = min(offset + size, self.size)
        straight = offset == self._expected
        self._expected = end
        while offset < end:
            # A reader who goes straight on gets what follows in the same read: neighbours lie side by side in a pack.
            ahead = max(end, offset + limits.READ_AHEAD_BYTES) if straight else end
            places = self._places.find(offset, min(ahead, offset + limits.READ_AHEAD_BYTES))
            needed = next((i for i, place in enumerate(places) if place.start >= end), len(places))
            ids = [place.id for place in places]
            chunks = self._objects.chunks(ids[:needed], ids[needed:])
            for place, chunk in zip(places, chunks, strict=False):
                if len(chunk) != place.raw:
                    raise Corrupt(f"chunk {place.id.hex()} has another size than its recipe says", digest=place.id)
                part = memoryview(chunk)[offset - place.start : end - place.start]
                yield part
                offset += len(part)


@dataclass(frozen=True, slots=True)
class _Place:
    """A chunk of the file."""

    start: int
    id: bytes
    raw: int


class _Window:
    """Neighbouring chunks."""

    __slots__ = ("end", "places", "starts")

    def __init__(self, places: list[_Place]) -> None:
        self.places = places
        self.starts = [place.start for place in places]
        self.end = places[-1].start + places[-1].raw


class _Places:
    """Where the chunks of a file are: parts of its recipe that were needed lately. Thread-safe."""

    def __init__(self, objects: Objects, content: Content, size: int) -> None:
        self._objects = objects
        self._content = content
        self._size = size
        self._windows: OrderedDict[int, _Window] = OrderedDict()
        self._following: tuple[int, Iterator[tuple[int, bytes, int]]] | None = None
        self._lock = Lock()

    def find(self, offset: int, end: int) -> list[_Place]:
        """At least the chunk that holds `offset`, which lies within the file, and its successors, to `end` at most."""
        with self._lock:
            window = self._window(offset)
        first = bisect_right(window.starts, offset) - 1
        last = bisect_right(window.starts, end - 1)
        return window.places[first:last]

    def _window(self, offset: int) -> _Window:
        for start in reversed(self._windows):
            window = self._windows[start]
            if start <= offset < window.end:
                self._windows.move_to_end(start)
                return window
        return self._read_window(offset)

    def _read_window(self, offset: int) -> _Window:
        count = limits.READ_WINDOW_CHUNKS
        if self._following is None or self._following[0] != offset:
            self._following = offset, iter_content(self._objects.load, self._content, self._size, offset)
            count = _FIRST_WINDOW_CHUNKS
        chunks = self._following[1]
        self._following = None  # should the next line fail, its iterator is of no further use
        places = [_Place(*chunk) for chunk in islice(chunks, count)]
        if not places:
            raise Corrupt(f"recipe {self._content.value.hex()} ends too early", digest=self._content.value)
        window = _Window(places)
        self._following = window.end, chunks
        self._windows[places[0].start] = window
        self._windows.move_to_end(places[0].start)
        if len(self._windows) > limits.READ_WINDOWS_MAX:
            self._windows.popitem(last=False)
        return window

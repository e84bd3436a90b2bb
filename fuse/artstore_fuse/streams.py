"""Which reads of a file belong together, and how far ahead of each reader to fetch: pure decisions.

Several readers share a file (the workers of a data loader), and the kernel sends one reader's requests somewhat out of
order. Knows neither chunks nor threads.
"""

from __future__ import annotations

from dataclasses import dataclass

from artstore import limits

_START = limits.MOUNT_AHEAD_BYTES_START
_DISORDER = limits.MOUNT_DISORDER_BYTES
_JUMP = limits.MOUNT_JUMP_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Ahead:
    """What to fetch because of a read: the bytes `begin..end` of the file, none if they are equal.

    `is_random`: the read continues no other and is not at the file's beginning.
    """

    begin: int
    end: int
    is_random: bool


class Streams:
    """The readers of one file. Not thread-safe.

    A reader who begins at the file's start, or whose second read goes on where the first one ended, has bytes fetched
    ahead of him: 1 MiB, and twice as much whenever he has used half, up to `window_max`. Each seek halves what the
    next reader begins with, so that short records read here and there are not followed by much that nobody wants.
    """

    def __init__(self) -> None:
        self._streams: list[_Stream] = []  # used last: last
        self._start = _START

    def step(self, offset: int, size: int, file_size: int, *, window_max: int = limits.MOUNT_AHEAD_BYTES_MAX) -> Ahead:
        """A read of `size` bytes at `offset`, both within the file: what to fetch now beyond the read itself."""
        end = min(offset + size, file_size)
        stream = self._find(offset, end)
        if stream is None:
            return self._begin(offset, end, file_size, window_max)
        stream.end = max(stream.end, end)
        stream.is_straight = True
        self._streams.remove(stream)
        self._streams.append(stream)
        return self._advance(stream, offset, file_size, window_max)

    def _find(self, offset: int, end: int) -> _Stream | None:
        """The stream that a read continues: the one that it is nearest to."""
        nearest, distance_min = None, _DISORDER
        for stream in self._streams:
            # The second of two requests may come first.
            distance = 0 if end == stream.begin else abs(offset - stream.end)
            # After one read only little disorder is believed: reads here and there come near each other too.
            if distance <= (distance_min if stream.is_straight else min(_JUMP, distance_min)):
                nearest, distance_min = stream, distance
        return nearest

    def _begin(self, offset: int, end: int, file_size: int, window_max: int) -> Ahead:
        if len(self._streams) >= limits.MOUNT_STREAMS_MAX:
            del self._streams[0]
        stream = _Stream(begin=offset, end=end)
        self._streams.append(stream)
        if offset == 0:
            stream.is_straight = True
            return self._advance(stream, offset, file_size, window_max)
        self._start = max(self._start // 2, limits.MOUNT_AHEAD_BYTES_MIN)
        return Ahead(end, end, is_random=True)

    def _advance(self, stream: _Stream, offset: int, file_size: int, window_max: int) -> Ahead:
        """Fetch up to a window ahead of the reader, once half of the last one is used."""
        straight = sum(each.is_straight for each in self._streams)
        window_max = max(window_max // max(straight, 1), limits.MOUNT_AHEAD_BYTES_MIN)
        stream.window = min(stream.window or self._start, window_max)
        if stream.asked - stream.end > stream.window // 2:
            return Ahead(stream.end, stream.end, is_random=False)
        if stream.asked > offset:  # it was of use
            stream.window = min(stream.window * 2, window_max)
            self._start = min(self._start * 2, _START)
        begin = max(stream.asked, stream.end)
        stream.asked = max(begin, min(stream.end + stream.window, file_size))
        return Ahead(begin, stream.asked, is_random=False)


@dataclass(slots=True, eq=False)
class _Stream:
    """A reader: the furthest that he came, how far was fetched for him, and how far ahead it goes (0: not yet)."""

    begin: int
    end: int
    asked: int = 0
    window: int = 0
    is_straight: bool = False

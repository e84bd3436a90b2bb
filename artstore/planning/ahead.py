"""What to fetch from a remote ahead of readers who go straight on.

A pack holds what was committed one after the other, so that who reads files in their order reads packs in theirs: it is
in packs that readers are recognised, whatever they read through (checkout, mount, a file object). The first read of a
pack fetches nothing beyond itself; each that follows upon it doubles what is on the way, up to AHEAD_BYTES_MAX.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from artstore import limits


class Span(NamedTuple):
    """Bytes `start..end` of a pack."""

    start: int
    end: int


@dataclass(slots=True)
class _Stream:
    """A reader in one pack: how far it has read, how far was fetched, how much more is fetched than was read."""

    read: int
    fetched: int
    window: int


class ReadAhead:
    """The readers of one process, by the packs they are in. Not thread-safe."""

    def __init__(self) -> None:
        self._streams: OrderedDict[int, _Stream] = OrderedDict()

    def read(self, pack: int, span: Span, *, size: int) -> Span | None:
        """Note a read of a pack of `size` bytes; what to fetch beyond it, if anything."""
        stream = self._streams.get(pack)
        slack = limits.FAR_SLACK_BYTES
        if stream is None or not stream.read - slack <= span.start <= max(stream.fetched, stream.read) + slack:
            self._put(pack, _Stream(span.end, span.end, 0))
            return None
        self._streams.move_to_end(pack)
        stream.read = max(stream.read, span.end)
        stream.window = min(max(2 * stream.window, limits.FAR_AHEAD_BYTES_MIN), limits.FAR_AHEAD_BYTES_MAX)
        return self._extend(stream, size)

    def reaches_beyond(self, pack: int, *, size: int) -> int:
        """How much of the pack behind one of `size` bytes its reader will come to soon; 0 if it isn't worth a look."""
        stream = self._streams.get(pack)
        window = 0 if stream is None else stream.window - (size - stream.read)
        return window if window >= limits.FAR_AHEAD_BYTES_MIN else 0

    def go_on(self, before: int, pack: int, *, before_size: int, size: int) -> Span | None:
        """The reader of the pack `before`, who is near its end, will come to `pack`: what to fetch of it."""
        window = self.reaches_beyond(before, size=before_size)
        if not window:
            return None
        following = self._streams.get(pack)
        if following is None:
            following = _Stream(0, 0, window)
            self._put(pack, following)
        following.window = max(following.window, window)
        return self._extend(following, size)

    def _extend(self, stream: _Stream, size: int) -> Span | None:
        start = max(stream.fetched, stream.read)
        end = min(stream.read + stream.window, size)
        # A little at a time would be many requests.
        if end - start < min(limits.FAR_REQUEST_BYTES, stream.window) // 2 and (end < size or start >= end):
            return None
        stream.fetched = end
        return Span(start, end)

    def _put(self, pack: int, stream: _Stream) -> None:
        self._streams[pack] = stream
        self._streams.move_to_end(pack)
        if len(self._streams) > limits.FAR_STREAMS_MAX:
            self._streams.popitem(last=False)

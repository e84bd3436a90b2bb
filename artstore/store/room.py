"""Memory that reads go into, used again for each: it begins at a page, as reads past the page cache need it."""

from __future__ import annotations

import mmap

from artstore import limits


class Room:
    """Grows to the longest read so far. One thread, one reader at a time."""

    def __init__(self) -> None:
        self._view = memoryview(b"")

    def take(self, size: int) -> memoryview:
        """Room for `PackFiles.read_range` of so many bytes; what was given before is used again."""
        size += limits.READ_ROOM_SPARE
        if size > len(self._view):
            self._view = memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        return self._view[:size]

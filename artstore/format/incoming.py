"""Takes a pack apart as it comes, front to back, before its table is known; for who needn't hold all of it in memory.

Where frames end follows from how much is left: the table has a row for each frame, so that what lies behind the last
one is known in length. While a frame is still to come, more is left than that.
"""

from __future__ import annotations

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.frame import parse_header
from artstore.format.ids import Buffer
from artstore.format.pack import PackTail, parse_tail
from artstore.model import TableEntry


class IncomingPack:
    """A pack of `size` bytes. Corrupt if there can be none."""

    def __init__(self, size: int) -> None:
        if not limits.TRAILER_BYTES < size <= limits.PACK_BYTES_MAX:
            raise Corrupt(f"a pack can't have {size} bytes")
        self._size = size
        self._offset = 0  # of the next frame
        self._seen: list[TableEntry] = []

    def take(self, data: Buffer) -> list[TableEntry]:
        """What the headers of the whole frames say that `data` begins with: all bytes that came behind those that were
        taken before. The objects are not checked. Corrupt for what is no frame.
        """
        came: list[TableEntry] = []
        begin = self._offset
        while (left := self._left()) > 0:
            at = self._offset - begin
            if len(data) - at < limits.FRAME_HEADER_BYTES:
                break
            entry = parse_header(memoryview(data)[at : at + limits.FRAME_HEADER_BYTES], offset=self._offset)
            size = limits.FRAME_HEADER_BYTES + entry.stored
            if size > left:
                raise Corrupt(f"the frame at {self._offset} is longer than its pack", digest=entry.id)
            if len(data) - at < size:
                break
            self._offset += size
            self._seen.append(entry)
            came.append(entry)
        return came

    def finish(self, data: Buffer) -> PackTail:
        """What the pack's end, `data`, says, which is all that was left. Corrupt unless it fits what came before it."""
        if self._left() or len(data) != self._size - self._offset:
            raise Corrupt("a pack has no trailer: it was cut off, or is none")
        tail = parse_tail(self._size, lambda offset, size: bytes(data[offset - self._offset :][:size]))
        if tail.entries != self._seen:
            raise Corrupt("a pack's table does not fit its frames")
        return tail

    def _left(self) -> int:
        """Bytes that further frames take. Corrupt if less is left than a table of those that came."""
        left = self._size - self._offset - limits.TRAILER_BYTES - len(self._seen) * limits.TABLE_ENTRY_BYTES
        if left < 0:
            raise Corrupt("a pack's frames leave no room for its table")
        return left

"""Reading and writing past the page cache (O_DIRECT): what is written once and made durable at once has no use for it.

Where the system refuses, callers go through the cache instead; a file's bytes are the same either way. The memory, the
place in the file and the length of such a request are multiples of ALIGNMENT (open(2), "O_DIRECT").
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from artstore import limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore.ports import Buffer

ALIGNMENT: Final = 4096  # no less than any disk's logical block
_REFUSALS: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP})
_O_DIRECT: Final = os.O_DIRECT


def aligned_memory(size: int) -> mmap.mmap:
    """Memory of our own that begins at a page."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without huge pages; they only make the first touch quicker
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


class Blocks:
    """Blocks of DIRECT_BLOCK_BYTES, used again by who comes next: the first touch of memory is slow. Thread-safe."""

    def __init__(self) -> None:
        self._free: deque[mmap.mmap] = deque(maxlen=limits.DIRECT_BLOCKS_KEPT)

    def take(self) -> mmap.mmap:
        """A block with anything in it."""
        try:
            return self._free.pop()
        except IndexError:
            return aligned_memory(limits.DIRECT_BLOCK_BYTES)

    def give_back(self, block: mmap.mmap) -> None:
        """Whoever took it has no view of it any more."""
        self._free.append(block)


class BlockWriter:
    """Appends to a descriptor that is at the file's end: whole blocks past the cache, the rest when it is finished."""

    def __init__(self, descriptor: int, blocks: Blocks) -> None:
        self._descriptor = descriptor
        self._blocks = blocks
        self._block: mmap.mmap | None = None
        self._filled = 0
        self.is_direct = True

    def append(self, buffers: Sequence[Buffer]) -> int:
        """Take the bytes, which may change when this returns; how many they are."""
        block = self._block
        if block is None:
            block = self._block = self._blocks.take()
        total = 0
        for buffer in buffers:
            size = len(buffer)
            total += size
            end = self._filled + size
            if end < limits.DIRECT_BLOCK_BYTES:
                block[self._filled : end] = buffer
                self._filled = end
            else:
                self._append_across(block, memoryview(buffer))
        return total

    def _append_across(self, block: mmap.mmap, view: memoryview) -> None:
        while view:
            part = view[: limits.DIRECT_BLOCK_BYTES - self._filled]
            block[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            view = view[len(part) :]
            if self._filled == limits.DIRECT_BLOCK_BYTES:
                self._write_block(block)

    def finish(self) -> None:
        """Hand what is left to the operating system. The descriptor goes through the cache from now on."""
        if self._block is not None:
            self._leave_direct()
            with memoryview(self._block) as view, view[: self._filled] as rest:
                _write_all(self._descriptor, rest)
        self.close()

    def close(self) -> None:
        """Forget what was not written."""
        block, self._block, self._filled = self._block, None, 0
        if block is not None:
            self._blocks.give_back(block)

    def _write_block(self, block: mmap.mmap) -> None:
        with memoryview(block) as view:
            written = 0
            if self.is_direct:
                written = self._write_direct(view)
            if written < len(view):
                # A short write has left the file's end at a place that is not aligned, or the system refuses.
                self._leave_direct()
                with view[written:] as rest:
                    _write_all(self._descriptor, rest)
        self._filled = 0

    def _write_direct(self, view: memoryview) -> int:
        try:
            set_direct(self._descriptor, wanted=True)
            return os.write(self._descriptor, view)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            return 0

    def _leave_direct(self) -> None:
        if self.is_direct:
            self.is_direct = False
            set_direct(self._descriptor, wanted=False)


def set_direct(descriptor: int, *, wanted: bool) -> None:
    """Turn O_DIRECT of an open file on or off; OSError (EINVAL) where its file system has none."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    if bool(flags & _O_DIRECT) != wanted:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags ^ _O_DIRECT)


def read_cached(descriptor: int, target: memoryview, offset: int) -> bool:
    """Fill `target` with what the page cache holds; False if it does not hold all of it. Never waits for the disk."""
    try:
        return os.preadv(descriptor, [target], offset, os.RWF_NOWAIT) == len(target)
    except OSError as error:
        if error.errno not in _REFUSALS | {errno.EAGAIN}:
            raise
        return False


def read_direct(path: str, offset: int, size: int, room: memoryview) -> memoryview | None:
    """These bytes of a file past the page cache, somewhere in `room`; None if it can't be done: read as usual then.

    `room` begins at a page and is READ_ROOM_SPARE bytes longer than `size`.
    """
    skip = offset % ALIGNMENT
    wanted = room[: -(-(skip + size) // ALIGNMENT) * ALIGNMENT]
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | _O_DIRECT)
    except OSError as error:
        if error.errno not in _REFUSALS | {errno.ENOENT}:  # it may be deleted while somebody still reads it
            raise
        return None
    try:
        count = os.preadv(descriptor, [wanted], offset - skip)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return None
    finally:
        os.close(descriptor)
    return wanted[skip : skip + size] if count >= skip + size else None


def _write_all(descriptor: int, view: memoryview) -> None:
    while view:
        view = view[os.write(descriptor, view) :]

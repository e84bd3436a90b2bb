"""Packs of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from artstore.model import PackId
from artstore.ports.buffers import Buffer


class PackSink(Protocol):
    """A pack being written, in STORE/tmp. Not thread-safe. Left open or aborted it leaves only a temporary file."""

    @property
    def id(self) -> PackId: ...
    @property
    def size(self) -> int:
        """Bytes appended so far."""
        ...

    def append(self, buffers: Sequence[Buffer]) -> int:
        """Append the buffers one after the other (writev); return the offset of the first. ENOSPC → NoSpace."""
        ...

    def flush(self) -> None:
        """Start writing dirty bytes out (fdatasync); may be called from another thread, so that sealing is quick."""
        ...

    def seal(self) -> None:
        """Make the pack durable under its final name: fsync, rename, fsync of the folder [I1]."""
        ...

    def abort(self) -> None:
        """Remove the temporary file."""
        ...


class PackFiles(Protocol):
    """STORE/packs. Thread-safe."""

    def create(self, pack: PackId) -> PackSink: ...
    def read(self, pack: PackId, offset: int, size: int) -> bytes:
        """Exactly `size` bytes; a missing file or a short read is Corrupt naming the pack."""
        ...

    def read_range(self, pack: PackId, offset: int, size: int, room: memoryview, *, once: bool) -> memoryview:
        """Exactly `size` bytes, somewhere in `room`; errors as `read`.

        `room` begins at a page, and is at least READ_ROOM_SPARE bytes longer than `size`. `once`: they are not wanted
        again soon, so that what isn't in the page cache needn't come there.
        """
        ...

    def read_into(self, pack: PackId, offset: int, buffers: Sequence[memoryview]) -> None:
        """Fill the buffers one after the other, at most READ_BUFFERS_MAX; errors as `read`."""
        ...

    def size(self, pack: PackId) -> int | None:
        """Bytes of the pack's file, or None when there is none."""
        ...

    def list(self) -> Iterator[tuple[PackId, int]]:
        """All sealed packs with their sizes, in no order; foreign file names are skipped."""
        ...

    def delete(self, pack: PackId) -> None:
        """Unlink; absent is fine (idempotent)."""
        ...

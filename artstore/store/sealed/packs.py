"""Packs of this machine, sealed on disk. Offsets and sizes are those of the packs within, as without encryption.

A read opens the segments that hold it. A pack that is being written lives in the memory
of one process, with its salt: it is never gone on with, neither after a crash nor in a forked child.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from artstore.errors import Corrupt, UsageError
from artstore.format.sealed import (
    HEADER_BYTES,
    SEGMENT_BYTES,
    Segments,
    plain_size,
    sealed_size,
    stretch_of,
)
from artstore.store.room import Room
from artstore.store.sealed.keychain import Keychain, Known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from artstore.model import PackId
    from artstore.ports import Buffer, PackFiles, PackSink

_ROOM_BYTES: Final = 8 * SEGMENT_BYTES
_AGAIN: Final = "begin again what was to be written"
_FORKED: Final = "begin a new commit in the child"
_MEND: Final = "run `artstore check`, then `artstore check --repair`"


class _Opened(NamedTuple):
    segments: Segments
    size: int


class SealedPacks:
    """Implements `artstore.ports.PackFiles` around another one. Thread-safe; usable after a fork."""

    def __init__(self, packs: PackFiles, keychain: Keychain) -> None:
        self._packs = packs
        self._keychain = keychain
        self._known: Known[PackId, _Opened] = Known()
        self._tools = _Tools()

    def create(self, pack: PackId) -> SealedSink:
        """Begin a pack under a new name."""
        header, segments = self._keychain.begin(_name(pack))
        return SealedSink(self._packs.create(pack), header, segments)

    def read(self, pack: PackId, offset: int, size: int) -> bytes:
        """Exactly `size` bytes, or Corrupt naming the pack."""
        data = bytearray(size)
        with memoryview(data) as target:
            self._read(pack, offset, target, once=False)
        return bytes(data)

    def read_range(self, pack: PackId, offset: int, size: int, room: memoryview, *, once: bool) -> memoryview:
        """Exactly `size` bytes, in `room`; errors as `read`."""
        target = room[:size]
        self._read(pack, offset, target, once=once)
        return target

    def read_into(self, pack: PackId, offset: int, buffers: Sequence[memoryview]) -> None:
        """Fill the buffers one after the other; errors as `read`."""
        size = sum(map(len, buffers))
        view = self.read_range(pack, offset, size, self._tools.plain.take(size), once=False)
        at = 0
        for buffer in buffers:
            buffer[:] = view[at : at + len(buffer)]
            at += len(buffer)

    def size(self, pack: PackId) -> int | None:
        """Bytes of the pack, or None when there is none; of one that was cut off, what may be left."""
        sealed = self._packs.size(pack)
        return None if sealed is None else plain_size(sealed)

    def list(self) -> Iterator[tuple[PackId, int]]:
        """All sealed packs with their sizes."""
        return ((pack, plain_size(sealed)) for pack, sealed in self._packs.list())

    def delete(self, pack: PackId) -> None:
        """Unlink; absent is fine."""
        self._known.drop(pack)
        self._packs.delete(pack)

    def _read(self, pack: PackId, offset: int, target: memoryview, *, once: bool) -> None:
        """Fill `target` with what the pack has from `offset` on."""
        size = len(target)
        if size == 0:
            return
        segments, total = self._opened(pack)
        if offset + size > total:
            raise Corrupt(f"pack {pack.hex()} ends before byte {offset + size}", pack=pack.hex(), hint=_MEND)
        stretch = stretch_of(offset, size, total=total)
        tools = self._tools
        sealed = self._packs.read_range(pack, stretch.offset, stretch.size, tools.sealed.take(stretch.size), once=once)
        skip = offset - stretch.first * SEGMENT_BYTES
        try:
            segments.open_range(sealed, target, first=stretch.first, skip=skip, total=total, room=tools.segment)
        except Corrupt as error:
            raise Corrupt(
                f"pack {pack.hex()}, bytes {offset} to {offset + size}: {error.message}", pack=pack.hex(), hint=_MEND
            ) from error

    def _opened(self, pack: PackId) -> _Opened:
        known = self._known.get(pack)
        if known is None:
            header = self._packs.read(pack, 0, HEADER_BYTES)
            sealed = self._packs.size(pack)
            try:
                segments = self._keychain.segments(header, _name(pack))
            except Corrupt as error:
                raise Corrupt(f"pack {pack.hex()}: {error.message}", pack=pack.hex(), hint=error.hint) from error
            known = _Opened(segments, plain_size(sealed or 0))
            self._known.put(pack, known)
        return known


class SealedSink:
    """Implements `artstore.ports.PackSink` around another one. Segments leave as they fill; the last one, by `seal`."""

    def __init__(self, sink: PackSink, header: bytes, segments: Segments) -> None:
        self._sink = sink
        self._segments = segments
        self._process = os.getpid()
        self._size = self._sealed = 0  # bytes appended, and of those the ones that are sealed
        # Small enough to stay in the processor's cache between being filled, sealed and handed on.
        self._waiting = memoryview(bytearray(_ROOM_BYTES))
        self._filled = 0
        self._room = memoryview(bytearray(sealed_size(_ROOM_BYTES)))
        self._is_open = True
        try:
            sink.append([header])
        except BaseException:
            sink.abort()
            raise

    @property
    def id(self) -> PackId:
        return self._sink.id

    @property
    def size(self) -> int:
        """Bytes appended so far."""
        return self._size

    def append(self, buffers: Sequence[Buffer]) -> int:
        """Append the buffers one after the other; the offset of the first."""
        self._require_open()
        start = self._size
        for buffer in buffers:
            view = memoryview(buffer)
            while view:
                if self._filled == _ROOM_BYTES:  # more comes: no segment in it is the last one
                    self._write(ends=False)
                part = view[: _ROOM_BYTES - self._filled]
                self._waiting[self._filled : self._filled + len(part)] = part
                self._filled += len(part)
                self._size += len(part)
                view = view[len(part) :]
        return start

    def flush(self) -> None:
        """Start writing dirty bytes out; may be called from another thread."""
        self._sink.flush()

    def seal(self) -> None:
        """Make the pack durable under its final name [I1]."""
        self._write(ends=True)
        self._sink.seal()

    def abort(self) -> None:
        """Remove the temporary file."""
        self._sink.abort()

    def _require_open(self) -> None:
        """Not an assertion: `python -O` has none.

        A forked child has the same salt: two processes that go on would use a nonce twice. Nor is a pack gone on with
        whose end was sealed, or which lacks what the disk didn't take.
        """
        if os.getpid() != self._process:
            raise UsageError(f"pack {self.id.hex()} is not written on by a forked process", hint=_FORKED)
        if not self._is_open:
            raise UsageError(f"pack {self.id.hex()} is not written on: it has ended, or a write failed", hint=_AGAIN)

    def _write(self, *, ends: bool) -> None:
        self._require_open()
        self._is_open = False
        first, data = self._sealed // SEGMENT_BYTES, self._waiting[: self._filled]
        self._sealed += self._filled
        self._filled = 0
        size = self._segments.seal_into(data, self._room, first=first, ends=ends)
        self._sink.append([self._room[:size]])
        self._is_open = not ends


class _Tools(threading.local):
    """What each thread has for itself."""

    def __init__(self) -> None:
        self.sealed = Room()
        self.plain = Room()
        self.segment = memoryview(bytearray(SEGMENT_BYTES))


def _name(pack: PackId) -> bytes:
    return b"packs/" + pack.hex().encode()

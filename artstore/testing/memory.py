"""Packs, sessions and a clock in memory: what the real ones promise, without durability."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from artstore.errors import Corrupt
from artstore.model import PackId
from artstore.ports import Buffer


class SettableClock:
    """A clock that a test sets; each look at it takes a nanosecond, so that no two times are equal."""

    def __init__(self, now: int = 1_700_000_000_000_000_000) -> None:
        self.now = now

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        self.now += 1
        return self.now


class MemoryPackSink:
    """Implements `artstore.ports.PackSink`."""

    def __init__(self, sealed: dict[PackId, bytes], pack: PackId) -> None:
        self._sealed = sealed
        self._id = pack
        self._data = bytearray()

    @property
    def id(self) -> PackId:
        """The pack's name."""
        return self._id

    @property
    def size(self) -> int:
        """Bytes appended so far."""
        return len(self._data)

    def append(self, buffers: Sequence[Buffer]) -> int:
        """Append the buffers one after the other; return the offset of the first."""
        start = len(self._data)
        for buffer in buffers:
            self._data += buffer
        return start

    def flush(self) -> None:
        """Nothing is written out."""

    def seal(self) -> None:
        """Let readers see the pack."""
        assert self._id not in self._sealed, "a pack's name is used again"
        self._sealed[self._id] = bytes(self._data)

    def abort(self) -> None:
        """Forget what was appended."""
        self._data.clear()


class MemoryPacks:
    """Implements `artstore.ports.PackFiles`. `sealed` may be damaged by a test."""

    def __init__(self) -> None:
        self.sealed: dict[PackId, bytes] = {}

    def create(self, pack: PackId) -> MemoryPackSink:
        """Begin a pack under a new name."""
        return MemoryPackSink(self.sealed, pack)

    def read(self, pack: PackId, offset: int, size: int) -> bytes:
        """Exactly `size` bytes, or Corrupt naming the pack."""
        if pack not in self.sealed:
            raise Corrupt(f"pack {pack.hex()} is missing", pack=pack.hex())
        data = self.sealed[pack][offset : offset + size]
        if len(data) != size:
            raise Corrupt(f"pack {pack.hex()} ends before byte {offset + size}", pack=pack.hex())
        return data

    def read_range(self, pack: PackId, offset: int, size: int, room: memoryview, *, once: bool) -> memoryview:
        """Exactly `size` bytes at the beginning of `room`, or Corrupt."""
        room[:size] = self.read(pack, offset, size)
        return room[:size]

    def read_into(self, pack: PackId, offset: int, buffers: Sequence[memoryview]) -> None:
        """Fill the buffers one after the other, or Corrupt."""
        for buffer in buffers:
            buffer[:] = self.read(pack, offset, len(buffer))
            offset += len(buffer)

    def size(self, pack: PackId) -> int | None:
        """Bytes of the pack, or None when there is none."""
        return len(self.sealed[pack]) if pack in self.sealed else None

    def list(self) -> Iterator[tuple[PackId, int]]:
        """All sealed packs with their sizes."""
        return iter([(pack, len(data)) for pack, data in self.sealed.items()])

    def delete(self, pack: PackId) -> None:
        """Forget a pack; absent is fine."""
        self.sealed.pop(pack, None)


class MemorySession:
    """Implements `artstore.ports.Session`."""

    def __init__(self, running: dict[bytes, int], start: int) -> None:
        self._id = secrets.token_bytes(12)
        self._running = running
        self._sequence = 0
        running[self._id] = start

    @property
    def id(self) -> bytes:
        """12 random bytes."""
        return self._id

    def next_pack_id(self) -> PackId:
        """A name that was never used."""
        self._sequence += 1
        return PackId(self._id + (self._sequence - 1).to_bytes(4, "big"))

    def close(self) -> None:
        """End the session; closing twice is fine."""
        self._running.pop(self._id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MemorySessions:
    """Implements `artstore.ports.Sessions`; none of them ever dies."""

    def __init__(self, clock: SettableClock | None = None) -> None:
        self._clock = clock or SettableClock()
        self._running: dict[bytes, int] = {}

    def begin(self) -> MemorySession:
        """Begin a session."""
        return MemorySession(self._running, self._clock.now_ns())

    def running(self) -> list[tuple[bytes, int]]:
        """(session id, start time in ns) of what was begun and not closed."""
        return list(self._running.items())

    def clean(self) -> int:
        """Nothing is left by the dead."""
        return 0

"""What flows through the pipeline: buffers of file data with the places they are cut at, and what happened, in order.

A batch knows nothing of threads; whoever holds it owns it.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.store.write.channel import Channel

if TYPE_CHECKING:
    from artstore.format.statrows import Place
    from artstore.model import Entry, Location
    from artstore.ports import Buffer


@dataclass(slots=True)
class FileMeta:
    """One file on its way: its name and kind, its row of the stat cache, what is known of how its data compresses."""

    name: bytes
    kind: int
    row: bytes = b""
    compressible: bool | None = None

    @property
    def suffix(self) -> bytes:
        """What follows the last dot: small files that share it are taken to compress alike."""
        return self.name[self.name.rfind(b".") + 1 :][:16]


@dataclass(slots=True)
class Enter:
    """A directory begins; its entries follow. `mark`: its fingerprint, b"" if it can't be trusted next time; `place`:
    where it is, if it has a key.
    """

    name: bytes
    key: bytes
    mark: bytes
    place: Place | None = None


@dataclass(slots=True)
class Leave:
    """The innermost directory ends. `whole`: nothing of it was left out, so that its fingerprint may stand for it."""

    whole: bool = True


@dataclass(slots=True)
class Known:
    """An entry for which nothing had to be read: the packs its content needs, and its row."""

    entry: Entry
    packs: tuple[int, ...]
    row: bytes


@dataclass(slots=True)
class Data:
    """Chunks `first` to `last` (exclusive) of this batch are a file's; in a hole one chunk stands `repeat` times."""

    file: FileMeta
    first: int
    last: int
    ends: bool
    repeat: int = 1


@dataclass(slots=True)
class Drop:
    """Forget what came of the file that is under way: it changed while it was read."""


Event = Enter | Leave | Known | Data | Drop


@dataclass(slots=True)
class Batch:
    """Up to BATCH_BYTES of file data and everything that happened while it was gathered."""

    sequence: int
    memory: mmap.mmap | None = None
    view: memoryview = field(default_factory=lambda: memoryview(b""))
    used: int = 0
    begins: list[int] = field(default_factory=list[int])  # of each chunk, in `view`
    ends: list[int] = field(default_factory=list[int])
    events: list[Event] = field(default_factory=list[Event])
    # What the workers add, one for each chunk:
    ids: list[bytes] = field(default_factory=list[bytes])
    known: list[Location | None] = field(default_factory=lambda: [])
    fresh: list[int] = field(default_factory=list[int])  # indices of the chunks to store
    encoded: list[tuple[int, Buffer]] = field(default_factory=lambda: [])  # codec and bytes, in the order of `fresh`

    @property
    def room(self) -> int:
        """Bytes that still fit."""
        return limits.BATCH_BYTES - self.used


class BufferPool:
    """At most BATCHES_MAX buffers for all batches of one commit, made when first needed and used again [I9].

    Memory that is used again has its page faults behind it: at GB/s they cost as much as cutting.
    """

    def __init__(self) -> None:
        self._free: Channel[mmap.mmap] = Channel(limits.BATCHES_MAX)
        self._made = 0

    def lend(self, batch: Batch) -> None:
        """Give the batch a buffer, waiting for one; Closed if closed."""
        if self._made < limits.BATCHES_MAX and self._free.is_empty:
            self._made += 1
            batch.memory = mmap.mmap(-1, limits.BATCH_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            with suppress(OSError):  # a kernel without huge pages; they are only quicker
                batch.memory.madvise(mmap.MADV_HUGEPAGE)
        else:
            batch.memory = self._free.get()
        assert batch.memory is not None
        batch.view = memoryview(batch.memory)

    def take_back(self, batch: Batch) -> None:
        """Nothing may refer to the batch's data any more."""
        memory, batch.memory = batch.memory, None
        if memory is not None:
            self._free.put(memory)

    def close(self) -> None:
        """Wake whoever waits in `lend`."""
        self._free.close()

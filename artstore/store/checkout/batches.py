"""What a worker gets at once: files and parts of files which are fetched together and written one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from artstore import limits

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from artstore.model import Entry
    from artstore.store.checkout.folders import Folder


class Verdict(IntEnum):
    """What stands at a file's place in the destination."""

    ABSENT = 0
    SAME = 1
    MODE = 2  # the same bytes, but executable where it should not be, or the reverse
    PARTIAL = 3  # the beginning of the right bytes
    DIFFERENT = 4  # something else, to be replaced
    FOLDER = 5  # a folder, which is never replaced


@dataclass(slots=True, eq=False)
class Whole:
    """A file or symbolic link that one worker restores in one go."""

    folder: Folder
    entry: Entry


@dataclass(slots=True, eq=False)
class Target:
    """A file of several parts. `parts` is known when the last one is on its way."""

    folder: Folder
    entry: Entry
    seed: bytes  # a file beside it with some of its bytes: b"" for none
    owned: bool  # the seed is ours: it is completed and renamed; else it is only read
    parts: int | None = None
    done: int = 0
    descriptor: int = -1
    seed_descriptor: int = -1
    temporary: bytes = b""


@dataclass(slots=True, eq=False)
class Part:
    """Consecutive chunks of a target, the first of them at `offset`."""

    target: Target
    offset: int
    ids: list[bytes] = field(default_factory=list[bytes])
    raws: list[int] = field(default_factory=list[int])


Batch = list[Whole | Part]


class Batcher:
    """Gathers wholes and parts into batches, in order."""

    def __init__(self) -> None:
        self._batch: Batch = []
        self._size = 0

    def whole(self, whole: Whole) -> Batch | None:
        """Add a file; the batch, if it is full now."""
        self._batch.append(whole)
        self._size += whole.entry.size
        return self._full()

    def target(
        self, target: Target, chunks: Iterable[tuple[int, bytes, int]], holes: Container[bytes]
    ) -> Iterator[Batch]:
        """Add a file's chunks (start, id, raw size) but for `holes`, whose ids are known to be of zeros."""
        part = Part(target, 0)
        parts = end = 0
        for start, id, raw in chunks:
            if id in holes:
                continue
            if part.ids and (start != end or self._size >= limits.RESTORE_BATCH_BYTES):
                parts += 1
                self._batch.append(part)
                if full := self._full():
                    yield full
                part = Part(target, start)
            elif not part.ids:
                part.offset = start
            part.ids.append(id)
            part.raws.append(raw)
            end = start + raw
            self._size += raw
        # Even a file of nothing but holes has a part: who does it makes the file.
        target.parts = parts + 1
        self._batch.append(part)
        if full := self._full():
            yield full

    def rest(self) -> Batch:
        """What is left."""
        batch, self._batch, self._size = self._batch, [], 0
        return batch

    def _full(self) -> Batch | None:
        full = self._size >= limits.RESTORE_BATCH_BYTES or len(self._batch) >= limits.RESTORE_BATCH_FILES_MAX
        return self.rest() if full else None

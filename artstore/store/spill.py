"""Ids with the set of versions that need them, gathered from everywhere and given back in order, each once.

Keeps a bounded number in memory; more are sorted and written to temporary files, which are merged at the end.
"""

from __future__ import annotations

import heapq
from contextlib import ExitStack
from operator import itemgetter
from struct import Struct
from typing import IO, TYPE_CHECKING

from artstore import limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

_RECORD = Struct("<32sI")
_READ_BYTES = 256 * _RECORD.size
_id_of = itemgetter(0)


class Masks:
    """Sets of versions as bits of an integer, each distinct one kept once and known by a small number."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self._numbers: dict[int, int] = {}

    def number(self, mask: int) -> int:
        """The number of a mask, a new one if need be."""
        number = self._numbers.setdefault(mask, len(self.values))
        if number == len(self.values):
            self.values.append(mask)
        return number


class Sorter:
    """Collects (id, mask), then iterates over the distinct ids in order with the union of their masks. A context."""

    def __init__(self, masks: Masks, *, ids_max: int = limits.USAGE_IDS_MAX) -> None:
        self._masks = masks
        self._ids_max = ids_max
        self._known: dict[bytes, int] = {}
        self._runs: list[IO[bytes]] = []
        self._files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, id: bytes, mask: int) -> None:
        """Note that the versions in `mask` need an object."""
        known = self._known
        number = known.get(id)
        values = self._masks.values
        if number is not None and values[number] | mask == values[number]:
            return
        known[id] = self._masks.number(mask if number is None else values[number] | mask)
        if len(known) >= self._ids_max:
            self._spill()

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        streams: list[Iterable[tuple[bytes, int]]] = [_read(run) for run in self._runs]
        streams.append(sorted(self._known.items()))
        values = self._masks.values
        last, union = b"", 0
        for id, number in heapq.merge(*streams, key=_id_of):
            if id != last:
                if union:
                    yield last, union
                last, union = id, 0
            union |= values[number]
        if union:
            yield last, union

    def _spill(self) -> None:
        from tempfile import TemporaryFile

        run: IO[bytes] = TemporaryFile(prefix="artstore-")  # noqa: SIM115  # closed with all others, below
        self._files.enter_context(run)
        for record in sorted(self._known.items()):
            run.write(_RECORD.pack(*record))
        self._runs.append(run)
        self._known = {}


def _read(run: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    run.seek(0)
    while block := run.read(_READ_BYTES):
        yield from _RECORD.iter_unpack(block)

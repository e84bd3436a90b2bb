"""Which packs a push sends as they are, of which it sends only the objects that the remote lacks, and which it needn't.

What is sent in part is gathered from several packs into new ones: a frame may lie anywhere; their order here is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.model import PackKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from artstore.model import TableEntry

_ROW_BYTES: Final = limits.FRAME_HEADER_BYTES + limits.TABLE_ENTRY_BYTES


@dataclass(frozen=True, slots=True)
class LocalPack:
    """A pack that is here, by its number, with its table."""

    number: int
    kind: PackKind
    size: int
    table: Sequence[TableEntry]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some objects of a pack that is here: `runs` of rows of its table, in order."""

    pack: int
    runs: tuple[range, ...]


@dataclass(frozen=True, slots=True)
class Gathered:
    """A new pack for the remote, made of pieces of others. `size`: bytes of its file."""

    kind: PackKind
    size: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Sends:
    """`whole`: packs to be sent as they are. `found`: of each other pack the keys at the remote where its objects lie
    already; what those lack is in `gathered`.
    """

    whole: list[int] = field(default_factory=list[int])
    found: dict[int, frozenset[str]] = field(default_factory=dict[int, frozenset[str]])
    gathered: list[Gathered] = field(default_factory=list[Gathered])


def plan_sends(packs: Iterable[LocalPack], known: Mapping[bytes, str]) -> Sends:
    """`known`: keys of packs at the remote by ids of what they hold. Pieces are gathered in the order of `packs`."""
    sends = Sends()
    filling = {kind: _Filling(kind, sends.gathered) for kind in PackKind}
    for pack in packs:
        lacking = [row for row, entry in enumerate(pack.table) if entry.id not in known]
        if lacking and not _saves(pack, lacking):
            sends.whole.append(pack.number)
            continue
        sends.found[pack.number] = frozenset(known[entry.id] for entry in pack.table if entry.id in known)
        filling[pack.kind].add(pack, lacking)
    for each in filling.values():
        each.close()
    return sends


def _saves(pack: LocalPack, lacking: Sequence[int]) -> bool:
    """Is it worth a new pack, which the next push has to be told of, to send only these rows?"""
    every = sum(_bytes_of(entry) for entry in pack.table)
    saved = every - sum(_bytes_of(pack.table[row]) for row in lacking)
    return saved >= max(limits.REMOTE_SAVED_BYTES_MIN, every * limits.REMOTE_SAVED_MIN)


def _bytes_of(entry: TableEntry) -> int:
    return entry.stored + _ROW_BYTES


class _Filling:
    """The new pack of one kind that is being filled; it is put behind those in `done` when it is full."""

    def __init__(self, kind: PackKind, done: list[Gathered]) -> None:
        self._kind = kind
        self._done = done
        self._bytes_max = limits.PACK_BYTES_TARGET if kind is PackKind.DATA else limits.METAPACK_BYTES_TARGET
        self._pieces: dict[int, list[range]] = {}
        self._bytes = limits.TRAILER_BYTES
        self._count = 0

    def add(self, pack: LocalPack, rows: Iterable[int]) -> None:
        """Take in rows of a pack."""
        for row in rows:
            size = _bytes_of(pack.table[row])
            if self._bytes + size > self._bytes_max or self._count == limits.PACK_ENTRIES_MAX:
                self.close()
            runs = self._pieces.setdefault(pack.number, [])
            if runs and runs[-1].stop == row:
                runs[-1] = range(runs[-1].start, row + 1)
            else:
                runs.append(range(row, row + 1))
            self._bytes += size
            self._count += 1

    def close(self) -> None:
        """The pack is full; nothing happens if there is nothing in it."""
        if self._pieces:
            pieces = tuple(Piece(pack, tuple(runs)) for pack, runs in self._pieces.items())
            self._done.append(Gathered(self._kind, self._bytes, pieces))
        self._pieces, self._bytes, self._count = {}, limits.TRAILER_BYTES, 0

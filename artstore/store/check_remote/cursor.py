"""How far a check of a remote's data has come, and which packs it found damaged; kept in the store's journal.

`far-check/run/<remote>` is the key up to which all packs were read in the round that isn't finished, behind the time
(ns, u64, little-endian) when it began: packs are read in the order of their keys, whose first part is random, so that a
new one comes in this round or in the next. `far-check/bad/<remote>/<key>` is why a pack can't be relied on: each check
looks at it anew, until it is sound, or gone and needed by nobody.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.format.remote import is_pack_key
from artstore.store.remote.sent import forget_packs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from artstore.ports import Index, IndexReader

_RUN: Final = "far-check/run/"
_BAD: Final = "far-check/bad/"
_TIME_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a round stands. `begun`: ns."""

    begun: int
    after: str


def read_cursor(reader: IndexReader, remote_id: bytes) -> Cursor | None:
    """The round that isn't finished; None if there is none. A row that makes no sense is none."""
    value = reader.journal(_RUN + remote_id.hex())
    if value is None or len(value) <= _TIME_BYTES:
        return None
    key = value[_TIME_BYTES:].decode("ascii", errors="replace")
    return Cursor(int.from_bytes(value[:_TIME_BYTES], "little"), key) if is_pack_key(key) else None


def write_cursor(index: Index, remote_id: bytes, cursor: Cursor | None) -> None:
    """Note it; None: the round is over."""
    value = None if cursor is None else cursor.begun.to_bytes(_TIME_BYTES, "little") + cursor.after.encode()
    with index.write() as writer:
        writer.put_journal(_RUN + remote_id.hex(), value)


def bad_packs(reader: IndexReader, remote_id: bytes) -> dict[str, str]:
    """Keys of packs that were found damaged, and why."""
    prefix = f"{_BAD}{remote_id.hex()}/"
    found = {key.removeprefix(prefix): reader.journal(key) for key in reader.journal_keys(prefix)}
    return {key: why.decode("utf-8", errors="replace") for key, why in found.items() if why is not None}


def note_bad(index: Index, remote_id: bytes, packs: dict[str, str]) -> None:
    """Remember that these are damaged. From now on no push of this store takes them for a place of what it sent."""
    if not packs:
        return
    with index.write() as writer:
        for key, why in packs.items():
            writer.put_journal(f"{_BAD}{remote_id.hex()}/{key}", why.encode()[: limits.FAR_CHECK_WHY_BYTES_MAX])
        forget_packs(writer, remote_id, packs.keys())


def forget_bad(index: Index, remote_id: bytes, keys: Iterable[str]) -> None:
    """They are sound, or nobody needs them any more and they are gone."""
    with index.write() as writer:
        for key in keys:
            writer.put_journal(f"{_BAD}{remote_id.hex()}/{key}", None)


@dataclass(slots=True)
class Progress:
    """Which packs of a plan were read, in whatever order they ended: `after` is the last one behind which none is left
    out.
    """

    left: deque[str]
    ended: set[str] = field(default_factory=set[str])
    after: str = ""

    def end(self, key: str) -> bool:
        """A pack was read; has the cursor moved?"""
        self.ended.add(key)
        moved = False
        while self.left and self.left[0] in self.ended:
            self.after = self.left.popleft()
            self.ended.discard(self.after)
            moved = True
        return moved

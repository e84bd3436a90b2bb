"""The journal's records of what was removed and can be brought back, and of what collection has seen and has to do.

They live in the index alone: a store whose index was rebuilt has forgotten them, and keeps what they would remove. Who
purged, and why, comes back from refs.log.
"""

from __future__ import annotations

import msgspec

from artstore import limits
from artstore.format.document import FORMAT, Codec


class RemovedRef(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. A tag or alias that was removed: what it named, when it was made (of a tag) and removed (ns)."""

    name: str
    is_alias: bool
    version: bytes
    created: int
    removed: int


class ErasureNote(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. Who purged, and why: what refs.log says besides the chunks and the time."""

    who: str
    reason: str


def erasure_key(time: int) -> str:
    """The journal's key for an erasure at a time (ns). Two at one time share a note: that of the later one."""
    return f"erasure/{time:020d}"


def encode_erasure(value: ErasureNote) -> bytes:
    """The record's bytes."""
    return _ERASURE.encode((FORMAT, value))


def decode_erasure(data: bytes) -> ErasureNote:
    """The record, or Corrupt."""
    return _ERASURE.decode(data)[1]


def encode_removed(value: RemovedRef) -> bytes:
    """The record's bytes."""
    return _REMOVED.encode((FORMAT, value))


def decode_removed(data: bytes) -> RemovedRef:
    """The record, or Corrupt."""
    return _REMOVED.decode(data)[1]


def encode_numbers(values: list[int]) -> bytes:
    """Numbers of packs, or a time."""
    return _NUMBERS.encode((FORMAT, values))


def decode_numbers(data: bytes) -> list[int]:
    """The same, read, or Corrupt."""
    return _NUMBERS.decode(data)[1]


def encode_sessions(values: list[bytes]) -> bytes:
    """Ids of sessions."""
    return _SESSIONS.encode((FORMAT, values))


def decode_sessions(data: bytes) -> list[bytes]:
    """The same, read, or Corrupt."""
    return _SESSIONS.decode(data)[1]


_MAX = limits.UNDO_RECORD_BYTES_MAX
_REMOVED: Codec[tuple[int, RemovedRef]] = Codec(tuple[int, RemovedRef], name="removed ref", bytes_max=_MAX)
_ERASURE: Codec[tuple[int, ErasureNote]] = Codec(tuple[int, ErasureNote], name="note of an erasure", bytes_max=_MAX)
_NUMBERS: Codec[tuple[int, list[int]]] = Codec(tuple[int, list[int]], name="list of numbers", bytes_max=_MAX)
_SESSIONS: Codec[tuple[int, list[bytes]]] = Codec(tuple[int, list[bytes]], name="list of sessions", bytes_max=_MAX)

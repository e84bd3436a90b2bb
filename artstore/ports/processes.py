"""The clock, and who else runs."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from artstore.model import PackId


class Clock(Protocol):
    """Wall-clock time, UTC."""

    def now_ns(self) -> int: ...


class Session(Protocol):
    """A running writer, known to other processes by a locked file in STORE/sessions while it lives."""

    @property
    def id(self) -> bytes:
        """12 random bytes: the first part of the pack ids it makes."""
        ...

    def next_pack_id(self) -> PackId: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Sessions(Protocol):
    """STORE/sessions."""

    def begin(self) -> Session:
        """Create and lock the session's file; its inode is checked after flock, since a clean-up may have raced."""
        ...

    def running(self) -> list[tuple[bytes, int]]:
        """(session id, start time ns) of sessions whose lock is held, this process's own included."""
        ...

    def clean(self) -> int:
        """Remove files of dead sessions and the temporary packs that belong to them; return how many files went."""
        ...

"""What surrounds every request: it is timed, its error becomes an errno, what is broken or slow is remembered.

Must know neither FUSE nor what a request asks for.
"""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from artstore import limits
from artstore.errors import ArtstoreError, Corrupt, Erased, RemoteError
from artstore_fuse.errnos import errno_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore_fuse.metrics import Metrics
    from artstore_fuse.status import Status

_log: Final = logging.getLogger(__name__)


class Requests:
    """The requests of one mount. `describe` names an inode; `refusal` makes what carries an errno to the kernel."""

    def __init__(
        self, metrics: Metrics, status: Status, *, describe: Callable[[int], str], refusal: Callable[[int], Exception]
    ) -> None:
        self._metrics = metrics
        self._status = status
        self._describe = describe
        self._logged: set[tuple[int, bytes | None]] = set()
        self.refusal = refusal

    def begin(self, kind: str, inode: int, offset: int = 0) -> Request:
        """A context around the answering of one request; inode 0 where there is none to be named."""
        return Request(self, kind, inode, offset)

    def in_flight(self, kind: str) -> AbstractContextManager[None]:
        """A context around waiting for data."""
        return self._metrics.in_flight(kind)

    def end(self, request: Request, seconds: float, error: BaseException | None) -> int:
        """Account for an answered request; the errno of its error, 0 without one. Never raises."""
        number = self._errno(request, error) if isinstance(error, Exception) else 0
        self._metrics.observe(request.kind, seconds, size=request.size, error=number)
        if seconds >= limits.MOUNT_SLOW_S:
            name = self._name(request.inode)
            _log.warning("slow: %s of %s took %.1f s", request.kind, name, seconds)
            self._status.note_slow(request.kind, name, seconds)
        return number

    def _errno(self, request: Request, error: Exception) -> int:
        if isinstance(error, Corrupt | Erased | RemoteError):
            self._note_broken(request, error)
        elif not isinstance(error, ArtstoreError | OSError):
            _log.error("%s of %s failed", request.kind, self._name(request.inode), exc_info=error)
        return errno_of(error)

    def _note_broken(self, request: Request, error: Corrupt | Erased | RemoteError) -> None:
        name = self._name(request.inode)
        self._status.note_broken(name, error.message)
        # The kernel asks again, for less: one line for each place is enough.
        place = (request.inode, error.digest if isinstance(error, Corrupt) else None)
        if place in self._logged:
            return
        if len(self._logged) >= limits.MOUNT_TROUBLES_TOLD_MAX:
            self._logged.clear()
        self._logged.add(place)
        told = error.message
        pack = error.pack if isinstance(error, Corrupt) else None
        if pack is not None and pack not in told:
            told += f" (pack {pack})"
        _log.error("broken: %s at offset %d: %s", name, request.offset, told)

    def _name(self, inode: int) -> str:
        if not inode:
            return "-"
        try:
            return self._describe(inode)
        except Exception:  # noqa: BLE001 - a name is only for people: without one it is told all the same
            return f"inode {inode}"


class Request:
    """One request; `size`: the bytes it was answered with."""

    __slots__ = ("_requests", "_started", "inode", "kind", "offset", "size")

    def __init__(self, requests: Requests, kind: str, inode: int, offset: int) -> None:
        self._requests = requests
        self._started = 0.0
        self.kind = kind
        self.inode = inode
        self.offset = offset
        self.size = 0

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        number = self._requests.end(self, time.perf_counter() - self._started, error)
        if number:
            raise self._requests.refusal(number) from error

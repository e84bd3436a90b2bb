"""A remote whose requests are sent again when they fail for the moment; the same Protocol around another one.

Decides what a lost reply means. Reads, deletions and packs, whose names are never used for other bytes, may be sent
twice. A conditional write whose reply was lost is refused when it is sent again, as if another writer had won: what
lies there then tells who did, since no two writers write the same bytes.
"""

from __future__ import annotations

import random
import time
from contextlib import closing
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from artstore.errors import RemoteError
from artstore.model import Fetched, Listed, RemoteStats, Unchanged, Written
from artstore.planning.retry import RetryPolicy, delay_s
from artstore.ports import Streamed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from artstore.ports import Body, Remote
    from artstore.store.remote.flow import Flow

T = TypeVar("T")


class RetryingRemote:
    """As `artstore.ports.Remote`; an error that leaves it has come several times, or won't go away."""

    def __init__(
        self,
        remote: Remote,
        *,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
        spread: Callable[[], float] = random.random,
        flow: Flow | None = None,
    ) -> None:
        self._remote = remote
        self._policy = policy or RetryPolicy()
        self._sleep = sleep
        self._spread = spread
        self._flow = flow
        self._lock = Lock()

    @property
    def url(self) -> str:
        return self._remote.url

    @property
    def stats(self) -> RemoteStats:
        return self._remote.stats

    def get(self, key: str) -> Fetched | None:
        return self._again(lambda: self._remote.get(key))

    def stream(self, key: str, *, offset: int = 0) -> Streamed | None:
        """What broke off goes on where it did: keys of streams are never given to other bytes."""
        first = self._again(lambda: self._remote.stream(key, offset=offset))
        return first and Streamed(first.size, self._pieces(key, first, offset))

    def poll(self, key: str, etag: str) -> Fetched | Unchanged | None:
        return self._again(lambda: self._remote.poll(key, etag))

    def get_range(self, key: str, offset: int, size: int) -> bytes | None:
        return self._again(lambda: self._remote.get_range(key, offset, size))

    def head(self, key: str) -> Listed | None:
        return self._again(lambda: self._remote.head(key))

    def put(self, key: str, body: Body) -> Written:
        # Idempotent: a key that isn't written conditionally is never given to other bytes.
        return self._again(lambda: self._remote.put(key, body))

    def create(self, key: str, data: bytes) -> Written | None:
        return self._conditional(key, data, lambda: self._remote.create(key, data))

    def swap(self, key: str, data: bytes, etag: str) -> Written | None:
        return self._conditional(key, data, lambda: self._remote.swap(key, data, etag))

    def delete(self, key: str) -> None:
        self._again(lambda: self._remote.delete(key))

    def list(self, prefix: str, *, after: str = "") -> Iterator[Listed]:
        attempts = 1
        while True:
            try:
                for found in self._remote.list(prefix, after=after):
                    after, attempts = found.key, 1
                    yield found
            except RemoteError as error:
                self._pause(attempts, error)
                attempts += 1
            else:
                return

    def close(self) -> None:
        self._remote.close()

    def _pieces(self, key: str, streamed: Streamed, offset: int) -> Generator[bytes]:
        attempts, size = 1, streamed.size
        while True:
            try:
                with closing(streamed.pieces):
                    for piece in streamed.pieces:
                        attempts, offset = 1, offset + len(piece)
                        yield piece
            except RemoteError as error:
                self._pause(attempts, error, anew=False)
                attempts += 1
            else:
                return
            following = self._again(partial(self._remote.stream, key, offset=offset))
            if following is None or following.size != size:
                raise RemoteError(f"{self.url}/{key} was replaced or deleted while it was read")
            streamed = following

    def _conditional(self, key: str, data: bytes, write: Callable[[], Written | None]) -> Written | None:
        attempts = 0
        written: Written | None = None
        is_answered = False
        while not is_answered:
            attempts += 1
            try:
                written = write()
                is_answered = True
            except RemoteError as error:
                self._pause(attempts, error)
        # What was refused at once was lost. Behind a lost reply it may be our own write that refuses us.
        if written is not None or attempts == 1:
            return written
        present = self.get(key)
        if present is None or present.data != data:
            return None
        return Written(present.etag, present.time)

    def _again(self, request: Callable[[], T]) -> T:
        attempts = 1
        while True:
            try:
                return request()
            except RemoteError as error:
                self._pause(attempts, error)
            attempts += 1

    def _pause(self, attempts: int, error: RemoteError, *, anew: bool = True) -> None:
        """Wait until the next attempt; raise the error if there is none. `anew`: it begins at the beginning."""
        pause = None
        if error.overloaded:
            with self._lock:
                self.stats.refused += 1
        if error.transient:
            pause = delay_s(attempts, spread=self._spread(), asked_s=error.retry_after_s, policy=self._policy)
        if pause is None:
            raise error
        with self._lock:
            self.stats.repeated += 1
        if self._flow is not None and anew:
            self._flow.repeated()
        self._sleep(pause)

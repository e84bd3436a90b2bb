"""A remote in memory, whose clock a test sets, and whose requests it may hold up, lose, or break.

As `artstore.ports.Remote` says; like a service it tells whole seconds. What happens at a request is up to
`Bucket.meet`: it is called before each with its name and key, may do anything meanwhile, raise what is to end the
caller, or say what is lost of the request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from enum import Enum
from threading import RLock
from typing import TypeVar

from artstore import limits
from artstore.errors import NotFound, RemoteError
from artstore.model import UNCHANGED, Fetched, Listed, RemoteStats, Unchanged, Written
from artstore.ports import Body, Streamed

T = TypeVar("T")


class Lost(Enum):
    """What of a request doesn't arrive."""

    REQUEST = "request"  # nothing was done
    REPLY = "reply"  # it was done, and nobody is told


def _undisturbed(name: str, key: str) -> Lost | None:
    return None


@dataclass(slots=True)
class Bucket:
    """What lies there: of each key its bytes and when they were written. `now`: its clock, s since 1970; `url`: where
    it is, and nowhere else.
    """

    url: str = "memory://bucket"
    now: float = 1_800_000_000.0
    objects: dict[str, tuple[bytes, float]] = field(default_factory=dict[str, tuple[bytes, float]])
    meet: Callable[[str, str], Lost | None] = _undisturbed
    lock: RLock = field(default_factory=RLock)


class MemoryRemote:
    """Requests to a bucket."""

    def __init__(self, bucket: Bucket, url: str = "memory://bucket") -> None:
        self._bucket = bucket
        self._url = url
        self._stats = RemoteStats()

    @property
    def url(self) -> str:
        return self._url

    @property
    def stats(self) -> RemoteStats:
        return self._stats

    def get(self, key: str) -> Fetched | None:
        found = self.poll(key, "")
        assert not isinstance(found, Unchanged)  # no object has an empty ETag
        return found

    def poll(self, key: str, etag: str) -> Fetched | Unchanged | None:
        def read() -> Fetched | Unchanged | None:
            self._stats.gets += 1
            held = self._bucket.objects.get(key)
            if held is None:
                return None
            if _etag(held[0]) == etag:
                return UNCHANGED
            self._stats.received_bytes += len(held[0])
            return Fetched(held[0], _etag(held[0]), self._time())

        return self._met("get", key, read)

    def stream(self, key: str, *, offset: int = 0) -> Streamed | None:
        def read() -> Streamed | None:
            self._stats.gets += 1
            held = self._bucket.objects.get(key)
            return None if held is None else Streamed(len(held[0]), self._pieces(held[0], offset))

        return self._met("get", key, read)

    def get_range(self, key: str, offset: int, size: int) -> bytes | None:
        assert size > 0

        def read() -> bytes | None:
            self._stats.gets += 1
            held = self._bucket.objects.get(key)
            data = None if held is None else held[0][offset : offset + size]
            if data is not None:
                self._stats.received_bytes += len(data)
                if len(data) != size:
                    raise RemoteError(f"{key} ends {size - len(data)} bytes too early for {size} from {offset}")
            return data

        return self._met("get", key, read)

    def head(self, key: str) -> Listed | None:
        def read() -> Listed | None:
            self._stats.heads += 1
            held = self._bucket.objects.get(key)
            return None if held is None else Listed(key, len(held[0]), float(int(held[1])))

        return self._met("head", key, read)

    def put(self, key: str, body: Body) -> Written:
        if isinstance(body, bytes):
            data = body
        else:
            body.seek(0)
            data = body.read()
        return self._met("put", key, lambda: self._write(key, data))

    def create(self, key: str, data: bytes) -> Written | None:
        def write() -> Written | None:
            if key in self._bucket.objects:
                self._stats.puts += 1
                return None
            return self._write(key, data)

        return self._met("create", key, write)

    def swap(self, key: str, data: bytes, etag: str) -> Written | None:
        def write() -> Written | None:
            held = self._bucket.objects.get(key)
            if held is None or _etag(held[0]) != etag:
                self._stats.puts += 1
                return None
            return self._write(key, data)

        return self._met("swap", key, write)

    def delete(self, key: str) -> None:
        def remove() -> None:
            self._stats.deletes += 1
            self._bucket.objects.pop(key, None)

        self._met("delete", key, remove)

    def list(self, prefix: str, *, after: str = "") -> Iterator[Listed]:
        def read() -> list[Listed]:
            self._stats.lists += 1
            found = sorted(self._bucket.objects.items(), key=lambda each: each[0].encode())
            return [
                Listed(key, len(data), float(int(time)))
                for key, (data, time) in found
                if key.startswith(prefix) and key > after
            ]

        yield from self._met("list", prefix, read)

    def close(self) -> None:
        return

    def _met(self, name: str, key: str, act: Callable[[], T]) -> T:
        if self._url != self._bucket.url:
            raise NotFound(f"there is no {self._url}", hint=f"there is {self._bucket.url}")
        lost = self._bucket.meet(name, key)
        if lost is Lost.REQUEST:
            raise RemoteError(f"{self._url}/{key}: the request was lost", transient=True)
        with self._bucket.lock:
            result = act()
        if lost is Lost.REPLY:
            raise RemoteError(f"{self._url}/{key}: the reply was lost", transient=True)
        return result

    def _write(self, key: str, data: bytes) -> Written:
        self._stats.puts += 1
        self._stats.sent_bytes += len(data)
        self._bucket.objects[key] = data, self._bucket.now
        return Written(_etag(data), self._time())

    def _pieces(self, data: bytes, offset: int) -> Generator[bytes]:
        for at in range(offset, len(data), limits.TRANSFER_PIECE_BYTES_MAX):
            piece = data[at : at + limits.TRANSFER_PIECE_BYTES_MAX]
            self._stats.received_bytes += len(piece)
            yield piece

    def _time(self) -> float:
        return float(int(self._bucket.now))


def _etag(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()

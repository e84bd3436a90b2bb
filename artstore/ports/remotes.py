"""Remotes, how fast they are used, and what is kept of them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple, Protocol

from artstore.model import CachedPack, Fetched, Listed, RemoteStats, Unchanged, Written
from artstore.ports.buffers import Body, Buffer


class Pace(Protocol):
    """Lets bodies of requests pass, piece by piece. Thread-safe."""

    @property
    def piece_bytes(self) -> int:
        """In what pieces a body is to be sent or read now."""
        ...

    def passing(self, size: int) -> None:
        """Called before a piece is sent, or once it has come; returns when it may pass."""
        ...


class PackCache(Protocol):
    """STORE/cache: parts of packs that remotes have. Thread-safe, and shared by processes without a lock.

    Nothing is made durable and nothing is believed: what `read` gives may be zeros, or what a crash left.
    """

    def read(self, name: bytes, offset: int, size: int) -> bytes | None:
        """`size` bytes, None where nothing was kept behind them. It counts as a use."""
        ...

    def holes(self, name: bytes, offset: int, size: int) -> list[tuple[int, int]]:
        """(offset, size) of what was not kept of a range, as far as the file system tells."""
        ...

    def write(self, name: bytes, offset: int, data: Buffer) -> None:
        """Keep a part of a pack. NoSpace."""
        ...

    def drop(self, name: bytes) -> None:
        """Forget a pack; absent is fine."""
        ...

    def list(self) -> Iterator[CachedPack]:
        """All packs of which something is kept, in no order."""
        ...

    def disk(self) -> tuple[int, int]:
        """Bytes that are free to this user on its disk, and all of that disk."""
        ...


class RemotePool(Protocol):
    """The remotes of a store, each opened when it is first needed. Thread-safe; usable after a fork."""

    def ids(self) -> Sequence[bytes]:
        """Ids of those that were reached once, the home first."""
        ...

    def open(self, id: bytes) -> Remote:
        """One of them. NotFound if the store has it no more."""
        ...

    def stats(self) -> Sequence[RemoteStats]:
        """Of each that is open."""
        ...

    def close(self) -> None:
        """Let go of their connections; they are opened again when they are needed."""
        ...


class Streamed(NamedTuple):
    """A remote's object as it comes. `size`: of all of it; `pieces`: its bytes from where they were asked for."""

    size: int
    pieces: Generator[bytes]


class Remote(Protocol):
    """A place that packs and refs are replicated to: objects by key. Thread-safe.

    A key is `/`-separated parts of `[A-Za-z0-9._-]`. A write is atomic and durable when it returns, and seen by every
    later request. Errors: RemoteError when it can't be reached or doesn't answer as it should, NotPermitted when it
    refuses this user, NotFound when there is no such bucket or folder, NoSpace.
    """

    @property
    def url(self) -> str:
        """What people call it."""
        ...

    @property
    def stats(self) -> RemoteStats: ...
    def get(self, key: str) -> Fetched | None:
        """A whole object; None if there is none."""
        ...

    def stream(self, key: str, *, offset: int = 0) -> Streamed | None:
        """An object that is never replaced, from `offset`, which lies within it, to its end; None if there is none. It
        counts as a `get`. Who doesn't take all pieces closes them; they raise as all requests.
        """
        ...

    def poll(self, key: str, etag: str) -> Fetched | Unchanged | None:
        """The same, unless it is still as it was with this `etag`: one request, and no body. It counts as a `get`."""
        ...

    def get_range(self, key: str, offset: int, size: int) -> bytes | None:
        """Exactly `size` bytes, at least one; None if there is no such object. RemoteError if it is shorter."""
        ...

    def head(self, key: str) -> Listed | None:
        """How large an object is; None if there is none."""
        ...

    def put(self, key: str, body: Body) -> Written:
        """Write an object, whatever was there. A file is read from its beginning to its end."""
        ...

    def create(self, key: str, data: bytes) -> Written | None:
        """Write an object that isn't there; None if there is one: of several who try at once one succeeds.

        No other writer may write the same bytes there: it is by them that one knows its own write again.
        """
        ...

    def swap(self, key: str, data: bytes, etag: str) -> Written | None:
        """Replace an object that is still as it was with this `etag`; None if it isn't, or is gone.

        As with `create`, no other writer may write the same bytes.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; absent is fine."""
        ...

    def list(self, prefix: str, *, after: str = "") -> Iterator[Listed]:
        """The objects whose key begins with `prefix` and comes after `after`, in the order of keys."""
        ...

    def close(self) -> None:
        """Let go of its connections."""
        ...

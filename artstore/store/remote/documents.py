"""Reads documents of a remote. One that came damaged is asked for once more: it may have been the network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from artstore import limits
from artstore.errors import Corrupt, Unopened
from artstore.format.remote import Stored, decode_remote

MEND: Final = "`artstore repair --remote NAME --data` mends it, from a store that has it all"

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from artstore.model import Fetched
    from artstore.ports import Remote

T = TypeVar("T", bound=Stored)
V = TypeVar("V")


class Found(NamedTuple):
    """How a document came."""

    etag: str
    time: float


def read_document(remote: Remote, kind: type[T], key: str) -> tuple[T, Found] | None:
    """A document of a remote, None if there is none. Corrupt, naming it, if it is damaged there."""
    read = read_checked(remote, key, lambda data: decode_remote(kind, data))
    return None if read is None else (read[0], Found(read[1].etag, read[1].time))


@dataclass(frozen=True, slots=True)
class Lying(Generic[T]):
    """What lies there: its ETag, and what it says, or `why` that can't be read."""

    value: T | None
    etag: str
    why: str = ""


def read_or_etag(remote: Remote, kind: type[T], key: str) -> Lying[T] | None:
    """A document, be it readable or not, for who knows what may be put in its place; None if there is none."""
    try:
        read = read_document(remote, kind, key)
    except Unopened as error:
        return Lying(None, error.etag, error.message)
    except Corrupt as error:
        found = remote.get(key)
        return None if found is None else Lying(_decoded(kind, found.data), found.etag, error.message)
    return None if read is None else Lying(read[0], read[1].etag)


def _decoded(kind: type[T], data: bytes) -> T | None:
    try:
        return decode_remote(kind, data)
    except Corrupt:
        return None


def read_documents(remote: Remote, kind: type[T], keys: Iterable[str]) -> list[tuple[T, Found] | None]:
    """The same, of several, in order."""
    with ThreadPoolExecutor(limits.REMOTE_SMALL_REQUESTS) as pool:
        return [each.result() for each in [pool.submit(read_document, remote, kind, key) for key in keys]]


def read_as_they_lie(remote: Remote, kind: type[T], keys: Iterable[str]) -> list[Lying[T] | None]:
    """The same as `read_or_etag`, of several, in order."""
    with ThreadPoolExecutor(limits.REMOTE_SMALL_REQUESTS) as pool:
        return [each.result() for each in [pool.submit(read_or_etag, remote, kind, key) for key in keys]]


def read_checked(remote: Remote, key: str, check: Callable[[bytes], V]) -> tuple[V, Fetched] | None:
    """What `check` makes of an object; None if there is none. It raises Corrupt for what is damaged."""
    found = remote.get(key)
    if found is None:
        return None
    try:
        return check(found.data), found
    except Corrupt as error:
        again = remote.get(key)
        if again is None or again.data == found.data:
            raise Corrupt(f"{remote.url}/{key}: {error.message}", digest=error.digest, hint=error.hint) from error
    return check(again.data), again

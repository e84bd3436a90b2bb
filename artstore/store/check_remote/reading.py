"""Reads many small objects of a remote side by side; one that is damaged is told in its place, and ends nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from artstore import limits
from artstore.errors import Corrupt
from artstore.store.remote.documents import read_checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from artstore.ports import Remote

T = TypeVar("T")

_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """What came of one key: a value, or why there is none; neither if there is no such object."""

    key: str
    value: T | None
    etag: str = ""
    problem: str | None = None


def read_one(remote: Remote, key: str, check: Callable[[bytes], T]) -> Read[T]:
    """One object as `check` understands it. NewerFormat goes on: that is no damage."""
    try:
        found = read_checked(remote, key, check)
    except Corrupt as error:
        return Read(key, None, problem=error.message)
    return Read(key, None) if found is None else Read(key, found[0], found[1].etag)


def read_each(remote: Remote, keys: Iterable[str], check: Callable[[str, bytes], T]) -> Iterator[Read[T]]:
    """The same of many, in their order; `check` gets the key, too. A few are held at once."""

    def read(key: str) -> Read[T]:
        return read_one(remote, key, lambda data: check(key, data))

    rest = iter(keys)
    with ThreadPoolExecutor(limits.REMOTE_SMALL_REQUESTS) as pool:
        while batch := list(islice(rest, _AT_ONCE)):
            yield from pool.map(read, batch)

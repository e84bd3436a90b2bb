"""Tries out what a remote promises: above all that of several writers of one name exactly one wins.

They really race: a service may pass each check done by one writer alone and still let several win at once. Whatever is
written lies below a random name, and is deleted.
"""

from __future__ import annotations

import contextlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.errors import ArtstoreError, NotFound, NotPermitted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from artstore.model import Written
    from artstore.ports import Remote

_FOLDER: Final = "check"
_BYTES: Final = 100_000


@dataclass(frozen=True, slots=True)
class RemoteFinding:
    """One thing that was tried. `needed`: without it the remote can't be used; else only by one writer."""

    name: str
    ok: bool
    told: str
    needed: bool


def check_remote(
    remote: Remote, *, writers: int = limits.REMOTE_CHECK_WRITERS, rounds: int = limits.REMOTE_CHECK_ROUNDS
) -> list[RemoteFinding]:
    """Try everything out, in about 2 × `rounds` × (`writers` + 3) requests. NotFound, NotPermitted if nothing goes."""
    folder = f"{_FOLDER}/{secrets.token_hex(8)}"
    trial = _Trial(remote, folder, writers, rounds)
    steps: list[tuple[str, bool, Callable[[], str]]] = [
        ("write and read", True, trial.write_and_read),
        ("ranges", True, trial.ranges),
        ("list after write", True, trial.listing),
        ("delete", True, trial.deletion),
        ("stale writers are refused", False, trial.stale),
        ("racing creators", False, trial.creators),
        ("racing swappers", False, trial.swappers),
    ]
    try:
        return list(_findings(steps))
    finally:
        with contextlib.suppress(ArtstoreError):  # what is left is told apart by its name, and small
            for found in list(remote.list(folder + "/")):
                remote.delete(found.key)


def _findings(steps: list[tuple[str, bool, Callable[[], str]]]) -> Iterator[RemoteFinding]:
    for name, needed, step in steps:
        try:
            told = step()
        except _Failed as failure:
            yield RemoteFinding(name, False, str(failure), needed)
        except (NotFound, NotPermitted):
            raise
        except ArtstoreError as error:
            yield RemoteFinding(name, False, error.message, needed)
        else:
            yield RemoteFinding(name, True, told, needed)


class _Failed(Exception):
    """A promise that wasn't kept."""


class _Trial:
    """What is tried, one method each: what to tell, or _Failed."""

    def __init__(self, remote: Remote, folder: str, writers: int, rounds: int) -> None:
        self._remote = remote
        self._folder = folder
        self._writers = writers
        self._rounds = rounds
        self._data = secrets.token_bytes(_BYTES)

    def write_and_read(self) -> str:
        """An object comes back as it was written; another one isn't there."""
        written = self._remote.put(self._key("plain"), self._data)
        found = self._remote.get(self._key("plain"))
        _require(found is not None and found.data == self._data, "other bytes came back than were written")
        assert found is not None
        _require(not written.etag or found.etag == written.etag, "the ETag of a read is not that of the write")
        _require(self._remote.get(self._key("none")) is None, "there is an object that nobody wrote")
        return f"{len(self._data)} bytes"

    def ranges(self) -> str:
        """A part of an object."""
        for offset, size in ((0, 1), (1000, 4096), (_BYTES - 10, 10)):
            part = self._remote.get_range(self._key("plain"), offset, size)
            _require(part == self._data[offset : offset + size], f"wrong bytes for {size} from {offset}")
        return "right"

    def listing(self) -> str:
        """What was just written is listed, in order."""
        names = [self._key(f"list/{number:02}") for number in range(10)]
        for name in reversed(names):
            self._remote.put(name, b"x")
        found = [each.key for each in self._remote.list(self._key("list/"))]
        _require(found == names, f"{len(found)} of {len(names)} objects were listed")
        after = [each.key for each in self._remote.list(self._key("list/"), after=names[3])]
        _require(after == names[4:], "a listing does not go on where it should")
        return "complete, in order"

    def deletion(self) -> str:
        """What was deleted is gone."""
        for _ in range(2):
            self._remote.delete(self._key("list/00"))
        _require(self._remote.head(self._key("list/00")) is None, "what was deleted is still there")
        _require(
            self._key("list/00") not in {each.key for each in self._remote.list(self._key("list/"))}, "still listed"
        )
        return "gone at once"

    def stale(self) -> str:
        """Who knows an old state only may not overwrite the new one."""
        first = self._remote.create(self._key("stale"), b"first")
        _require(first is not None, "nothing could be created")
        assert first is not None
        second = self._remote.swap(self._key("stale"), b"second", first.etag)
        _require(second is not None, "it could not be replaced")
        _require(
            self._remote.swap(self._key("stale"), b"third", first.etag) is None, "an old writer overwrote a new one"
        )
        _require(self._remote.create(self._key("stale"), b"fourth") is None, "it was created although it was there")
        _require(self._remote.swap(self._key("none"), b"fifth", first.etag) is None, "what isn't there was replaced")
        return "refused"

    def creators(self) -> str:
        """Of several who create one object at once, one wins."""
        for number in range(self._rounds):
            key = self._key(f"create/{number}")
            self._race(key, partial(self._remote.create, key))
        return f"one of {self._writers} won, {self._rounds} times"

    def swappers(self) -> str:
        """Of several who replace one object at once, one wins."""
        key = self._key("swap")
        written = self._remote.put(key, b"begin")
        etag = written.etag
        for _ in range(self._rounds):
            etag = self._race(key, partial(self._remote.swap, key, etag=etag))
        return f"one of {self._writers} won, {self._rounds} times"

    def _race(self, key: str, write: Callable[[bytes], Written | None]) -> str:
        """All write at once; the ETag of what won."""
        start = Barrier(self._writers)
        bodies = [secrets.token_bytes(16) for _ in range(self._writers)]

        def run(body: bytes) -> Written | None:
            start.wait()
            return write(body)

        with ThreadPoolExecutor(self._writers) as pool:
            results = list(pool.map(run, bodies))
        winners = [(body, result) for body, result in zip(bodies, results, strict=True) if result is not None]
        _require(len(winners) == 1, f"{len(winners)} of {self._writers} writers won")
        found = self._remote.get(key)
        _require(found is not None and found.data == winners[0][0], "it holds what did not win")
        return winners[0][1].etag

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}"


def _require(kept: bool, told: str) -> None:
    if not kept:
        raise _Failed(told)

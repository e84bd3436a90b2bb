"""Remotes that fail for the moment, lose replies, or let several writers win; and the first contact with one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from artstore import limits
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import Conflict, NewerFormat, RemoteError
from artstore.format.ids import checksum
from artstore.format.remote import FORMAT_KEY, RemoteFormat, decode_remote, encode_remote
from artstore.model import Fetched, Listed, RemotePlace, RemoteStats, Unchanged, Written
from artstore.planning.retry import RetryPolicy
from artstore.ports import Body, Remote, Streamed
from artstore.store.remote.opening import look_at_remote, prepare_remote
from artstore.store.remote.retrying import RetryingRemote
from artstore.store.remote.selftest import check_remote

T = TypeVar("T")
ATTEMPTS = 4


class Flaky:
    """A folder whose requests fail as they are told to: `before` it is done, or `behind` it, the reply being lost."""

    def __init__(self, path: Path) -> None:
        self.inner = FolderRemote(RemotePlace(url=f"file://{path / 'remote'}"))
        self.before = 0
        self.behind = 0
        self.asked: float | None = None
        self.transient = True
        self.overloaded = False

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def stats(self) -> RemoteStats:
        return self.inner.stats

    def _do(self, request: Callable[[], T]) -> T:
        error = RemoteError(
            "503 SlowDown", transient=self.transient, retry_after_s=self.asked, overloaded=self.overloaded
        )
        if self.before:
            self.before -= 1
            raise error
        answer = request()
        if self.behind:
            self.behind -= 1
            raise error
        return answer

    def get(self, key: str) -> Fetched | None:
        return self._do(lambda: self.inner.get(key))

    def stream(self, key: str, *, offset: int = 0) -> Streamed | None:
        return self._do(lambda: self.inner.stream(key, offset=offset))

    def poll(self, key: str, etag: str) -> Fetched | Unchanged | None:
        return self._do(lambda: self.inner.poll(key, etag))

    def get_range(self, key: str, offset: int, size: int) -> bytes | None:
        return self._do(lambda: self.inner.get_range(key, offset, size))

    def head(self, key: str) -> Listed | None:
        return self._do(lambda: self.inner.head(key))

    def put(self, key: str, body: Body) -> Written:
        return self._do(lambda: self.inner.put(key, body))

    def create(self, key: str, data: bytes) -> Written | None:
        return self._do(lambda: self.inner.create(key, data))

    def swap(self, key: str, data: bytes, etag: str) -> Written | None:
        return self._do(lambda: self.inner.swap(key, data, etag))

    def delete(self, key: str) -> None:
        self._do(lambda: self.inner.delete(key))

    def list(self, prefix: str, *, after: str = "") -> Iterator[Listed]:
        for number, found in enumerate(self.inner.list(prefix, after=after)):
            if number == 2 and self.before:
                self.before -= 1
                raise RemoteError("reset", transient=True)
            yield found

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def flaky(tmp_path: Path) -> Flaky:
    return Flaky(tmp_path)


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def remote(flaky: Flaky, pauses: list[float]) -> RetryingRemote:
    policy = RetryPolicy(attempts_max=ATTEMPTS, delay_s_min=1.0, delay_s_max=10.0)
    return RetryingRemote(flaky, policy=policy, sleep=pauses.append, spread=lambda: 1.0)


def requests(remote: Remote) -> list[Callable[[], object]]:
    """One of each kind."""
    return [
        lambda: remote.put("a", b"x"),
        lambda: remote.get("a"),
        lambda: remote.poll("a", "none"),
        lambda: remote.get_range("a", 0, 1),
        lambda: b"".join((remote.stream("a") or pytest.fail("it isn't there")).pieces),
        lambda: remote.head("a"),
        lambda: list(remote.list("")),
        lambda: remote.create("b", b"x"),
        lambda: remote.delete("b"),
    ]


def test_what_fails_for_the_moment_is_asked_again(flaky: Flaky, remote: RetryingRemote, pauses: list[float]) -> None:
    """A push of an hour would end at the first 503."""
    for request in requests(remote):
        flaky.before = 2
        request()
        flaky.before = 0
    assert pauses == [1.0, 2.0] * 8, "a listing of one object does not fail here"
    assert remote.stats.repeated == len(pauses)


def test_what_goes_on_failing_is_an_error(flaky: Flaky, remote: RetryingRemote, pauses: list[float]) -> None:
    """It would hang for ever."""
    flaky.before = 100
    with pytest.raises(RemoteError, match="503"):
        remote.get("a")
    assert pauses == [1.0, 2.0, 4.0]


def test_what_will_not_go_away_is_told_at_once(flaky: Flaky, remote: RetryingRemote, pauses: list[float]) -> None:
    """A wrong region would take minutes to be told."""
    flaky.before, flaky.transient = 1, False
    with pytest.raises(RemoteError):
        remote.get("a")
    assert pauses == []


def test_retry_after(flaky: Flaky, remote: RetryingRemote, pauses: list[float]) -> None:
    """A service that asks to be left alone is."""
    flaky.before, flaky.asked = 2, 7.0
    remote.get("a")
    assert pauses == [7.0 + 1.0, 7.0 + 2.0]


def test_what_asks_for_less_is_counted(flaky: Flaky, remote: RetryingRemote) -> None:
    """Whoever decides how many requests run would not hear of it; and take a reset connection for it."""
    flaky.before = 2
    remote.get("a")
    assert remote.stats.refused == 0
    flaky.before, flaky.overloaded = 100, True
    with pytest.raises(RemoteError):
        remote.get("a")
    assert remote.stats.refused == ATTEMPTS


def test_a_lost_reply_is_told_from_a_lost_race(flaky: Flaky, remote: RetryingRemote) -> None:
    """A tag that was made would be reported as taken, or one that is taken as made."""
    flaky.behind = 1
    made = remote.create("tags/m/v1", b"mine")
    assert made is not None
    assert made.etag == (flaky.inner.get("tags/m/v1") or pytest.fail("it isn't there")).etag
    flaky.behind = 1
    assert remote.create("tags/m/v1", b"another") is None
    flaky.behind = 2
    moved = remote.swap("tags/m/v1", b"moved", made.etag)
    assert moved is not None
    flaky.before = 1
    assert remote.swap("tags/m/v1", b"late", made.etag) is None
    flaky.behind = 1
    assert remote.swap("tags/m/v1", b"again", moved.etag) is not None


def test_a_refusal_at_once_is_a_lost_race(remote: RetryingRemote) -> None:
    """Of two writers who write the same bytes both would believe to have won."""
    assert remote.create("a", b"same") is not None
    assert remote.create("a", b"same") is None


class Torn(FolderRemote):
    """Breaks off after a piece of each stream, as often as it is told."""

    times = 0
    replaced = False

    def stream(self, key: str, *, offset: int = 0) -> Streamed | None:
        found = super().stream(key, offset=offset)
        return found and Streamed(found.size + (self.replaced and offset > 0), self._torn(found.pieces))

    def _torn(self, pieces: Generator[bytes]) -> Generator[bytes]:
        for number, piece in enumerate(pieces):
            if number and self.times:
                self.times -= 1
                raise RemoteError("connection reset", transient=True)
            yield piece


def test_a_stream_goes_on_where_it_broke(tmp_path: Path, pauses: list[float]) -> None:
    """A pack of 64 MiB would come from its beginning again and again, or with a piece too much."""
    torn = Torn(RemotePlace(f"file://{tmp_path}"))
    remote = RetryingRemote(torn, policy=RetryPolicy(attempts_max=2, delay_s_min=1.0), sleep=pauses.append)
    data = bytes(range(251)) * (6 * limits.TRANSFER_PIECE_BYTES_MAX // 251)
    remote.put("p/x/1", data)
    torn.times = 4
    found = remote.stream("p/x/1", offset=7)
    assert found is not None
    assert b"".join(found.pieces) == data[7:]
    assert (len(pauses), torn.stats.gets) == (4, 5), "each piece that comes is progress"
    assert torn.stats.received_bytes < len(data) + 5 * limits.TRANSFER_PIECE_BYTES_MAX


def test_a_stream_of_something_else(tmp_path: Path, pauses: list[float]) -> None:
    """Two halves of two packs would be taken for one."""
    torn = Torn(RemotePlace(f"file://{tmp_path}"))
    remote = RetryingRemote(torn, sleep=pauses.append)
    remote.put("p/x/1", bytes(3 * limits.TRANSFER_PIECE_BYTES_MAX))
    torn.times, torn.replaced = 1, True
    found = remote.stream("p/x/1")
    assert found is not None
    with pytest.raises(RemoteError, match="replaced or deleted"):
        b"".join(found.pieces)


def test_a_listing_goes_on_where_it_broke(flaky: Flaky, remote: RetryingRemote) -> None:
    """A clone would see a name twice, or miss one."""
    names = [f"l/{number}" for number in range(9)]
    for name in names:
        remote.put(name, b"")
    flaky.before = 3
    assert [found.key for found in remote.list("l/")] == names
    assert flaky.before == 0


class Careless(FolderRemote):
    """A store that looks before it writes, and writes whatever happened since: right for one writer, not for two."""

    def _put_if(self, key: str, data: bytes, etag: str | None) -> Written | None:
        present = self.get(key)
        if (None if present is None else present.etag) != etag:
            return None
        return self.put(key, data)


class Forgetful(FolderRemote):
    """A store that doesn't know of conditions."""

    def _put_if(self, key: str, data: bytes, etag: str | None) -> Written | None:
        return self.put(key, data)


def test_a_remote_that_loses_races_is_found(tmp_path: Path) -> None:
    """Two machines that push to it would lose each other's tags."""
    place = RemotePlace(url=f"file://{tmp_path / 'remote'}")
    failed = {finding.name for finding in check_remote(Careless(place), rounds=30) if not finding.ok}
    assert failed & {"racing creators", "racing swappers"}
    assert "stale writers are refused" not in failed, "one writer alone sees nothing of it"
    failed = {finding.name for finding in check_remote(Forgetful(place), rounds=2) if not finding.ok}
    assert failed == {"stale writers are refused", "racing creators", "racing swappers"}
    assert list(FolderRemote(place).list("")) == []


def test_the_first_contact(flaky: Flaky) -> None:
    """Any folder would do as a remote, and a push would fill it."""
    assert look_at_remote(flaky, chunker=1) is None
    made = prepare_remote(flaky, chunker=1)
    assert prepare_remote(flaky, chunker=1) == made == look_at_remote(flaky, chunker=1)
    with pytest.raises(NewerFormat, match="rule 1"):
        prepare_remote(flaky, chunker=2)
    flaky.put(FORMAT_KEY, b"[remote]\n")
    with pytest.raises(Conflict, match="not artstore's"):
        prepare_remote(flaky, chunker=1)
    newer = bytes([0x92, 3]) + encode_remote(made)[2:-16]
    flaky.put(FORMAT_KEY, newer + checksum(newer)[:16])
    with pytest.raises(NewerFormat):
        prepare_remote(flaky, chunker=1)
    flaky.delete(FORMAT_KEY)
    flaky.put("photos/1.jpg", b"")
    with pytest.raises(Conflict, match=r"photos/1\.jpg"):
        prepare_remote(flaky, chunker=1)


def test_many_who_make_one_remote(tmp_path: Path) -> None:
    """Each would write another id into it."""
    place = RemotePlace(url=f"file://{tmp_path / 'remote'}")
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(prepare_remote, FolderRemote(place), chunker=1) for _ in range(8)]
        assert len({future.result() for future in made}) == 1


def test_the_format_document() -> None:
    """Its bytes are law."""
    data = encode_remote(RemoteFormat(bytes(range(16)), 1))
    assert data[:-16].hex() == "920192c410000102030405060708090a0b0c0d0e0f01"
    assert data[-16:] == checksum(data[:-16])[:16]
    assert decode_remote(RemoteFormat, data) == RemoteFormat(bytes(range(16)), 1)

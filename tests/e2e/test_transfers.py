"""What a user sees and says while bytes travel: how much is to come, how far it is, how fast it may be."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artstore import Store, limits
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import NotPermitted, UsageError
from artstore.model import RemotePlace, Written
from artstore.ports import Body, Streamed
from artstore.store.context import Counters
from artstore.store.remote.flow import Flow

if TYPE_CHECKING:
    from tests.e2e.conftest import Run

MIB = 1 << 20
SIZE = 9 * MIB


def noise(size: int, seed: int = 1) -> bytes:
    return hashlib.shake_128(seed.to_bytes(8)).digest(size)


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Store]:
    """A store with a version of many packs, and a remote."""
    monkeypatch.setattr(limits, "PACK_BYTES_TARGET", MIB)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "weights").write_bytes(noise(SIZE))

    def make() -> Store:
        store = Store.init(tmp_path / "origin")
        store.add_remote("origin", RemotePlace(url=f"file://{tmp_path / 'remote'}"))
        store.commit(tmp_path / "folder", tag="m/v1")
        return store

    return make


def failing(monkeypatch: pytest.MonkeyPatch, good: int) -> pytest.MonkeyPatch:
    """After so many packs the remote refuses this user."""
    put, stream = FolderRemote.put, FolderRemote.stream
    left = good

    def reach(key: str) -> None:
        nonlocal left
        if key.startswith("p/"):
            left -= 1
            if left < 0:
                raise NotPermitted("revoked")

    def put_some(self: FolderRemote, key: str, body: Body) -> Written:
        reach(key)
        return put(self, key, body)

    def stream_some(self: FolderRemote, key: str, *, offset: int = 0) -> Streamed | None:
        reach(key)
        return stream(self, key, offset=offset)

    monkeypatch.setattr(FolderRemote, "put", put_some)
    monkeypatch.setattr(FolderRemote, "stream", stream_some)
    return monkeypatch


def is_over(counters: Counters, moved_bytes: int) -> bool:
    """Whether all is done that was to be, and it is what moved."""
    return counters.bytes_done == counters.bytes_total == moved_bytes and counters.bytes_moving == 0


def test_how_much_a_push_is(origin: Callable[[], Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar would end at a third, or stand at its end for an hour; after a failure it would count what is there."""
    with origin() as store:
        first = Counters()
        with monkeypatch.context() as broken:
            failing(broken, 4)
            with pytest.raises(NotPermitted):
                store.push(counters=first)
        assert first.bytes_total is not None
        assert first.bytes_moving == 0
        second = Counters()
        result = store.push(counters=second)
        assert is_over(second, result.sent_bytes)
        assert 0 < result.sent_bytes < first.bytes_total
        assert second.requests is not None
        assert second.requests() >= result.requests > 0
        (Path(store.path).parent / "folder" / "more").write_bytes(noise(50_000, 2))
        store.commit(Path(store.path).parent / "folder", tag="m/v2")
        third = Counters()
        assert is_over(third, store.push(counters=third).sent_bytes)


def test_how_much_a_pull_is(origin: Callable[[], Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same; and who sees nothing of it doesn't pay for a listing."""
    with origin() as store:
        store.push()
    place = RemotePlace(url=f"file://{tmp_path / 'remote'}")
    first = Counters(wants_total=True)
    with monkeypatch.context() as broken:
        failing(broken, 4)
        with pytest.raises(NotPermitted):
            Store.clone(place, tmp_path / "clone", full=True, counters=first)
    assert first.bytes_total is not None
    assert first.bytes_total > SIZE
    with Store.open(tmp_path / "clone") as clone:
        second = Counters(wants_total=True)
        result = clone.pull(counters=second)
        assert is_over(second, result.received_bytes)
        assert 0 < result.received_bytes < first.bytes_total
    watched, unwatched = Counters(wants_total=True), Counters()
    one, seen = Store.clone(place, tmp_path / "one", full=True, counters=watched)
    two, unseen = Store.clone(place, tmp_path / "two", full=True, counters=unwatched)
    one.close()
    two.close()
    assert is_over(watched, seen.received_bytes)
    assert unwatched.bytes_total is None
    assert seen.requests == unseen.requests + 2  # of data packs, of metadata packs


def test_how_much_a_prefetch_is(origin: Callable[[], Store], tmp_path: Path) -> None:
    """The same, also of what was in the cache already."""
    with origin() as store:
        store.push()
    clone, _ = Store.clone(RemotePlace(url=f"file://{tmp_path / 'remote'}"), tmp_path / "clone")
    with clone:
        counters = Counters()
        result = clone.prefetch("m/v1", counters=counters)
        assert is_over(counters, result.fetched_bytes)
        again = clone.prefetch("m/v1", counters=counters)
        assert again.fetched == 0
        assert is_over(counters, 2 * result.fetched_bytes)


def test_a_limit_as_it_is_typed(
    run: Run, origin: Callable[[], Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command that moves bytes takes it, for all that it moves; nothing is printed but what it did."""
    monkeypatch.setattr(limits, "PROGRESS_PLAIN_S", 0.001)
    rates: list[int | None] = []
    limited = Flow.limited

    def watch(self: Flow, rate_bytes_s: int | None) -> object:
        rates.append(rate_bytes_s)
        return limited(self, rate_bytes_s)

    monkeypatch.setattr(Flow, "limited", watch)
    origin().close()
    url = f"file://{tmp_path / 'remote'}"
    there, here = ("--store", tmp_path / "origin"), ("--store", tmp_path / "clone")
    lines = [
        (*there, "push", "--limit-rate", "200M"),
        (*here, "clone", url, "--limit-rate", "100MiB/s"),
        (*here, "fetch", "--limit-rate", "2GB/s"),
        (*here, "prefetch", "m/v1", "--limit-rate", "150000000"),
        (*here, "pull", "--limit-rate=1GiB"),
    ]
    for line in lines:
        answer = run(*line)
        assert len(answer.err) == 0
        assert answer.out
    assert rates == [200_000_000, 100 * MIB, 2_000_000_000, 150_000_000, 1 << 30]
    for wrong in ("fast", "10X", "-1M", "1", "M", "1e6", ""):
        assert "limit-rate" in run(*there, "push", "--limit-rate", wrong, code=2).err


def test_a_limit_that_is_none(origin: Callable[[], Store], tmp_path: Path) -> None:
    """A clone would be left behind half made."""
    with origin() as store:
        with pytest.raises(UsageError, match="bytes a second"):
            store.push(limit_rate=0)
        store.push(limit_rate=1_000_000_000)
    with pytest.raises(UsageError, match="bytes a second"):
        Store.clone(RemotePlace(url=f"file://{tmp_path / 'remote'}"), tmp_path / "clone", limit_rate=1)
    assert not (tmp_path / "clone").exists()

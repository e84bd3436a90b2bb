"""What reading asks of a remote, counted to the request: by the store, and by a proxy between it and the service."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from artstore import Store
from artstore.model import RemotePlace
from artstore.store.remote.pull import PullResult
from artstore.testing.fault_proxy import FaultProxy
from tests.remotes import address

pytestmark = pytest.mark.plain("counts requests: keys cost some")

Place = Callable[[str], RemotePlace]
MIB = 1 << 20
KINDS = ["folder", "moto", "ceph"]


def noise(size: int, seed: int) -> bytes:
    """Bytes that can't be compressed, quickly."""
    return hashlib.shake_128(seed.to_bytes(8)).digest(size)


@dataclass
class Bench:
    """Machines that share a remote; what one of them asks passes a proxy."""

    path: Path
    place: RemotePlace
    stack: ExitStack
    proxy: FaultProxy | None = None
    opened: list[Store] = field(default_factory=list[Store])

    def origin(self) -> Store:
        """The machine where versions are made."""
        store = self.stack.enter_context(Store.init(self.path / "origin"))
        store.add_remote("origin", self.place)
        return store

    def clone(self) -> tuple[Store, PullResult]:
        """A machine whose requests are counted."""
        place = self.place
        if place.endpoint is not None:
            self.proxy = self.stack.enter_context(FaultProxy(address(place.endpoint), lambda method, path: None))
            place = replace(place, endpoint=self.proxy.url)
        store, result = Store.clone(place, self.path / "clone")
        self.stack.enter_context(store)
        return store, result

    def commit(self, store: Store, tag: str, **files: bytes) -> None:
        """A version that has these files, and those of before."""
        folder = self.path / "folder"
        folder.mkdir(exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        store.commit(folder, tag=tag)

    def start(self) -> None:
        """Count from here on."""
        if self.proxy is not None:
            self.proxy.requests = self.proxy.moved_bytes = 0


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, remote_place: Place, tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, remote_place(request.param), stack)


def check(bench: Bench, result: PullResult, requests: int) -> None:
    """That many, as the store counts and as the proxy does."""
    assert result.requests == requests
    if bench.proxy is not None:
        assert bench.proxy.requests == requests
    bench.start()


def test_a_fetch(bench: Bench) -> None:
    """A machine that follows an alias asks every minute: it would cost a request for each version there ever was."""
    origin = bench.origin()
    for number in range(1, 9):
        bench.commit(origin, f"m/v{number}", part=noise(50_000, number), **{f"of{number}": noise(20_000, number)})
    origin.set_alias("m/production", "m/v1")
    origin.push()
    clone, _ = bench.clone()
    bench.start()
    # The format, two listings, the alias; of eight tags that are known none.
    check(bench, clone.fetch(), 4)
    bench.commit(origin, "m/v9", part=noise(50_000, 9))
    origin.push()
    bench.start()
    # Beside these the tag, the version's set, its pack of metadata.
    new = clone.fetch()
    assert (new.written, new.versions, new.packs) == (["m/v9"], 1, 1)
    check(bench, new, 4 + 3)
    check(bench, clone.fetch(), 4)
    origin.set_alias("m/production", "m/v9")
    bench.start()
    # The move.
    moved = clone.fetch()
    assert moved.written == ["m/production"]
    check(bench, moved, 4 + 1)


def test_a_push(bench: Bench) -> None:
    """A daemon that commits every minute would pay for what only those need who have mirrors, or keys."""
    origin = bench.origin()
    bench.commit(origin, "m/v1", part=noise(50_000, 1))
    origin.push()
    bench.commit(origin, "m/v2", more=noise(20_000, 2))
    result = origin.push()
    # Who is home, and what is garbage: mirror-of and gc/state, both again before the name and behind it.
    asked = 3 + 3
    # What is there: the version's set; then the newest tags of the artifact, of these one, and its set.
    asked += 1 + 3
    # What is proven before the name: the set, the packs and shards of both pushes.
    asked += 1 + 5
    # Pin, two packs, shard, set, tag, hint; the pin is deleted.
    assert (result.puts, result.requests) == (7, asked + 7 + 1)
    assert origin.push().requests == 0, "what is known to be there isn't asked for"
    origin.set_alias("m/production", "m/v2")
    moved = origin.push()
    # As above, but that nothing is sent: mirror-of twice; the alias, then its move, itself and the hint are written.
    assert (moved.written, moved.puts) == (["m/production"], 3)
    assert moved.requests == (2 + 3) + 1 + (1 + 5) + 1 + 3


def test_a_tag_that_was_removed_there_is_looked_at(bench: Bench) -> None:
    """It would be told as if it stood there still."""
    origin = bench.origin()
    for number in range(1, 4):
        bench.commit(origin, f"m/v{number}", part=noise(50_000, number))
    origin.push()
    clone, _ = bench.clone()
    origin.remove_at_remote("m/v2", remote="origin")
    bench.start()
    result = clone.fetch()
    assert sorted(result.unchanged) == ["m/v1", "m/v3"]
    check(bench, result, 4)


def test_a_part_of_a_large_file(bench: Bench) -> None:
    """One tensor of a model would cost the model."""
    origin = bench.origin()
    data = noise(256 * MIB, 1)
    bench.commit(origin, "m/v1", weights=data)
    origin.push()
    clone, _ = bench.clone()
    bench.start()
    with clone.open("m/v1", "weights") as file:
        file.seek(100 * MIB + 12_345)
        assert file.read(MIB) == data[100 * MIB + 12_345 :][:MIB]
    stats = clone.remote_stats()
    # The version's set, the shard that tells where its chunks are, a range of a pack: at most 6 are promised.
    assert (stats.requests, stats.gets) == (3, 3)
    assert MIB < stats.received_bytes < 1.5 * MIB  # at most 8 MiB are
    if bench.proxy is not None:
        assert (bench.proxy.requests, bench.proxy.moved_bytes) == (stats.requests, stats.received_bytes)

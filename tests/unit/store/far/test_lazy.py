"""Reading what isn't here: what moves, what is kept, what can be read without the remote."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artstore import Store
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import Conflict, Corrupt, Erased, NoSpace, NotFound, RemoteError
from artstore.format.sealed import SEGMENT_BYTES
from artstore.model import FarPack, RemotePlace
from artstore.store.far import FarSource
from artstore.store.far.flights import Coming, Flights
from artstore.testing.damage import flip

from .conftest import MIB, Lab, cached_bytes, noise, since


@pytest.fixture
def big(lab: Lab) -> Lab:
    """A pushed version with a file of several packs, beside small ones."""
    origin = lab.origin()
    lab.write(weights=noise(80 * MIB), config=b"{}", **{f"part{number}": noise(5000, number) for number in range(40)})
    origin.commit(lab.folder, tag="m/v1")
    origin.set_alias("m/production", "m/v1")
    origin.push()
    return lab


def test_a_clone_brings_names_and_no_data(big: Lab) -> None:
    """A second machine would wait for 100 GB before it can look at a version."""
    clone = big.clone()
    assert [tag.name for tag in clone.tags()] == ["m/v1"]
    assert clone.version("m/v1").size == 80 * MIB + 2 + 40 * 5000
    assert {path for path, _ in clone.walk("m/v1")} == {name.encode() for name in os.listdir(big.folder)}
    assert sum(path.stat().st_size for path in Path(clone.path, "packs").rglob("*.pack")) < MIB
    assert clone.remote_stats().requests == 0


@pytest.mark.plain("counts requests: each pack costs one more")
def test_a_part_of_a_file_moves_little_more_than_itself(big: Lab) -> None:
    """Reading a tensor out of a model would fetch the model."""
    clone = big.clone()
    with clone.open("m/v1", "weights") as file:
        file.seek(30 * MIB)
        assert file.read(MIB) == noise(80 * MIB)[30 * MIB : 31 * MIB]
    stats = clone.remote_stats()
    assert (stats.gets, stats.requests) == (3, 3)  # the set, its shard, the range
    assert stats.received_bytes < 2 * MIB


def test_what_was_read_is_not_fetched_again(big: Lab) -> None:
    """Each process would pay for the same bytes."""
    clone = big.clone()
    clone.open("m/v1", "config").read()
    again = big.reopen(clone)
    assert again.open("m/v1", "config").read() == b"{}"
    assert again.remote_stats().requests == 0


def test_a_checkout_fetches_what_the_version_has(big: Lab) -> None:
    """It would move more than the version has, or ask for each of its chunks."""
    clone = big.clone()
    assert big.is_same(clone, "m/production")
    stats = clone.remote_stats()
    ends = 2 * SEGMENT_BYTES * stats.gets if clone.is_encrypted else 0  # a range begins and ends with whole segments
    assert stats.received_bytes < 1.01 * 80 * MIB + ends
    assert stats.gets < 30  # 8 MiB each, smaller ones at first, and a few for two packs and a shard
    assert stats.lists == stats.heads == 0
    before = clone.remote_stats()
    assert big.is_same(clone, "m/v1", "again")
    assert since(clone, before).requests == 0


def test_a_sequential_reader_does_not_wait_for_each_piece(big: Lab) -> None:
    """`cat` would go at one round trip for each of its reads."""
    clone = big.clone()
    read = 0
    with clone.open("m/v1", "weights") as file:
        while block := file.read(256 * 1024):
            read += len(block)
    assert read == 80 * MIB
    assert clone.remote_stats().gets < 30


@pytest.mark.plain("what lies side by side is in one segment")
def test_two_readers_of_one_place_ask_once(big: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers of a data loader that open one file would each fetch it."""
    clone = big.clone()
    clone.open("m/v1", "config").read()  # sets and shards are known then
    begun, go = threading.Event(), threading.Event()
    real = FolderRemote.get_range
    asked: list[tuple[str, int]] = []

    def slow(self: FolderRemote, key: str, offset: int, size: int) -> bytes | None:
        asked.append((key, offset))
        begun.set()
        assert go.wait(30)
        return real(self, key, offset, size)

    monkeypatch.setattr(FolderRemote, "get_range", slow)
    shared = threading.Event()
    real_bring = Flights.bring

    def bring(self: Flights, pack: FarPack, start: int, end: int) -> Coming:
        coming = real_bring(self, pack, start, end)
        if begun.is_set():
            shared.set()
        return coming

    monkeypatch.setattr(Flights, "bring", bring)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: clone.open("m/v1", "part7").read())
        assert begun.wait(30)
        second = pool.submit(lambda: clone.open("m/v1", "part7").read())
        assert shared.wait(30)
        go.set()
        assert first.result() == second.result() == noise(5000, 7)
    assert len(asked) == len(set(asked))


# --- without the remote


def test_what_is_cached_can_be_read_without_the_remote(big: Lab) -> None:
    """A laptop on a train would have nothing."""
    clone = big.clone()
    clone.open("m/v1", "config").read()
    big.remote.rename(big.path / "away")
    clone = big.reopen(clone)
    assert clone.open("m/v1", "config").read() == b"{}"
    assert clone.version("m/v1").files == 42
    with pytest.raises((RemoteError, NotFound)) as told:
        clone.open("m/v1", "weights").read(1)
    assert str(big.remote) in str(told.value)


def test_prefetch_has_all_of_a_version_here(big: Lab) -> None:
    """Who prefetches before the network goes would be missing something afterwards."""
    clone = big.clone()
    result = clone.prefetch("m/v1")
    assert result.fetched == result.chunks > 1000
    big.remote.rename(big.path / "away")
    clone = big.reopen(clone)
    assert big.is_same(clone, "m/v1")
    again = clone.prefetch("m/v1")
    assert (again.fetched, again.fetched_bytes) == (0, 0)


def test_prefetch_of_a_path_brings_no_more(big: Lab) -> None:
    """The whole model would come for its tokenizer."""
    clone = big.clone()
    result = clone.prefetch("m/v1:part3")
    assert (result.chunks, result.fetched) == (1, 1)
    assert clone.remote_stats().received_bytes < 200_000


def test_prefetch_of_more_than_the_cache_holds_is_refused(big: Lab) -> None:
    """It would fetch for hours what it drops at once."""
    clone = big.clone()
    clone.configure("cache.size", "20MB")
    clone = big.reopen(clone)
    with pytest.raises(NoSpace, match=r"cache\.size"):
        clone.prefetch("m/v1")
    assert cached_bytes(clone) == 0
    assert clone.prefetch("m/v1:config").fetched == 1


def test_a_cache_smaller_than_the_version_serves_it_all_the_same(big: Lab) -> None:
    """A checkout would fail, or the cache outgrow its bound."""
    clone = big.clone()
    clone.configure("cache.size", "20MB")
    clone = big.reopen(clone)
    assert big.is_same(clone, "m/v1")
    assert cached_bytes(clone) <= 20_000_000 + 2 * 64 * MIB  # packs are dropped whole, once others have come


def test_a_full_disk_is_no_reason_to_fail_a_read(big: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fetched can be handed over, kept or not."""
    from artstore.adapters.cache import FileCache

    clone = big.clone()

    def full(self: FileCache, name: bytes, offset: int, data: bytes) -> None:
        raise NoSpace("no space left on device")

    monkeypatch.setattr(FileCache, "write", full)
    assert big.is_same(clone, "m/v1")
    assert cached_bytes(clone) == 0
    with pytest.raises(NoSpace):
        clone.prefetch("m/v1")


def test_a_disk_with_too_little_left_is_left_alone(big: Lab) -> None:
    """`disk.min_free` would be a wish."""
    clone = big.clone()
    clone.configure("disk.min_free", 1 << 60)
    clone = big.reopen(clone)
    assert clone.open("m/v1", "config").read() == b"{}"
    assert cached_bytes(clone) == 0
    with pytest.raises(NoSpace, match=r"disk\.min_free"):
        clone.prefetch("m/v1:part1")


# --- damage


def test_damage_in_the_cache_is_fetched_again(big: Lab) -> None:
    """A flipped bit of a disk would be data, or an error for ever."""
    clone = big.clone()
    clone.prefetch("m/v1")
    for path in Path(clone.path, "cache").rglob("*.pack"):
        size = path.stat().st_size
        for place in range(100, size, 50_000):
            flip(path, place)
    clone = big.reopen(clone)
    assert big.is_same(clone, "m/v1")


def test_a_chunk_damaged_at_the_remote_is_told_with_its_place(big: Lab) -> None:
    """An operator would not know which object of a bucket to look at."""
    clone = big.clone()
    pack = max(big.packs(), key=lambda path: path.stat().st_size)
    flip(pack, pack.stat().st_size // 2)
    with pytest.raises(Corrupt) as told:
        clone.open("m/v1", "weights").read()
    assert str(pack.relative_to(big.remote)) in str(told.value)
    assert "`artstore repair --remote" in str(told.value)
    assert clone.open("m/v1", "config").read() == b"{}"


def test_a_pack_cut_short_at_the_remote(big: Lab) -> None:
    """It would be zeros, or a loop."""
    clone = big.clone()
    for pack in big.packs():
        os.truncate(pack, pack.stat().st_size // 2)
    with pytest.raises((RemoteError, Corrupt)):
        clone.open("m/v1", "weights").read()


def test_a_lost_shard_costs_requests_only(big: Lab) -> None:
    """A version would be unreadable although all its data is there."""
    clone = big.clone()
    for shard in big.packs("x"):
        shard.unlink()
    assert big.is_same(clone, "m/v1")


def test_a_rewritten_pack_is_found_by_the_fresh_set(big: Lab) -> None:
    """Readers would fail while somebody repacks the bucket."""
    clone = big.clone()
    clone.open("m/v1", "config").read()
    origin = Store.open(big.path / "origin")
    big.opened.append(origin)
    old = [*big.packs("p"), *big.packs("x"), *big.packs("sets")]
    for path in old:
        path.unlink()
    origin.push(anew=True)
    assert not set(big.packs("p")) & set(old)
    assert big.is_same(clone, "m/v1")


def test_damage_here_is_read_from_the_remote(big: Lab) -> None:
    """A chunk that a disk has lost is still in the bucket."""
    origin = Store.open(big.path / "origin")
    big.opened.append(origin)
    for pack in Path(origin.path, "packs").rglob("*.pack"):
        if pack.stat().st_size > 10 * MIB:
            flip(pack, pack.stat().st_size // 2)
    assert big.is_same(origin, "m/v1")
    assert not origin.check(data=True).is_sound  # it is damaged here all the same


# --- what else a store does


def test_a_store_without_data_is_sound(big: Lab) -> None:
    """`check` would cry for what isn't meant to be here, and `gc` remove or refuse."""
    clone = big.clone()
    assert clone.check(data=True).is_sound
    clone.gc(clone.gc_plan(now=True), now=True)
    assert clone.check().is_sound
    assert big.is_same(clone, "m/v1")


def test_an_index_made_anew_finds_what_remotes_have(big: Lab) -> None:
    """`check --rebuild-index` would take all versions for lost."""
    clone = big.clone()
    clone.close()
    report = Store.rebuild_index(clone.path)
    assert not report.hurt
    assert "not whole here" in " ".join(report.notes)
    assert big.is_same(big.reopen(clone), "m/v1")


def test_a_commit_stores_again_what_is_only_elsewhere(big: Lab) -> None:
    """The version would hang on a bucket that its maker doesn't own [I11]."""
    clone = big.clone()
    clone.prefetch("m/v1")
    clone.commit(big.folder, tag="copy/v1")
    big.remote.rename(big.path / "away")
    for path in Path(clone.path, "cache").rglob("*.pack"):
        path.unlink()
    clone = big.reopen(clone)
    assert clone.check(data=True).is_sound
    assert big.is_same(clone, "copy/v1")


def test_what_was_purged_does_not_come_back_from_a_remote(big: Lab) -> None:
    """An erasure would be undone by the next read."""
    clone = big.clone()
    clone.purge(clone.purge_plan("config"))
    with pytest.raises(Erased):
        clone.open("m/v1", "config").read()


def test_a_version_that_is_elsewhere_is_not_pushed_on(big: Lab) -> None:
    """A mirror would name a version whose data it doesn't have."""
    clone = big.clone()
    clone.add_remote("mirror", type(big.place)(url=f"file://{big.path}/mirror"))
    with pytest.raises(NotFound, match="a part of it isn't here"):
        clone.push(to="mirror")
    assert not list((big.path / "mirror").rglob("tags/*"))
    clone.pull()
    clone.push(to="mirror")
    mirrored, _ = Store.clone(type(big.place)(url=f"file://{big.path}/mirror"), big.path / "mirrored")
    with mirrored:
        assert big.is_same(mirrored, "m/v1")


def test_pull_makes_it_whole(big: Lab) -> None:
    """Work without the remote would end at the first byte that wasn't read before."""
    clone = big.clone()
    clone.pull()
    big.remote.rename(big.path / "away")
    clone = big.reopen(clone)
    assert big.is_same(clone, "m/v1")
    assert clone.check(data=True).is_sound


def test_a_clone_can_roll_back(big: Lab) -> None:
    """The one machine that serves would be the one that can't go back."""
    origin = Store.open(big.path / "origin")
    big.opened.append(origin)
    (big.folder / "config").write_bytes(b"new")
    origin.commit(big.folder, tag="m/v2")
    origin.set_alias("m/production", "m/v2")
    origin.push()
    clone = big.clone("late")
    assert len(clone.alias_log("m/production")) == 2
    assert clone.open("m/production@{1}", "config").read() == b"{}"
    assert clone.open("m/production", "config").read() == b"new"


def test_a_forked_child_reads_on(big: Lab) -> None:
    """The workers of a PyTorch loader would hang on locks and sockets of their parent."""
    clone = big.clone()
    clone.open("m/v1", "config").read()
    child = os.fork()
    if child == 0:
        right = clone.open("m/v1", "part5").read() == noise(5000, 5)
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert clone.open("m/v1", "part6").read() == noise(5000, 6)


# --- beside other things


@pytest.mark.plain("looks for content on the disk")
def test_what_was_purged_is_not_kept(lab: Lab) -> None:
    """Erased here, and still on this disk for whoever looks."""
    origin = lab.origin()
    secret = noise(300_000, 9)
    lab.write(secret=secret, config=b"{}")
    origin.commit(lab.folder, tag="m/v1")
    origin.push()
    clone = lab.clone()
    clone.open("m/v1", "secret").read()
    assert any(secret[:1000] in path.read_bytes() for path in Path(clone.path, "cache").rglob("*.pack"))
    clone.purge(clone.purge_plan("secret"))
    assert not any(secret[:1000] in path.read_bytes() for path in Path(clone.path, "cache").rglob("*.pack"))


def test_a_check_leaves_readers_alone(big: Lab) -> None:
    """Their connections and what is on its way would be given up under them: "the store was closed"."""
    clone = big.clone()
    clone.open("m/v1", "config").read()
    far = clone.objects.fetcher.far()
    assert clone.check(data=True).is_sound
    assert clone.objects.fetcher.far() is far


def test_reads_here_and_there_look_for_nothing_behind(big: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read of what is cached would ask the index which pack comes next."""
    clone = big.clone()
    clone.prefetch("m/v1")
    clone = big.reopen(clone)
    asked: list[str] = []
    real = FarSource._following  # pyright: ignore[reportPrivateUsage]

    def following(self: FarSource, pack: FarPack) -> FarPack | None:
        asked.append(pack.key)
        return real(self, pack)

    monkeypatch.setattr(FarSource, "_following", following)
    with clone.open("m/v1", "weights") as file:
        for at in (70, 10, 50, 30, 60, 20):
            file.seek(at * MIB)
            assert len(file.read(1000)) == 1000
    assert asked == []


def test_two_processes_make_the_cache_of_a_remote(big: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten containers start at once; nine mounts would fail."""
    real = Store.add_remote

    def late(self: Store, name: str, place: RemotePlace) -> None:
        real(self, name, place)  # another process's
        real(self, name, place)

    monkeypatch.setattr(Store, "add_remote", late)
    store, error = Store.cache_of(big.place, big.path / "cached")
    big.opened.append(store)
    assert error is None
    assert [tag.name for tag in store.tags()] == ["m/v1"]
    with pytest.raises(Conflict, match="the home of the store"):
        Store.cache_of(RemotePlace(url=f"file://{big.path}/other"), big.path / "cached")

"""Eviction: what a remote has needn't lie here; nothing else goes, and what went is read from there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from artstore import Store
from artstore.errors import NotFound, RemoteError, UsageError
from artstore.store.collect import gc_plan
from artstore.store.remote.evict import Evictor, EvictResult

from .conftest import MIB, Lab, files_of, noise, since


@pytest.fixture
def store(lab: Lab) -> Store:
    """A store with a pushed version."""
    store = lab.origin()
    lab.write(weights=noise(10 * MIB), config=b"{}")
    store.commit(lab.folder, tag="m/v1")
    store.push()
    return store


def data_bytes(store: Store) -> int:
    """What packs take here."""
    return sum(path.stat().st_size for path in Path(store.path, "packs").rglob("*.pack"))


def test_what_was_pushed_goes_and_is_read_from_there(lab: Lab, store: Store) -> None:
    """The disk of a training machine is full of versions that are in the bucket."""
    result = store.evict()
    assert result.packs > 0
    assert result.freed_bytes > 10 * MIB
    assert not result.kept
    assert data_bytes(store) < MIB
    assert store.check().is_sound
    assert lab.is_same(store, "m/v1")
    store = lab.reopen(store)
    assert lab.is_same(store, "m/v1", "again")
    assert store.remote_stats().received_bytes < MIB, "it is in the cache"
    assert store.evict().packs == 0


def test_what_was_not_pushed_stays(lab: Lab, store: Store) -> None:
    """It is the only copy."""
    lab.write(more=noise(3 * MIB, 2))
    store.commit(lab.folder, tag="m/v2")
    result = store.evict()
    (version,) = result.kept
    assert version == store.resolve("m/v2").version
    assert "push" in result.kept[version]
    lab.remote.rename(lab.path / "away")
    assert lab.is_same(lab.reopen(store), "m/v2")


def test_evicting_one_version_leaves_what_others_need(lab: Lab, store: Store) -> None:
    """Somebody works with v2 offline while v1 is let go of."""
    first = files_of(lab.folder)
    lab.write(weights=noise(4 * MIB, 5), config=b"[]")
    store.commit(lab.folder, tag="m/v2")
    store.push()
    result = store.evict(["m/v1"])
    assert result.freed_bytes > 9 * MIB
    assert not result.kept
    before = store.remote_stats()
    assert lab.is_same(store, "m/v2")
    assert since(store, before).requests == 0
    store.checkout("m/v1", lab.path / "first")
    assert files_of(lab.path / "first") == first


def test_what_two_versions_share_stays_and_is_told(lab: Lab, store: Store) -> None:
    """`evict` would seem to do nothing."""
    lab.write(weights=noise(4 * MIB, 5))
    store.commit(lab.folder, tag="m/v2")
    store.push()
    result = store.evict(["m/v1"])
    assert result.packs == 0
    assert "other versions" in result.kept[store.resolve("m/v1").version]
    assert store.evict(["m/v1", "m/v2"]).freed_bytes > 13 * MIB
    assert lab.is_same(store, "m/v2")


def test_a_store_that_keeps_everything(lab: Lab, store: Store) -> None:
    """The archive of a team would be emptied by a colleague's command."""
    store.configure("local.keep", "all")
    store = lab.reopen(store)
    with pytest.raises(UsageError, match=r"local\.keep"):
        store.evict()
    store.configure("disk.min_free", "100TB")
    lab.write(more=noise(MIB, 3))
    store = lab.reopen(store)
    store.commit(lab.folder, tag="m/v2")
    assert store.push().freed_bytes == 0


def test_a_disk_that_is_nearly_full_is_relieved_by_a_push(lab: Lab, store: Store) -> None:
    """A run that commits all night would end with a full disk."""
    store.configure("disk.min_free", "100TB")
    store = lab.reopen(store)
    lab.write(more=noise(3 * MIB, 2))
    store.commit(lab.folder, tag="m/v2")
    assert data_bytes(store) > 13 * MIB, "a commit needs no remote, and lets nothing go"
    assert store.push().freed_bytes > 12 * MIB
    assert data_bytes(store) < MIB
    assert lab.is_same(store, "m/v2")


@pytest.mark.parametrize("gone", ["tags", "sets", "p"])
def test_what_the_remote_has_lost_stays(lab: Lab, store: Store, gone: str) -> None:
    """A name that was removed there, a set or a pack that is gone: what is here is the last copy."""
    shutil.rmtree(lab.remote / gone)
    result = store.evict()
    assert result.packs == 0
    assert set(result.kept) == {store.resolve("m/v1").version}
    lab.remote.rename(lab.path / "away")
    assert lab.is_same(lab.reopen(store), "m/v1")


def test_another_version_under_the_name_there(lab: Lab, store: Store) -> None:
    """By name alone the remote would seem to have it."""
    other = Store.init(lab.path / "other")
    lab.opened.append(other)
    other.add_remote("origin", lab.place)
    lab.write(weights=noise(MIB, 9))
    other.commit(lab.folder, tag="x/v1")
    other.push()
    lab.write(weights=noise(MIB, 10))
    store.commit(lab.folder, tag="x/v1")
    result = store.evict(["x/v1"])
    assert set(result.kept) == {store.resolve("x/v1").version}
    assert result.packs == 0


def test_somebody_who_reads_goes_on(lab: Lab, store: Store) -> None:
    """An open file of a mount, a checkout that runs: its pack would be unlinked under it."""
    other = Store.open(store.path)
    lab.opened.append(other)
    with other.context.sessions.begin():
        result = store.evict()
        assert result.packs > 0
        assert (result.freed_bytes, result.waiting_bytes > 10 * MIB) == (0, True)
        assert data_bytes(store) > 10 * MIB
    assert lab.is_same(store, "m/v1")
    plan = gc_plan(store.context, store.objects)
    store.gc(plan)
    assert data_bytes(store) < MIB
    assert lab.is_same(store, "m/v1", "again")


def test_the_same_folder_committed_again(lab: Lab, store: Store) -> None:
    """Its version would be one of which nobody has all parts."""
    store.evict()
    lab.write(config=b'{"lr": 1}')
    store.commit(lab.folder, tag="m/v2")
    store.push()
    full, _ = Store.clone(lab.place, lab.path / "full", full=True)
    with full:
        assert full.check(data=True).is_sound
        assert lab.is_same(full, "m/v2")
    lab.remote.rename(lab.path / "away")
    again = lab.reopen(store)
    assert lab.is_same(again, "m/v2")


def test_pull_brings_it_back(lab: Lab, store: Store) -> None:
    """A laptop before a flight."""
    store.evict()
    store.pull()
    lab.remote.rename(lab.path / "away")
    store = lab.reopen(store)
    assert lab.is_same(store, "m/v1")
    assert store.check(data=True).is_sound


def test_a_rebuilt_index_knows_what_is_elsewhere(lab: Lab, store: Store) -> None:
    """After `check --rebuild-index` the versions would count as damaged."""
    store.evict()
    store.close()
    Store.rebuild_index(store.path)
    store = lab.reopen(store)
    assert store.check().is_sound
    assert lab.is_same(store, "m/v1")


def test_versions_that_are_not_known(lab: Lab, store: Store) -> None:
    """A mistyped name must not evict everything."""
    with pytest.raises(NotFound):
        store.evict(["m/v9"])
    assert data_bytes(store) > 10 * MIB
    assert lab.is_same(store, "m/v1")


def test_a_push_is_done_even_if_nothing_can_be_evicted(
    lab: Lab, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The version is there: an error would let a script push for ever."""

    def fail(self: Evictor, versions: object, *, bytes_max: int | None = None) -> EvictResult:
        raise RemoteError("the network went just then")

    monkeypatch.setattr(Evictor, "evict", fail)
    store.configure("disk.min_free", "100TB")
    store = lab.reopen(store)
    lab.write(more=noise(MIB, 3))
    store.commit(lab.folder, tag="m/v2")
    result = store.push()
    assert (result.written, result.freed_bytes) == (["m/v2"], 0)
    assert "the network went" in caplog.text

"""What a repair saves, what it gives up, and how the next commit makes it whole."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.errors import Busy, Corrupt
from artstore.format.reflog import TagRemoved
from artstore.model import PackKind, PackState
from artstore.store.check import check
from artstore.store.collect import gc, gc_plan
from artstore.store.repair import RepairReport, repair
from artstore.testing.damage import flip, pack_files, truncate
from artstore.testing.local_store import Opened, create, files_of, opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small files, one in a folder, and one of many chunks."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_bytes(b"first file")
    (folder / "sub/b").write_bytes(b"second file")
    (folder / "big").write_bytes(random.Random(1).randbytes(600_000))
    return folder


@pytest.fixture
def store(tmp_path: Path, folder: Path) -> Iterator[Opened]:
    """A store with one version, m/v1, of that folder."""
    create(tmp_path / "store")
    with opened(tmp_path / "store") as store:
        store.commit(folder)
        yield store


def mend(store: Opened) -> RepairReport:
    """A check of all data, and a repair."""
    report = check(store.context, store.objects, data=True)
    assert not report.is_sound
    return repair(store.context, store.objects, report)


def assert_sound(store: Opened) -> None:
    """Nothing is wrong with the store."""
    report = check(store.context, store.objects, data=True)
    assert report.is_sound, report.problems


def assert_whole(store: Opened, folder: Path, version: bytes) -> None:
    """A version is the folder."""
    store.objects.close()
    assert store.content(version) == files_of(folder)


def flip_chunk(store: Opened, needle: bytes, kind: PackKind = PackKind.DATA) -> None:
    """Damage the chunk that holds some bytes, which are stored as they are."""
    for path in pack_files(store.context, kind):
        at = path.read_bytes().find(needle)
        if at >= 0:
            flip(path, at)
            return
    raise AssertionError(needle)


@pytest.mark.plain("damages frames where they lie in the file")
def test_quarantine_and_commit_again(store: Opened, folder: Path) -> None:
    """A damaged chunk is given up, its neighbours are kept, and committing the folder again heals the old version."""
    version = store.tags()["m/v1"]
    flip_chunk(store, b"second file")
    done = mend(store)
    assert (done.rewritten, done.dropped, done.quarantined, len(done.lost)) == (1, 0, 1, 1)
    assert [hurt.path for hurt in done.hurt] == [b"sub/b"]
    store.objects.close()
    with pytest.raises(Corrupt):
        store.content(version)
    report = check(store.context, store.objects)
    assert [hurt.path for hurt in report.hurt] == [b"sub/b"], "what is lost stays told"
    again = store.commit(folder)
    assert again.unchanged
    assert_whole(store, folder, version)
    assert_sound(store)


def test_lost_data_pack(store: Opened, folder: Path) -> None:
    """A data pack that is gone leaves the index, and all of it is stored again from the folder."""
    version = store.tags()["m/v1"]
    pack_files(store.context, PackKind.DATA)[0].unlink()
    done = mend(store)
    assert (done.rewritten, done.dropped) == (0, 1)
    assert {hurt.path for hurt in done.hurt} == {b"a", b"sub/b", b"big"}
    assert len(pack_files(store.context, PackKind.DATA)) == 0
    store.commit(folder)
    assert_whole(store, folder, version)
    assert_sound(store)


@pytest.mark.plain("damages frames where they lie in the file")
def test_healed_chunks_survive_collection(store: Opened, folder: Path, tmp_path: Path) -> None:
    """What another artifact's commit stored again is kept for the version that lost it, though that one goes."""
    version = store.tags()["m/v1"]
    flip_chunk(store, b"second file")
    mend(store)
    other = tmp_path / "other"
    other.mkdir()
    (other / "x").write_bytes(b"second file")
    made = store.commit(other, "other")
    assert made.version is not None
    with store.context.index.write() as writer:
        writer.remove_tag("other/v1", time=1, who="me")
        writer.remove_set(made.version)
    gc(store.context, store.objects, gc_plan(store.context, store.objects, now=True), now=True)
    assert_whole(store, folder, version)
    assert_sound(store)


@pytest.mark.plain("damages frames where they lie in the file")
def test_truncated_pack_keeps_what_is_left(store: Opened, folder: Path) -> None:
    """Of a pack that was cut off, everything before the cut is saved without the folder."""
    version = store.tags()["m/v1"]
    path = pack_files(store.context, PackKind.DATA)[0]
    truncate(path, path.stat().st_size - 50)  # within the trailer: all objects are there
    done = mend(store)
    assert (done.rewritten, done.quarantined, done.lost, done.hurt) == (1, 0, (), ())
    assert_whole(store, folder, version)
    assert_sound(store)
    assert not path.exists()


@pytest.mark.plain("damages frames where they lie in the file")
def test_damaged_header_loses_nothing(store: Opened, folder: Path) -> None:
    """An object whose frame's header is damaged is whole, and stays."""
    flip(pack_files(store.context, PackKind.DATA)[0], 2)
    done = mend(store)
    assert (done.quarantined, done.lost) == (0, ())
    assert_whole(store, folder, store.tags()["m/v1"])
    assert_sound(store)


def test_lost_version_is_told(store: Opened, folder: Path) -> None:
    """A version whose document is lost can't come back; it is told until its name is removed."""
    version = store.tags()["m/v1"]
    pack_files(store.context, PackKind.META)[0].unlink()
    done = mend(store)
    assert [(hurt.path, hurt.refs) for hurt in done.hurt] == [(b"", ("m/v1",))]
    again = store.commit(folder)
    assert again.tag == "m/v2"
    assert again.version is not None
    assert_whole(store, folder, again.version)
    assert [hurt.version for hurt in check(store.context, store.objects).hurt] == [version]
    with store.context.index.write() as writer:
        writer.remove_tag("m/v1", time=1, who="me")
        writer.remove_set(version)
    assert_sound(store)


@pytest.mark.plain("damages frames where they lie in the file")
def test_damaged_folder_page(store: Opened, folder: Path) -> None:
    """A damaged page of a folder is written again by the next commit."""
    version = store.tags()["m/v1"]
    flip_chunk(store, b"\xc4\x01b", PackKind.META)  # the name of sub/b
    done = mend(store)
    assert [hurt.path for hurt in done.hurt] == [b"sub"]
    assert store.commit(folder).unchanged
    assert_whole(store, folder, version)
    assert_sound(store)


def test_index_rows_come_back(store: Opened, folder: Path) -> None:
    """What the index forgot of a sound pack is entered again."""
    version = store.tags()["m/v1"]
    with store.context.index.write() as writer:
        for id, _ in list(writer.pack_contents(1)):
            writer.remove_object(id, 1)
    done = mend(store)
    assert done.reindexed == 1
    assert (done.lost, done.hurt, done.remaining) == ((), (), ())
    assert_whole(store, folder, version)
    assert_sound(store)


def test_sets_are_mended(store: Opened) -> None:
    """A set that lacks packs, or names some on their way out, is made whole."""
    version = store.tags()["m/v1"]
    with store.context.index.write() as writer:
        packs = writer.version_set(version)
        assert packs is not None
        writer.put_set(version, [*packs[1:], 77])
        writer.set_pack_state(packs[1], PackState.CONDEMNED, 1)
    done = mend(store)
    assert done.sets_mended >= 1
    with store.context.index.read() as reader:
        assert reader.version_set(version) == packs
        assert {row.state for row in reader.packs()} == {PackState.LIVE}
    assert_sound(store)


def test_version_without_set(store: Opened, folder: Path) -> None:
    """A tag's version that lost its set gets it back."""
    version = store.tags()["m/v1"]
    with store.context.index.write() as writer:
        writer.remove_set(version)
    mend(store)
    assert_whole(store, folder, version)
    assert_sound(store)


@pytest.mark.parametrize("damage", ["gone", "flipped", "cut"])
def test_log_is_written_anew(store: Opened, folder: Path, damage: str) -> None:
    """A refs.log that was lost or damaged is written from the index, and can be written to again."""
    (folder / "a").write_bytes(b"changed")
    store.commit(folder)
    tags = store.tags()
    log = Path(store.context.path) / "refs.log"
    if damage == "gone":
        log.unlink()
    elif damage == "flipped":
        flip(log, 30)
    else:
        truncate(log, 20)
    assert mend(store).log_rewritten
    assert_sound(store)
    (folder / "a").write_bytes(b"changed again")
    store.commit(folder)
    assert store.tags().keys() == {*tags, "m/v3"}
    assert_sound(store)


def test_log_decides_over_index(store: Opened) -> None:
    """A tag that the index lost comes back from refs.log."""
    tags = store.tags()
    with store.context.index.write() as writer:
        writer.restore(TagRemoved("m/v1", 1, "me"))
    assert store.tags() == {}
    assert mend(store).refs_restored == 1
    assert store.tags() == tags
    assert_sound(store)


@pytest.mark.plain("damages frames where they lie in the file")
def test_repair_waits_for_writers(store: Opened) -> None:
    """A repair doesn't pull packs from under a commit that counts on them."""
    flip_chunk(store, b"second file")
    report = check(store.context, store.objects, data=True)
    with store.context.sessions.begin(), pytest.raises(Busy):
        repair(store.context, store.objects, report)


@pytest.mark.plain("damages frames where they lie in the file")
def test_repair_twice(store: Opened) -> None:
    """A repair by an old report does no harm to what was mended already."""
    flip_chunk(store, b"second file")
    report = check(store.context, store.objects, data=True)
    repair(store.context, store.objects, report)
    done = repair(store.context, store.objects, report)
    assert (done.rewritten, done.dropped, done.quarantined) == (0, 0, 0)
    assert len(pack_files(store.context)) == 2

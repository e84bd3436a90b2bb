"""What a check sees, and what it leaves alone."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.errors import Corrupt
from artstore.format.codec import RAW
from artstore.format.frame import header
from artstore.format.pack import encode_tail
from artstore.format.reflog import TagRemoved, TagSet
from artstore.model import Content, Digest, Form, Kind, ObjectKind, PackKind, PackState, TableEntry, Tag
from artstore.store.check import CheckReport, ProblemKind, check
from artstore.store.context import Counters
from artstore.store.objects import Objects
from artstore.store.read import entry_at
from artstore.testing.damage import flip, pack_files, truncate
from artstore.testing.local_store import Opened, create, opened
from artstore.testing.planted import Planter, Raw


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


def kinds(report: CheckReport) -> set[ProblemKind]:
    """What is wrong, in short."""
    return {problem.kind for problem in report.problems}


def look(store: Opened, *, data: bool = False) -> CheckReport:
    """A check."""
    return check(store.context, store.objects, data=data)


@pytest.mark.plain("damages frames where they lie in the file")
def test_sound_store(store: Opened) -> None:
    """A store that nothing happened to is told sound, or nobody would believe a check."""
    for data in (False, True):
        report = look(store, data=data)
        assert report.is_sound, report.problems
        assert report.finished
        assert not report.resumed
        assert (report.packs, report.versions, report.refs, report.leftovers) == (2, 1, 1, 0)
        assert report.objects > 5
        assert report.bytes == sum(path.stat().st_size for path in pack_files(store.context))


def test_missing_pack_names_paths(store: Opened) -> None:
    """A pack that was deleted is told, with all that can't be read any more."""
    pack_files(store.context, PackKind.DATA)[0].unlink()
    report = look(store)
    assert kinds(report) == {ProblemKind.PACK_MISSING}
    assert {hurt.path for hurt in report.hurt} == {b"a", b"sub/b", b"big"}
    assert {hurt.version for hurt in report.hurt} == {store.tags()["m/v1"]}
    assert {hurt.refs for hurt in report.hurt} == {("m/v1",)}


def test_missing_metadata_names_version(store: Opened) -> None:
    """A version whose document is gone is told as a whole."""
    pack_files(store.context, PackKind.META)[0].unlink()
    report = look(store)
    assert kinds(report) == {ProblemKind.PACK_MISSING}
    assert [(hurt.path, hurt.refs) for hurt in report.hurt] == [(b"", ("m/v1",))]


@pytest.mark.plain("damages frames where they lie in the file")
def test_truncated_pack_tells_what_is_left(store: Opened) -> None:
    """A pack that was cut off is seen without reading data, and only files behind the cut are told as hurt."""
    data = pack_files(store.context, PackKind.DATA)[0]
    with store.context.index.read() as reader:
        first = reader.find(_chunk_of(store, b"a"))
    assert first is not None
    truncate(data, first.offset + 44 + first.stored)
    report = look(store)
    assert kinds(report) == {ProblemKind.PACK_DAMAGED}
    hurt = {hurt.path for hurt in report.hurt}
    assert b"a" not in hurt
    assert b"sub/b" in hurt


@pytest.mark.plain("damages frames where they lie in the file")
def test_damaged_chunk_needs_data(store: Opened) -> None:
    """Bit rot in the middle of a file is found by reading, and names exactly that file."""
    data = pack_files(store.context, PackKind.DATA)[0]
    with store.context.index.read() as reader:
        place = reader.find(_chunk_of(store, b"sub/b"))
    assert place is not None
    flip(data, place.offset + 46)
    assert look(store).is_sound
    report = look(store, data=True)
    assert kinds(report) == {ProblemKind.OBJECT_DAMAGED}
    assert report.problems[0].digest == _chunk_of(store, b"sub/b")
    assert [hurt.path for hurt in report.hurt] == [b"sub/b"]


@pytest.mark.plain("damages frames where they lie in the file")
def test_damaged_page_names_folder(store: Opened) -> None:
    """A damaged page of a folder hurts that folder, and not its neighbours."""
    with store.context.index.read() as reader:
        place = reader.find(_entry(store, b"sub").value)
    assert place is not None
    flip(pack_files(store.context, PackKind.META)[0], place.offset + 50)
    report = look(store, data=True)
    assert [hurt.path for hurt in report.hurt] == [b"sub"]


@pytest.mark.plain("damages frames where they lie in the file")
def test_second_copy_serves(store: Opened, tmp_path: Path) -> None:
    """A damaged copy is told, but no path is hurt while another pack holds a good one."""
    chunk = _chunk_of(store, b"a")
    _copy_into_new_pack(store, chunk, b"first file")
    with store.context.index.read() as reader:
        place = reader.find(chunk)
        row = reader.pack(place.pack) if place is not None else None
    assert place is not None
    assert row is not None
    path = next(path for path in pack_files(store.context) if path.stem == row.id.hex())
    flip(path, place.offset + 46)
    report = look(store, data=True)
    assert kinds(report) == {ProblemKind.OBJECT_DAMAGED}
    assert not report.hurt


def test_set_that_lacks_a_pack(store: Opened) -> None:
    """A set that lacks a pack would let collection take what a version needs."""
    version = store.tags()["m/v1"]
    with store.context.index.write() as writer:
        packs = writer.version_set(version)
        assert packs is not None
        writer.put_set(version, packs[1:])
    assert kinds(look(store)) == {ProblemKind.SET}


def test_set_that_names_no_pack(store: Opened) -> None:
    """A set may not name what isn't there."""
    version = store.tags()["m/v1"]
    with store.context.index.write() as writer:
        writer.put_set(version, [*(writer.version_set(version) or ()), 99])
    assert kinds(look(store)) == {ProblemKind.SET}


def test_pack_on_its_way_out_in_a_set(store: Opened) -> None:
    """A pack that a version needs may not be about to be deleted."""
    with store.context.index.write() as writer:
        writer.set_pack_state(1, PackState.DELETING, 1)
    report = look(store)
    assert ProblemKind.SET in kinds(report)


def test_index_wrong_about_a_pack(store: Opened) -> None:
    """An object that the index forgot is told although its pack is whole."""
    with store.context.index.write() as writer:
        place = writer.find(_chunk_of(store, b"a"))
        assert place is not None
        writer.remove_object(_chunk_of(store, b"a"), place.pack)
    report = look(store)
    assert ProblemKind.ROWS in kinds(report)
    assert [hurt.path for hurt in look(store, data=True).hurt] == [b"a"]


def test_ref_to_nowhere(store: Opened) -> None:
    """A tag whose version is gone is told."""
    with store.context.index.write() as writer:
        writer.remove_set(store.tags()["m/v1"])
    assert ProblemKind.REF in kinds(look(store))


@pytest.mark.parametrize("damage", ["gone", "flipped", "cut"])
def test_damaged_log(store: Opened, folder: Path, damage: str) -> None:
    """A damaged refs.log is told while the index can still mend it."""
    (folder / "a").write_bytes(b"changed")
    store.commit(folder)
    log = Path(store.context.path) / "refs.log"
    if damage == "gone":
        log.unlink()
    elif damage == "flipped":
        flip(log, 30)
    else:
        truncate(log, log.stat().st_size - 1)
    assert kinds(look(store)) == {ProblemKind.LOG}


def test_log_and_index_disagree(store: Opened) -> None:
    """A tag that the index forgot without a word in refs.log is told."""
    with store.context.index.write() as writer:
        writer.restore(TagRemoved("m/v1", 1, "me"))
    report = look(store)
    assert kinds(report) == {ProblemKind.REF}
    assert "m/v1" in report.problems[0].message


def test_shadowed_name(store: Opened) -> None:
    """A ref that is also a folder of refs, as two writers may make it, is told."""
    with store.context.index.write() as writer:
        writer.restore(TagSet(Tag("m/v1/x", store.tags()["m/v1"], 5)))
    assert ProblemKind.NAME in kinds(look(store))


def test_check_resumes(store: Opened, folder: Path) -> None:
    """A check that ran out of time goes on where it ended, so that a big store is checked at all."""
    for number in range(3):
        (folder / "a").write_bytes(b"content %d" % number)
        store.commit(folder)
    total = len(pack_files(store.context))
    report = check(store.context, store.objects, data=True, max_duration=0)
    assert not report.finished
    assert report.packs == 0
    report = look(store, data=True)
    assert (report.finished, report.resumed, report.packs) == (True, True, total)
    report = look(store, data=True)
    assert (report.finished, report.resumed, report.packs) == (True, False, total)


def test_resumed_check_looks_again_at_damage(store: Opened) -> None:
    """Damage that an interrupted check found is told by the one that goes on, too."""
    data = pack_files(store.context, PackKind.DATA)[0]
    flip(data, 50)
    with store.context.index.write() as writer:
        writer.put_journal("check/run", (1).to_bytes(8, "little"))
    counters = Counters()
    report = check(store.context, store.objects, data=True, counters=counters)
    assert report.resumed
    assert kinds(report) == {ProblemKind.OBJECT_DAMAGED}
    assert counters.bytes_done > 0
    with store.context.index.read() as reader:
        assert len(list(reader.journal_keys("check/pack/"))) == 1


def test_recipe_that_lies(tmp_path: Path) -> None:
    """A recipe that tells wrong sizes can't be read, and a check of data names the file."""
    planter = Planter(str(tmp_path / "store"))
    chunk = planter.put(ObjectKind.CHUNK, b"x" * 1000)
    lying = planter.content_of([(chunk, 1000), (chunk, 999)])
    short = planter.content_of([(chunk, 1000), (chunk, 1000)])
    version = planter.version(
        {
            b"lies": Raw(Kind.FILE, 1999, lying),
            b"short": Raw(Kind.FILE, 5000, short),
            b"one": Raw(Kind.FILE, 7, Content(Form.CHUNK, chunk)),
            b"fine": b"fine",
        }
    )
    planter.flush()
    _publish(planter, version)
    objects = Objects(planter.context)
    report = check(planter.context, objects, data=True)
    assert {hurt.path for hurt in report.hurt} == {b"lies", b"short", b"one"}
    planter.close()


def test_missing_objects_are_named(tmp_path: Path) -> None:
    """What a version needs and nobody has is told, chunk, recipe and folder alike."""
    planter = Planter(str(tmp_path / "store"))
    nowhere = Digest(os.urandom(32))
    version = planter.version(
        {
            b"chunk": Raw(Kind.FILE, 7, Content(Form.CHUNK, nowhere)),
            b"recipe": Raw(Kind.FILE, 70_000, Content(Form.RECIPE, nowhere)),
            b"dir": {b"below": Raw(Kind.FILE, 7, Content(Form.CHUNK, nowhere)), b"fine": b"fine"},
        }
    )
    planter.flush()
    _publish(planter, version)
    objects = Objects(planter.context)
    report = check(planter.context, objects, data=True)
    assert {hurt.path for hurt in report.hurt} == {b"chunk", b"recipe", b"dir/below"}
    planter.close()


def _entry(store: Opened, path: bytes) -> Content:
    return entry_at(store.objects, store.objects.version(store.tags()["m/v1"]), path).content


def _chunk_of(store: Opened, path: bytes) -> Digest:
    content = _entry(store, path)
    assert content.form == Form.CHUNK
    return Digest(content.value)


def _copy_into_new_pack(store: Opened, chunk: Digest, data: bytes) -> None:
    with store.context.sessions.begin() as session:
        sink = store.context.packs.create(session.next_pack_id())
        sink.append([header(chunk, len(data), len(data), RAW, 0), data])
        table = [TableEntry(chunk, 0, len(data), len(data), RAW, 0)]
        sink.append([encode_tail(sink.id, PackKind.DATA, table)])
        sink.seal()
        with store.context.index.write() as writer:
            writer.add_pack(sink.id, PackKind.DATA, size=sink.size, created=1, table=table)


def _publish(planter: Planter, version: Digest) -> None:
    with planter.context.index.write() as writer:
        writer.put_set(version, [row.number for row in writer.packs()])


def test_damage_is_corrupt_to_readers(store: Opened) -> None:
    """What a check calls damaged is never handed out."""
    flip(pack_files(store.context, PackKind.DATA)[0], 50)
    store.objects.close()
    with pytest.raises(Corrupt):
        store.content(store.tags()["m/v1"])

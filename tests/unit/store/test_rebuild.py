"""An index made anew from packs and refs.log: nothing that was committed is missing from it [I8]."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from artstore import wiring
from artstore.adapters.sessions import FileSessions
from artstore.errors import Busy, Corrupt
from artstore.format.reflog import Erasure, LogRecord
from artstore.model import Digest, Move, PackKind
from artstore.ports import IndexWriter
from artstore.store import refs
from artstore.store.check import check
from artstore.store.rebuild import RebuildReport
from artstore.store.repair.refs import rewrite_log
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
def path(tmp_path: Path, folder: Path) -> Path:
    """A closed store with versions m/v1 to m/v3, an alias that was moved, rolled back and another that was removed."""
    path = tmp_path / "store"
    create(path)
    with opened(path) as store:
        for content in (b"one", b"two", b"three"):
            (folder / "a").write_bytes(content)
            store.commit(folder)
        tags = store.tags()
        with store.context.index.write() as writer:
            for name in ("m/v1", "m/v2"):
                _move(writer, "m/production", tags[name])
            refs.rollback(writer, "m/production", to=None, who="me", host="here", now=9)
            _move(writer, "m/old", tags["m/v1"])
            refs.remove_alias(writer, "m/old", who="me", host="here", now=10)
            writer.put_erased([bytes(32)], time=11, who="me", reason="")
    return path


def _move(writer: IndexWriter, name: str, version: bytes) -> None:
    refs.set_alias(writer, name, Digest(version), who="me", host="here", now=5)


def everything(store: Opened) -> dict[str, object]:
    """All that an index tells of refs and versions."""
    with store.context.index.read() as reader:
        return {
            "tags": list(reader.tags()),
            "aliases": list(reader.aliases()),
            "moves": [list(reader.moves(name)) for name in ("m/production", "m/old")],
            "versions": sorted(reader.versions()),
            "erased": reader.erased(bytes(32)),
            "sequence": reader.sequence,
            "removed": list(refs.removed_tags(reader)),
            "sizes": sorted((row.id, row.kind, row.size, row.count) for row in reader.packs()),
        }


def rebuild(path: Path) -> RebuildReport:
    """Make the index anew."""
    return wiring.rebuild_index(str(path))


def assert_sound(path: Path) -> dict[str, object]:
    """Nothing is wrong, and all that is named can be read; tell what there is."""
    with opened(path) as store:
        report = check(store.context, store.objects, data=True)
        assert report.is_sound, report.problems
        assert report.leftovers == 0
        for version in store.tags().values():
            store.content(version)
        return everything(store)


def before(path: Path) -> dict[str, object]:
    """What the store tells before anything happens to it."""
    with opened(path) as store:
        return everything(store)


@pytest.mark.parametrize("damage", ["sound", "missing", "folder gone", "empty", "garbage", "truncated", "zeros"])
def test_rebuild_restores_all(path: Path, folder: Path, damage: str) -> None:
    """Whatever happened to the index, refs with their history, sets and every object come back."""
    expected = before(path)
    data = path / "index.lmdb" / "data.mdb"
    match damage:
        case "missing":
            data.unlink()
        case "folder gone":
            shutil.rmtree(data.parent)
        case "empty":
            truncate(data, 0)
        case "garbage":
            data.write_bytes(random.Random(2).randbytes(200_000))
        case "truncated":
            truncate(data, data.stat().st_size // 2)
        case "zeros":
            data.write_bytes(bytes(data.stat().st_size))
        case _:
            pass
    report = rebuild(path)
    assert (report.versions, report.refs, report.hurt, report.notes) == (3, 4, (), ())
    assert report.packs == len(expected["sizes"])  # type: ignore[arg-type]
    assert assert_sound(path) == expected
    with opened(path) as store:
        assert store.content(store.tags()["m/v3"]) == files_of(folder)
    assert not [entry.name for entry in (path / "tmp").iterdir()]


def test_commits_go_on_after_a_rebuild(path: Path, folder: Path) -> None:
    """A rebuilt index knows every chunk: the same folder is unchanged, and the next version gets the next name."""
    (path / "index.lmdb" / "data.mdb").unlink()
    rebuild(path)
    with opened(path) as store:
        assert store.commit(folder).unchanged
        (folder / "a").write_bytes(b"four")
        made = store.commit(folder)
        assert made.tag == "m/v4"
        assert made.new_bytes == 4
    assert_sound(path)


def test_sets_are_the_same(path: Path) -> None:
    """Sets found anew from the pages are those which the commits wrote."""

    def sets() -> dict[bytes, set[bytes]]:
        with opened(path) as store, store.context.index.read() as reader:
            ids = {row.number: row.id for row in reader.packs()}
            return {
                version: {ids[number] for number in reader.version_set(version) or ()} for version in reader.versions()
            }

    expected = sets()
    rebuild(path)
    assert sets() == expected


def test_removed_tag_stays_removed(path: Path) -> None:
    """A tag that was removed doesn't come back, and its name stays kept for its version."""
    with opened(path) as store, store.context.index.write() as writer:
        refs.remove_tag(writer, "m/v2", now=12, who="me")
    expected = before(path)
    rebuild(path)
    assert assert_sound(path) == expected


def test_refs_come_from_the_index_when_the_log_is_gone(path: Path) -> None:
    """Rebuilding a good index beside a lost refs.log doesn't lose every name."""
    expected = before(path)
    (path / "refs.log").unlink()
    report = rebuild(path)
    assert report.refs == 4
    assert len(report.notes) == 1
    found = assert_sound(path)
    found["sequence"] = expected["sequence"]
    assert found == expected


def test_names_of_removed_tags_survive_a_log_that_is_written_anew(path: Path) -> None:
    """A lost refs.log would set the names of removed tags free, for other versions than people remember."""
    with opened(path) as store, store.context.index.write() as writer:
        refs.remove_tag(writer, "m/v2", now=12, who="me")
    expected = before(path)
    (path / "refs.log").unlink()
    rebuild(path)
    with opened(path) as store:
        rewrite_log(store.context.index)
    shutil.rmtree(path / "index.lmdb")
    rebuild(path)
    found = assert_sound(path)
    assert found["removed"]
    assert (found["removed"], found["tags"]) == (expected["removed"], expected["tags"])


def erasures(store: Opened) -> list[Erasure]:
    return [
        item.record
        for item in store.context.index.log.records()
        if isinstance(item, LogRecord) and isinstance(item.record, Erasure)
    ]


def test_who_purged_and_why_survives_a_log_that_is_written_anew(path: Path) -> None:
    """After a repair nobody could tell any more who had data erased, when, and on whose request."""
    with opened(path) as store, store.context.index.write() as writer:
        writer.put_erased([b"1" * 32, b"2" * 32], time=13, who="eve", reason="request 17")
    with opened(path) as store:
        expected = erasures(store)
    assert expected[1] == Erasure([b"1" * 32, b"2" * 32], 13, "eve", "request 17")
    (path / "refs.log").unlink()
    with opened(path) as store:
        rewrite_log(store.context.index)
        assert erasures(store) == expected
    rebuild(path)
    (path / "refs.log").unlink()
    rebuild(path)  # from the old index, which was made from the log
    with opened(path) as store:
        assert erasures(store) == expected
    assert_sound(path)


def test_last_record_of_the_log_damaged(path: Path) -> None:
    """A damaged last record looks like one that was never finished; the old index knows better."""
    expected = before(path)
    log = path / "refs.log"
    flip(log, log.stat().st_size - 1)
    assert rebuild(path).notes
    found = assert_sound(path)
    assert {key: found[key] for key in ("tags", "aliases", "moves")} == {
        key: expected[key] for key in ("tags", "aliases", "moves")
    }


def test_log_and_index_gone(path: Path) -> None:
    """Without any names the versions are still there, by their ids."""
    expected = before(path)
    (path / "refs.log").unlink()
    (path / "index.lmdb" / "data.mdb").unlink()
    report = rebuild(path)
    assert (report.versions, report.refs) == (3, 0)
    assert assert_sound(path)["versions"] == expected["versions"]


@pytest.mark.plain("damages the table where it lies in the file")
def test_damaged_table_is_searched(path: Path) -> None:
    """A pack whose table is damaged gives every object that can be verified."""
    expected = before(path)
    with opened(path) as store:
        data, meta = pack_files(store.context, PackKind.DATA)[0], pack_files(store.context, PackKind.META)[0]
    for file in (data, meta):
        flip(file, file.stat().st_size - 100)
    report = rebuild(path)
    assert sorted(pack.hex() for pack in report.scanned) == sorted([data.stem, meta.stem])
    assert report.hurt == ()
    with opened(path) as store:
        assert everything(store)["versions"] == expected["versions"]
        for version in store.tags().values():
            store.content(version)


def test_lost_pack_is_told(path: Path) -> None:
    """A version of which a pack is missing keeps its name, and what is hurt is told."""
    with opened(path) as store:
        first = pack_files(store.context, PackKind.DATA)[0]
    first.unlink()
    report = rebuild(path)
    assert {hurt.path for hurt in report.hurt} == {b"a", b"big", b"sub/b"}
    with opened(path) as store:
        assert set(store.tags()) == {"m/v1", "m/v2", "m/v3"}
        with pytest.raises(Corrupt):
            store.content(store.tags()["m/v1"])
        checked = check(store.context, store.objects)
        assert {hurt.path for hurt in checked.hurt} == {b"a", b"big", b"sub/b"}


def test_packs_of_failed_commits_are_indexed(path: Path, folder: Path) -> None:
    """A pack that no version needs stays usable: the commit that was cut short needn't store it again."""
    with opened(path) as store, store.context.index.write() as writer:
        version = store.tags()["m/v3"]
        writer.remove_tag("m/v3", time=1, who="me")
        writer.remove_set(version)
    (path / "index.lmdb" / "data.mdb").unlink()
    rebuild(path)
    with opened(path) as store:
        assert store.commit(folder).new_bytes == 0


def test_busy_while_somebody_writes(path: Path) -> None:
    """An index isn't replaced under a running commit, whose packs it would forget."""
    with FileSessions(str(path)).begin(), pytest.raises(Busy):
        rebuild(path)
    assert_sound(path)


def test_unknown_moves_are_kept_in_order(path: Path) -> None:
    """Every move of an alias's history comes back under its own id."""
    rebuild(path)
    with opened(path) as store, store.context.index.read() as reader:
        moves = [move for _, move in reader.moves("m/production")]
    assert [(move.seq, move.rollback) for move in moves] == [(3, True), (2, False), (1, False)]
    assert all(isinstance(move, Move) for move in moves)

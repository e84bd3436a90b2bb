"""A damaged refs.log: no name ever leads to another version than it was given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore import wiring
from artstore.errors import ArtstoreError
from artstore.model import Digest
from artstore.store import refs
from artstore.store.check import ProblemKind, check
from artstore.store.repair import repair
from artstore.testing.damage import flip, truncate
from artstore.testing.local_store import Opened, create, opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with three tags and an alias that was moved."""
    path, folder = tmp_path / "store", tmp_path / "data"
    folder.mkdir()
    create(path)
    with opened(path) as store:
        for content in (b"one", b"two", b"three"):
            (folder / "a").write_bytes(content)
            store.commit(folder)
        with store.context.index.write() as writer:
            for tag in ("m/v1", "m/v3"):
                refs.set_alias(writer, "m/production", Digest(store.tags()[tag]), who="me", host="here", now=5)
    return path


def named(store: Opened) -> dict[str, bytes]:
    """All names, and what they lead to."""
    with store.context.index.read() as reader:
        tags = {tag.name: tag.version for tag in reader.tags()}
        return tags | {alias.name: alias.version for alias in reader.aliases()}


def offsets(path: Path) -> Iterator[int]:
    """Places in the log, more than one in each record's head, body and check."""
    return iter(range(0, (path / "refs.log").stat().st_size, 13))


def test_flip_is_told_and_mended(path: Path) -> None:
    """Whatever byte of the log rots, a check tells while the index can mend it, and a repair does."""
    log = path / "refs.log"
    whole = log.read_bytes()
    for offset in offsets(path):
        with opened(path) as store:
            expected = named(store)
            flip(log, offset)
            report = check(store.context, store.objects)
            assert {problem.kind for problem in report.problems} == {ProblemKind.LOG}, offset
            repair(store.context, store.objects, report)
            assert named(store) == expected
            assert check(store.context, store.objects).is_sound
    assert len(log.read_bytes()) == len(whole)


def test_rebuild_from_a_damaged_log(path: Path) -> None:
    """Without an index a damaged log may lose names, but none of them leads elsewhere."""
    log = path / "refs.log"
    whole = log.read_bytes()
    with opened(path) as store:
        expected = named(store)
        versions = {name: version for name, version in expected.items() if name != "m/production"}
    for offset in offsets(path):
        log.write_bytes(whole)
        flip(log, offset)
        (path / "index.lmdb" / "data.mdb").unlink()
        report = wiring.rebuild_index(str(path))
        with opened(path) as store:
            found = named(store)
            assert report.notes, f"byte {offset}: something was lost, and nobody is told"
            alias = found.pop("m/production", None)
            assert alias in (None, versions["m/v1"], versions["m/v3"])
            assert found.items() <= versions.items(), offset
            assert report.versions == 3
            assert check(store.context, store.objects).is_sound


def test_torn_tail_is_harmless(path: Path, tmp_path: Path) -> None:
    """What a crash leaves behind the last record is cut off by the next writer."""
    log = path / "refs.log"
    with log.open("ab") as file:
        file.write(b"\x30\0\0\0torn")
    with opened(path) as store:
        assert check(store.context, store.objects).is_sound
        (tmp_path / "data/a").write_bytes(b"four")
        store.commit(tmp_path / "data")
        assert check(store.context, store.objects).is_sound
        assert "m/v4" in store.tags()


def test_cut_log_is_refused_by_writers(path: Path, tmp_path: Path) -> None:
    """A log that lost its end isn't written on, which would make the loss look like history."""
    log = path / "refs.log"
    truncate(log, log.stat().st_size - 20)
    with opened(path) as store:
        (tmp_path / "data/a").write_bytes(b"four")
        with pytest.raises(ArtstoreError) as caught:
            store.commit(tmp_path / "data")
        assert caught.value.exit_code == 6
        assert "m/v4" not in store.tags()
        repair(store.context, store.objects, check(store.context, store.objects))
        assert store.commit(tmp_path / "data").tag == "m/v4"

"""What was purged stays purged when the index is made anew, and what was stored again stays too."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore import wiring
from artstore.adapters.packs import FilePacks, pack_path
from artstore.errors import Corrupt, Erased
from artstore.model import PackId, PackKind
from artstore.store.check import check
from artstore.store.purge import purge, purge_plan
from artstore.store.read import entry_at, open_file
from artstore.testing.damage import flip, pack_files
from artstore.testing.local_store import Opened, create, files_of, opened

SECRET = random.Random(5).randbytes(30_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of one chunk each, which lie in one pack."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "other").write_bytes(random.Random(6).randbytes(20_000))
    (folder / "secret").write_bytes(SECRET)
    return folder


@pytest.fixture
def path(tmp_path: Path, folder: Path) -> Path:
    """A store with one version."""
    path = tmp_path / "store"
    create(path)
    with opened(path) as store:
        store.commit(folder)
    return path


def erase(store: Opened) -> None:
    plan = purge_plan(store.context, store.objects, b"secret")
    purge(store.context, store.objects, plan, who="me")


def is_on_disk(path: Path) -> bool:
    return any(SECRET[:100] in file.read_bytes() for file in (path / "packs").rglob("*.pack"))


@pytest.fixture
def restored(path: Path) -> Path:
    """A store to which somebody copied back, times and all, a pack that a purge had rewritten."""
    with opened(path) as store:
        file = pack_files(store.context, PackKind.DATA)[0]
        shutil.copy2(file, path.parent / "copy")
        erase(store)
        shutil.copy2(path.parent / "copy", file)
    assert is_on_disk(path)
    return path


@pytest.mark.plain("looks for content on the disk")
def test_an_old_pack_does_not_bring_it_back(restored: Path) -> None:
    """A backup or a killed purge would make erased content readable again."""
    report = wiring.rebuild_index(str(restored))
    assert len(report.notes) == 1
    assert not is_on_disk(restored)
    with opened(restored) as store:
        with pytest.raises(Erased):
            store.content(store.tags()["m/v1"])
        assert check(store.context, store.objects, data=True).is_sound
        assert report.packs == len(list(store.context.packs.list()))


@pytest.mark.plain("looks for content on the disk")
def test_a_damaged_neighbour_keeps_its_pack(restored: Path) -> None:
    """A chunk that can't be read would stop the rebuilding, or let a whole pack go, or what was erased come back."""
    with opened(restored) as store:
        (rewritten,) = pack_files(store.context, PackKind.DATA)
    rewritten.unlink()
    (old,) = [file for file in (restored / "packs").rglob("*.pack") if SECRET[:100] in file.read_bytes()]
    neighbour = random.Random(6).randbytes(20_000)
    times = old.stat().st_mtime_ns, old.stat().st_mtime_ns
    flip(old, old.read_bytes().index(neighbour[:100]) + 50)
    os.utime(old, ns=times)  # as a disk that rots
    report = wiring.rebuild_index(str(restored))
    assert any(old.stem in note and "out of reach" in note for note in report.notes)
    assert old.exists()
    with opened(restored) as store:
        for name, error in (("secret", Erased), ("other", Corrupt)):
            entry = entry_at(store.objects, store.objects.version(store.tags()["m/v1"]).tree, name.encode())
            with pytest.raises(error):
                open_file(store.context, store.objects, entry.content, entry.size).read()


def test_what_was_stored_again_stays(path: Path, folder: Path) -> None:
    """A commit that was reported after the purge would lose its content with the next rebuild."""
    with opened(path) as store:
        erase(store)
        (folder / "new").write_bytes(b"so that it is a new version")
        store.commit(folder)
    wiring.rebuild_index(str(path))
    with opened(path) as store:
        assert store.content(store.tags()["m/v2"]) == files_of(folder)


def test_a_pack_that_is_collected_meanwhile(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new index would name packs which a collection deleted between two looks at the folder."""
    with opened(path) as store:
        before = {pack for pack, _ in store.context.packs.list()}
        (folder / "other").write_bytes(random.Random(7).randbytes(20_000))
        store.commit(folder)
        garbage = [pack for pack, _ in store.context.packs.list() if pack not in before]
        with store.context.index.write() as writer:
            version = store.tags()["m/v2"]
            writer.remove_tag("m/v2", time=1, who="me")
            writer.remove_set(version)
    looks = 0

    def listing(packs: FilePacks) -> Iterator[tuple[PackId, int]]:
        nonlocal looks
        looks += 1
        if looks == 3:
            for pack in garbage:
                Path(pack_path(str(path), pack)).unlink()
        return as_it_is(packs)

    as_it_is = FilePacks.list
    monkeypatch.setattr(FilePacks, "list", listing)
    report = wiring.rebuild_index(str(path))
    assert looks > 3
    assert report.packs == len(before)
    with opened(path) as store:
        checked = check(store.context, store.objects)
        assert checked.is_sound, checked.problems

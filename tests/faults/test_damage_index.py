"""A damaged index: Corrupt, a dead process at worst, never wrong data; rebuilding mends whatever happened to it."""

from __future__ import annotations

import faulthandler
import os
import random
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore import wiring
from artstore.errors import ArtstoreError
from artstore.store.check import ProblemKind, check
from artstore.testing.damage import flip
from artstore.testing.local_store import create, files_of, opened

PAGE = 4096
RIGHT, REFUSED, LESS, WRONG = 10, 11, 12, 13


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A few files, one of many chunks."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_bytes(b"first")
    (folder / "sub/b").write_bytes(b"second")
    (folder / "big").write_bytes(random.Random(3).randbytes(500_000))
    return folder


@pytest.fixture
def path(tmp_path: Path, folder: Path) -> Path:
    """A store with two versions."""
    path = tmp_path / "store"
    create(path)
    with opened(path) as store:
        store.commit(folder)
        (folder / "a").write_bytes(b"changed")
        store.commit(folder)
    return path


def in_child(act: Callable[[], int]) -> int:
    """What a function returns in a process of its own; the negative signal that ended it."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            faulthandler.disable()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            status = act()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def read(path: Path, tags: dict[str, bytes], expected: dict[bytes, bytes]) -> int:
    """Read all names and the newest version."""
    try:
        with opened(path) as store:
            found = store.tags()
            if not found.items() <= tags.items():
                return WRONG
            if "m/v2" in found and not store.content(found["m/v2"]).items() <= expected.items():
                return WRONG
            return RIGHT if found == tags else LESS
    except ArtstoreError:
        return REFUSED


def checked(path: Path) -> int:
    """Check the store."""
    try:
        with opened(path) as store:
            report = check(store.context, store.objects)
            return RIGHT if report.is_sound else REFUSED
    except ArtstoreError:
        return REFUSED


def test_flips_in_the_index(path: Path, folder: Path) -> None:
    """Bit rot in LMDB's file never gives wrong bytes or wrong names; a check tells what a reader wouldn't see."""
    expected = files_of(folder)
    with opened(path) as store:
        tags = store.tags()
    data = path / "index.lmdb" / "data.mdb"
    whole = data.read_bytes()
    used = [at for at in range(0, len(whole), 8) if whole[at : at + 8] != bytes(8)]
    chosen = random.Random(7)
    outcomes: dict[int, int] = {}
    for at in chosen.sample(used, 150):
        data.write_bytes(whole)
        flip(data, at + chosen.randrange(8), 1 << chosen.randrange(8))
        outcome = in_child(lambda: read(path, tags, expected))
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        assert outcome in (RIGHT, REFUSED, LESS) or outcome < 0, f"byte {at}: {outcome}"
        if outcome != RIGHT:
            seen = in_child(lambda: checked(path))
            assert seen == REFUSED or seen < 0, f"byte {at}: a check tells nothing"
    assert outcomes[RIGHT] > 5
    assert outcomes[REFUSED] > 5


def test_rebuild_after_flips(path: Path, folder: Path) -> None:
    """Whatever a damaged index does to who reads it, rebuilding it mends the store."""
    expected = files_of(folder)
    data = path / "index.lmdb" / "data.mdb"
    with opened(path) as store:
        tags = store.tags()
    chosen = random.Random(8)
    for _ in range(25):
        for _ in range(40):
            flip(data, chosen.randrange(data.stat().st_size), 1 << chosen.randrange(8))
        wiring.rebuild_index(str(path))
        with opened(path) as store:
            assert store.tags() == tags
            assert store.content(tags["m/v2"]) == expected
            assert check(store.context, store.objects).is_sound


@pytest.mark.parametrize("damage", ["gone", "folder gone", "empty", "garbage", "cut"])
def test_lost_index_is_refused(path: Path, damage: str) -> None:
    """A store that lost its index says so, and how to mend it; it is never taken for a new one."""
    data = path / "index.lmdb" / "data.mdb"
    match damage:
        case "gone":
            data.unlink()
        case "folder gone":
            shutil.rmtree(data.parent)
        case "empty":
            os.truncate(data, 0)
        case "garbage":
            data.write_bytes(os.urandom(100_000))
        case _:
            os.truncate(data, 3 * PAGE)
    with pytest.raises(ArtstoreError) as caught, opened(path):
        pass
    assert caught.value.exit_code == 6
    assert "--rebuild-index" in str(caught.value)
    wiring.rebuild_index(str(path))
    with opened(path) as store:
        assert set(store.tags()) == {"m/v1", "m/v2"}


def test_check_tells_damaged_rows(path: Path) -> None:
    """A row whose checksum is wrong sends the user to a rebuild, not to a repair that believes the index."""
    with opened(path) as store:
        version = store.tags()["m/v1"]
    data = path / "index.lmdb" / "data.mdb"
    raw = data.read_bytes()
    at = raw.find(b"\0" + version)  # the key of its set, wherever a copy lies
    while at >= 0:
        flip(data, at + 33)
        at = raw.find(b"\0" + version, at + 1)
    with opened(path) as store:
        report = check(store.context, store.objects)
        assert ProblemKind.INDEX in {problem.kind for problem in report.problems}

"""A push or a clone that is killed: nothing is lost, nobody sees a half, and the next one goes on where it ended."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from artstore import Store
from artstore.adapters.disk.faultpoints import VARIABLE
from artstore.adapters.remote_folder import FolderRemote
from artstore.model import RemotePlace

MIB = 1 << 20
PUSHED = ["remote.written", "remote.renamed", "index.before_commit", "index.after_commit"]
PULLED = ["pack.renamed", "pack.sealed", "index.before_commit", "index.after_commit", "refslog.fsynced"]


def artstore(store: Path, *words: str, point: str = "") -> int:
    """One command, killed at a point; its exit code."""
    environment = {**os.environ, VARIABLE: point}
    command = [sys.executable, "-P", "-m", "artstore", "--store", str(store), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.fixture
def place(tmp_path: Path) -> RemotePlace:
    return RemotePlace(url=f"file://{tmp_path / 'remote'}")


def fill(folder: Path, seed: int) -> None:
    """Some files that are new, beside some that stay."""
    folder.mkdir(exist_ok=True)
    (folder / "stays").write_bytes(random.Random(1).randbytes(MIB))
    (folder / "new").write_bytes(random.Random(seed).randbytes(200_000))


@pytest.mark.parametrize("point", PUSHED)
def test_a_push_killed_at(tmp_path: Path, place: RemotePlace, point: str) -> None:
    """At each step, at each time it is reached: a clone has all of what is named, and the next push completes."""
    folder, path = tmp_path / "folder", tmp_path / "store"
    fill(folder, 0)
    with Store.init(path) as store:
        store.add_remote("origin", place)
        store.commit(folder, tag="m/v0")
        store.set_alias("m/production", "m/v0")
        store.push()
    for count in range(1, 60):
        fill(folder, count)
        with Store.open(path) as store:
            store.commit(folder, tag=f"m/v{count}")
            store.set_alias("m/production", f"m/v{count}", local=True)
        ended = artstore(path, "push", point=f"{point}:{count}")
        clone, _ = Store.clone(place, tmp_path / f"killed-{count}", full=True)
        with clone:
            assert clone.check(data=True).is_sound
            assert {tag.name for tag in clone.tags()} >= {f"m/v{number}" for number in range(count)}
        if ended == 0:
            assert count > 3, "the point was never reached"
            break
        before = FolderRemote(place)
        packs = len(list(before.list("p/")))
        assert artstore(path, "push") == 0
        assert len(list(before.list("p/"))) <= packs + 1, "at most one pack is sent again"
    last, result = Store.clone(place, tmp_path / "last", full=True)
    with last:
        assert not result.conflicts
        last.checkout("m/production", tmp_path / "out")
        assert (tmp_path / "out" / "new").read_bytes() == (folder / "new").read_bytes()


@pytest.mark.parametrize("point", ["remote.renamed", "index.before_commit"])
def test_a_push_in_part_killed_at(tmp_path: Path, place: RemotePlace, point: str) -> None:
    """Of what others have in part, too, at most one pack is sent again; and the version is whole."""
    folder, weights = tmp_path / "folder", random.Random(1).randbytes(3 * MIB)
    folder.mkdir()
    (folder / "weights").write_bytes(weights)
    with Store.init(tmp_path / "first") as store:
        store.add_remote("origin", place)
        store.commit(folder, tag="m/v0")
        store.push()
    remote = FolderRemote(place)
    count = 0
    for count in range(1, 60):
        path = tmp_path / f"store-{count}"
        (folder / "weights").write_bytes(weights[:MIB] + random.Random(count).randbytes(300_000) + weights[MIB:])
        with Store.init(path) as store:
            store.add_remote("origin", place)
            store.commit(folder, tag=f"m/v{count}")
        before = {each.key for each in remote.list("p/")}
        ended = artstore(path, "push", point=f"{point}:{count}")
        killed = {each.key for each in remote.list("p/")}
        assert artstore(path, "push") == 0
        new = [each for each in remote.list("p/") if each.key not in before]
        assert len(new) <= len(killed - before) + 1
        assert all(each.size < MIB for each in new), "the rest is there"
        if ended == 0:
            assert count > 3, "the point was never reached"
            break
    clone, _ = Store.clone(place, tmp_path / "clone", full=True)
    with clone:
        assert clone.check(data=True).is_sound
        assert {tag.name for tag in clone.tags()} == {f"m/v{number}" for number in range(count + 1)}
        clone.checkout(f"m/v{count}", tmp_path / "out")
        assert (tmp_path / "out" / "weights").read_bytes() == (folder / "weights").read_bytes()


@pytest.mark.parametrize("point", PULLED)
def test_a_pull_killed_at(tmp_path: Path, place: RemotePlace, point: str) -> None:
    """What has come stays, no name leads to a half, and the next pull completes."""
    folder = tmp_path / "folder"
    fill(folder, 1)
    with Store.init(tmp_path / "store") as store:
        store.add_remote("origin", place)
        store.commit(folder, tag="m/v1")
        store.set_alias("m/production", "m/v1")
        fill(folder, 2)
        store.commit(folder, tag="m/v2")
        store.push()
    for count in range(1, 60):
        path = tmp_path / f"clone-{count}"
        with Store.init(path) as store:
            store.add_remote("origin", place)
        ended = artstore(path, "pull", point=f"{point}:{count}")
        with Store.open(path) as store:
            assert store.check(data=True).is_sound
        assert artstore(path, "pull") == 0
        with Store.open(path) as store:
            assert {tag.name for tag in store.tags()} == {"m/v1", "m/v2"}
            assert store.resolve("m/production").version == store.resolve("m/v1").version
            store.checkout("m/v2", tmp_path / f"out-{count}")
            assert (tmp_path / f"out-{count}" / "new").read_bytes() == (folder / "new").read_bytes()
            store.context.sessions.clean()
            assert not list((path / "tmp").iterdir())
        if ended == 0:
            assert count > 1, "the point was never reached"
            return

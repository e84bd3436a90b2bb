"""kill -9 at each step of an eviction and of lazy reads: nothing is lost, and what was begun is completed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from artstore import RemotePlace, Store
from artstore.adapters.disk.faultpoints import VARIABLE
from artstore.store.collect import gc_plan

MIB = 1 << 20
EVICTED = ("index.before_commit", "index.after_commit", "pack.deleted", "session.begun", "session.ended")
INDEX = ("index.before_commit", "index.after_commit")
PACK = ("pack.written", "pack.renamed", "pack.sealed")
FETCHED = [  # what is done, and where it is killed
    *((("fetch",), point) for point in (*INDEX, *PACK)),
    *((("pull",), point) for point in ("index.after_commit", *PACK)),
    *((("checkout", "m/v1", "OUT"), point) for point in (*INDEX, "cache.written")),
    (("prefetch", "m/v1"), "cache.written"),
]


def artstore(store: Path, *arguments: str | Path, point: str | None = None) -> int:
    """One command; its exit code, negative if it was killed."""
    environment = {**os.environ, **({VARIABLE: point} if point else {})}
    words = [sys.executable, "-P", "-m", "artstore", "--store", str(store), *map(str, arguments)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is versioned."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "weights").write_bytes(random.Random(1).randbytes(3 * MIB))
    (folder / "config").write_bytes(b"{}")
    return folder


@pytest.fixture
def place(tmp_path: Path) -> RemotePlace:
    return RemotePlace(url=f"file://{tmp_path}/remote")


def pushed(path: Path, folder: Path, place: RemotePlace) -> None:
    """A store with a pushed version."""
    with Store.init(path) as store:
        store.add_remote("origin", place)
        store.commit(folder, tag="m/v1")
        store.push()


def same(folder: Path, other: Path) -> bool:
    return {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in other.iterdir()
    }


@pytest.mark.parametrize("point", EVICTED)
def test_an_eviction_killed_at(tmp_path: Path, folder: Path, point: str) -> None:
    """A pack would be unlinked that the index takes for present, or a version be whole nowhere."""
    reached = 0
    for count in range(1, 40):
        path = tmp_path / f"store-{count}"
        pushed(path, folder, RemotePlace(url=f"file://{tmp_path}/remote-{count}"))
        ended = artstore(path, "evict", "--all", point=f"{point}:{count}")
        reached += ended != 0
        with Store.open(path) as store:
            assert store.check().is_sound
            store.checkout("m/v1", tmp_path / f"out-{count}")
        assert same(folder, tmp_path / f"out-{count}")
        assert artstore(path, "evict", "--all") == 0
        with Store.open(path) as store:
            store.gc(gc_plan(store.context, store.objects))
            assert sum(pack.stat().st_size for pack in (path / "packs").rglob("*.pack")) < MIB
            store.pull()
            assert store.check(data=True).is_sound
        if ended == 0:
            break
    assert reached > 0, "the point was never reached"


@pytest.mark.parametrize(("words", "point"), FETCHED)
def test_fetching_killed_at(
    tmp_path: Path, folder: Path, place: RemotePlace, point: str, words: tuple[str, ...]
) -> None:
    """A half-written cache or index would be taken for the version."""
    pushed(tmp_path / "origin", folder, place)
    for count in range(1, 40):
        path, out = tmp_path / f"clone-{count}", tmp_path / f"out-{count}"
        if words[0] in ("fetch", "pull"):
            with Store.init(path) as store:
                store.add_remote("origin", place)
        else:
            Store.clone(place, path)[0].close()
        arguments = [str(out) if word == "OUT" else word for word in words]
        ended = artstore(path, *arguments, point=f"{point}:{count}")
        if words[0] in ("fetch", "pull"):
            assert artstore(path, words[0]) == 0
        with Store.open(path) as store:
            assert store.check().is_sound
            store.checkout("m/v1", out)
            assert same(folder, out)
            store.pull()
            assert store.check(data=True).is_sound
        if ended == 0:
            break
    else:
        pytest.fail("it never ends")


@pytest.mark.parametrize("point", ["remote.written", "index.after_commit"])
def test_a_version_based_on_what_is_elsewhere_killed_at(
    tmp_path: Path, folder: Path, place: RemotePlace, point: str
) -> None:
    """Its name would stand for a version of which nobody has all."""
    pushed(tmp_path / "origin", folder, place)
    for count in range(1, 40):
        (tmp_path / "card").write_bytes(b"card %d" % count)
        path, tag = tmp_path / f"clone-{count}", f"m/best{count}"
        Store.clone(place, path)[0].close()
        words = ("commit", "--base", "m/v1", "--add", f"card={tmp_path}/card", "--tag", tag)
        ended = artstore(path, *words, point=f"{point}:{count}")
        with Store.open(path) as store:
            assert store.check().is_sound
            made = tag in {each.name for each in store.tags()}
        assert artstore(path, "push") == 0
        with Store.init(tmp_path / f"alone-{count}") as store:
            store.add_remote("origin", place)
            store.pull()
            assert store.check(data=True).is_sound
            assert made == (tag in {each.name for each in store.tags()})
            if made:
                store.remove("m/v1")
                store.checkout(tag, tmp_path / f"out-{count}")
                assert (tmp_path / f"out-{count}" / "weights").read_bytes() == (folder / "weights").read_bytes()
        if ended == 0:
            assert count > 3, "the point was never reached"
            break

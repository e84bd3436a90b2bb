"""kill -9 at each named point of collecting, removing, undoing and erasing: what is named stays, the rest goes later.

Run as a program with a mode and a folder it sweeps all points, forking for each; pytest starts it once for each mode,
since a process that has threads must not fork.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from artstore import limits, wiring
from artstore.adapters.clock import SystemClock
from artstore.adapters.disk import faultpoints
from artstore.errors import Erased
from artstore.format.ids import PLAIN
from artstore.format.reflog import Erasure, LogRecord
from artstore.model import Metadata
from artstore.store.collect import gc, gc_plan, undo
from artstore.store.commit import Naming, Said, commit
from artstore.store.purge import purge, purge_plan
from artstore.store.read import entry_at, open_file
from artstore.store.remove import remove
from artstore.testing.local_store import Opened, create, opened

Files = dict[bytes, bytes]
DAY = 24 * 3600 * 1_000_000_000
TIMES_MAX = 30
POINTS = [point for point in faultpoints.POINTS if not point.startswith(("store.", "file.", "remote.", "cache."))]


class Later(SystemClock):
    """The time, some days on."""

    def __init__(self, days: int) -> None:
        self._ahead = days * DAY

    def now_ns(self) -> int:
        return super().now_ns() + self._ahead


@contextmanager
def store_at(path: Path, days: int = 0) -> Generator[Opened, None, None]:
    with opened(path) as store:
        yield Opened(replace(store.context, clock=Later(days)), store.objects)


def blob(seed: int) -> bytes:
    return random.Random(seed).randbytes(9_000)


def collect(store: Opened, *, now: bool = False) -> None:
    gc(store.context, store.objects, gc_plan(store.context, store.objects, now=now), now=now)


def take(store: Opened, *names: str) -> None:
    remove(store.context, store.objects, names, who="me", host="here")


def make(store: Opened, folder: Path, tag: str, seeds: list[int]) -> Files:
    files = {b"f%03d" % seed: blob(seed) for seed in seeds}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / os.fsdecode(name)).write_bytes(data)
    commit(store.context, store.objects, os.fsencode(folder), naming=Naming(tag=tag), said=Said("", "me", Metadata()))
    return files


def prepare(base: Path) -> dict[str, Files]:
    """v1 fills packs of which v2 needs a tenth; v3 is whole, v4 shares nothing; v1 is collected a week ago."""
    limits.PACK_BYTES_TARGET, limits.METAPACK_BYTES_TARGET = 60_000, 1_000
    create(base / "store")
    with store_at(base / "store") as store:
        known = {
            "m/v1": make(store, base / "folder", "m/v1", list(range(40))),
            "m/v2": make(store, base / "folder", "m/v2", [3, 13, 23, 33]),
            "m/v3": make(store, base / "folder", "m/v3", list(range(60, 70))),
            "m/v4": make(store, base / "folder", "m/v4", list(range(80, 90))),
        }
        take(store, "m/v4")
    with store_at(base / "store", 8) as store:
        collect(store)
        take(store, "m/v1")
    return known


def condemn(path: Path) -> None:
    with store_at(path, 9) as store:
        collect(store)


def delete(path: Path) -> None:
    with store_at(path, 16) as store:
        collect(store)


def at_once(path: Path) -> None:
    with store_at(path, 9) as store:
        collect(store, now=True)


def take_and_undo(path: Path) -> None:
    with store_at(path, 9) as store:
        collect(store)
        take(store, "m/v2")
        undo(store.context, store.objects, who="me", host="here")


def erase(path: Path) -> None:
    with store_at(path, 9) as store:
        plan = purge_plan(store.context, store.objects, b"f063")
        purge(store.context, store.objects, plan, who="me")


def erase_before_rebuild(path: Path) -> None:
    erase(path)


def rebuild_after_killed_erase(path: Path) -> None:
    wiring.rebuild_index(str(path))


MODES: dict[str, Callable[[Path], None]] = {
    each.__name__: each
    for each in (condemn, delete, at_once, take_and_undo, erase, erase_before_rebuild, rebuild_after_killed_erase)
}
REBUILT = ("erase_before_rebuild", "rebuild_after_killed_erase")


def verify_rebuilt(path: Path, known: dict[str, Files]) -> None:
    """What refs.log says is erased is gone from a new index, and from the disk; all else is there."""
    shutil.rmtree(path / "index.lmdb", ignore_errors=True)
    wiring.rebuild_index(str(path))
    secret = blob(63)
    with store_at(path, 10) as store:
        records = [item.record for item in store.context.index.log.records() if isinstance(item, LogRecord)]
        erased = any(isinstance(record, Erasure) for record in records)
        entry = entry_at(store.objects, store.objects.version(store.tags()["m/v3"]).tree, b"f063")
        stream = open_file(store.context, store.objects, entry.content, entry.size)
        with store.context.index.read() as reader:
            assert bool(reader.copies(PLAIN.chunk(secret))) is not erased
        if erased:
            with pytest.raises(Erased):
                stream.read()
            assert not any(secret[100:200] in file.read_bytes() for file in path.rglob("*") if file.is_file())
            known["m/v3"].pop(b"f063")
        else:
            assert stream.read() == secret
        check_contents(store, known, "erase")
        collect(store, now=True)
        check_contents(store, known, "erase")
    with store_at(path, 10) as store, store.context.index.read() as reader:
        assert {bytes(pack) for pack, _ in store.context.packs.list()} == {bytes(row.id) for row in reader.packs()}
    assert not list((path / "tmp").iterdir())
    assert not list((path / "sessions").iterdir())


def verify(path: Path, known: dict[str, Files], mode: str) -> None:
    if mode in REBUILT:
        verify_rebuilt(path, known)
        return
    if mode == "erase":
        erase(path)
        assert not any(blob(63)[100:200] in file.read_bytes() for file in path.rglob("*") if file.is_file())
        known = {tag: {name: data for name, data in files.items() if name != b"f063"} for tag, files in known.items()}
    with store_at(path, 10) as store:
        tags = store.tags()
        assert tags.keys() >= {"m/v3"}
        check_contents(store, known, mode)
        if mode in ("condemn", "take_and_undo"):
            undo(store.context, store.objects, who="me", host="here")
            assert store.tags().keys() == known.keys()
            check_contents(store, known, mode)
        collect(store, now=True)
        check_contents(store, known, mode)
        with store.context.index.read() as reader:
            rows = {bytes(row.id): row.number for row in reader.packs()}
            needed = {number for version in reader.versions() for number in reader.version_set(version) or ()}
            assert {bytes(version) for version in reader.versions()} == set(store.tags().values())
        assert {bytes(pack) for pack, _ in store.context.packs.list()} == rows.keys()
        assert set(rows.values()) == needed
        assert not store.context.sessions.running()
    assert not list((path / "tmp").iterdir())
    assert not list((path / "sessions").iterdir())


def check_contents(store: Opened, known: dict[str, Files], mode: str) -> None:
    """Everything that has a name is there, bit for bit; from disk, not from memory."""
    store.objects.close()
    for tag, version in store.tags().items():
        tree = store.objects.version(version).tree
        for name, data in known[tag].items():
            entry = entry_at(store.objects, tree, name)
            assert open_file(store.context, store.objects, entry.content, entry.size).read() == data, (tag, name)
        if mode != "erase":
            assert store.content(version).keys() == known[tag].keys()


def die_at(point: str, count: int) -> None:
    """As ARTSTORE_CRASH_AT, which is read at import."""
    faultpoints._name, faultpoints._left = point, count  # pyright: ignore[reportPrivateUsage] - see above


def run_forked(act: Callable[[], None], point: str | None = None, count: int = 0) -> int:
    """The status of a child that does this, killed at a point if one is given."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if point is not None:
                die_at(point, count)
            act()
            status = 0
        except Exception:  # noqa: BLE001 - a forked child must not go on with what its parent was doing
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def sweep(mode: str, base: Path) -> None:
    """Kill at the first, second … time that each point is reached, until it isn't reached any more."""
    known = prepare(base)
    if mode == "rebuild_after_killed_erase":  # the erasure is known, and no pack was touched
        assert run_forked(partial(erase, base / "store"), "pack.created", 1) == -signal.SIGKILL
    killed = 0
    for point in POINTS:
        for count in range(1, TIMES_MAX):
            path = base / f"{point}-{count}"
            shutil.copytree(base / "store", path)
            status = run_forked(partial(MODES[mode], path), point, count)
            assert status in (0, -signal.SIGKILL), (point, count)
            killed += status != 0
            assert run_forked(partial(verify, path, known, mode)) == 0, (point, count)
            shutil.rmtree(path)
            if status == 0:
                break
    print(killed)


@pytest.mark.parametrize("mode", MODES)
def test_killed_at_every_point(tmp_path: Path, mode: str) -> None:
    """A power cut during `gc` would cost a version that has a name, or leave garbage that no later `gc` finds."""
    ended = subprocess.run(
        [sys.executable, __file__, mode, str(tmp_path)], capture_output=True, text=True, check=False, timeout=110
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) >= 5


if __name__ == "__main__":
    sweep(sys.argv[1], Path(sys.argv[2]))

"""Watched folders, by a real daemon: what becomes a version, and what doesn't."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from artstore import Store
from artstore_daemon import settings
from tests.daemon.live import SETTLE_S, Begin, Live, files, names, on_disk, spec


def test_what_is_saved_becomes_a_version(store: Store, folder: Path, begin: Begin) -> None:
    """People would have to run a command after each epoch."""
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    (folder / "weights").write_bytes(b"one")
    assert live.wait_for("version").name == "m/v1"
    (folder / "weights").write_bytes(b"two")
    (folder / "more").mkdir()
    (folder / "more" / "deep").mkdir()
    (folder / "more" / "deep" / "file").write_bytes(b"deep")
    live.wait_for("version", "m/v2")
    os.rename(folder / "more", folder / "moved")
    live.wait_for("version", "m/v3")
    (folder / "moved" / "deep" / "file").write_bytes(b"deeper")
    live.wait_for("version", "m/v4")
    shutil.rmtree(folder / "moved")
    live.wait_for("version", "m/v5")
    live.wait_quiet()
    assert files(store, "m/v1") == {"weights": b"one"}
    assert files(store, "m/v2") == {"weights": b"two", "more/deep/file": b"deep"}
    assert files(store, "m/v4") == {"weights": b"two", "moved/deep/file": b"deeper"}
    assert files(store, "m/v5") == on_disk(folder)


def test_a_burst_is_one_version(store: Store, folder: Path, begin: Begin) -> None:
    """Ten thousand files would be ten thousand versions, or half of them in one."""
    settings.add_watch(store.path, spec("m", folder, settle_s=1.0))
    live = begin(store)
    live.wait_until(lambda: live.daemon.watchings and live.daemon.watchings[0].status.how == "inotify")
    for number in range(10_000):
        if number % 100 == 0:
            (folder / f"{number // 1000}" / f"{number // 100}").mkdir(parents=True)
        (folder / f"{number // 1000}" / f"{number // 100}" / f"{number}").write_bytes(b"%d" % number)
    live.wait_for("version", "m/v1")
    live.wait_quiet()
    assert files(store, "m") == on_disk(folder)
    assert len(names(store)) <= 2, "one, or two if this machine was so slow that the folder was quiet in between"


def test_what_happened_while_no_daemon_ran(store: Store, folder: Path, begin: Begin) -> None:
    """What was saved during an upgrade would never be a version."""
    settings.add_watch(store.path, spec("m", folder))
    (folder / "a").write_bytes(b"a")
    with Live(store) as live:
        live.wait_for("version", "m/v1")
    (folder / "a").write_bytes(b"b")
    with Live(store) as live:
        live.wait_for("version", "m/v2")
    live = begin(store)
    live.wait_quiet()
    time.sleep(3 * SETTLE_S)
    assert names(store) == ["m/v1", "m/v2"], "nothing has changed since"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Callable[[Path, int], subprocess.Popen[bytes]]]:
    """Another process that writes one line of a thousand equal bytes after the other, and keeps the file open."""
    code = (
        "import sys, time\n"
        "with open(sys.argv[1], 'wb', buffering=0) as file:\n"
        "    print('open', flush=True)\n"
        "    for number in range(int(sys.argv[2])):\n"
        "        file.write(bytes([97 + number % 26]) * 1000)\n"
        "        time.sleep(0.02)\n"
        "    sys.stdin.read()\n"
    )
    running: list[subprocess.Popen[bytes]] = []

    def write(path: Path, times: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code, str(path), str(times)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        return process

    yield write
    for process in running:
        process.kill()
        process.communicate()


def test_a_file_that_is_open_for_writing_is_waited_for(
    store: Store, folder: Path, begin: Begin, writer: Callable[[Path, int], subprocess.Popen[bytes]]
) -> None:
    """A checkpoint would be a version although its second half is still to come."""
    settings.add_watch(store.path, spec("m", folder))
    process = writer(folder / "weights", 5)
    live = begin(store)
    live.wait_until(lambda: live.daemon.watchings and live.daemon.watchings[0].status.error)
    assert "is open for writing" in (live.daemon.watchings[0].status.error or "")
    time.sleep(3 * SETTLE_S)
    assert names(store) == []
    process.communicate()
    live.wait_for("version", "m/v1")
    assert files(store, "m") == on_disk(folder)


def test_what_never_settles_is_committed_without_being_torn(
    store: Store, folder: Path, begin: Begin, writer: Callable[[Path, int], subprocess.Popen[bytes]]
) -> None:
    """A log that grows for a week would keep all else from being a version for a week; or be half of a line."""
    (folder / "log").write_bytes(b"as it was")
    settings.add_watch(store.path, spec("m", folder, settle_s=0.2, every_s=1.0))
    live = begin(store)
    live.wait_for("version", "m/v1")
    process = writer(folder / "log", 100_000)
    (folder / "weights").write_bytes(b"new")
    live.wait_for("version", "m/v2")
    assert files(store, "m/v2") == {"log": b"as it was", "weights": b"new"}
    assert live.daemon.watchings[0].status.kept == ["log"]
    source = store.version("m/v2").metadata.source
    assert (source["as_before"], source["as_before_paths"]) == (1, '["log"]')
    process.kill()
    process.communicate()
    live.wait_for("version", "m/v3")
    live.wait_quiet()
    assert files(store, "m") == on_disk(folder)


@pytest.mark.parametrize("during", ["start", "reload"])
def test_begun_in_the_middle_of_a_burst(store: Store, folder: Path, begin: Begin, during: str) -> None:
    """A half-written checkpoint would be a version."""
    settings.add_watch(store.path, spec("m", folder, settle_s=1.0))
    live = begin(store) if during == "reload" else None
    for number in range(20):
        (folder / f"{number}").write_bytes(b"x")
        time.sleep(0.1)
        if number == 5 and live is None:
            live = begin(store)
        elif number == 5 and live is not None:
            settings.change_watch(store.path, "m", lambda spec: replace(spec, keep_last=9))
            live.reload()
    assert live is not None
    live.wait_for("version", "m/v1")
    assert len(files(store, "m/v1")) == 20


def test_symlinks_and_what_editors_leave(store: Store, folder: Path, tmp_path: Path, begin: Begin) -> None:
    """A commit would fail for a link, or be made for each file that vim keeps for a second."""
    (tmp_path / "elsewhere").write_bytes(b"not ours")
    (folder / "file").write_bytes(b"text")
    (folder / "out").symlink_to(tmp_path / "elsewhere")
    settings.add_watch(store.path, spec("m", folder, exclude=("*.log",)))
    live = begin(store)
    live.wait_for("version", "m/v1")
    for name in (".file.swp", "file~", "file.tmp", "model.part", "#file#", ".#file", ".nfs0001", "noise.log"):
        (folder / name).write_bytes(b"x")
    time.sleep(4 * SETTLE_S)
    live.wait_quiet()
    assert names(store) == ["m/v1"]
    os.rename(folder / "file.tmp", folder / "file")
    live.wait_for("version", "m/v2")
    assert files(store, "m") == {"file": b"x"}
    assert {path for path, _ in store.walk("m")} == {b"file", b"out"}


def test_pause_and_resume(store: Store, folder: Path, begin: Begin) -> None:
    """A run that is thrown away would be made versions of."""
    settings.add_watch(store.path, spec("m", folder))
    (folder / "a").write_bytes(b"a")
    live = begin(store)
    live.wait_for("version", "m/v1")
    settings.pause_watch(store.path, "m", paused=True)
    live.reload()
    live.wait_until(lambda: live.daemon.watchings[0].status.how == "paused")
    (folder / "a").write_bytes(b"b")
    time.sleep(3 * SETTLE_S)
    assert names(store) == ["m/v1"]
    settings.pause_watch(store.path, "m", paused=False)
    live.reload()
    live.wait_for("version", "m/v2")
    settings.change_watch(store.path, "m", lambda _: None)
    live.reload()
    live.wait_until(lambda: not live.daemon.watchings)
    (folder / "a").write_bytes(b"c")
    time.sleep(3 * SETTLE_S)
    assert names(store) == ["m/v1", "m/v2"]


def test_what_is_asked_for_now(store: Store, folder: Path, begin: Begin) -> None:
    """Who is about to switch the machine off would have to wait for the folder to be quiet."""
    settings.add_watch(store.path, spec("m", folder, settle_s=50.0))
    live = begin(store)
    live.wait_until(lambda: live.daemon.watchings and live.daemon.watchings[0].status.how == "inotify")
    (folder / "a").write_bytes(b"a")
    assert live.call(lambda: live.daemon.commit_now("m")) == ["m"]
    live.wait_for("version", "m/v1")
    assert live.call(lambda: live.daemon.commit_now("other")) == []


def test_only_the_last_versions_are_kept(store: Store, folder: Path, begin: Begin) -> None:
    """A week of checkpoints would fill the disk."""
    settings.add_watch(store.path, spec("m", folder, keep_last=2))
    live = begin(store)
    for number in range(1, 5):
        (folder / "a").write_bytes(b"%d" % number)
        live.wait_for("version", f"m/v{number}")
    live.wait_until(lambda: len(store.tags()) == 2, "for retention")
    assert names(store) == ["m/v3", "m/v4"]


def test_what_the_daemon_writes_itself_is_no_change(
    store: Store, tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who watches a home has store and log in it: each version would be the reason of the next, for ever."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state #1"))
    log = tmp_path / "state #1" / "artstore" / "daemon.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"one line\n")
    (tmp_path / "weights").write_bytes(b"one")
    settings.add_watch(store.path, spec("m", tmp_path))
    live = begin(store)
    live.wait_for("version", "m/v1")
    log.write_bytes(b"one line\nm/v1 was made\n")
    live.wait_quiet()
    time.sleep(3 * SETTLE_S)
    assert live.call(lambda: live.daemon.is_quiet), "it goes on as its own index changes"
    assert names(store) == ["m/v1"]
    assert files(store, "m/v1") == {"weights": b"one"}

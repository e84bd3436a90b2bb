"""How a real daemon hears of changes: folders that come and go, disks, limits of the system, and polling."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import watchdog.observers.inotify_c as inotify_c

from artstore import Store
from artstore_daemon import settings
from artstore_daemon.daemon import Daemon
from artstore_daemon.watch import inotify
from tests.daemon.live import SETTLE_S, Begin, Live, files, names, on_disk, spec

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


def test_a_tree_that_is_moved_in(store: Store, folder: Path, tmp_path: Path, begin: Begin) -> None:
    """A dataset that is unpacked elsewhere and moved here would be missed, or what changes in it later."""
    tree = tmp_path / "tree" / "below"
    tree.mkdir(parents=True)
    (tree / "file").write_bytes(b"1")
    (folder / "first").write_bytes(b"0")
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    live.wait_for("version", "m/v1")
    os.rename(tmp_path / "tree", folder / "tree")
    live.wait_for("version", "m/v2")
    (folder / "tree" / "below" / "file").write_bytes(b"2")
    live.wait_for("version", "m/v3")
    os.rename(folder / "tree", tmp_path / "tree")
    live.wait_for("version", "m/v4")
    (tmp_path / "tree" / "below" / "file").write_bytes(b"3")
    time.sleep(3 * SETTLE_S)
    assert names(store)[-1] == "m/v4", "it isn't here any more"
    assert files(store, "m") == on_disk(folder)


def test_a_folder_that_is_made_anew_between_two_looks(
    store: Store, folder: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would be heard of the new one."""
    monkeypatch.setattr("artstore.limits.WATCH_LOOK_S", 0.5)
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    (folder / "a").write_bytes(b"a")
    live.wait_for("version", "m/v1")
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "b").write_bytes(b"b")
    live.wait_for("version", "m/v2")
    live.wait_until(lambda: live.daemon.watchings[0].status.folders == 1)
    (folder / "c").write_bytes(b"c")
    live.wait_for("version", "m/v3")
    assert files(store, "m") == on_disk(folder)


def test_a_folder_that_goes_and_comes_back(store: Store, folder: Path, begin: Begin) -> None:
    """Its versions would end with an empty one, which a follower serves."""
    (folder / "a").write_bytes(b"a")
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    live.wait_for("version", "m/v1")
    shutil.rmtree(folder)
    live.wait_until(lambda: live.daemon.watchings[0].status.how == "gone")
    folder.mkdir()
    live.wait_until(lambda: live.daemon.watchings[0].status.how == "inotify")
    time.sleep(3 * SETTLE_S)
    assert names(store) == ["m/v1"]
    (folder / "b").write_bytes(b"b")
    live.wait_for("version", "m/v2")
    assert files(store, "m") == {"b": b"b"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_disk_that_is_unmounted(store: Store, folder: Path, begin: Begin) -> None:
    """What lies below the mount point, mostly nothing, would be taken for what was on the disk."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "artstore-test", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (folder / "a").write_bytes(b"a")
        settings.add_watch(store.path, spec("m", folder))
        with Live(store) as live:
            live.wait_for("version", "m/v1")
            subprocess.run(["umount", "-l", str(folder)], check=True)
            (folder / "below").write_bytes(b"nobody's")
            live.wait_until(lambda: live.daemon.watchings[0].status.how == "gone")
            time.sleep(3 * SETTLE_S)
            subprocess.run(mount, check=True)
            (folder / "b").write_bytes(b"b")
            live.wait_for("version", "m/v2")
            assert files(store, "m") == {"b": b"b"}
            assert names(store) == ["m/v1", "m/v2"]
        subprocess.run(["umount", "-l", str(folder)], check=True)
        with Live(store) as live:  # one that begins while the disk is away
            live.wait_until(lambda: live.daemon.watchings and live.daemon.watchings[0].status.how == "gone")
            time.sleep(3 * SETTLE_S)
        assert names(store) == ["m/v1", "m/v2"]
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def test_what_is_polled(store: Store, folder: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another machine writes to a share would never be seen, as inotify doesn't tell of it."""
    monkeypatch.setattr("artstore.limits.WATCH_LOOK_S", 0.1)
    monkeypatch.setattr(inotify.Notifier, "tree", None)
    settings.add_watch(store.path, spec("m", folder, poll_s=0.2))
    live = begin(store)
    for number in range(1, 4):
        (folder / f"{number}").mkdir()
        (folder / f"{number}" / "a").write_bytes(b"%d" % number)
        live.wait_for("version", f"m/v{number}")
    live.wait_quiet()
    assert live.daemon.watchings[0].status.how == "polled every 0.2 s"
    assert files(store, "m") == on_disk(folder)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_more_folders_than_the_system_watches(
    store: Store, folder: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A folder would silently not be watched."""
    limit = "max_user_watches" if number == errno.ENOSPC else "max_user_instances"

    def refuse(*_: object) -> int:
        raise OSError(number, "limit reached")

    place = "_add_callback" if number == errno.ENOSPC else "_create_inotify_fd"
    monkeypatch.setattr(inotify_c.InotifyFD, place, refuse)
    monkeypatch.setattr("artstore.limits.WATCH_LOOK_S", 0.1)
    monkeypatch.setattr("artstore.limits.WATCH_POLL_S", 0.2)
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    (folder / "a").write_bytes(b"a")
    live.wait_for("version", "m/v1")
    status = live.daemon.watchings[0].status
    assert status.how.startswith("polled")
    assert f"sudo sysctl fs.inotify.{limit}=" in (status.why or "")


def test_folders_that_come_when_no_more_can_be_watched(
    store: Store, folder: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written there would be found an hour later."""
    monkeypatch.setattr("artstore.limits.WATCH_LOOK_S", 0.1)
    monkeypatch.setattr("artstore.limits.WATCH_POLL_S", 0.2)
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    live.wait_until(lambda: live.daemon.watchings and live.daemon.watchings[0].status.how == "inotify")
    original: Callable[..., int] = vars(inotify_c.InotifyFD)["_add_callback"]

    def refuse(self: object, path: bytes, *more: object) -> int:
        if path != os.fsencode(folder):
            raise OSError(errno.ENOSPC, "limit reached")
        return original(self, path, *more)

    with monkeypatch.context() as full:
        full.setattr(inotify_c.InotifyFD, "_add_callback", refuse)
        (folder / "late").mkdir()
        live.wait_until(lambda: live.daemon.watchings[0].status.how == "polled every 0.2 s")
        assert "sudo sysctl fs.inotify.max_user_watches=" in (live.daemon.watchings[0].status.why or "")
        live.wait_for("version", "m/v1")
        (folder / "late" / "file").write_bytes(b"late")
        live.wait_for("version", "m/v2")
    assert files(store, "m/v2") == on_disk(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sets the limit")
def test_more_events_than_the_queue_holds(store: Store, folder: Path, begin: Begin) -> None:
    """What was created while events were lost would be missed, and what changes in it later."""
    try:
        before = QUEUE.read_text()
        QUEUE.write_text("64")
    except OSError:
        pytest.skip("the limit can't be set here")
    try:
        settings.add_watch(store.path, spec("m", folder, settle_s=1.0))
        live = begin(store)
        live.wait_until(lambda: live.daemon.watchings and live.daemon.watchings[0].status.how == "inotify")
    finally:
        QUEUE.write_text(before)  # it holds for queues that are made from now on
    for number in range(200):
        made = folder / f"{number}"
        made.mkdir()
        for below in range(250):
            (made / f"{below}").write_bytes(b"")
    live.wait_for("version")
    live.wait_quiet()
    status = live.daemon.watchings[0].status
    assert "fs.inotify.max_queued_events" in (status.why or ""), "none was lost: the test tests nothing"
    live.wait_until(lambda: status.folders == 201, "until all folders are watched")
    (folder / "199" / "249").write_bytes(b"late")
    live.wait_until(lambda: store.entry("m", "199/249").size == len(b"late"), "for the last change")
    assert store.version("m").files == 200 * 250


def test_watches_that_begin_at_once_share_a_queue(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each program may have few of them, and one that is forgotten is never closed."""
    made: list[object] = []

    class Slow:
        def __init__(self) -> None:
            made.append(self)
            time.sleep(0.05)

        def close(self) -> None:
            pass

    monkeypatch.setattr("artstore_daemon.daemon.Notifier", Slow)

    async def main() -> None:
        daemon = Daemon(store)
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(trio.to_thread.run_sync, daemon.take_notifier)

    trio.run(main)
    assert len(made) == 1

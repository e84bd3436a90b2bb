"""Watched folders, by a real daemon: what becomes a version, and what doesn't."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import watchdog.observers.inotify_c as inotify_c

from artstore import Store
from artstore.errors import Conflict, NotFound, UsageError
from artstore.model import Kind, RemotePlace
from artstore_daemon import settings
from artstore_daemon.watch import inotify
from artstore_daemon.watch.looking import mount_point_of
from tests.daemon.live import SETTLE_S, Live, spec

Begin = Callable[[Store], Live]
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


def files(store: Store, revision: str) -> dict[str, bytes]:
    """All files of a version."""
    found: dict[str, bytes] = {}
    for path, entry in store.walk(revision):
        if entry.kind in (Kind.FILE, Kind.EXEC):
            with store.open(revision, path) as file:
                found[os.fsdecode(path)] = file.read()
    return found


def on_disk(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(store: Store) -> list[str]:
    """All tags, as they were made."""
    return [tag.name for tag in sorted(store.tags(), key=lambda tag: (tag.created, tag.name))]


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


def test_each_checkpoint_is_a_version(store: Store, tmp_path: Path, folder: Path, begin: Begin) -> None:
    """A trainer that keeps its last three checkpoints would take the others from the versions, too."""
    watched = spec("llama", folder, each="checkpoint-*", ready="trainer_state.json")
    settings.add_watch(store.path, watched)
    live = begin(store)
    for number in (100, 200):
        made = folder / f"checkpoint-{number}"
        made.mkdir()
        (made / "shard-1").write_bytes(b"%d" % number)
        (folder / "other").mkdir(exist_ok=True)
        (folder / "other" / "file").write_bytes(b"%d" % number)
        time.sleep(3 * SETTLE_S)
        assert f"llama/checkpoint-{number}" not in names(store), "it isn't ready"
        (made / "shard-2").write_bytes(b"2")
        (made / "trainer_state.json").write_text("{}")
        live.wait_for("version", f"llama/checkpoint-{number}")
    shutil.rmtree(folder / "checkpoint-100")
    (folder / "checkpoint-200" / "shard-2").write_bytes(b"changed")
    told = live.wait_for("error")
    assert "llama/checkpoint-200" in told.text
    assert names(store) == ["llama/checkpoint-100", "llama/checkpoint-200"]
    assert files(store, "llama/checkpoint-100") == {"shard-1": b"100", "shard-2": b"2", "trainer_state.json": b"{}"}
    assert files(store, "llama/checkpoint-200")["shard-2"] == b"2", "what was a version stays what it was"


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


def test_what_can_not_be_committed_is_told_and_tried_again(store: Store, folder: Path, begin: Begin) -> None:
    """A folder would not be a version for weeks, and nobody would know."""
    os.mkfifo(folder / "pipe")
    (folder / "a").write_bytes(b"a")
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    told = live.wait_for("error", "watch m")
    assert "pipe" in told.text
    assert names(store) == []
    os.unlink(folder / "pipe")
    live.wait_for("version", "m/v1")


def test_versions_are_pushed_oldest_first(store: Store, folder: Path, tmp_path: Path, begin: Begin) -> None:
    """A machine that is lost would take with it what nobody has pushed."""
    remotes = [RemotePlace(url=f"file://{tmp_path / name}") for name in ("one", "two")]
    for name, place in zip(("one", "two"), remotes, strict=True):
        store.add_remote(name, place)
    for number in range(1, 4):
        (folder / "a").write_bytes(b"%d" % number)
        store.commit(folder, artifact="m")
    settings.add_watch(store.path, spec("m", folder, push=("one", "two")))
    live = begin(store)
    (folder / "a").write_bytes(b"4")
    live.wait_for("version", "m/v4")
    live.wait_until(lambda: sum("pushed" in each for each in live.said()) == 8)
    live.wait_quiet()
    for place in remotes:
        pushed = [
            each.name for each in live.daemon.happenings() if each.kind == "pushed" and place.url[-3:] in each.text
        ]
        assert pushed == ["m/v1", "m/v2", "m/v3", "m/v4"]
    clone, _ = Store.clone(remotes[1], tmp_path / "clone", full=True)
    with clone:
        assert files(clone, "m/v4") == {"a": b"4"}
        assert clone.check(data=True).is_sound


def soon(_failures: int, *, now: float, spread: float) -> float:
    """When a test has what failed tried again."""
    del spread
    return now + 0.3


def test_a_remote_that_is_away(
    store: Store, folder: Path, tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made while the network was gone would never be pushed."""
    monkeypatch.setattr("artstore_daemon.machine.sending.retry_at", soon)
    place = tmp_path / "nas" / "remote"
    place.parent.mkdir()
    store.add_remote("origin", RemotePlace(url=f"file://{place}"))
    os.rename(tmp_path / "nas", tmp_path / "away")
    settings.add_watch(store.path, spec("m", folder, push=("origin",)))
    live = begin(store)
    (folder / "a").write_bytes(b"1")
    live.wait_for("version", "m/v1")
    told = live.wait_for("error", "remote origin")
    assert "nas" in told.text
    (folder / "a").write_bytes(b"2")
    live.wait_for("version", "m/v2")
    time.sleep(1)
    assert sum("remote origin" in each for each in live.said()) == 1, "it is told once"
    os.rename(tmp_path / "away", tmp_path / "nas")
    live.wait_for("recovered", "remote origin")
    live.wait_for("pushed", "m/v2")
    assert live.call(lambda: live.daemon.is_quiet)


def test_what_makes_no_sense_is_refused(store: Store, folder: Path, tmp_path: Path) -> None:
    """A daemon would find out at night."""
    settings.add_watch(store.path, spec("m", folder))
    for wrong, why in (
        (spec("m", tmp_path), Conflict),
        (spec("other", folder), Conflict),
        (spec("other", tmp_path / "missing"), NotFound),
        (spec("other", store.path), UsageError),
        (spec("no good", tmp_path), UsageError),
        (spec("other", tmp_path, push=("origin",)), NotFound),
        (spec("other", tmp_path, only="always"), UsageError),
        (spec("other", tmp_path, settle_s=9.0, every_s=1.0), UsageError),
    ):
        with pytest.raises(why):
            settings.add_watch(store.path, wrong)
    assert list(settings.watches(store.path)) == ["m"]
    with pytest.raises(NotFound, match="there are m"):
        settings.find_watch(store.path, "unknown")
    assert settings.find_watch(store.path, str(folder)) == settings.find_watch(store.path, "m")
    assert settings.watches(store.path)["m"] == replace(spec("m", folder), mount=mount_point_of(str(folder)))


def test_a_full_disk_is_told_once_and_waited_for(store: Store, folder: Path, begin: Begin) -> None:
    """The last bytes of the disk would go to checkpoints, and what else runs there would fail."""
    store.configure("disk.min_free", 1 << 60)
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    (folder / "a").write_bytes(b"a")
    assert "disk.min_free" in live.wait_for("error", "watch m").text
    live.wait_until(lambda: live.daemon.watchings[0].states[""].failures > 1)
    assert names(store) == []
    store.configure("disk.min_free", 1)
    live.wait_for("version", "m/v1")
    assert [each.kind for each in live.daemon.happenings()] == ["error", "recovered", "version"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_disk_without_any_room(folder: Path, tmp_path: Path, begin: Begin) -> None:
    """What was saved while the disk was full would be in no version, or half of it in one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "artstore-test", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with Store.init(place / "store") as store:
            store.configure("disk.min_free", 0)
            settings.add_watch(store.path, spec("m", folder))
            with Live(store) as live:
                (folder / "a").write_bytes(b"a")
                live.wait_for("version", "m/v1")
                filler = place / "filler"
                filler.write_bytes(bytes(40_000_000))
                (folder / "weights").write_bytes(os.urandom(20_000_000))
                assert "no space" in live.wait_for("error", "watch m").text
                live.wait_until(lambda: live.daemon.watchings[0].states[""].failures > 1)
                assert [each.kind for each in live.daemon.happenings()] == ["version", "error"], "it is told once"
                assert names(store) == ["m/v1"]
                filler.unlink()
                live.wait_for("version", "m/v2")
                assert files(store, "m") == on_disk(folder)
            assert store.check(data=True).is_sound
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def test_a_damaged_version_does_not_hold_up_others(store: Store, folder: Path, tmp_path: Path, begin: Begin) -> None:
    """One flipped bit would end replication."""
    store.add_remote("origin", RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    for number in range(1, 3):
        (folder / "weights").write_bytes(os.urandom(1_000_000))
        store.commit(folder, artifact="m")
        if number == 1:
            pack = max(Path(store.path).rglob("*.pack"), key=lambda path: path.stat().st_size)
            with open(pack, "r+b") as file:
                file.seek(500_000)
                old = file.read(1)
                file.seek(500_000)
                file.write(bytes([old[0] ^ 1]))
    settings.add_watch(store.path, spec("m", folder, push=("origin",)))
    live = begin(store)
    live.wait_for("refused", "m/v1")
    live.wait_for("pushed", "m/v2")
    assert live.call(lambda: live.daemon.sendings[0].state.lost) == ("m/v1",)


def test_a_config_that_makes_no_sense(store: Store, folder: Path, begin: Begin) -> None:
    """A slip of whoever edits it would end what is watched already."""
    settings.add_watch(store.path, spec("m", folder))
    live = begin(store)
    (folder / "a").write_bytes(b"a")
    live.wait_for("version", "m/v1")
    config = Path(store.path) / "config.toml"
    good = config.read_text()
    config.write_text(good.replace("settle_s = 0.3", 'settle_s = "soon"'))
    live.reload()
    assert "settle_s" in live.wait_for("error", "config.toml").text
    (folder / "a").write_bytes(b"b")
    live.wait_for("version", "m/v2")
    config.write_text(good)
    live.reload()
    live.wait_for("recovered", "config.toml")

"""What becomes of a mount whose processes are killed, stopped or told to end: it comes back, or goes; never twice."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artstore_fuse.records import Records, rotate

if TYPE_CHECKING:
    from tests.fuse.conftest import Mounted

BACK_S = 2.0
SUPERVISE = """
import sys
from artstore.errors import ArtstoreError
from artstore_fuse import mounting
from artstore_fuse.records import Records
from artstore_fuse.supervision import Pace
store, point, folder = sys.argv[1:]
pace = Pace(probe_s=0.2, again_s=0.05, failures_max=2, dump_s=0.3, ready_s=20, end_s=0.5, restarts_max=1, window_s=60)
place = mounting.place_of(store, point)
try:
    code = mounting.run(place, mounting.Options(), Records(folder), lambda _: print("ready", flush=True), pace=pace)
except ArtstoreError as error:
    code = error.exit_code
raise SystemExit(code)
"""


@pytest.fixture
def file(mounted: Mounted) -> Path:
    """A file of a mounted version."""
    commit(mounted)
    path = mounted.path / "versions" / "m" / "v1" / "file"
    assert mounted.within(1, path.exists)
    return path


def commit(place: Mounted) -> None:
    """A version of one file."""
    source = place.path.parent / "source"
    source.mkdir()
    (source / "file").write_text("content")
    place.run("commit", source, "--tag", "m/v1")


def reads(path: Path) -> bool:
    """Can it be read?"""
    try:
        return path.read_text() == "content"
    except OSError:
        return False


def supervise(place: Mounted) -> subprocess.Popen[str]:
    """A mount that is looked after at short intervals, once it is ready."""
    folder = place.state / "artstore"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", SUPERVISE, place.store, place.path, folder],
        env=place.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    place.started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    return process


def test_a_killed_server_comes_back(mounted: Mounted, file: Path) -> None:
    """Within two seconds, by itself, as one mount; and no dead process is kept."""
    before = mounted.record
    for _ in range(2):
        server = mounted.record["server"]
        started = time.monotonic()
        os.kill(server, signal.SIGKILL)
        assert mounted.within(BACK_S, partial(is_new, mounted, server))
        assert mounted.within(BACK_S, partial(reads, file))
        assert time.monotonic() - started < 3 * BACK_S
        assert len(mounted.lines) == 1
    assert mounted.record["supervisor"] == before["supervisor"]
    children = Path(f"/proc/{before['supervisor']}/task/{before['supervisor']}/children").read_text().split()
    assert children == [str(mounted.record["server"])]
    mounted.umount()
    assert not mounted.lives(before["supervisor"])


def test_a_user_who_is_as_quick_as_the_supervisor(mounted: Mounted, file: Path) -> None:
    """Both want to mount again: one does, the other finds that it was done."""
    for _ in range(3):
        os.kill(mounted.record["server"], signal.SIGKILL)
        mounted.mount()
        assert len(mounted.lines) == 1
        assert reads(file)
    assert len(mounted.lines) == 1
    record = mounted.record
    mounted.umount()
    assert not mounted.lives(record["supervisor"])


def test_server_and_supervisor_killed(mounted: Mounted, file: Path) -> None:
    """What both leave is no obstacle to mounting again at once, and is never taken for a mount that works."""
    os.kill(mounted.record["supervisor"], signal.SIGKILL)
    os.kill(mounted.record["server"], signal.SIGKILL)
    started = time.monotonic()
    mounted.mount()
    assert time.monotonic() - started < 3 * BACK_S
    assert len(mounted.lines) == 1
    assert reads(file)
    os.kill(mounted.record["supervisor"], signal.SIGKILL)
    os.kill(mounted.record["server"], signal.SIGKILL)
    # The helper looks whether others mount meanwhile, and then leaves it as it is: gone or dead, both are right.
    assert mounted.within(BACK_S, lambda: f"{mounted.path} " not in alive(mounted))


def alive(place: Mounted) -> str:
    """The lines of `artstore mounts` about those that answer."""
    return "".join(line for line in place.run("mounts").out.splitlines(keepends=True) if " alive " in line)


def test_a_killed_supervisor_alone(mounted: Mounted, file: Path) -> None:
    """The mount goes on without it, and ends as ever."""
    server = mounted.record["server"]
    os.kill(mounted.record["supervisor"], signal.SIGKILL)
    assert reads(file)
    assert mounted.mount()["already"] is True
    mounted.umount()
    assert not mounted.lives(server)


def test_a_server_that_hangs_is_replaced(unmounted: Mounted) -> None:
    """Its stacks are in the log, who waited for it is freed, and the next reader gets a mount that works."""
    commit(unmounted)
    process = supervise(unmounted)
    path = unmounted.path / "versions" / "m" / "v1" / "file"
    server = unmounted.record["server"]
    os.kill(server, signal.SIGSTOP)
    reader = subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert unmounted.within(5, lambda: unmounted.record["server"] != server and reads(path))
    assert reader.wait(5) in (0, 1), "it must not hang"
    assert not unmounted.lives(server)
    assert len(unmounted.lines) == 1
    process.terminate()
    _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert ": hung" in told
    assert "most recent call first" in told
    assert "artstore_fuse" in told
    assert not unmounted.lines


def test_a_healthy_mount_is_looked_at_in_peace(unmounted: Mounted) -> None:
    """Looking must leave nothing behind: no process, no descriptor, no line in the log."""
    commit(unmounted)
    process = supervise(unmounted)
    descriptors = Path(f"/proc/{process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    server = unmounted.record["server"]

    def looks() -> int:
        return int(unmounted.status()["requests"].get("statfs", {"count": 0})["count"])

    assert unmounted.within(5, lambda: looks() >= 10)
    assert len(list(descriptors.iterdir())) <= before + 1, "one look may be under way"
    assert unmounted.record["server"] == server
    process.terminate()
    _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert told.count("\n") == 2, "mounted, unmounted"


def test_crashes_without_end(unmounted: Mounted) -> None:
    """A mount that crashes again and again is given up, which is said, and leaves nothing mounted."""
    process = supervise(unmounted)
    for _ in range(2):
        server = unmounted.record["server"]
        os.kill(server, signal.SIGKILL)
        assert unmounted.within(5, partial(is_over, process, unmounted, server))
    assert process.wait(20) == 1
    assert process.stderr is not None
    assert "is given up" in process.stderr.read()
    assert unmounted.within(5, lambda: not unmounted.lines), "FUSE's helper, another process, takes the mount away"
    assert not list(unmounted.state.rglob("mount-*.json"))


def is_over(process: subprocess.Popen[str], place: Mounted, server: int) -> bool:
    """Has it ended, or gone on?"""
    return process.poll() is not None or is_new(place, server)


def is_new(place: Mounted, server: int) -> bool:
    """Has another server taken its place?"""
    try:
        return int(place.record["server"]) != server
    except ValueError:  # not written yet, or removed
        return False


def test_a_store_that_is_gone_at_the_restart(unmounted: Mounted) -> None:
    """There is nothing to be mounted any more: that is said once, and the end."""
    process = supervise(unmounted)
    server = unmounted.record["server"]
    unmounted.store.rename(unmounted.store.parent / "moved")
    os.kill(server, signal.SIGKILL)
    assert process.wait(20) != 0
    assert process.stderr is not None
    told = process.stderr.read()
    assert "no store" in told
    assert "Traceback" not in told
    assert not unmounted.lines


def test_told_to_stop_while_the_server_hangs(unmounted: Mounted) -> None:
    """A machine that shuts down doesn't wait for a server that doesn't listen."""
    process = supervise(unmounted)
    server = unmounted.record["server"]
    os.kill(server, signal.SIGSTOP)
    process.terminate()
    assert process.wait(20) == 0
    assert not unmounted.lives(server)
    assert unmounted.within(BACK_S, lambda: not unmounted.lines)


def test_told_to_stop_while_it_waits(unmounted: Mounted) -> None:
    """Somebody else is mounting there and takes long: Ctrl-C is heard nevertheless."""
    folder = unmounted.state / "artstore"
    records = Records(str(folder))
    records.prepare()
    lock = os.open(records.log_path(str(unmounted.path)).replace(".log", ".lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = unmounted.start("mount", unmounted.path, "--foreground")
    try:
        assert unmounted.within(5, lambda: holds(process.pid, "lock"))
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    finally:
        os.close(lock)
    assert process.stderr is not None
    assert process.stderr.read() == "artstore: interrupted before it was mounted\n"
    assert not unmounted.lines


def holds(process: int, suffix: str) -> bool:
    """Has a process opened such a file?"""
    try:
        return any(os.readlink(link).endswith(suffix) for link in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False


def test_a_long_log_is_cut(tmp_path: Path) -> None:
    """A mount of years must not fill the disk; what it said last is kept."""
    log = tmp_path / "mount.log"
    with log.open("a") as writer:
        for number in range(3):
            writer.write(f"{number}" * (5 << 20))
            writer.flush()
            rotate(str(log))
            assert log.stat().st_size == 0
            assert (tmp_path / "mount.log.1").read_text() == f"{number}" * (5 << 20)
    rotate(str(tmp_path / "none"))


STOPPED_EARLY = """
import os, signal, sys, time
from artstore_fuse import mounting
from artstore_fuse.records import Records
from artstore_fuse.supervision import Pace
store, point, folder = sys.argv[1:]
fork = os.fork
def slow():
    os.kill(os.getpid(), signal.SIGTERM)
    process = fork()
    if process == 0:
        time.sleep(1)
    return process
place = mounting.place_of(store, point)
os.fork = slow
mounting.run(place, mounting.Options(), Records(folder), print, pace=Pace(end_s=60))
"""


def test_told_to_stop_while_it_forks(unmounted: Mounted) -> None:
    """A signal that comes to the server before it listens is kept for it, else it would be waited for in vain."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", STOPPED_EARLY, unmounted.store, unmounted.path, unmounted.state / "artstore"],
        env=unmounted.env,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert "interrupted before it was mounted" in done.stderr
    assert not unmounted.lines


def test_nobody_hears_that_it_is_mounted(unmounted: Mounted) -> None:
    """A full disk for what is printed: that is the error, and no mount is left without its supervisor."""
    with open("/dev/full", "w") as full:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "artstore", "mount", unmounted.path, "--foreground"],
            env=unmounted.env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    unmounted.started.append(process)
    _, told = process.communicate(timeout=40)
    assert process.returncode not in (0, 70)
    assert "o space left" in told
    assert "Traceback" not in told
    assert unmounted.within(5, lambda: not unmounted.lines)
    assert not list(unmounted.state.rglob("mount-*.json"))

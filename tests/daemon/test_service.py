"""The daemon as a process of its own, as people start and end it, and as it is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from artstore import Store
from artstore.cli.documents import DaemonDocument
from artstore.errors import Busy
from artstore.model import RemotePlace
from artstore_daemon import lock, service
from artstore_daemon.client import Client
from artstore_daemon.places import Places
from tests.daemon.live import WAIT_S

NOISE = 3_000_000


class Machine:
    """A store with a home, a daemon's folders, and the command."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "rt").mkdir(mode=0o700, parents=True)
        self.environment = {
            **os.environ,
            "ARTSTORE_HOME": str(place / "store"),
            "XDG_STATE_HOME": str(place / "state"),
            "XDG_RUNTIME_DIR": str(place / "rt"),
        }

    def run(self, *arguments: str, code: int = 0) -> str:
        """A command; what it printed."""
        command = [sys.executable, "-P", "-m", "artstore", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def tags(self) -> list[str]:
        return sorted(ref["name"] for ref in json.loads(self.run("list", "--json"))["refs"] if ref["kind"] == "tag")

    @property
    def lock(self) -> str:
        return str(self.place / "store" / "daemon.lock")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "machine")
    made.run("init")
    yield made
    holder = lock.holder(made.lock)
    if holder:
        os.kill(holder, signal.SIGKILL)


def until(holds: Callable[[], object], what: str = "") -> None:
    """Wait for something."""
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end, f"waited in vain {what}"
        time.sleep(0.05)


def test_from_a_saved_file_to_another_machine(machine: Machine, folder: Path, tmp_path: Path) -> None:
    """What the daemon is for."""
    remote = f"file://{tmp_path / 'remote'}"
    machine.run("remote", "add", "origin", remote)
    said = machine.run("watch", "add", str(folder), "--artifact", "m", "--settle", "1s", "--push", "origin")
    assert "no daemon runs" in said
    assert "process" in machine.run("daemon", "start")
    (folder / "weights").write_bytes(os.urandom(NOISE))
    until(lambda: "m/v1" in machine.tags())
    other = Machine(tmp_path / "other")
    until((tmp_path / "remote" / "tags" / "m" / "v1@").exists)
    machine.run("alias", "set", "m/production", "m/v1")
    machine.run("push")
    other.run("clone", remote)
    other.run("follow", "m/production", "--to", str(tmp_path / "served"), "--poll", "1s")
    other.run("daemon", "start")
    try:
        until((tmp_path / "served" / "weights").exists)
        assert (tmp_path / "served" / "weights").read_bytes() == (folder / "weights").read_bytes()
        (folder / "weights").write_bytes(os.urandom(NOISE))
        until(lambda: "m/v2" in machine.tags())
        machine.run("alias", "set", "m/production", "m/v2")
        machine.run("push")
        new = (folder / "weights").read_bytes()
        until(lambda: (tmp_path / "served" / "weights").read_bytes() == new)
        assert "m/production" in other.run("follow")
    finally:
        other.run("daemon", "stop")
    assert "it has ended" in machine.run("daemon", "stop")
    assert "doesn't run" in machine.run("daemon", "status", code=8)
    assert "it doesn't run" in machine.run("daemon", "stop")
    assert '"event": "ready"' in machine.run("daemon", "logs")
    machine.run("check", "--data")


def test_what_is_told_as_json(machine: Machine) -> None:
    """A script that was written from docs/cli.md must meet exactly these fields."""
    for command, code, running in (("start", 0, True), ("status", 0, True), ("stop", 0, False), ("status", 8, False)):
        told = msgspec.json.decode(machine.run("daemon", command, "--json", code=code), type=DaemonDocument)
        assert told.running is running


def test_a_program_that_is_isolated_starts_a_daemon_that_is(machine: Machine) -> None:
    """The packaged program runs with -I, so that modules of the user's can't get into it."""
    wrong = machine.place / "wrong"
    wrong.mkdir()
    for name in ("artstore", "click"):
        (wrong / f"{name}.py").write_text('raise SystemExit("the wrong module")\n')
    machine.environment["PYTHONPATH"] = str(wrong)
    command = [sys.executable, "-I", "-m", "artstore", "daemon"]
    for word in ("start", "stop"):
        done = subprocess.run([*command, word], env=machine.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_stopped_is_only_what_has_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that starts another right after would find the store taken, by nobody."""
    seen: Iterator[int | None] = iter([7, 7, 0, None])

    def holder(_path: str) -> int | None:
        return next(seen)

    def kill(_process: int, _number: int) -> None:
        pass

    monkeypatch.setattr(lock, "holder", holder)
    monkeypatch.setattr(os, "kill", kill)
    assert service.stop(Places(store="", store_id="", runtime="", state="")) == 7
    assert not list(seen)


def test_two_daemons(machine: Machine) -> None:
    """Both would commit each change, and push each version."""
    machine.run("daemon", "start")
    holder = lock.holder(machine.lock)
    assert f"process {holder}" in machine.run("daemon", "start", code=8)
    assert "watches over this store already" in machine.run("daemon", "run", code=8)
    assert f"process {holder}" in machine.run("daemon", "status")
    assert f"process {holder}" in machine.run("status")
    assert f"process {holder}" in machine.run("doctor")


def test_who_shares_a_store_can_take_over(machine: Machine) -> None:
    """A colleague's daemon that has ended would keep all others from starting one."""
    os.chmod(machine.place / "store", 0o2770)
    with lock.held(machine.lock):
        assert os.stat(machine.lock).st_mode & 0o777 == 0o664
        with pytest.raises(Busy, match=f"process {os.getpid()} on "), lock.held(machine.lock):
            pass
    assert lock.holder(machine.lock) is None


def test_one_that_was_killed_is_taken_over(machine: Machine, folder: Path) -> None:
    """It would not start again until somebody removes a lock."""
    machine.run("watch", "add", str(folder), "--artifact", "m", "--settle", "1s")
    machine.run("daemon", "start")
    holder = lock.holder(machine.lock)
    assert holder
    os.kill(holder, signal.SIGKILL)
    until(lambda: lock.holder(machine.lock) is None)
    (folder / "a").write_bytes(b"a")
    machine.run("daemon", "start")
    until(lambda: machine.tags() == ["m/v1"])


@pytest.mark.parametrize(
    "point",
    ["pack.written", "pack.sealed", "index.before_commit", "index.after_commit", "remote.written", "remote.renamed"],
)
def test_killed_anywhere_all_is_there_in_the_end(machine: Machine, folder: Path, tmp_path: Path, point: str) -> None:
    """What was being made when the power went would be a version without its data, or none at all."""
    machine.run("remote", "add", "origin", f"file://{tmp_path / 'remote'}")
    machine.run("watch", "add", str(folder), "--artifact", "m", "--settle", "1s", "--push", "origin")
    (folder / "weights").write_bytes(os.urandom(NOISE))
    machine.environment["ARTSTORE_CRASH_AT"] = point
    command = [sys.executable, "-P", "-m", "artstore", "daemon", "run"]
    process = subprocess.Popen(command, env=machine.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == -signal.SIGKILL
    del machine.environment["ARTSTORE_CRASH_AT"]
    machine.run("daemon", "start")
    until((tmp_path / "remote" / "tags" / "m" / "v1@").exists, f"after {point}")
    machine.run("daemon", "stop")
    assert machine.tags()[-1] in ("m/v1", "m/v2")
    clone, _ = Store.clone(RemotePlace(url=f"file://{tmp_path / 'remote'}"), tmp_path / "clone", full=True)
    with clone, clone.open("m", "weights") as file:
        assert file.read() == (folder / "weights").read_bytes()
        assert clone.check(data=True).is_sound


def test_killed_in_the_middle_of_a_push_nothing_is_sent_twice(machine: Machine, folder: Path, tmp_path: Path) -> None:
    """Each restart would begin a push of days anew."""
    remote = tmp_path / "remote"
    machine.run("remote", "add", "origin", f"file://{remote}")
    for _ in range(4):
        (folder / "weights").write_bytes(os.urandom(NOISE))
        machine.run("commit", str(folder), "--artifact", "m")
    watch = ("watch", "add", str(folder), "--artifact", "m", "--push", "origin")
    machine.run(*watch, "--limit-rate", str(NOISE))
    machine.run("daemon", "start")
    until((remote / "tags" / "m" / "v2@").exists)
    holder = lock.holder(machine.lock)
    assert holder
    os.kill(holder, signal.SIGKILL)
    until(lambda: lock.holder(machine.lock) is None)
    sent = {path: path.stat() for path in (remote / "p").rglob("*") if path.is_file()}
    assert sum(found.st_size for found in sent.values()) > 2 * NOISE
    assert not (remote / "tags" / "m" / "v4@").exists()
    machine.run("watch", "remove", "m")
    machine.run(*watch)
    machine.run("daemon", "start")
    until((remote / "tags" / "m" / "v4@").exists)
    for path, found in sent.items():
        now = path.stat()
        assert (now.st_ino, now.st_ctime_ns) == (found.st_ino, found.st_ctime_ns), path


def test_a_term_ends_it_in_time(machine: Machine, folder: Path) -> None:
    """A shutdown of the machine would wait for it, and then kill it."""
    machine.run("watch", "add", str(folder), "--artifact", "m", "--settle", "1s")
    machine.run("daemon", "start")
    (folder / "weights").write_bytes(os.urandom(10 * NOISE))
    time.sleep(1.2)
    holder = lock.holder(machine.lock)
    assert holder
    began = time.monotonic()
    os.kill(holder, signal.SIGTERM)
    until(lambda: lock.holder(machine.lock) is None)
    assert time.monotonic() - began < 15
    machine.run("check")


def test_a_service_manager_is_told(machine: Machine, tmp_path: Path) -> None:
    """systemd would take a daemon that hangs for one that is well, or one that is well for one that never started."""
    place = str(tmp_path / "notify")
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(place)
    told.settimeout(WAIT_S)
    environment = {**machine.environment, "NOTIFY_SOCKET": place, "WATCHDOG_USEC": "300000"}
    command = [sys.executable, "-P", "-m", "artstore", "daemon", "run"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        said: list[str] = []
        while "READY=1" not in said or said.count("WATCHDOG=1") < 3:
            said += told.recv(4096).decode().splitlines()
        process.send_signal(signal.SIGHUP)
        process.terminate()
        while "STOPPING=1" not in said:
            said += told.recv(4096).decode().splitlines()
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.wait()
        told.close()


def test_a_socket_that_is_handed_over(machine: Machine, tmp_path: Path) -> None:
    """With a socket unit of systemd, whoever asks while the daemon starts would be refused."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "given"))
    listening.listen()
    code = (
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3)\n"
        "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
        "os.execv(sys.executable, [sys.executable, '-P', '-m', 'artstore', 'daemon', 'run'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(listening.fileno())],
        env=machine.environment,
        pass_fds=(listening.fileno(), 3) if listening.fileno() != 3 else (3,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert Client(str(tmp_path / "given")).get("/healthz") == "ok\n"
        assert f"process {process.pid}" in machine.run("status"), "it is found where daemons are looked for"
    finally:
        process.terminate()
        assert process.wait(WAIT_S) == 0
        listening.close()


def test_without_a_daemon_commands_work(machine: Machine, folder: Path, tmp_path: Path) -> None:
    """A machine on which none may run could not use watches at all."""
    (folder / "a").write_bytes(b"a")
    machine.run("watch", "add", str(folder), "--artifact", "m")
    assert "m/v1" in machine.run("watch", "now")
    assert "m/v1" in machine.run("watch", "now", str(folder))
    listed = json.loads(machine.run("watch", "list", "--json"))["watches"]
    assert [(item["artifact"], item["folder"], item["polled"]) for item in listed] == [("m", str(folder), None)]
    machine.run("watch", "pause", "m")
    assert "paused" in machine.run("watch", "list")
    machine.run("watch", "resume", "m")
    machine.run("watch", "remove", str(folder))
    assert "nothing is watched" in machine.run("watch", "list")
    shutil.rmtree(folder)
    assert "is no folder" in machine.run("watch", "add", str(folder), code=3)

"""A Ceph of one node with its S3 gateway, on loopback: a real object store for tests and measurements.

One monitor, one OSD that keeps its objects in memory, one gateway, of Debian's packages ceph-mon, ceph-osd, radosgw and
ceph-common. Processes share it: each user holds a lock on the file `users`, and when nobody does, it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ACCESS_KEY: Final = "testaccess"
SECRET_KEY: Final = "testsecret"  # noqa: S105 - of a server that lives for one run of the tests
PROGRAMS: Final = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "ceph-authtool")
_READY_S_MAX: Final = 60.0
_POLL_S: Final = 0.1
_CONFIG: Final = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon}
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
ms bind ipv6 = false
ms bind port min = {low}
ms bind port max = {high}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
log file = {folder}/log/$name.log
crash dir = {folder}/log
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
log to stderr = false
mon cluster log file = {folder}/log/cluster.log
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 2
mon osd full ratio = .97
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 4294967296
osd op num threads per shard = 1
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw dns name = localhost
rgw thread pool size = 64
rgw enable usage log = false
[client.rgw.a]
keyring = {folder}/keyring
[mon.a]
mon addr = v2:127.0.0.1:{mon}
"""


def is_installed() -> bool:
    """Are its programs on this machine?"""
    return all(shutil.which(program) for program in PROGRAMS)


@contextlib.contextmanager
def shared(folder: Path) -> Generator[str]:
    """Use the one in this folder, which is started if nobody has; its URL. RuntimeError if it does not come up."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users").open("a") as users:
        while True:
            fcntl.flock(users, fcntl.LOCK_SH)
            with (folder / "starting").open("a") as starting:
                fcntl.flock(starting, fcntl.LOCK_EX)
                if not (folder / "url").exists():
                    _start(folder)
            url = (folder / "url").read_text() if (folder / "url").exists() else ""
            if url:
                break
            fcntl.flock(users, fcntl.LOCK_UN)
        yield url


def node(folder: Path) -> int:
    """The process that has started all of those of the one in this folder, which runs."""
    return int((folder / "node").read_text())


def remove_bucket(folder: Path, bucket: str) -> None:
    """Take a bucket with all that it holds from the one in this folder: its memory is free at once, not in hours."""
    administer(folder, "bucket", "rm", f"--bucket={bucket}", "--purge-objects", "--bypass-gc")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody to whom nothing belongs: what he may do, policies of buckets say."""

    folder: Path
    name: str
    access_key: str
    secret_key: str

    @property
    def arn(self) -> str:
        """What policies call him."""
        return f"arn:aws:iam:::user/{self.name}"

    def suspend(self) -> None:
        """Refuse whatever he asks for from now on."""
        administer(self.folder, "user", "suspend", f"--uid={self.name}")

    def enable(self) -> None:
        """No more."""
        administer(self.folder, "user", "enable", f"--uid={self.name}")


def add_user(folder: Path) -> User:
    """A new user of the one in this folder."""
    made = User(folder, f"u-{uuid.uuid4()}", uuid.uuid4().hex, uuid.uuid4().hex)
    keys = (f"--access-key={made.access_key}", f"--secret-key={made.secret_key}")
    administer(folder, "user", "create", f"--uid={made.name}", f"--display-name={made.name}", *keys)
    return made


def administer(folder: Path, *words: str) -> None:
    """Have radosgw-admin do something with the one in this folder."""
    config = folder / f"node-{node(folder)}" / "ceph.conf"
    command = ("radosgw-admin", "-c", str(config), *words)
    subprocess.run(command, check=True, timeout=_READY_S_MAX, capture_output=True)  # noqa: S603 - our own words


def _start(folder: Path) -> None:
    """Start one that outlives this process for as long as it has users."""
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        process = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "artstore.testing.ceph", str(folder)],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)],
            setsid=True,
        )
    finally:
        os.close(output)
    end = time.monotonic() + _READY_S_MAX
    while not (folder / "url").exists():
        if os.waitpid(process, os.WNOHANG)[0] or time.monotonic() > end:
            raise RuntimeError("Ceph does not come up: " + (folder / "output").read_text(errors="replace")[-2000:])
        time.sleep(_POLL_S)


@dataclass(slots=True)
class _Node:
    """The processes of one node."""

    folder: Path
    port: int
    started: list[subprocess.Popen[bytes]]

    def run(self, *command: str) -> None:
        """One command to its end."""
        subprocess.run(  # noqa: S603 - our own words
            command, cwd=self.folder, check=True, timeout=_READY_S_MAX, stdout=subprocess.DEVNULL
        )

    def start(self, *command: str) -> None:
        """A process that goes on."""
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(command, cwd=self.folder, stdout=output, stderr=output)  # noqa: S603 - our own
            self.started.append(process)

    def begin(self) -> None:
        """Bring it up."""
        folder, config = str(self.folder), str(self.folder / "ceph.conf")
        for name in ("mon", "osd", "log", "run", "rgw"):
            (self.folder / name).mkdir()
        fsid = str(uuid.uuid4())
        text = _CONFIG.format(
            fsid=fsid, folder=folder, port=self.port, mon=self.port + 1, low=self.port + 2, high=self.port + 30
        )
        Path(config).write_text(text)
        own = ("-c", config)
        self.run("ceph-authtool", "-C", "keyring", "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        for name in ("client.admin", "client.rgw.a", "osd.0"):
            caps = ["--cap", "mon", "allow profile osd" if name == "osd.0" else "allow *", "--cap", "osd", "allow *"]
            self.run("ceph-authtool", "keyring", "--gen-key", "-n", name, *caps)
        address = f"[v2:127.0.0.1:{self.port + 1}]"
        self.run("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", address, "monmap")
        self.run("ceph-mon", *own, "-i", "a", "--mkfs", "--monmap", "monmap", "--keyring", "keyring")
        self.start("ceph-mon", *own, "-i", "a", "-f")
        self.run("ceph", *own, "--connect-timeout", "60", "mon", "stat")
        osd = str(uuid.uuid4())
        self.run("ceph", *own, "osd", "new", osd)
        self.run("ceph-osd", *own, "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.start("ceph-osd", *own, "-i", "0", "-f")
        self.start("radosgw", *own, "-n", "client.rgw.a", "-f")
        self.await_gateway()
        words = ("user", "create", "--uid=test", "--display-name=test")
        self.run("radosgw-admin", *own, *words, f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}")

    def await_gateway(self) -> None:
        """Until the gateway takes connections."""
        end = time.monotonic() + _READY_S_MAX
        while True:
            for process in self.started:
                if process.poll() is not None:
                    raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(_POLL_S)
            else:
                return

    def end(self) -> None:
        """Take it down."""
        for process in reversed(self.started):
            process.terminate()
        for process in reversed(self.started):
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port(count: int) -> int:
    """The first of so many ports in a row that nobody listens at."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port + count > 65_535:
            continue
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for number in range(port, port + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return port


def main() -> int:
    """Run one in a folder until nobody uses it."""
    folder = Path(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    scratch = folder / f"node-{os.getpid()}"
    scratch.mkdir()
    node = _Node(scratch, free_port(40), [])
    url = folder / "url"
    try:
        node.begin()
        (folder / "node").write_text(str(os.getpid()))
        (folder / "url.new").write_text(f"http://127.0.0.1:{node.port}")
        os.rename(folder / "url.new", url)
        print(json.dumps({"url": url.read_text()}), flush=True)
        with (folder / "users").open("a") as users, (folder / "starting").open("a") as starting:
            while all(process.poll() is None for process in node.started):
                time.sleep(1)
                fcntl.flock(starting, fcntl.LOCK_EX)
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    fcntl.flock(starting, fcntl.LOCK_UN)
                else:
                    break
            url.unlink()
    finally:
        node.end()
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

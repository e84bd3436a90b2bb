"""Real mounts: `artstore mount` run as a user runs it, on a store in a temporary folder.

They are skipped where the kernel has no FUSE, and nowhere else.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-P", "-m", "artstore"]
COMMAND_S_MAX = 60


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Its one JSON document."""
        document: dict[str, Any] = json.loads(self.out)
        return document


@dataclass
class Mounted:
    """A store, the folder where it is or may be mounted, and the command."""

    store: Path
    path: Path
    state: Path
    env: dict[str, str] = field(repr=False)
    started: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]], repr=False)

    def run(self, *args: str | Path, code: int | None = 0) -> Answer:
        """One command on this store."""
        done = subprocess.run(
            [*COMMAND, *map(str, args)],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}: {done.stdout}{done.stderr}\n{self.log()}"
        assert "Traceback" not in done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    def mount(self, *options: str | Path) -> dict[str, Any]:
        """`artstore mount`; what it tells as JSON."""
        return self.run("mount", self.path, *options, "--json").document

    def mount_url(self, url: str, *options: str | Path) -> dict[str, Any]:
        """`artstore mount URL`; what it tells as JSON."""
        return self.run("mount", url, self.path, *options, "--json").document

    def umount(self, *options: str) -> None:
        """`artstore umount`."""
        self.run("umount", self.path, *options)

    def start(self, *args: str | Path, **options: Any) -> subprocess.Popen[str]:
        """One command that goes on beside the test; it is killed when the test is over."""
        process = subprocess.Popen(
            [*COMMAND, *map(str, args)],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.started.append(process)
        return process

    @property
    def record(self) -> dict[str, Any]:
        """What is noted beside the mount: its processes, its log."""
        paths = sorted(self.state.rglob("mount-*.json"))
        found: list[dict[str, Any]] = [json.loads(path.read_text()) for path in paths]
        (record,) = [record for record in found if record["point"] == str(self.path)]
        return record

    def status(self) -> dict[str, Any]:
        """The mount's own account of itself."""
        status: dict[str, Any] = json.loads((self.path / ".artstore" / "status").read_text())
        return status

    def log(self) -> str:
        """What its processes have written."""
        return "".join(path.read_text() for path in sorted(self.state.rglob("*.log")))

    @property
    def lines(self) -> list[str]:
        """The kernel's lines about its place: as many as mounts lie there on top of each other."""
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
        return [line for line in lines if line.split()[4] == str(self.path)]

    @staticmethod
    def within(seconds: float, condition: Callable[[], object]) -> bool:
        """Whether the condition comes true in time; a loaded machine gets three times as long."""
        end = time.monotonic() + 3 * seconds
        while time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.01)
        return bool(condition())

    @staticmethod
    def lives(process: int) -> bool:
        """Is there such a process, which has not ended?"""
        try:
            return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    def end(self) -> None:
        """Leave nothing mounted and nothing running, whatever a test did."""
        for process in self.started:  # gently: a supervisor that is killed leaves its server behind
            process.terminate()
        for process in self.started:
            try:
                process.communicate(timeout=COMMAND_S_MAX / 4)
            except subprocess.TimeoutExpired:
                process.kill()
        for _ in range(20):
            points = mounted_below(self.path.parent)
            if not points:
                return
            for point in reversed(points):
                self.run("umount", point, "--force", "--json", code=None)
        raise AssertionError(f"{self.path} stays mounted")


def mounted_below(folder: Path) -> list[Path]:
    """Where the kernel lists mounts in a folder, whatever their names."""
    words = [line.split()[4] for line in Path("/proc/self/mountinfo").read_bytes().splitlines()]
    points = [re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), word) for word in words]
    return [Path(os.fsdecode(point)) for point in points if point.startswith(os.fsencode(folder) + b"/")]


def is_mounted(path: Path) -> bool:
    """Does the kernel list a mount at this path?"""
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    return any(line.split()[4] == str(path) for line in lines)


@pytest.fixture
def unmounted(tmp_path: Path) -> Iterator[Mounted]:
    """An empty store and an empty folder to mount it at."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("NOTHING OF THE MOUNT WAS TESTED: this kernel has no FUSE")
    home = tmp_path.resolve() / "home"
    home.mkdir()
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ARTSTORE_")},
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_STATE_HOME": str(home / "state"),
        "ARTSTORE_HOME": str(home / "store"),
        "ARTSTORE_AUTHOR": "Ada",
    }
    place = Mounted(home / "store", home / "mnt", home / "state", env)
    place.run("init", place.store)
    yield place
    place.end()


@pytest.fixture
def mounted(unmounted: Mounted) -> Iterator[Mounted]:
    """The empty store, mounted: what is committed appears within a second."""
    unmounted.mount()
    yield unmounted
    if is_mounted(unmounted.path):
        unmounted.run("umount", unmounted.path, "--lazy", code=None)

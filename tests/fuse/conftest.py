"""Real mounts: `artstore mount` run as a user runs it, on a store in a temporary folder.

They are skipped where the kernel has no FUSE, and nowhere else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
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

    def umount(self, *options: str) -> None:
        """`artstore umount`."""
        self.run("umount", self.path, *options)

    def status(self) -> dict[str, Any]:
        """The mount's own account of itself."""
        status: dict[str, Any] = json.loads((self.path / ".artstore" / "status").read_text())
        return status

    def log(self) -> str:
        """What its processes have written."""
        return "".join(path.read_text() for path in sorted(self.state.rglob("*.log")))

    def end(self) -> None:
        """Leave nothing mounted, whatever a test did."""
        for _ in range(20):
            if not is_mounted(self.path):
                return
            self.run("umount", self.path, "--force", code=None)
        raise AssertionError(f"{self.path} stays mounted")


def is_mounted(path: Path) -> bool:
    """Does the kernel list a mount at this path?"""
    return any(line.split()[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())


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

"""One store, its remote in a folder, and the daemon that is asked about."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from artstore_bench.command import Toolbox
from artstore_bench.method import ToolFailed
from artstore_bench.peers import SUBJECT

WAIT_S: Final = 600.0
SETTLE_S: Final = 1.0
_LOOK_S: Final = 0.005
_ASK_S: Final = 0.1  # the daemon's time is what is measured


@dataclass(frozen=True, slots=True)
class Lab:
    """A folder to work in, which is empty before."""

    toolbox: Toolbox
    place: Path

    @property
    def store(self) -> Path:
        return self.place / "store"

    @property
    def remote(self) -> Path:
        return self.place / "remote"

    def run(self, *arguments: str) -> str:
        """A command on the store; what it printed. ToolFailed."""
        program = self.toolbox.which(SUBJECT) or SUBJECT
        command = [program, "--store", str(self.store), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolFailed(f"{' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """Its daemon is met below its own folder."""
        return {**self.toolbox.environment, "XDG_STATE_HOME": str(self.place / "state"), "XDG_RUNTIME_DIR": ""}

    def watch(self, folder: Path, artifact: str, *more: str) -> None:
        """Watch a folder from now on."""
        self.run("watch", "add", str(folder), "--artifact", artifact, "--settle", f"{SETTLE_S:g}s", *more)

    @contextmanager
    def daemon(self) -> Generator[Asked]:
        """Have it run."""
        self.run("daemon", "start")
        try:
            told = json.loads(self.run("daemon", "status", "--json"))
            yield Asked(told["process"], told["socket"])
        finally:
            self.run("daemon", "stop")


@dataclass(frozen=True, slots=True)
class Asked:
    """A running daemon: its process, and where it is asked."""

    process: int
    socket: str

    def get(self, path: str) -> Any:
        """What it tells, as JSON holds it, after a pause. Any: JSON."""
        time.sleep(_ASK_S)
        connection = http.client.HTTPConnection("localhost", timeout=WAIT_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(self.socket)
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def until(holds: Callable[[], Any], what: str) -> float:
    """When something has come about, by the clock of `time.perf_counter`. ToolFailed if it doesn't."""
    end = time.perf_counter() + WAIT_S
    while not holds():
        if time.perf_counter() > end:
            raise ToolFailed(f"{what} has not come about in {WAIT_S:g} s")
        time.sleep(_LOOK_S)
    return time.perf_counter()

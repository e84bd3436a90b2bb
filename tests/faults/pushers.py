"""A machine that commits and pushes for minutes, each command of which is killed now and then."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = float(os.environ.get("ARTSTORE_LONG_S", "180"))
CONFLICT = 5
BUSY = 8
MIB = 1 << 20


@dataclass
class Pusher:
    """One machine. `reported`: of each tag that a push has said to be there, the files of its version. `removes`: it
    removes names there, too, now and then, which are `removed` then, or may be.
    """

    number: int
    path: Path
    random: random.Random
    reported: dict[str, dict[str, bytes]] = field(default_factory=dict[str, dict[str, bytes]])
    committed: dict[str, dict[str, bytes]] = field(default_factory=dict[str, dict[str, bytes]])
    pushes: int = 0
    killed: int = 0
    conflicts: int = 0
    removes: bool = False
    removed: set[str] = field(default_factory=set[str])

    @property
    def store(self) -> Path:
        """Its store."""
        return self.path / "store"

    @property
    def folder(self) -> Path:
        """What it commits."""
        return self.path / "folder"

    def run(self, *arguments: str | Path) -> str | None:
        """A command, killed now and then; what it printed, None if it was killed or lost a race."""
        words = [sys.executable, "-P", "-m", "artstore", "--store", str(self.store), *map(str, arguments)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.random.random() < 0.15:
            try:
                process.wait(self.random.uniform(0.2, 1.5))
            except subprocess.TimeoutExpired:
                process.kill()
        out, err = process.communicate(timeout=600)
        if process.returncode == -signal.SIGKILL:
            self.killed += 1
            return None
        if process.returncode in (CONFLICT, BUSY):
            self.conflicts += 1
            return out or None
        assert process.returncode == 0, f"{arguments}: exit {process.returncode}: {err}"
        return out

    def work(self, until: float) -> None:
        """Commit and push until then, and once more at the end, undisturbed."""
        turn = 0
        while time.monotonic() < until:
            self.commit(turn)
            self.push()
            if self.removes and self.reported and self.random.random() < 0.5:
                self.remove(self.random.choice(sorted(self.reported)))
            turn += 1
        for _ in range(20):
            if self.push():
                return
        raise AssertionError("twenty pushes were killed in a row")

    def commit(self, turn: int) -> None:
        """A version that shares most of its bytes with those of the others."""
        tag = f"m/p{self.number}-{turn}"
        files = {
            "base": random.Random(turn // 4).randbytes(MIB),
            "own": random.Random(1000 * self.number + turn).randbytes(200_000),
            "config": json.dumps({"turn": turn, "who": self.number}).encode(),
        }
        self.folder.mkdir(exist_ok=True)
        for name, data in files.items():
            (self.folder / name).write_bytes(data)
        # A commit that was killed may have made it: what counts is what a push reports.
        self.committed[tag] = files
        made = self.run("commit", self.folder, "--tag", tag, "-q") is not None
        if made and self.random.random() < 0.3:
            self.run("alias", "set", "m/production", tag, "--local")

    def remove(self, tag: str) -> None:
        """Remove a name at the remote."""
        self.removed.add(tag)
        self.run("rm", tag, "--remote", "origin", "--yes")

    def push(self) -> bool:
        """Push what is new; False if it was killed."""
        out = self.run("push", "--json")
        if out is None:
            return False
        self.pushes += 1
        document = json.loads(out)
        for name in (*document["written"], *document["unchanged"]):
            if name in self.committed:
                self.reported[name] = self.committed[name]
        return True

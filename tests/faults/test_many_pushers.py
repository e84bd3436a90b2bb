"""Eight machines that commit and push into one bucket for minutes, each command of theirs killed now and then.

`ARTSTORE_LONG_S` says for how many seconds; 180 without.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from artstore import RemotePlace, Store

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

PUSHERS = 8
SECONDS = float(os.environ.get("ARTSTORE_LONG_S", "180"))
CONFLICT = 5
MIB = 1 << 20


@dataclass
class Pusher:
    """One machine. `reported`: of each tag that a push has said to be there, the files of its version."""

    number: int
    path: Path
    random: random.Random
    reported: dict[str, dict[str, bytes]] = field(default_factory=dict[str, dict[str, bytes]])
    committed: dict[str, dict[str, bytes]] = field(default_factory=dict[str, dict[str, bytes]])
    pushes: int = 0
    killed: int = 0
    conflicts: int = 0

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
        if process.returncode == CONFLICT:
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


def test_eight_pushers_for_minutes(tmp_path: Path, remote_place: Callable[[str], RemotePlace]) -> None:
    """Whatever was reported is there, whole; every version that has a name is; and the machines agree on the alias."""
    place = remote_place("ceph")
    pushers = [Pusher(number, tmp_path / f"p{number}", random.Random(number)) for number in range(PUSHERS)]
    for pusher in pushers:
        pusher.path.mkdir()
        with Store.init(pusher.store) as store:
            store.add_remote("origin", place)
            if pusher.number == 0:  # else each would have an alias of its own by this name
                (tmp_path / "first").mkdir()
                store.commit(tmp_path / "first", tag="m/first")
                store.set_alias("m/production", "m/first")
                store.push()
            store.fetch()
    until = time.monotonic() + SECONDS
    with ThreadPoolExecutor(PUSHERS) as pool:
        working = [pool.submit(pusher.work, until) for pusher in pushers]
        for future in working:
            future.result()
    reported = {tag: files for pusher in pushers for tag, files in pusher.reported.items()}
    told = {name: sum(getattr(pusher, name) for pusher in pushers) for name in ("pushes", "killed", "conflicts")}
    print(f"{len(reported)} versions, {told}")
    assert told["killed"] > 0
    assert len(reported) >= PUSHERS
    clone, result = Store.clone(place, tmp_path / "clone", full=True)
    with clone:
        assert not result.conflicts
        assert clone.check(data=True).is_sound
        tags = {tag.name: tag.version for tag in clone.tags()}
        assert reported.keys() <= tags.keys()
        for number, (tag, files) in enumerate(sorted(reported.items())):
            out = tmp_path / "out" / str(number)
            clone.checkout(tag, out)
            assert {path.name: path.read_bytes() for path in out.iterdir()} == files, tag
        there = clone.alias_log("m/production")
    for pusher in pushers:
        with Store.open(pusher.store) as store:
            store.fetch()
            assert store.alias_log("m/production") == there
            assert store.check(data=True).is_sound

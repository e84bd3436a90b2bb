"""All questions about the daemon. There is no peer: what is comparable watches files, and makes no versions of them."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import msgspec

from artstore_bench.command import Toolbox
from artstore_bench.daemons.lab import SETTLE_S, Lab, until
from artstore_bench.method import ToolFailed, sync
from artstore_bench.mounts.processes import Used, used, written_bytes
from artstore_bench.peers import SUBJECT
from artstore_bench.results import Failure, Run

DAEMON: Final = "daemon"
_SAVED_BYTES: Final = 100_000_000
_BURST_FILES: Final = 100_000
_WATCHES: Final = 10
_WATCHED_FILES: Final = 10_000
_FOLDER_FILES: Final = 1000
_KILLED_PACKS: Final = 8
_PACK_BYTES: Final = 32_000_000
_IDLE_S: Final = 30.0

Tell = Callable[[str], None]


class Findings(Protocol):
    """Where answers and failures go."""

    @property
    def runs(self) -> list[Run]: ...
    @property
    def failures(self) -> list[Failure]: ...


class DaemonSuite:
    """One run of them, in a folder that is emptied before and afterwards. `scale`: of the numbers of files."""

    def __init__(self, toolbox: Toolbox, findings: Findings, tell: Tell, *, scale: float) -> None:
        self._toolbox = toolbox
        self._place = toolbox.folder / "run" / DAEMON
        self._findings = findings
        self._tell = tell
        self._scale = scale

    def run(self, *, repeat: int) -> None:
        """Ask everything so many times."""
        for repetition in range(repeat):
            for ask in (self._saved, self._burst, self._killed, self._idle):
                name = ask.__name__.lstrip("_")
                self._tell(f"daemon · {repetition + 1}/{repeat} · {name}")
                shutil.rmtree(self._place, ignore_errors=True)
                self._place.mkdir(parents=True)
                try:
                    self._findings.runs.append(ask(Lab(self._toolbox, self._place), repetition))
                except ToolFailed as error:
                    self._tell(f"{SUBJECT}: {error}")
                    failure = Failure(corpus=DAEMON, tool=SUBJECT, repetition=repetition, message=f"{name}: {error}")
                    self._findings.failures.append(failure)
                finally:
                    shutil.rmtree(self._place, ignore_errors=True)

    def _saved(self, lab: Lab, repetition: int) -> Run:
        """From the last write of 100 MB to its version at the remote, without the time that has to be quiet."""
        folder = _watched(lab, "saved", "--push", "origin")
        with lab.daemon() as daemon:
            until(lambda: daemon.get("/v1/watches/saved")["how"] == "inotify", "watching")
            before = used([daemon.process])
            (folder / "weights").write_bytes(os.urandom(_SAVED_BYTES))
            began = time.perf_counter()
            tag = lab.remote / "tags" / "saved" / "v1@"
            ended = until(tag.exists, "the version at the remote")
            return _run("saved", repetition, daemon.process, before, ended - began - SETTLE_S, _SAVED_BYTES)

    def _burst(self, lab: Lab, repetition: int) -> Run:
        """From the last of 100,000 new files to the one version that has them all, without the quiet time."""
        files = max(1, int(_BURST_FILES * self._scale))
        folder = _watched(lab, "burst")
        with lab.daemon() as daemon:
            until(lambda: daemon.get("/v1/watches/burst")["how"] == "inotify", "watching")
            before = used([daemon.process])
            _fill(folder, files)
            began = time.perf_counter()
            ended = until(lambda: _is_quiet(daemon.get("/v1/watches/burst")), "the version")
            made = daemon.get("/v1/versions/burst")
            if made["files"] != files:
                raise ToolFailed(f"a version of {made['files']} files instead of {files}")
            size = files * len(b"x" * 16)
            return _run("burst", repetition, daemon.process, before, ended - began - SETTLE_S, size, operations=files)

    def _killed(self, lab: Lab, repetition: int) -> Run:
        """Killed in the middle of a push, and started again: all that both daemons have written."""
        folder = _watched(lab, "killed")
        for _ in range(_KILLED_PACKS):
            (folder / "weights").write_bytes(os.urandom(_PACK_BYTES))
            lab.run("commit", str(folder), "--artifact", "killed")
        lab.run("watch", "remove", "killed")
        lab.watch(folder, "killed", "--push", "origin", "--limit-rate", f"{_PACK_BYTES}")
        with lab.daemon() as first:
            until((lab.remote / "tags" / "killed" / f"v{_KILLED_PACKS // 2}@").exists, "half of the push")
            before = written_bytes(first.process)
            os.kill(first.process, signal.SIGKILL)
            # The rate is of a daemon that began with it.
            lab.run("watch", "remove", "killed")
            lab.watch(folder, "killed", "--push", "origin")
            began = time.perf_counter()
            with lab.daemon() as second:
                ended = until((lab.remote / "tags" / "killed" / f"v{_KILLED_PACKS}@").exists, "the push")
                told = _run("killed", repetition, second.process, Used(), ended - began, _KILLED_PACKS * _PACK_BYTES)
                return msgspec.structs.replace(told, moved_bytes=before + written_bytes(second.process))

    def _idle(self, lab: Lab, repetition: int) -> Run:
        """CPU and memory of ten watches of 10,000 files while nothing happens."""
        files = max(1, int(_WATCHED_FILES * self._scale))
        for number in range(_WATCHES):
            _fill(_watched(lab, f"w{number}"), files)
        with lab.daemon() as daemon:
            until(lambda: all(_is_quiet(item) for item in daemon.get("/v1/watches")["watches"]), "the versions")
        sync()
        with lab.daemon() as daemon:  # one that finds everything as it was
            until(lambda: daemon.get("/v1/status")["quiet"], "quiet")
            before, began = used([daemon.process]), time.perf_counter()
            time.sleep(_IDLE_S)
            seconds = time.perf_counter() - began
            return _run("idle", repetition, daemon.process, before, seconds, _WATCHES * files)


def _watched(lab: Lab, artifact: str, *more: str) -> Path:
    if not lab.store.exists():
        lab.run("init")
        lab.run("remote", "add", "origin", f"file://{lab.remote}")
    folder = lab.place / "watched" / artifact
    folder.mkdir(parents=True)
    lab.watch(folder, artifact, *more)
    return folder


def _fill(folder: Path, files: int) -> None:
    for number in range(files):
        below = folder / f"{number // _FOLDER_FILES}"
        if number % _FOLDER_FILES == 0:
            below.mkdir()
        (below / f"{number}").write_bytes(b"%016d" % number)


def _is_quiet(watch: dict[str, object]) -> bool:
    return watch["commits"] != 0 and not watch["pending"]


def _run(
    question: str,
    repetition: int,
    process: int,
    before: Used,
    seconds: float,
    size: int,
    *,
    operations: int | None = None,
) -> Run:
    spent = used([process]).since(before)
    return Run(
        corpus=DAEMON,
        question=question,
        tool=SUBJECT,
        repetition=repetition,
        wall_s=max(seconds, 1e-3),
        user_s=spent.user_s,
        system_s=spent.system_s,
        rss_bytes=_resident_bytes(process),
        others_share=0.0,
        input_bytes=size,
        operations=operations,
    )


def _resident_bytes(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0

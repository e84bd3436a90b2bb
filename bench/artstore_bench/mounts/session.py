"""One tool's repository and its mounts: what the questions have in hand when they ask."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

import artstore_bench
from artstore_bench.command import Toolbox
from artstore_bench.corpus import Corpus
from artstore_bench.method import ToolFailed, measure, sync
from artstore_bench.mounts.processes import MemoryWatch, used
from artstore_bench.mounts.reader import Answer, Job, Step
from artstore_bench.mounts.server import Server, serving, set_read_ahead
from artstore_bench.peers import SUBJECT, Mountable
from artstore_bench.results import Run
from artstore_bench.trees import differences, warm

LABEL: Final = "v1"
# A step of a slow tool ends then; its speed is that of the part that was read.
STEP_S_MAX: Final = 60.0
_JOB_S_MAX: Final = 900.0
# What a server may want for itself, beside the pages that the corpus takes.
_SERVERS_BYTES: Final = 512 << 20


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount that answers. `server` is None where there is none: the folder itself."""

    folder: Path
    server: Server | None


@dataclass(frozen=True, slots=True)
class MountSession:
    """A tool and its repository, which is made once; `place` is a folder of its own."""

    peer: Mountable
    corpus: Corpus
    toolbox: Toolbox
    place: Path

    @property
    def repo(self) -> Path:
        """The tool's own folder."""
        return self.place / "repo"

    @property
    def point(self) -> Path:
        """Where it mounts."""
        return self.place / "mount"

    def begin(self) -> None:
        """Store the corpus, and compare what the mount shows with it, byte by byte: a wrong mount has no speed."""
        self.repo.mkdir(parents=True)
        source = self.corpus.tree(LABEL)
        commands = [*self.peer.init(self.repo), *self.peer.add(self.repo, source=source, label=LABEL)]
        for command in commands:
            measure([command], toolbox=self.toolbox, log=self._log("setup"))
        sync()
        with self.mounted(read_ahead_kib=None) as mount:
            try:
                wrong = differences(mount.folder, self.corpus.manifests[LABEL])
            except OSError as error:
                raise ToolFailed(f"its mount can't be read: {error}") from error
        if wrong:
            raise ToolFailed(f"its mount shows {len(wrong)} files wrongly, the first is {wrong[0]}")

    @contextlib.contextmanager
    def mounted(self, *, read_ahead_kib: int | None) -> Generator[Mount]:
        """A new server: nothing is in its memory, nothing of its files in the page cache, all that it reads is."""
        command = self.peer.mount(self.repo, point=self.point, label=LABEL)
        folder = self.peer.mounted(self.repo, point=self.point, label=LABEL)
        warm([self.repo if command else folder])
        if command is None:
            yield Mount(folder, None)
            return
        with serving(command, self.point, folder, toolbox=self.toolbox, log=self._log("mount")) as server:
            if read_ahead_kib is not None:
                set_read_ahead(self.point, read_ahead_kib)
            yield Mount(folder, server)

    def ask(self, mount: Mount, steps: Sequence[Step], repetition: int) -> list[Run]:
        """Do the steps in one process of their own; one run for each, all with the peak of the server's memory."""
        status = self.point / ".artstore" / "status" if self.peer.name == SUBJECT else None
        job = Job(
            steps=[msgspec.structs.replace(step, paths=_below(mount.folder, step.paths)) for step in steps],
            pids=list(mount.server.pids) if mount.server else [],
            status=str(status) if status else None,
            is_mount=mount.server is not None,
            limit_s=STEP_S_MAX,
            memory_bytes=self.corpus.manifests[LABEL].size + _SERVERS_BYTES,
        )
        with MemoryWatch(job.pids) as watch:
            answers = _answers(job)
        return [self._run(answer, watch, repetition) for answer in answers]

    def ready(self, server: Server, repetition: int) -> Run:
        """The time from the command's start until the files were seen, and what the server used until then."""
        with MemoryWatch(server.pids) as watch:
            spent = used(server.pids)
        answer = Answer("ready", server.ready_s, spent.user_s, spent.system_s, 0.0, 1, 0, None, None, None)
        return self._run(answer, watch, repetition)

    def _run(self, answer: Answer, watch: MemoryWatch, repetition: int) -> Run:
        return Run(
            corpus=self.corpus.name,
            question=answer.step,
            tool=self.peer.name,
            repetition=repetition,
            wall_s=answer.wall_s,
            user_s=answer.user_s,
            system_s=answer.system_s,
            rss_bytes=watch.peak_bytes,
            rss_anonymous_bytes=watch.anonymous_bytes,
            others_share=answer.others_share,
            input_bytes=answer.bytes,
            operations=answer.operations,
            p50_s=answer.p50_s,
            p99_s=answer.p99_s,
            requests=answer.requests,
        )

    def _log(self, what: str) -> Path:
        return self.toolbox.folder / "logs" / f"{self.corpus.name}-{self.peer.name}-{what}.log"


def _below(folder: Path, paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(folder / path) for path in paths)


def _answers(job: Job) -> list[Answer]:
    """What the reader tells; it is ended if it takes too long, and with this process."""
    command = [sys.executable, "-P", "-m", "artstore_bench.mounts.reader"]
    root = str(Path(artstore_bench.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            out, errors = process.communicate(msgspec.json.encode(job), timeout=_JOB_S_MAX)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise ToolFailed(f"reading took more than {_JOB_S_MAX:.0f} s and was ended") from error
            raise
    if process.returncode:
        raise ToolFailed(f"reading failed: {' | '.join(errors.decode(errors='replace').strip().splitlines()[-1:])}")
    return msgspec.json.decode(out, type=list[Answer])

"""How one answer about a remote is measured, and what artstore itself tells of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from artstore_bench.command import Command, Toolbox
from artstore_bench.method import Sample, ToolFailed, measure, sync
from artstore_bench.mounts.processes import Used, used
from artstore_bench.remotes.service import Service
from artstore_bench.results import Run
from artstore_bench.trees import warm

REMOTE: Final = "remote"


class Told(msgspec.Struct):
    """Of what `artstore push --json` and `artstore clone --json` print, the part that is published."""

    requests: int
    puts: int | None = None
    sent_bytes: int = 0
    received_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Lab:
    """A service, the programs, and a folder to work in; for one repetition of one tool."""

    service: Service
    toolbox: Toolbox
    place: Path
    tool: str
    repetition: int

    def prepare(self, commands: Sequence[Command]) -> None:
        """Run something that is not part of any answer."""
        if commands:
            measure(commands, toolbox=self.toolbox, log=self.log("setup"))

    def timed(self, question: str, commands: Sequence[Command], *, inputs: Sequence[Path], input_bytes: int) -> Run:
        """Warm the inputs, wait for the disk, measure. The service's work is part of the answer, not other people's."""
        warm(inputs)
        sync()
        before = used(self.service.pids())
        sample = measure(commands, toolbox=self.toolbox, log=self.log(question))
        served = used(self.service.pids()).since(before)
        return Run(
            corpus=REMOTE,
            question=question,
            tool=self.tool,
            repetition=self.repetition,
            wall_s=sample.wall_s,
            user_s=sample.user_s,
            system_s=sample.system_s,
            rss_bytes=sample.rss_bytes,
            others_share=others_share(sample, served, cores=os.cpu_count() or 1),
            input_bytes=input_bytes,
        )

    def log(self, question: str) -> Path:
        """Where what was printed goes."""
        return self.toolbox.folder / "logs" / f"remote-{self.tool}-{question}-{self.repetition}.log"

    def told(self, run: Run) -> Run:
        """The same answer with what artstore has said in JSON, in its last line."""
        lines = [line for line in self.log(run.question).read_text().splitlines() if line.startswith("{")]
        if not lines:
            raise ToolFailed(f"{run.question}: it printed no document")
        told = msgspec.json.decode(lines[-1], type=Told)
        moved = told.sent_bytes + told.received_bytes
        return msgspec.structs.replace(run, requests=told.requests, puts=told.puts, moved_bytes=moved)


def others_share(sample: Sample, served: Used, *, cores: int) -> float:
    """The part of all CPUs that neither the tool nor the service used, 0..1."""
    return max(0.0, sample.others_share - (served.user_s + served.system_s) / (sample.wall_s * cores))

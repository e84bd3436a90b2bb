"""The same questions at 10^5, 10^6, 10^7 and 10^8 chunks: about one index that grows, and documents of that size."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import artstore
import artstore_bench
from artstore_bench.command import Command, Toolbox
from artstore_bench.method import Sample, ToolFailed, measure, sync
from artstore_bench.peers import SUBJECT
from artstore_bench.results import Failure, Run
from artstore_bench.scale.answers import Answer, told
from artstore_bench.scale.synthetic import PACK_CHUNKS

SCALE: Final = "scale"
FIRST_CHUNKS: Final = 10**5
LAST_CHUNKS: Final = 10**8  # at --scale 1
COMMITTED_PACKS: Final = 64  # the last ones of each step, which are entered one by one
# Rows, and pages that are freed and not used again yet.
CHUNK_BYTES_ON_DISK: Final = 200
# The last one leaves no page of the index in memory.
_OF_INDEX: Final = ("open", "again", "hit", "miss", "sweep", "journal", "cold")
_OF_DOCUMENTS: Final = ("shards", "recipe", "set", "collect")
_TIMEOUT_S: Final = 12 * 3600
_WORKER: Final = "artstore_bench.scale.worker"

Tell = Callable[[str], None]


class Findings(Protocol):
    """Where answers and failures go."""

    @property
    def runs(self) -> list[Run]: ...
    @property
    def failures(self) -> list[Failure]: ...


def steps(scale: float) -> list[int]:
    """How many packs there are at each step: those of powers of ten of chunks, and of the last one."""
    last = round(LAST_CHUNKS * scale)
    wanted = [FIRST_CHUNKS]
    while wanted[-1] * 10 < last:
        wanted.append(wanted[-1] * 10)
    return [max(2, chunks // PACK_CHUNKS) for chunks in dict.fromkeys([*(n for n in wanted if n < last), last])]


class ScaleSuite:
    """One run of them, in a folder that is emptied before and afterwards. `growing`: packs at each step, ascending."""

    def __init__(self, toolbox: Toolbox, findings: Findings, tell: Tell, *, growing: Sequence[int]) -> None:
        self._toolbox = toolbox
        self._place = toolbox.folder / "run" / SCALE
        self._log = toolbox.folder / "logs" / "scale.log"
        self._findings = findings
        self._tell = tell
        self._steps = growing

    def run(self, *, repeat: int) -> None:
        """Ask everything so many times, each time from an empty index on. A failure ends its repetition."""
        for repetition in range(repeat):
            self._clear()
            self._place.mkdir(parents=True)
            try:
                self._require_room()
                self._ask("make", 0, 0)
                before = 0
                for packs in self._steps:
                    self._tell(f"scale · {repetition + 1}/{repeat} · {packs * PACK_CHUNKS:,} chunks")
                    self._step(before, packs, repetition)
                    before = packs
            except ToolFailed as error:
                self._tell(f"{SUBJECT}: {error}")
                failure = Failure(corpus=SCALE, tool=SUBJECT, repetition=repetition, message=str(error))
                self._findings.failures.append(failure)
            finally:
                self._clear()

    def _step(self, before: int, packs: int, repetition: int) -> None:
        filled = max(before + 1, packs - COMMITTED_PACKS)
        asked = [("rebuild", before, filled), ("commit", filled, packs)]
        asked += [(question, before if question == "journal" else 0, packs) for question in _OF_INDEX]
        asked += [(question, 0, packs) for question in _OF_DOCUMENTS]
        for question, first, end in asked:
            self._answer(question, first, end, packs=packs, repetition=repetition)
        # A store of its own, for what is learnt from shards.
        learnt = self._place / "learnt"
        self._answer("learn", 0, packs, packs=packs, repetition=repetition, store=learnt)
        shutil.rmtree(learnt)

    def _answer(
        self, question: str, first: int, end: int, *, packs: int, repetition: int, store: Path | None = None
    ) -> None:
        if first == end:
            return
        sync()
        sample, text = self._ask(question, first, end, store)
        found = list(told(text))
        if not found:
            raise ToolFailed(f"{question} told nothing")
        self._findings.runs.extend(_run(answer, sample, packs, repetition) for answer in found)

    def _ask(self, question: str, first: int, end: int, store: Path | None = None) -> tuple[Sample, str]:
        """Have a process answer; what it cost as a whole, and what it printed. ToolFailed."""
        place = store or self._place / "store"
        argv = (sys.executable, "-P", "-m", _WORKER, question, str(place), str(first), str(end))
        roots = dict.fromkeys(str(Path(str(package.__file__)).parents[1]) for package in (artstore, artstore_bench))
        command = Command(argv, environment={"PYTHONPATH": ":".join(roots)})
        self._log.unlink(missing_ok=True)
        sample = measure([command], toolbox=self._toolbox, log=self._log, timeout_s=_TIMEOUT_S)
        return sample, self._log.read_text()

    def _require_room(self) -> None:
        needed = self._steps[-1] * PACK_CHUNKS * CHUNK_BYTES_ON_DISK
        free = shutil.disk_usage(self._place).free
        if free < needed:
            raise ToolFailed(f"{needed / 1e9:.0f} GB are needed in {self._place}, {free / 1e9:.0f} GB are free")

    def _clear(self) -> None:
        shutil.rmtree(self._place, ignore_errors=True)


def question_at(question: str, chunks: int) -> str:
    """The name under which one step's answer is kept."""
    return f"{question}/{chunks}"


def parts(question: str) -> tuple[str, int]:
    """The question and its step again."""
    name, _, chunks = question.partition("/")
    return name, int(chunks)


def chunk_counts(questions: Sequence[str]) -> list[int]:
    """The steps that there are answers about."""
    return sorted({parts(question)[1] for question in questions})


def _run(answer: Answer, sample: Sample, packs: int, repetition: int) -> Run:
    return Run(
        corpus=SCALE,
        question=question_at(answer.question, packs * PACK_CHUNKS),
        tool=SUBJECT,
        repetition=repetition,
        wall_s=max(answer.wall_s, 1e-9),
        user_s=answer.user_s,
        system_s=answer.system_s,
        rss_bytes=answer.resident_bytes,
        rss_anonymous_bytes=answer.anonymous_bytes,
        others_share=sample.others_share,
        input_bytes=0,
        stored_bytes=answer.stored_bytes,
        stored_bytes_apparent=answer.apparent_bytes,
        operations=answer.operations,
        p50_s=answer.p50_s,
        p99_s=answer.p99_s,
        requests=answer.faults,
        moved_bytes=answer.written_bytes,
    )

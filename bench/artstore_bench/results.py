"""The figures as values: the JSON document that a run writes, and the medians and ratios drawn from it. Pure.

`Document` is the schema: field names carry their units, `null` means "does not apply". `runs` holds every single
measurement; `summary` and `targets` can be computed from them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

import msgspec

SCHEMA: Final = "artstore-bench/1"
# Other processes took more than this share of the machine meanwhile: the run is flagged with '*'.
CROWDED_SHARE: Final = 0.25


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of one tool.

    `question`: first, again, v2, checkout, known or kernel. `rss_bytes`: the peak of the largest process.
    `others_share`: what other processes took of the machine's CPUs, 0..1. `input_bytes`: the size of the tree (or
    buffer) worked on. `stored_bytes`: blocks of the repository afterwards, `stored_bytes_apparent`: lengths;
    `added_bytes`: growth of blocks.
    """

    corpus: str
    question: str
    tool: str
    repetition: int
    wall_s: float
    user_s: float
    system_s: float
    rss_bytes: int
    others_share: float
    input_bytes: int
    stored_bytes: int | None = None
    stored_bytes_apparent: int | None = None
    added_bytes: int | None = None

    @property
    def is_crowded(self) -> bool:
        """Whether somebody else kept the machine busy: the time is an upper bound."""
        return self.others_share > CROWDED_SHARE


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that stopped in the middle of a repetition; what it measured before counts."""

    corpus: str
    tool: str
    repetition: int
    message: str


class ToolVersion(msgspec.Struct, frozen=True):
    """A tool that took part; `version` is its own words."""

    name: str
    version: str


class TreeFacts(msgspec.Struct, frozen=True):
    """One tree of a corpus, and the digest by which two machines know that they measured the same."""

    corpus: str
    version: str
    files: int
    bytes: int
    digest: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Medians of one tool's runs of one question.

    Over the quiet runs where at least half are quiet, else over all of them, and then `is_crowded`. `ratio`: artstore's
    median time over this tool's; below 1 artstore is faster.
    """

    corpus: str
    question: str
    tool: str
    runs: int
    crowded_runs: int
    is_crowded: bool
    wall_s: float
    cpu_s: float
    rss_bytes: int
    bytes_per_s: float
    stored_bytes: int | None
    added_bytes: int | None
    ratio: float | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the target table; `verdict`: goal, floor, short (of a goal that has no floor), missed, unmeasured.

    `measured`, `floor` and `goal` have the unit of `figure`: a ratio to `against`, seconds, or bytes per second.
    `is_crowded`: a run behind it was.
    """

    work: str
    corpus: str
    question: str
    figure: str
    against: str | None
    floor: float | None
    goal: float | None
    measured: float | None
    verdict: str
    is_crowded: bool


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one run of the benchmark has to tell."""

    schema: str
    started: str
    finished: str
    command: list[str]
    scale: float
    repeat: int
    machine: dict[str, str]
    trees: list[TreeFacts]
    tools: list[ToolVersion]
    missing: list[str]
    runs: list[Run]
    failures: list[Failure]
    summary: list[Summary]
    targets: list[Verdict]


def summarise(runs: Sequence[Run], *, subject: str = "artstore") -> list[Summary]:
    """One summary for each (corpus, question, tool), in the order in which they first ran."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.corpus, run.question, run.tool), []).append(run)
    times = {key: median(run.wall_s for run in counted(group)) for key, group in groups.items()}
    return [
        _summary(group, wall_s=times[key], subject_s=times.get((key[0], key[1], subject)))
        for key, group in groups.items()
    ]


def counted(runs: Sequence[Run]) -> Sequence[Run]:
    """The runs that a median is taken over: the quiet ones, unless more than half were crowded."""
    quiet = [run for run in runs if not run.is_crowded]
    return quiet if 2 * len(quiet) >= len(runs) else runs


def _summary(group: Sequence[Run], *, wall_s: float, subject_s: float | None) -> Summary:
    used = counted(group)
    crowded = sum(run.is_crowded for run in group)
    return Summary(
        corpus=group[0].corpus,
        question=group[0].question,
        tool=group[0].tool,
        runs=len(group),
        crowded_runs=crowded,
        is_crowded=any(run.is_crowded for run in used),
        wall_s=wall_s,
        cpu_s=median(run.user_s + run.system_s for run in used),
        rss_bytes=int(median(run.rss_bytes for run in used)),
        bytes_per_s=median(run.input_bytes / run.wall_s for run in used),
        stored_bytes=_median_bytes([run.stored_bytes for run in used]),
        added_bytes=_median_bytes([run.added_bytes for run in used]),
        ratio=None if subject_s is None else subject_s / wall_s,
    )


def _median_bytes(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return int(median(known)) if known else None

"""The figures as values: the JSON document that a run writes, and the medians and ratios drawn from it. Pure.

`Document` is the schema: field names carry their units, `null` means "does not apply". `runs` holds every single
measurement; `summary` and `targets` can be computed from them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

import msgspec

SCHEMA: Final = "artstore-bench/1"
# Other processes took more than this share of the machine meanwhile: the run is flagged with '*'.
CROWDED_SHARE: Final = 0.25
_GIB: Final = 1 << 30


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of one tool.

    `question`: first, again, v2, checkout, known or kernel; of mounts those of `questions/mount.py`, of
    remotes those of `remotes/report.py`. `rss_bytes`: the peak of the largest process. `others_share`: what other
    processes took of the machine's CPUs, 0..1. `input_bytes`: the size of the tree (or buffer) worked on.
    `stored_bytes`: blocks of the repository afterwards, `stored_bytes_apparent`: lengths; `added_bytes`: growth of
    blocks.

    Of a mount: CPU and memory are the server's, and not the reader's; `rss_anonymous_bytes` is what of the memory isn't
    the page cache's; `input_bytes` were read in `operations` (reads, names, files), whose times were `p50_s` and
    `p99_s`; `requests`: how many READ requests reached the server.

    Of a remote: `requests` were sent to it, `puts` of them wrote something; `moved_bytes`: of bodies, both directions.

    Of scale: `question` is one of `scale/report.py` and the number of chunks there were, `hit/1000448` for instance.
    Memory is the worker's at its end; `stored_bytes` those of the index, or of the documents made; `operations` ids,
    rows or packs; `p50_s` and `p99_s` of a transaction or a look-up of many ids; `moved_bytes` were written, and
    `requests` pages read from the disk, meanwhile.
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
    rss_anonymous_bytes: int | None = None
    operations: int | None = None
    p50_s: float | None = None
    p99_s: float | None = None
    requests: int | None = None
    puts: int | None = None
    moved_bytes: int | None = None

    @property
    def pace_s(self) -> float:
        """The time that is compared: of the whole or, where operations are counted, of one of them."""
        return self.wall_s / self.operations if self.operations else self.wall_s

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
    median time (of an operation, where these are counted) over this tool's; below 1 artstore is faster.
    `cpu_s_per_gib`: of what was read through a mount.
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
    operations_per_s: float | None = None
    cpu_s_per_gib: float | None = None
    p50_s: float | None = None
    p99_s: float | None = None
    requests: int | None = None
    rss_anonymous_bytes: int | None = None
    puts: int | None = None
    moved_bytes: int | None = None


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
    paces = {key: median(run.pace_s for run in counted(group)) for key, group in groups.items()}
    return [
        _summary(group, pace_s=paces[key], subject_s=paces.get((key[0], key[1], subject)))
        for key, group in groups.items()
    ]


def counted(runs: Sequence[Run]) -> Sequence[Run]:
    """The runs that a median is taken over: the quiet ones, unless more than half were crowded."""
    quiet = [run for run in runs if not run.is_crowded]
    return quiet if 2 * len(quiet) >= len(runs) else runs


def _summary(group: Sequence[Run], *, pace_s: float, subject_s: float | None) -> Summary:
    used = counted(group)
    crowded = sum(run.is_crowded for run in group)
    return Summary(
        corpus=group[0].corpus,
        question=group[0].question,
        tool=group[0].tool,
        runs=len(group),
        crowded_runs=crowded,
        is_crowded=any(run.is_crowded for run in used),
        wall_s=median(run.wall_s for run in used),
        cpu_s=median(run.user_s + run.system_s for run in used),
        rss_bytes=int(median(run.rss_bytes for run in used)),
        bytes_per_s=median(run.input_bytes / run.wall_s for run in used),
        stored_bytes=_median_count(run.stored_bytes for run in used),
        added_bytes=_median_count(run.added_bytes for run in used),
        ratio=None if subject_s is None else subject_s / pace_s,
        operations_per_s=_median(run.operations / run.wall_s if run.operations else None for run in used),
        cpu_s_per_gib=_median(_cpu_s_per_gib(run) for run in used),
        p50_s=_median(run.p50_s for run in used),
        p99_s=_median(run.p99_s for run in used),
        requests=_median_count(run.requests for run in used),
        rss_anonymous_bytes=_median_count(run.rss_anonymous_bytes for run in used),
        puts=_median_count(run.puts for run in used),
        moved_bytes=_median_count(run.moved_bytes for run in used),
    )


def _cpu_s_per_gib(run: Run) -> float | None:
    """Only where it was counted whom it was used by: in bytes that a mount's reader has got."""
    if run.operations is None or not run.input_bytes:
        return None
    return (run.user_s + run.system_s) / run.input_bytes * _GIB


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _median_count(values: Iterable[int | None]) -> int | None:
    found = _median(values)
    return None if found is None else int(found)

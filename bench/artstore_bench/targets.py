"""What artstore has promised, and whether the figures keep it. Pure.

Floors and goals are ratios of medians of one run on two cores, artstore's time over the peer's, unless `figure` says
otherwise; of mounts artstore's speed over the peer's. They are given for full-size corpora only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from artstore_bench.results import Summary, Verdict


class Figure(StrEnum):
    """What is compared."""

    TIME_RATIO = "time ratio"
    STORED_RATIO = "stored ratio"
    ADDED_RATIO = "added ratio"
    SECONDS = "seconds"
    BYTES_PER_SECOND = "bytes per second"
    SPEED_RATIO = "speed ratio"
    OPERATIONS_PER_SECOND = "operations per second"
    P99_SECONDS = "99th percentile in seconds"
    REQUESTS = "requests"
    MEMORY_BYTES = "bytes of memory"


MORE_IS_BETTER: Final = (Figure.BYTES_PER_SECOND, Figure.SPEED_RATIO, Figure.OPERATIONS_PER_SECOND)


@dataclass(frozen=True, slots=True)
class Target:
    """One promise; `against` is a peer, or None for an absolute figure."""

    work: str
    corpus: str
    question: str
    figure: Figure
    against: str | None = None
    floor: float | None = None
    goal: float | None = None


def _time(work: str, corpora: str, question: str, **limits: tuple[float | None, float | None]) -> list[Target]:
    return [
        Target(work, corpus, question, Figure.TIME_RATIO, peer.replace("_", "-"), floor, goal)
        for corpus in corpora.split()
        for peer, (floor, goal) in limits.items()
    ]


def _mount(
    work: str, question: str, figure: Figure, against: str | None, floor: float | None, goal: float | None = None
) -> Target:
    return Target(work, "mount", question, figure, against, floor, goal)


# What the cache of decoded data holds by default, and what the rest of the server may take beside it.
MOUNT_MEMORY_BYTES: Final = (256 << 20) + 150_000_000
_COMPARED: Final = (
    *("cold", "pair", "narrow", "raw", "random", "hit", "mapped"),
    *("list", "ls", "stat", "small", "ready"),
)
_MOUNT_TARGETS: Final[Sequence[Target]] = (
    _mount("cold read, one reader", "cold", Figure.SPEED_RATIO, "squashfuse_ll", 0.9, 1.2),
    _mount("cold read, two readers", "pair", Figure.SPEED_RATIO, "squashfuse_ll", 0.95, 1.4),
    _mount("cold read, readahead of 128 KiB", "narrow", Figure.SPEED_RATIO, "squashfuse_ll", 1.0, 1.3),
    _mount("cold read, stored raw", "raw", Figure.BYTES_PER_SECOND, None, 2.0e9, 3.0e9),
    _mount("second pass", "second", Figure.REQUESTS, None, 0),
    _mount("4 KiB at random, miss", "random", Figure.OPERATIONS_PER_SECOND, None, 5_000, 7_000),
    _mount("4 KiB at random, miss", "random", Figure.P99_SECONDS, None, 1e-3),
    _mount("4 KiB at random, chunk in the cache", "hit", Figure.OPERATIONS_PER_SECOND, None, 15_000),
    _mount("mmap sweep", "mapped", Figure.BYTES_PER_SECOND, None, 0.6e9, 0.9e9),
    _mount("list of 50,000 files", "list", Figure.OPERATIONS_PER_SECOND, None, 100_000, 250_000),
    _mount("`ls -lU` of 50,000 files", "ls", Figure.SECONDS, None, 1.0, 0.35),
    _mount("stat after the list", "stat", Figure.OPERATIONS_PER_SECOND, None, 120_000),
    _mount("open, read, close of small files", "small", Figure.OPERATIONS_PER_SECOND, None, 8_000, 16_000),
    _mount("mount of 1,000 tags, a million files", "million", Figure.SECONDS, None, 1.0, 0.2),
    *(
        _mount(f"faster than {peer}: {question}", question, Figure.SPEED_RATIO, peer, 1.0)
        for peer in ("borg", "restic")
        for question in _COMPARED
    ),
    _mount("memory", "memory", Figure.MEMORY_BYTES, None, MOUNT_MEMORY_BYTES),
)

TARGETS: Final[Sequence[Target]] = (
    *_time("first commit", "model", "first", borg=(0.45, 0.30), restic=(0.4, None), hf_xet=(0.4, None)),
    *_time("first commit", "dataset", "first", borg=(0.55, 0.4), restic=(0.5, None), hf_xet=(1.2, 0.95)),
    Target("bytes of the first commit", "dataset", "first", Figure.STORED_RATIO, "hf-xet", 0.9),
    *_time("commit of version 2", "model dataset", "v2", borg=(0.55, 0.35), hf_xet=(0.9, None)),
    *(
        # "Below" is meant strictly, and a median that is equal to the byte is not below.
        Target("bytes added by version 2", corpus, "v2", Figure.ADDED_RATIO, peer, 1.0)
        for corpus in ("model", "dataset", "edits")
        for peer in ("restic", "borg", "casync", "hf-xet")
    ),
    *_time("commit of 50,000 small files", "small", "first", restic=(0.6, 0.4), borg=(0.45, None)),
    Target("the same again unchanged", "small", "again", Figure.SECONDS, None, 0.6, 0.4),
    Target("the same again unchanged", "dataset", "again", Figure.SECONDS, None, 0.3, 0.2),
    *_time(
        "checkout",
        "model dataset",
        "checkout",
        borg=(0.45, None),
        hf_xet=(0.4, None),
        tar_zstd=(0.7, None),
        cp=(None, 2.0),
    ),
    *_time("commit of known data", "known", "known", hf_xet=(1.0, 1 / 1.3)),
    Target("kernel", "kernel", "kernel", Figure.BYTES_PER_SECOND, None, 2e9, 4e9),
    *_MOUNT_TARGETS,
)


def judge(summaries: Sequence[Summary], *, subject: str = "artstore") -> list[Verdict]:
    """Every target with what was measured; what was not asked in this run is `unmeasured`."""
    table = {(row.corpus, row.question, row.tool): row for row in summaries}
    verdicts: list[Verdict] = []
    for target in TARGETS:
        ours = table.get((target.corpus, target.question, subject))
        theirs = None if target.against is None else table.get((target.corpus, target.question, target.against))
        measured = _measure(target, ours, theirs)
        verdicts.append(
            Verdict(
                work=target.work,
                corpus=target.corpus,
                question=target.question,
                figure=target.figure,
                against=target.against,
                floor=target.floor,
                goal=target.goal,
                measured=measured,
                verdict=_verdict(target, measured),
                is_crowded=any(row.is_crowded for row in (ours, theirs) if row is not None),
            )
        )
    return verdicts


def _measure(target: Target, ours: Summary | None, theirs: Summary | None) -> float | None:
    if ours is None:
        return None
    match target.figure:
        case Figure.SECONDS:
            return ours.wall_s
        case Figure.BYTES_PER_SECOND:
            return ours.bytes_per_s
        case Figure.OPERATIONS_PER_SECOND:
            return ours.operations_per_s
        case Figure.P99_SECONDS:
            return ours.p99_s
        case Figure.REQUESTS:
            return ours.requests
        case Figure.MEMORY_BYTES:
            return ours.rss_anonymous_bytes
        case Figure.SPEED_RATIO:
            return None if theirs is None or theirs.ratio is None else 1 / theirs.ratio
        case Figure.TIME_RATIO:
            return None if theirs is None else ours.wall_s / theirs.wall_s
        case Figure.STORED_RATIO:
            return None if theirs is None else _ratio(ours.stored_bytes, theirs.stored_bytes)
        case Figure.ADDED_RATIO:
            return None if theirs is None else _ratio(ours.added_bytes, theirs.added_bytes)


def _ratio(ours: int | None, theirs: int | None) -> float | None:
    return None if ours is None or not theirs else ours / theirs


def _verdict(target: Target, measured: float | None) -> str:
    if measured is None:
        return "unmeasured"
    if _reaches(target, measured, target.goal):
        return "goal"
    if target.floor is None:
        return "short"
    return "floor" if _reaches(target, measured, target.floor) else "missed"


def _reaches(target: Target, measured: float, bound: float | None) -> bool:
    if bound is None:
        return False
    if target.figure in MORE_IS_BETTER:
        return measured >= bound
    return measured < bound if target.figure is Figure.ADDED_RATIO else measured <= bound

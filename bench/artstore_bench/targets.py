"""What artstore has promised, and whether the figures keep it. Pure.

Floors and goals are ratios of medians of one run on two cores, artstore's over the peer's, unless `figure` says
otherwise. They are given for full-size corpora only.
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
    if target.figure is Figure.BYTES_PER_SECOND:
        return measured >= bound
    return measured < bound if target.figure is Figure.ADDED_RATIO else measured <= bound

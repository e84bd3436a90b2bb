"""What artstore has promised, and whether the figures keep it. Pure.

Floors and goals are ratios of medians of one run on two cores, artstore's time over the peer's, unless `figure` says
otherwise; of mounts, and of remotes that move the same bytes, artstore's speed over the peer's; `SPEED_KEPT` is the
speed of a variant of artstore over artstore's. They are given for full-size corpora only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from artstore import limits
from artstore_bench.results import Summary, Verdict


class Figure(StrEnum):
    """What is compared."""

    TIME_RATIO = "time ratio"
    STORED_RATIO = "stored ratio"
    ADDED_RATIO = "added ratio"
    SECONDS = "seconds"
    BYTES_PER_SECOND = "bytes per second"
    SPEED_RATIO = "speed ratio"
    SPEED_KEPT = "speed kept"
    OPERATIONS_PER_SECOND = "operations per second"
    P99_SECONDS = "99th percentile in seconds"
    REQUESTS = "requests"
    MEMORY_BYTES = "bytes of memory"
    RESIDENT_BYTES = "bytes resident"
    CPU_SHARE = "share of a core"
    PUTS = "PUTs"
    PUT_SHARE = "PUTs over those that the bytes allow"
    MOVED_BYTES = "bytes moved"


MORE_IS_BETTER: Final = (
    Figure.BYTES_PER_SECOND,
    Figure.SPEED_RATIO,
    Figure.SPEED_KEPT,
    Figure.OPERATIONS_PER_SECOND,
)


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

# A fifth more than the bytes need in full packs, and what a push costs however little it sends.
_PUTS_PER_PACK: Final = 1.2
_PUTS_OF_ANY_PUSH: Final = 20


def _remote(work: str, question: str, figure: Figure, floor: float, against: str | None = None) -> Target:
    return Target(work, "remote", question, figure, against, floor)


_REMOTE_TARGETS: Final[Sequence[Target]] = (
    _remote("push", "push", Figure.SPEED_RATIO, 0.85, "boto3"),
    _remote("full clone", "fetch", Figure.SPEED_RATIO, 0.85, "boto3"),
    *(
        _remote(work, question, Figure.TIME_RATIO, 1.0, peer)
        for work, question in (("commit and push", "backup"), ("clone and checkout", "restore"))
        for peer in ("restic", "rclone")
    ),
    _remote("push of 50,000 files", "many", Figure.PUT_SHARE, 1.0),
    *(
        _remote(f"push of one changed file of {of}", question, figure, floor)
        for of, question in (("1 GiB", "changed"), ("50,000", "many-changed"))
        for figure, floor in ((Figure.PUTS, 9.0), (Figure.SECONDS, 1.0))
    ),
    _remote("1 MiB out of 1 GiB, fresh clone", "peek", Figure.MOVED_BYTES, 8 << 20),
    _remote("1 MiB out of 1 GiB, fresh clone", "peek", Figure.REQUESTS, 6),
)

_DAEMON_TARGETS: Final[Sequence[Target]] = (
    Target("100 MB saved, at the remote", "daemon", "saved", Figure.SECONDS, None, 1.0),
    # All of it, and one pack again.
    Target("8 packs of 32 MB, killed half-way", "daemon", "killed", Figure.MOVED_BYTES, None, 9 * 32e6),
    Target("idle, 10 watches of 10,000 files", "daemon", "idle", Figure.CPU_SHARE, None, 0.01),
    Target("idle, 10 watches of 10,000 files", "daemon", "idle", Figure.RESIDENT_BYTES, None, 80e6),
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
    *(
        Target(work, corpus, question, Figure.SPEED_KEPT, "encrypted", 0.85)
        for work, corpus, question in (
            ("first commit, encrypted", "model", "first"),
            ("first commit, encrypted", "dataset", "first"),
            ("checkout, encrypted", "model", "checkout"),
            ("checkout, encrypted", "dataset", "checkout"),
            ("cold read in the mount, encrypted", "mount", "cold"),
        )
    ),
    Target("kernel", "kernel", "kernel", Figure.BYTES_PER_SECOND, None, 2e9, 4e9),
    *_MOUNT_TARGETS,
    *_REMOTE_TARGETS,
    *_DAEMON_TARGETS,
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
    if target.figure in _ABSOLUTE:
        return _ABSOLUTE[target.figure](ours)
    return None if theirs is None else _COMPARED_BY[target.figure](ours, theirs)


def _put_share(ours: Summary) -> float | None:
    """Of a push: where packs are sealed at their full size it is below 1."""
    if ours.puts is None or ours.moved_bytes is None:
        return None
    return ours.puts / (_PUTS_PER_PACK * ours.moved_bytes / limits.PACK_BYTES_TARGET + _PUTS_OF_ANY_PUSH)


def _speed_ratio(_: Summary, theirs: Summary) -> float | None:
    return None if theirs.ratio is None else 1 / theirs.ratio


def _ratio(ours: int | None, theirs: int | None) -> float | None:
    return None if ours is None or not theirs else ours / theirs


_ABSOLUTE: Final[Mapping[Figure, Callable[[Summary], float | None]]] = {
    Figure.SECONDS: lambda ours: ours.wall_s,
    Figure.BYTES_PER_SECOND: lambda ours: ours.bytes_per_s,
    Figure.OPERATIONS_PER_SECOND: lambda ours: ours.operations_per_s,
    Figure.P99_SECONDS: lambda ours: ours.p99_s,
    Figure.REQUESTS: lambda ours: ours.requests,
    Figure.MEMORY_BYTES: lambda ours: ours.rss_anonymous_bytes,
    Figure.RESIDENT_BYTES: lambda ours: ours.rss_bytes,
    Figure.CPU_SHARE: lambda ours: ours.cpu_s / ours.wall_s,
    Figure.PUTS: lambda ours: ours.puts,
    Figure.PUT_SHARE: _put_share,
    Figure.MOVED_BYTES: lambda ours: ours.moved_bytes,
}
_COMPARED_BY: Final[Mapping[Figure, Callable[[Summary, Summary], float | None]]] = {
    Figure.SPEED_RATIO: _speed_ratio,
    Figure.TIME_RATIO: lambda ours, theirs: ours.wall_s / theirs.wall_s,
    Figure.SPEED_KEPT: lambda ours, theirs: ours.wall_s / theirs.wall_s,
    Figure.STORED_RATIO: lambda ours, theirs: _ratio(ours.stored_bytes, theirs.stored_bytes),
    Figure.ADDED_RATIO: lambda ours, theirs: _ratio(ours.added_bytes, theirs.added_bytes),
}
assert {*_ABSOLUTE, *_COMPARED_BY} == {*Figure}


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

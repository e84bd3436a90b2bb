"""The promises: which there are, and how figures are judged by them."""

from __future__ import annotations

import pytest

from artstore_bench.results import Summary, Verdict
from artstore_bench.targets import TARGETS, Figure, judge


def summary(
    tool: str,
    corpus: str,
    question: str,
    *,
    wall_s: float = 1.0,
    stored: int = 100,
    added: int = 100,
    speed: float = 1.0,
    ratio: float | None = None,
    operations_per_s: float | None = None,
    p99_s: float | None = None,
    requests: int | None = None,
    anonymous: int | None = None,
) -> Summary:
    """Medians of one tool."""
    return Summary(
        corpus=corpus,
        question=question,
        tool=tool,
        runs=3,
        crowded_runs=0,
        is_crowded=tool == "restic",
        wall_s=wall_s,
        cpu_s=1.0,
        rss_bytes=1,
        bytes_per_s=speed,
        stored_bytes=stored,
        added_bytes=added,
        ratio=ratio,
        operations_per_s=operations_per_s,
        p99_s=p99_s,
        requests=requests,
        rss_anonymous_bytes=anonymous,
    )


def verdict(found: list[Verdict], **wanted: str | None) -> Verdict:
    """The one line with these fields."""
    (line,) = [row for row in found if all(getattr(row, key) == value for key, value in wanted.items())]
    return line


@pytest.mark.parametrize(
    ("wall_s", "expected"), [(0.30, "goal"), (0.31, "floor"), (0.45, "floor"), (0.46, "missed"), (5.0, "missed")]
)
def test_time_is_judged_by_floor_and_goal(wall_s: float, expected: str) -> None:
    """A target reported as met that is not would be a lie in the README."""
    rows = [summary("artstore", "model", "first", wall_s=wall_s), summary("borg", "model", "first", wall_s=1.0)]
    line = verdict(judge(rows), corpus="model", question="first", against="borg")
    assert (line.measured, line.verdict) == (wall_s, expected)


@pytest.mark.parametrize(("added", "expected"), [(99, "floor"), (100, "missed"), (101, "missed")])
def test_added_bytes_must_be_below(added: int, expected: str) -> None:
    """Equal is not below."""
    rows = [summary("artstore", "edits", "v2", added=added), summary("casync", "edits", "v2", added=100)]
    line = verdict(judge(rows), corpus="edits", question="v2", against="casync")
    assert line.verdict == expected


def test_stored_bytes_count_against_hf_xet() -> None:
    """Being slower than it is allowed only with a tenth fewer bytes."""
    rows = [summary("artstore", "dataset", "first", stored=91), summary("hf-xet", "dataset", "first", stored=100)]
    line = verdict(judge(rows), corpus="dataset", question="first", against="hf-xet", figure=Figure.STORED_RATIO)
    assert (line.measured, line.verdict) == (0.91, "missed")


@pytest.mark.parametrize(("speed", "expected"), [(1.9e9, "missed"), (2.0e9, "floor"), (4.0e9, "goal")])
def test_more_is_better_for_the_kernel(speed: float, expected: str) -> None:
    """The one figure where the comparison turns round."""
    line = verdict(judge([summary("artstore", "kernel", "kernel", speed=speed)]), corpus="kernel")
    assert line.verdict == expected


@pytest.mark.parametrize(("wall_s", "expected"), [(0.2, "goal"), (0.25, "floor"), (0.31, "missed")])
def test_seconds_need_no_peer(wall_s: float, expected: str) -> None:
    """An unchanged folder is judged by the clock."""
    line = verdict(judge([summary("artstore", "dataset", "again", wall_s=wall_s)]), corpus="dataset", question="again")
    assert line.verdict == expected


@pytest.mark.parametrize(("wall_s", "expected"), [(2.0, "goal"), (2.1, "short")])
def test_a_goal_without_a_floor_can_only_be_fallen_short_of(wall_s: float, expected: str) -> None:
    """Twice the time of cp is an aim; missing it breaks no promise."""
    rows = [summary("artstore", "model", "checkout", wall_s=wall_s), summary("cp", "model", "checkout")]
    line = verdict(judge(rows), corpus="model", question="checkout", against="cp")
    assert line.verdict == expected


def test_what_was_not_asked_is_not_judged() -> None:
    """A missing peer must neither pass nor fail."""
    found = judge([summary("artstore", "model", "first")])
    assert len(found) == len(TARGETS)
    assert {line.verdict for line in found} == {"unmeasured"}


def test_a_crowded_run_marks_its_verdict() -> None:
    """A reader has to see which verdicts rest on a busy machine."""
    rows = [
        summary("artstore", "small", "first"),
        summary("restic", "small", "first"),
        summary("borg", "small", "first"),
    ]
    found = judge(rows)
    assert verdict(found, corpus="small", against="restic").is_crowded
    assert not verdict(found, corpus="small", against="borg").is_crowded


@pytest.mark.parametrize(("ratio", "expected"), [(1.2, "missed"), (1.1, "floor"), (0.84, "floor"), (0.83, "goal")])
def test_mounts_are_compared_by_speed(ratio: float, expected: str) -> None:
    """0.9 times as fast is a time of 1.11: the other way round a slow mount would pass."""
    rows = [summary("artstore", "mount", "cold"), summary("squashfuse_ll", "mount", "cold", ratio=ratio)]
    line = verdict(judge(rows), corpus="mount", question="cold", against="squashfuse_ll")
    assert line.measured == pytest.approx(1 / ratio)
    assert line.verdict == expected


def test_each_figure_of_a_mount_is_judged_in_its_own_direction() -> None:
    """Many operations are good; many requests, a long tail and much memory are not."""
    rows = [
        summary("artstore", "mount", "random", operations_per_s=5_500.0, p99_s=1.1e-3),
        summary("artstore", "mount", "second", requests=1),
        summary("artstore", "mount", "memory", anonymous=400_000_000),
        summary("artstore", "mount", "million", wall_s=0.19),
    ]
    found = judge(rows)
    assert verdict(found, corpus="mount", figure=Figure.OPERATIONS_PER_SECOND, question="random").verdict == "floor"
    assert verdict(found, corpus="mount", figure=Figure.P99_SECONDS).verdict == "missed"
    assert verdict(found, corpus="mount", figure=Figure.REQUESTS).verdict == "missed"
    assert verdict(found, corpus="mount", figure=Figure.MEMORY_BYTES).verdict == "floor"
    assert verdict(found, corpus="mount", question="million").verdict == "goal"
    rows[1:3] = [summary("artstore", "mount", "second", requests=0)]
    assert verdict(judge(rows), corpus="mount", figure=Figure.REQUESTS).verdict == "floor"


def test_every_promise_of_the_mount_is_there() -> None:
    """A line lost from the table would be a promise silently dropped."""
    promised = {(t.question, t.against, t.floor, t.goal) for t in TARGETS if t.corpus == "mount"}
    assert {
        ("cold", "squashfuse_ll", 0.9, 1.2),
        ("pair", "squashfuse_ll", 0.95, 1.4),
        ("narrow", "squashfuse_ll", 1.0, 1.3),
        ("raw", None, 2.0e9, 3.0e9),
        ("second", None, 0, None),
        ("random", None, 5_000, 7_000),
        ("random", None, 1e-3, None),
        ("hit", None, 15_000, None),
        ("mapped", None, 0.6e9, 0.9e9),
        ("list", None, 100_000, 250_000),
        ("ls", None, 1.0, 0.35),
        ("stat", None, 120_000, None),
        ("small", None, 8_000, 16_000),
        ("million", None, 1.0, 0.2),
        ("memory", None, 256 * 1024 * 1024 + 150_000_000, None),
    } <= promised
    assert len([row for row in promised if row[1] in {"borg", "restic"}]) == 2 * 12


def test_every_promise_is_there() -> None:
    """A line lost from the table would be a promise silently dropped."""
    promised = {(t.corpus, t.question, t.against, t.floor, t.goal) for t in TARGETS if t.figure is Figure.TIME_RATIO}
    assert {
        ("model", "first", "borg", 0.45, 0.30),
        ("model", "first", "restic", 0.4, None),
        ("model", "first", "hf-xet", 0.4, None),
        ("dataset", "first", "borg", 0.55, 0.4),
        ("dataset", "first", "restic", 0.5, None),
        ("dataset", "first", "hf-xet", 1.2, 0.95),
        ("model", "v2", "borg", 0.55, 0.35),
        ("dataset", "v2", "hf-xet", 0.9, None),
        ("small", "first", "restic", 0.6, 0.4),
        ("small", "first", "borg", 0.45, None),
        ("model", "checkout", "borg", 0.45, None),
        ("model", "checkout", "hf-xet", 0.4, None),
        ("model", "checkout", "tar-zstd", 0.7, None),
        ("known", "known", "hf-xet", 1.0, 1 / 1.3),
    } <= promised
    below = {(t.corpus, t.against) for t in TARGETS if t.figure is Figure.ADDED_RATIO}
    assert len(below) == 3 * 4

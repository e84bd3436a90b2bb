"""Medians, ratios and flags, from figures that are given."""

from __future__ import annotations

import msgspec
import pytest

from artstore_bench.results import Run, counted, summarise


def run(
    tool: str,
    wall_s: float,
    *,
    others: float = 0.0,
    repetition: int = 0,
    stored: int | None = None,
    question: str = "first",
) -> Run:
    """A run on the model corpus."""
    return Run(
        corpus="model",
        question=question,
        tool=tool,
        repetition=0,
        wall_s=wall_s,
        user_s=wall_s / 2,
        system_s=wall_s / 4,
        rss_bytes=int(wall_s * 100),
        others_share=others,
        input_bytes=1000,
        stored_bytes=stored,
        added_bytes=stored,
    )


def test_medians_and_ratios() -> None:
    """The table's figures are these; a mean would let one bad run move them."""
    runs = [*(run("artstore", time) for time in (1.0, 2.0, 9.0)), *(run("borg", time) for time in (4.0, 3.0, 5.0))]
    ours, theirs = summarise(runs)
    assert (ours.wall_s, theirs.wall_s) == (2.0, 4.0)
    assert (ours.ratio, theirs.ratio) == (1.0, 0.5)
    assert ours.cpu_s == pytest.approx(1.5)
    assert ours.bytes_per_s == 500


def test_crowded_runs_are_left_out_while_they_are_few() -> None:
    """A neighbour's burst in one run must not decide the figure."""
    (found,) = summarise([run("cp", 1.0), run("cp", 1.2), run("cp", 9.0, others=0.5)])
    assert found.wall_s == pytest.approx(1.1)
    assert (found.runs, found.crowded_runs, found.is_crowded) == (3, 1, False)


def test_mostly_crowded_runs_all_count_and_are_flagged() -> None:
    """Picking the one lucky run would be a claim about the machine, not about the tool."""
    runs = [run("cp", 1.0), run("cp", 5.0, others=0.3), run("cp", 6.0, others=0.4)]
    (found,) = summarise(runs)
    assert counted(runs) == runs
    assert found.wall_s == 5.0
    assert found.is_crowded


def test_a_quarter_of_the_machine_is_the_limit() -> None:
    """The flag has to mean what the report says it means."""
    assert not run("cp", 1.0, others=0.25).is_crowded
    assert run("cp", 1.0, others=0.26).is_crowded


def test_bytes_are_medians_of_what_is_known() -> None:
    """Stored sizes may vary with packing; a run without any has none."""
    known, unknown = summarise([run("a", 1.0, stored=10), run("a", 1.0, stored=30), run("b", 1.0)])
    assert (known.stored_bytes, known.added_bytes) == (20, 20)
    assert unknown.stored_bytes is None


def test_without_artstore_there_is_no_ratio() -> None:
    """A run of peers alone must say so instead of comparing with nothing."""
    (found,) = summarise([run("cp", 1.0)])
    assert found.ratio is None


def test_questions_are_kept_apart() -> None:
    """A checkout is not a commit."""
    first, checkout = summarise([run("artstore", 1.0), run("artstore", 3.0, question="checkout")])
    assert (first.question, first.wall_s, checkout.question, checkout.wall_s) == ("first", 1.0, "checkout", 3.0)


def test_mounts_are_compared_by_operation() -> None:
    """A slow mount is read in part: less work in the same time must not look like the same speed."""
    whole = [msgspec.structs.replace(run("artstore", 2.0), operations=1000, p99_s=0.5, requests=7)]
    part = [msgspec.structs.replace(run("restic", 2.0), operations=100)]
    ours, theirs = summarise(whole + part)
    assert theirs.ratio == pytest.approx(0.1)
    assert (ours.operations_per_s, theirs.operations_per_s) == (500, 50)
    assert ours.cpu_s_per_gib == pytest.approx(1.5 / 1000 * (1 << 30))
    assert (ours.p99_s, ours.requests, theirs.requests) == (0.5, 7, None)
    (commit,) = summarise([run("artstore", 2.0)])
    assert commit.operations_per_s is commit.cpu_s_per_gib is None

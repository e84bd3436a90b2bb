"""The method, with real processes: order of turns, what is measured, and what happens when a tool fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from artstore_bench.command import Command, Toolbox
from artstore_bench.method import ToolFailed, measure, others_share, rounds

HUNGRY = "import time; data = bytearray(200 << 20); data[::4096] = b'x' * (200 << 8); time.sleep(0.3)"


def test_tools_take_turns() -> None:
    """Runs of one tool in a row would put all of a disturbance on that tool."""
    order = list(rounds(["a", "b", "c"], 3))
    assert [repetition for repetition, _ in order] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [tool for _, tool in order] == list("abcbcacab")


def test_no_tools_take_no_turns() -> None:
    """A machine without any tool should give an empty report, not an error."""
    nothing: list[str] = []
    assert list(rounds(nothing, 3)) == []


def test_a_job_is_timed_as_a_whole(tmp_path: Path) -> None:
    """A tool that needs two commands must pay for both, and a sleep is time but not work."""
    nap = Command((sys.executable, "-c", "import time; time.sleep(0.3)"))
    sample = measure([nap, nap], toolbox=Toolbox(tmp_path), log=tmp_path / "log")
    assert 0.6 <= sample.wall_s < 60
    assert sample.user_s + sample.system_s < sample.wall_s


def test_memory_is_the_tool_s_own(tmp_path: Path) -> None:
    """Linux charges a child with its parent's peak: a big benchmark would make each tool look as big."""
    ballast = bytearray(200 << 20)
    ballast[::4096] = b"x" * (200 << 8)
    small = measure([Command(("true",))], toolbox=Toolbox(tmp_path), log=tmp_path / "log")
    large = measure([Command((sys.executable, "-c", HUNGRY))], toolbox=Toolbox(tmp_path), log=tmp_path / "log")
    assert len(ballast) == 200 << 20
    assert small.rss_bytes < 60 << 20
    assert large.rss_bytes > 200 << 20


def test_a_grandchild_s_memory_counts(tmp_path: Path) -> None:
    """Tools that do their work in another process would else seem to need nothing."""
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HUNGRY!r}], check=True)"
    sample = measure([Command((sys.executable, "-c", script))], toolbox=Toolbox(tmp_path), log=tmp_path / "log")
    assert sample.rss_bytes > 200 << 20


def test_a_failing_tool_says_why(tmp_path: Path) -> None:
    """A failed run must never be taken for a fast one."""
    missing = Command(("cp", "nowhere", str(tmp_path / "copy")))
    with pytest.raises(ToolFailed, match=r"cp failed with code 1: .*nowhere"):
        measure([missing], toolbox=Toolbox(tmp_path), log=tmp_path / "log")


def test_after_a_failure_nothing_more_runs(tmp_path: Path) -> None:
    """A commit after a failed add would be measured on nothing."""
    with pytest.raises(ToolFailed):
        measure(
            [Command(("false",)), Command(("touch", str(tmp_path / "made")))],
            toolbox=Toolbox(tmp_path),
            log=tmp_path / "log",
        )
    assert not (tmp_path / "made").exists()


def test_a_program_that_is_missing_is_a_failure(tmp_path: Path) -> None:
    """One peer that was removed meanwhile must not end the whole run with a traceback."""
    with pytest.raises(ToolFailed, match="no-such-program"):
        measure([Command(("no-such-program",))], toolbox=Toolbox(tmp_path), log=tmp_path / "log")


def test_a_tool_that_hangs_is_ended(tmp_path: Path) -> None:
    """A prompt for a password would otherwise stop the benchmark for ever."""
    with pytest.raises(ToolFailed, match="more than 1 s"):
        measure([Command(("sleep", "1000"))], toolbox=Toolbox(tmp_path), log=tmp_path / "log", timeout_s=1)


def test_tools_have_a_home_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's settings would change the figures, and the user's caches would be filled."""
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setenv("RESTIC_REPOSITORY", "/elsewhere")
    measure([Command(("env",))], toolbox=Toolbox(tmp_path), log=tmp_path / "log")
    seen = (tmp_path / "log").read_text()
    assert f"HOME={tmp_path / 'home'}" in seen
    assert "RESTIC_REPOSITORY" not in seen


def test_others_share_stays_a_share() -> None:
    """Clocks tick in 10 ms: short runs must not be flagged for rounding, nor exceed the machine."""
    assert others_share(-1.0, 1.0) == 0
    assert others_share(0.01, 0.005) == 0
    assert others_share(1e9, 1.0) == 1

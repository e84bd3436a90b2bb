"""Progress: what a line of it says."""

from __future__ import annotations

import os
import pty
import select
import threading
import time

import pytest

from artstore import limits
from artstore.cli.output import Output
from artstore.cli.progress import Progress, plain_line
from artstore.store.context import Counters

PATIENCE_S = 60


def test_a_line_tells_how_far_how_fast_and_how_long_still() -> None:
    """In a log of a night's job this line is all there is."""
    counters = Counters(files_done=3, files_total=12, bytes_done=2 * 10**9, bytes_total=10 * 10**9)
    assert plain_line("commit", counters, 10.0) == "commit: 2.00 GB of 10.0 GB · 3 of 12 files · 200 MB/s · 40.0 s left"
    assert plain_line("commit", Counters(bytes_done=500), 1.0) == "commit: 500 B · 500 B/s"
    assert plain_line("check", Counters(), 0.0) == "check: 0 B"
    moving = Counters(bytes_done=10**9, bytes_moving=10**9, bytes_total=4 * 10**9, requests=lambda: 12)
    assert plain_line("push", moving, 10.0) == "push: 2.00 GB of 4.00 GB · 12 requests · 200 MB/s · 10.0 s left"


def test_without_a_terminal_lines_come_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A log gets plain lines, no bar; with --quiet nothing; notes are told at the end."""
    monkeypatch.setattr(limits, "PROGRESS_PLAIN_S", 0.001)
    counters = Counters(notes=["took a.log as it was, it kept changing"])
    shown = threading.Event()

    def line(verb: str, counters: Counters, elapsed_s: float) -> str:
        shown.set()
        return "commit: 1 B"

    monkeypatch.setattr("artstore.cli.progress.plain_line", line)
    with Progress("commit", counters, Output()):
        assert shown.wait(30)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "commit: 1 B"
    assert err.splitlines()[-1] == counters.notes[0]
    with Progress("commit", counters, Output(quiet=True)):
        pass
    assert capfd.readouterr() == ("", "")
    shown.clear()
    with Progress("push", Counters(), Output(), plain=False):
        assert not shown.wait(0.05)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_how_far_and_how_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who waits sees that something happens, in plain signs if no colour is wanted."""
    for name, value in (("TERM", "xterm"), ("NO_COLOR", "1"), ("COLUMNS", "100")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CI", raising=False)
    controller, terminal = pty.openpty()
    os.set_blocking(controller, False)
    counters = Counters()
    counters.bytes_total = 10**12
    counters.requests = lambda: 7
    seen, deadline = b"", time.monotonic() + PATIENCE_S
    with os.fdopen(terminal, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        with Progress("commit", counters, Output()):
            while b"B/s" not in seen and time.monotonic() < deadline:
                counters.bytes_moving += 1_000_000
                if select.select([controller], [], [], 0.01)[0]:
                    seen += os.read(controller, 4096)
        os.set_blocking(controller, True)
    os.close(controller)
    assert b"commit" in seen
    assert b"B/s" in seen
    assert b"7 requests" in seen
    assert counters.wants_total
    assert b"\x1b[3" not in seen

"""How far a long command is, on stderr: a bar on a terminal, a plain line now and then without one.

A thread polls the counters that the work's threads write; the work never waits for it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from artstore import limits
from artstore.cli import text
from artstore.cli.output import Output, is_terminal, write_stderr

if TYPE_CHECKING:
    from artstore.store.context import Counters

_QUICK_S: Final = 0.4  # what is over by then needs no progress


class Progress:
    """Shows `counters` while its context lasts; with --quiet nothing, and without a terminal only if `plain`."""

    def __init__(self, verb: str, counters: Counters, output: Output, *, plain: bool = True) -> None:
        self._verb = verb
        self._counters = counters
        self._output = output
        self._plain = plain
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        if not self._output.quiet:
            terminal = is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
            self._counters.wants_total = terminal
            show = self._show_bar if terminal else self._show_lines
            if terminal or self._plain:
                self._thread = threading.Thread(target=show, name="progress", daemon=True)
                self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if not self._output.quiet:
            for note in self._counters.notes:
                write_stderr(note)

    def _show_lines(self) -> None:
        while not self._over.wait(limits.PROGRESS_PLAIN_S):
            write_stderr(plain_line(self._verb, self._counters, time.monotonic() - self._start))

    def _show_bar(self) -> None:
        if self._over.wait(_QUICK_S):
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Bar

        color = self._output.color
        console = Console(stderr=True, no_color=None if color is None else not color)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[counts]}", markup=False),
        )
        with Bar(*columns, console=console, auto_refresh=False, transient=True) as bar:
            task = bar.add_task(self._verb, total=None, counts="")
            over = False
            while not over:
                counters = self._counters
                bar.update(task, completed=done_of(counters), total=counters.bytes_total, counts=counts_of(counters))
                bar.refresh()
                over = self._over.wait(1 / limits.PROGRESS_HZ)


def plain_line(verb: str, counters: Counters, elapsed_s: float) -> str:
    """One line of progress: what, how much of how much, how fast, how long still."""
    done, total = done_of(counters), counters.bytes_total
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    parts = [f"{verb}: {text.size(done)}" + (f" of {text.size(total)}" if total else ""), counts_of(counters)]
    if rate >= 1:
        parts.append(f"{text.size(int(rate))}/s")
        if total is not None and total > done:
            parts.append(f"{text.seconds((total - done) / rate)} left")
    return " · ".join(part for part in parts if part)


def done_of(counters: Counters) -> int:
    """Bytes that are done, or that have moved already of what isn't."""
    return counters.bytes_done + counters.bytes_moving


def counts_of(counters: Counters) -> str:
    """`12 of 2,000 files`, `30 requests`."""
    if counters.requests is not None:
        return text.count(counters.requests(), "request")
    if counters.files_total:
        return f"{counters.files_done:,} of {text.count(counters.files_total, 'file')}"
    return text.count(counters.files_done, "file") if counters.files_done else ""

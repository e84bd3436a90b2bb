"""How a start crosses from one process to the other, when whoever started it is interrupted at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

START = """
import os, signal, sys, time
from artstore_fuse import background
from artstore_fuse.background import Report

folder, moment = sys.argv[1:]

def mark(name):
    os.close(os.open(f"{folder}/{name}", os.O_CREAT))  # in one step: two processes do it at once

def main(report):
    try:
        if moment == "before":
            while not os.path.exists(f"{folder}/interrupted"):
                time.sleep(0.005)
            report(Report(ready=True))  # BrokenPipeError: nobody waits any more
        report(Report(ready=moment != "failed", code="error", message="no", exit_code=1))
        mark("reported")
        for _ in range(6000 if moment in ("between", "before") else 0):
            time.sleep(0.005)
        mark("stayed")
    except BrokenPipeError:
        mark("refused")
        raise
    return 0

line = background._line

def interrupted(source):
    while moment == "between" and not os.path.exists(f"{folder}/reported"):
        time.sleep(0.005)
    if moment in ("before", "between"):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    return line(source)

background._line = interrupted
try:
    outcome = background.start(main, f"{folder}/log")
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    print(outcome.ready, outcome.reporter)
except KeyboardInterrupt:
    mark("interrupted")
    print("interrupted")
"""


@pytest.mark.parametrize(
    ("moment", "expected", "marks"),
    [
        ("before", "interrupted", {"interrupted", "refused"}),
        ("between", "interrupted", {"interrupted", "reported"}),
        ("after", "True", {"reported", "stayed"}),
        ("failed", "interrupted", {"reported", "stayed", "interrupted"}),
    ],
)
def test_interrupted(tmp_path: Path, moment: str, expected: str, marks: set[str]) -> None:
    """Either it's told that it is ready and it stays, or it's interrupted and nothing stays; never half of each."""
    done = subprocess.run(
        [sys.executable, "-c", START, tmp_path, moment], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split()[0] == expected, done
    end = time.monotonic() + 20
    while time.monotonic() < end and (found(tmp_path) != marks or running(tmp_path)):
        time.sleep(0.01)
    assert found(tmp_path) == marks
    assert not running(tmp_path)


def found(folder: Path) -> set[str]:
    """What the processes have marked."""
    return {path.name for path in folder.iterdir()} - {"log"}


def running(folder: Path) -> list[Path]:
    """The processes that were started with this folder."""
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if os.fsencode(folder) in read(path)]


def read(path: Path) -> bytes:
    """A process may end while it is looked at."""
    try:
        return path.read_bytes()
    except OSError:
        return b""

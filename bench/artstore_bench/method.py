"""How a measurement is made: in turn, with warm inputs, after the disk has gone quiet, one process at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from artstore_bench.command import Command, Toolbox

TIMEOUT_S: Final = 3600
# Stat caches distrust files changed just before they are read (git's racy rule): longer than any tool's window.
SETTLE_S: Final = 3.0
# The kernel counts CPU time in ticks: that much may be missing or too much on each core.
CLOCK_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_LAUNCHER: Final = Path(__file__).with_name("launch.py")
_TAIL_LINES: Final = 5

T = TypeVar("T")


class ToolFailed(Exception):
    """A tool exited with an error, took too long or restored something else; the message says which."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one job cost."""

    wall_s: float
    user_s: float
    system_s: float
    rss_bytes: int
    others_share: float


class _Answer(msgspec.Struct):
    """What launch.py prints."""

    code: int
    wall_s: float
    user_s: float
    system_s: float
    rss_bytes: int
    others_s: float


def rounds(tools: Sequence[T], repeat: int) -> Iterator[tuple[int, T]]:
    """Every tool once in each repetition, starting with another one each time, so that none always runs first."""
    for repetition in range(repeat):
        start = repetition % max(1, len(tools))
        for tool in (*tools[start:], *tools[:start]):
            yield repetition, tool


def measure(commands: Sequence[Command], *, toolbox: Toolbox, log: Path, timeout_s: float = TIMEOUT_S) -> Sample:
    """Run commands one after another, as one job; raises ToolFailed if one fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    base = toolbox.environment
    job = {
        "log": str(log),
        "commands": [
            {
                "argv": [toolbox.which(command.argv[0]) or command.argv[0], *command.argv[1:]],
                "cwd": None if command.cwd is None else str(command.cwd),
                "env": {**base, **command.environment},
            }
            for command in commands
        ],
    }
    answer = msgspec.json.decode(_launch(json.dumps(job).encode(), timeout_s), type=_Answer)
    if answer.code:
        raise ToolFailed(f"{commands[0].argv[0]} failed with code {answer.code}: {tail(log)}")
    return Sample(
        wall_s=answer.wall_s,
        user_s=answer.user_s,
        system_s=answer.system_s,
        rss_bytes=answer.rss_bytes,
        others_share=others_share(answer.others_s, answer.wall_s),
    )


def others_share(others_s: float, wall_s: float) -> float:
    """The part of all CPUs that other processes used, 0..1; what may be mere rounding of the clocks is left out."""
    cores = os.cpu_count() or 1
    return min(1.0, max(0.0, others_s - cores * CLOCK_TICK_S) / (wall_s * cores))


def sync() -> None:
    """Let the kernel write out what earlier work left, so that the next job does not pay for it."""
    os.sync()


def settle(wait_s: float) -> None:
    """Wait until files written just now are old enough for everybody's stat cache."""
    sync()
    time.sleep(wait_s)


def _launch(job: bytes, timeout_s: float) -> bytes:
    command = [sys.executable, "-I", "-S", str(_LAUNCHER)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            out, errors = process.communicate(job, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            _end_group(process)
            raise ToolFailed(f"took more than {timeout_s:.0f} s and was ended") from error
        except BaseException:
            _end_group(process)
            raise
    if process.returncode:
        raise ToolFailed(f"could not be started: {errors.decode(errors='replace').strip().splitlines()[-1:]}")
    return out


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """The tool runs in the launcher's session: a Ctrl-C here would not reach it."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tail(log: Path) -> str:
    """The last lines that a tool said."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return " | ".join(lines[-_TAIL_LINES:]) or f"it said nothing; see {log}"

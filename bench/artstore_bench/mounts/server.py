"""The life of one mount's server: started in the foreground, waited for, given a readahead, unmounted, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from artstore_bench.command import Command, Toolbox
from artstore_bench.method import ToolFailed, tail
from artstore_bench.mounts.processes import family

READY_S_MAX: Final = 300.0
END_S_MAX: Final = 30.0
_LOOK_S: Final = 0.002
_READ_AHEAD: Final = "/sys/class/bdi/{major}:{minor}/read_ahead_kb"


@dataclass(frozen=True, slots=True)
class Server:
    """A mount that answers: its processes, and how long it took from the command's start until its files were seen."""

    pids: tuple[int, ...]
    ready_s: float


@contextlib.contextmanager
def serving(command: Command, point: Path, folder: Path, *, toolbox: Toolbox, log: Path) -> Generator[Server]:
    """Mount, for as long as the context lasts; ToolFailed if it doesn't come about, or doesn't go away."""
    point.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    program = toolbox.which(command.argv[0]) or command.argv[0]
    environment = {**toolbox.environment, **command.environment}
    began = time.perf_counter()
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [program, *command.argv[1:]],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        ) as process,
    ):
        try:
            if not _wait(lambda: process.poll() is not None or _is_seen(point, folder), READY_S_MAX):
                raise ToolFailed(f"{command.argv[0]} was not mounted within {READY_S_MAX:.0f} s: {tail(log)}")
            if process.poll() is not None:
                raise ToolFailed(f"{command.argv[0]} ended with code {process.returncode}: {tail(log)}")
            yield Server(tuple(family(process.pid)), time.perf_counter() - began)
        finally:
            _end(process, point, toolbox)


def set_read_ahead(point: Path, kib: int) -> None:
    """How far the kernel reads ahead of a sequential reader of this mount; ToolFailed where that takes root."""
    device = point.stat().st_dev
    setting = Path(_READ_AHEAD.format(major=os.major(device), minor=os.minor(device)))
    if int(setting.read_text()) == kib:
        return
    try:
        setting.write_text(str(kib))
    except OSError as error:
        raise ToolFailed(f"the kernel's readahead can't be set to {kib} KiB: {error.strerror}") from error


def is_mounted(point: Path) -> bool:
    """Whether something is mounted at exactly this path, alive or not."""
    wanted = os.fsencode(point)
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    return any(line.split()[4].replace(b"\\040", b" ") == wanted for line in lines)


def unmount(point: Path, toolbox: Toolbox, *, lazily: bool = False) -> None:
    """Take away what is mounted there; tried while it is busy. ToolFailed if it stays."""
    program = next(filter(None, map(toolbox.which, ("fusermount3", "fusermount"))), None)
    if program is None:
        raise ToolFailed("there is no fusermount3 on this machine: install fuse3")
    command = [program, "-u", *(["-z"] if lazily else []), str(point)]

    def is_gone() -> bool:
        if is_mounted(point):
            subprocess.run(command, capture_output=True, check=False, timeout=END_S_MAX)
        return not is_mounted(point)

    if not _wait(is_gone, END_S_MAX if not lazily else 0.0):
        raise ToolFailed(f"{point} can't be unmounted")


def _end(process: subprocess.Popen[bytes], point: Path, toolbox: Toolbox) -> None:
    try:
        unmount(point, toolbox)
        if not _wait(lambda: process.poll() is not None, END_S_MAX):
            raise ToolFailed(f"the server stays although {point} is unmounted")
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        unmount(point, toolbox, lazily=True)


def _is_seen(point: Path, folder: Path) -> bool:
    try:
        return point.stat().st_dev != point.parent.stat().st_dev and bool(os.listdir(folder))
    except OSError:
        return False


def _wait(happened: Callable[[], bool], seconds: float) -> bool:
    deadline = time.perf_counter() + seconds
    while not happened():
        if time.perf_counter() >= deadline:
            return False
        time.sleep(_LOOK_S)
    return True

"""Reads what is mounted, as programs do, and tells what it cost: a process of its own, `python -m …mounts.reader`.

A process of its own, so that a mount that hangs can't hang the benchmark. The job arrives as JSON on stdin, the answers
leave as JSON on stdout. Nothing here knows which tool it is that answers.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Final

import msgspec
import numpy as np

from artstore_bench.launch import busy_seconds
from artstore_bench.method import others_share
from artstore_bench.mounts.processes import used

READ_BYTES: Final = 1 << 20
PAGE_BYTES: Final = 4096
# One random page of each stretch, from its beginning: no chunk or block of any tool is read twice.
STRETCH_BYTES: Final = 256 << 10
STRETCH_HEAD_BYTES: Final = 64 << 10
# What is read before it is asked for again: half of what artstore's cache holds by default.
KEPT_BYTES: Final = 128 << 20
SLOT_BYTES: Final = 16 << 10
SMALL_COUNT: Final = 10_000
_SMALL_BYTES: Final = 64 << 10
_MAPPED_BYTES: Final = 16 << 20
# What a tool does after its answer (as filling the page cache) has to have ended before that is emptied.
_PAUSE_S: Final = 0.5
_SEED: Final = 7


class Step(msgspec.Struct, frozen=True):
    """One access to some paths; `name` is what its answer bears."""

    name: str
    access: str
    paths: tuple[str, ...]


class Job(msgspec.Struct, frozen=True):
    """Steps one after another; `pids`: the server's processes; `status`: a file that counts its requests, or None.

    A step ends after `limit_s`: a speed is then that of the part that was read. `memory_bytes`: how much memory the
    machine is made to have at hand before the first step.
    """

    steps: list[Step]
    pids: list[int]
    status: str | None
    is_mount: bool
    limit_s: float
    memory_bytes: int = 0


class Answer(msgspec.Struct, frozen=True):
    """What one step cost: wall time, the server's CPU time, other processes' share of all CPUs; times per operation."""

    step: str
    wall_s: float
    user_s: float
    system_s: float
    others_share: float
    operations: int
    bytes: int
    p50_s: float | None
    p99_s: float | None
    requests: int | None


@dataclass(frozen=True, slots=True)
class _Context:
    """What an access may need to know."""

    is_mount: bool
    deadline: float

    def is_late(self) -> bool:
        return time.perf_counter() > self.deadline


# An access prepares itself and returns its operations: each is done as it is asked for, and tells the bytes it read.
Access = Callable[[_Context, Sequence[str]], Iterable[int]]


def sequential(context: _Context, paths: Sequence[str]) -> Iterator[int]:
    """Each file from its beginning, 1 MiB at a time, as `dd bs=1M`."""
    buffer = bytearray(READ_BYTES)
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while (size := file.readinto(buffer)) and not context.is_late():
                yield size


def pair(context: _Context, paths: Sequence[str]) -> Iterator[int]:
    """Each file by a process of its own, all at once; an operation is again 1 MiB."""
    pipes: list[int] = []
    for path in paths:
        incoming, outgoing = os.pipe()
        pipes.append(incoming)
        if not os.fork():
            code = 1
            try:
                os.write(outgoing, json.dumps(sum(sequential(context, [path]))).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(outgoing)
    for incoming in pipes:
        with open(incoming, "rb") as file:
            size = int(json.load(file))
        os.wait()
        yield from (min(READ_BYTES, size - start) for start in range(0, size, READ_BYTES))


def scattered(context: _Context, paths: Sequence[str]) -> Iterator[int]:
    """One page of 4 KiB of each stretch of the files, in random order: who decodes more does it for this page alone."""
    draws = random.Random(_SEED)
    places: list[tuple[int, int]] = []
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        for stretch in range(0, os.fstat(file).st_size - STRETCH_HEAD_BYTES, STRETCH_BYTES):
            places.append((file, stretch + draws.randrange(0, STRETCH_HEAD_BYTES, PAGE_BYTES)))
    draws.shuffle(places)
    return _pages(context, places)


def once(context: _Context, paths: Sequence[str]) -> Iterator[int]:
    """A page of each slot of 16 KiB of the first file's beginning, in random order."""
    return _pages(context, _slots(paths[0], 0))


def once_more(context: _Context, paths: Sequence[str]) -> Iterator[int]:
    """Other pages of the same slots, in another order, which the kernel was made to forget.

    What was decoded for `once` may still be in the server's memory.
    """
    # What a server does after its answers, as filling the page cache, has to be over before that is emptied.
    time.sleep(_PAUSE_S)
    if context.is_mount:  # A real file's pages would then be on the disk alone.
        file = os.open(paths[0], os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)
    return _pages(context, _slots(paths[0], 1))


def _slots(path: str, round_: int) -> list[tuple[int, int]]:
    draws = random.Random(_SEED + round_)
    file = os.open(path, os.O_RDONLY)
    size = min(os.fstat(file).st_size, KEPT_BYTES)
    starts = range(0, size - SLOT_BYTES, SLOT_BYTES)
    places = [(file, start + (2 * round_ + draws.randrange(2)) * PAGE_BYTES) for start in starts]
    draws.shuffle(places)
    return places


def _pages(context: _Context, places: Sequence[tuple[int, int]]) -> Iterator[int]:
    buffer = bytearray(PAGE_BYTES)
    for file, place in places:
        if context.is_late():
            return
        yield os.preadv(file, [buffer], place)


def mapped(context: _Context, paths: Sequence[str]) -> Iterator[int]:
    """The sum of each file's 64-bit words through `numpy.memmap`; an operation is 16 MiB."""
    for path in paths:
        words = np.memmap(path, dtype=np.uint64, mode="r", shape=(Path(path).stat().st_size // 8,))
        for start in range(0, len(words), _MAPPED_BYTES // 8):
            if context.is_late():
                return
            part = words[start : start + _MAPPED_BYTES // 8]
            np.sum(part)
            yield part.nbytes


def listed(_: _Context, paths: Sequence[str]) -> Iterator[int]:
    """The names in a folder; an operation is one of them."""
    yield from (0 for _ in os.listdir(paths[0]))


def looked_at(context: _Context, paths: Sequence[str]) -> Iterator[int]:
    """`lstat` of each file in a folder that was listed just now."""
    names = os.listdir(paths[0])
    return _looks(context, names, os.open(paths[0], os.O_RDONLY | os.O_DIRECTORY))


def _looks(context: _Context, names: Sequence[str], folder: int) -> Iterator[int]:
    for name in names:
        if context.is_late():
            return
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        yield 0


def listed_long(_: _Context, paths: Sequence[str]) -> Iterator[int]:
    """`ls -lU` of a folder: one operation."""
    subprocess.run(["ls", "-lU", paths[0]], stdout=subprocess.DEVNULL, check=True)
    yield 0


def opened(context: _Context, paths: Sequence[str]) -> Iterator[int]:
    """Open, read and close files of a folder, those first by name."""
    names = sorted(os.listdir(paths[0]))[:SMALL_COUNT]
    return _opens(context, names, os.open(paths[0], os.O_RDONLY | os.O_DIRECTORY))


def _opens(context: _Context, names: Sequence[str], folder: int) -> Iterator[int]:
    for name in names:
        if context.is_late():
            return
        file = os.open(name, os.O_RDONLY, dir_fd=folder)
        size = len(os.read(file, _SMALL_BYTES))
        os.close(file)
        yield size


_ACCESSES: Final[Sequence[Access]] = (
    *(sequential, pair, scattered, once, once_more, mapped, listed, looked_at, listed_long, opened),
)
ACCESSES: Final = {access.__name__: access for access in _ACCESSES}
# Each operation of these is timed on its own.
_TIMED: Final = frozenset({"scattered", "once_more", "opened"})


def perform(step: Step, job: Job) -> Answer:
    """Do one step and tell what it cost."""
    status = _Status(job.status)
    context = _Context(job.is_mount, time.perf_counter() + job.limit_s)
    operations = ACCESSES[step.access](context, step.paths)
    served, own, busy, began = used(job.pids), _own_cpu_s(), busy_seconds(), time.perf_counter()
    count = size = 0
    times = array("d")
    if step.access in _TIMED:
        earlier = began
        for read in operations:
            now = time.perf_counter()
            times.append(now - earlier)
            count, size, earlier = count + 1, size + read, now
    else:
        for read in operations:
            count, size = count + 1, size + read
    wall_s = time.perf_counter() - began
    spent = used(job.pids).since(served)
    others_s = busy_seconds() - busy - (_own_cpu_s() - own) - spent.user_s - spent.system_s
    hundredths = quantiles(times, n=100) if len(times) > 1 else None
    return Answer(
        step=step.name,
        wall_s=wall_s,
        user_s=spent.user_s,
        system_s=spent.system_s,
        others_share=others_share(others_s, wall_s),
        operations=count,
        bytes=size,
        p50_s=hundredths[49] if hundredths else None,
        p99_s=hundredths[98] if hundredths else None,
        requests=status.requests_since(),
    )


class _Status:
    """How many READ requests a server has got since, if it tells; reading that is itself answered by some."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        first = self._read()
        self._before = self._read()
        self._own = self._before - first

    def requests_since(self) -> int | None:
        return None if self._path is None else self._read() - self._before - self._own

    def _read(self) -> int:
        if self._path is None:
            return 0
        found = json.loads(Path(self._path).read_bytes())["requests"].get("read", {"count": 0})
        return int(found["count"])


def _own_cpu_s() -> float:
    return sum(os.times()[:4])


def find_memory(size: int) -> None:
    """Touch so much memory and give it back, or half of what is free.

    A virtual machine's host takes back what its guest has not used for seconds, and the next one to fill the page cache
    waits until the host has found it again, page by page: three times as long as all the rest of a fast read.
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    block = np.empty(min(size, free // 2), dtype=np.uint8)
    block[::PAGE_BYTES] = 1


def main() -> None:
    """Do the job on stdin."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    find_memory(job.memory_bytes)
    sys.stdout.buffer.write(msgspec.json.encode([perform(step, job) for step in job.steps]))


if __name__ == "__main__":
    main()

"""A stopwatch for parts of a process: time, CPU time, what was written and read meanwhile; its memory at the end."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from artstore_bench.mounts.processes import written_bytes
from artstore_bench.scale.answers import Answer

_PERCENT: Final = 100


class Meter:
    """Adds up what goes on within `running`; everything else isn't counted."""

    def __init__(self) -> None:
        self._laps: list[float] = []
        self._user_s = self._system_s = 0.0
        self._written = self._faults = 0

    @contextmanager
    def running(self) -> Generator[None, None, None]:
        """Count what happens in here."""
        written, used, began = written_bytes(os.getpid()), resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        yield
        self._laps.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_SELF)
        self._user_s += after.ru_utime - used.ru_utime
        self._system_s += after.ru_stime - used.ru_stime
        self._faults += after.ru_majflt - used.ru_majflt
        self._written += written_bytes(os.getpid()) - written

    def answer(self, question: str, operations: int, *, stored: Path | int | None = None) -> Answer:
        """What it comes to. `stored`: a file, or bytes."""
        anonymous, resident = _memory()
        laps = sorted(self._laps)
        blocks, apparent = _size(stored) if isinstance(stored, Path) else (stored, stored)
        return Answer(
            question=question,
            wall_s=sum(laps),
            user_s=self._user_s,
            system_s=self._system_s,
            operations=operations,
            anonymous_bytes=anonymous,
            resident_bytes=resident,
            faults=self._faults,
            stored_bytes=blocks,
            apparent_bytes=apparent,
            written_bytes=self._written,
            p50_s=laps[len(laps) // 2],
            p99_s=laps[min(len(laps) - 1, len(laps) * (_PERCENT - 1) // _PERCENT)],
        )


def _size(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_blocks * 512, status.st_size


def _memory() -> tuple[int, int]:
    """Bytes of this process that are its own, and those of mapped files beside them."""
    sizes: dict[str, int] = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key in {"RssAnon", "VmRSS"}:
            sizes[key] = int(value.split()[0]) * 1024
    return sizes["RssAnon"], sizes["VmRSS"]

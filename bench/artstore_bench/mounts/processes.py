"""What /proc tells of a server: which processes it has, what CPU time they used, how much memory they hold."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds."""

    user_s: float = 0.0
    system_s: float = 0.0

    def since(self, before: Used) -> Used:
        """What came on top of it."""
        return Used(self.user_s - before.user_s, self.system_s - before.system_s)


def family(pid: int) -> list[int]:
    """A process and all that descend from it, at this moment."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal() and (fields := _stat(int(path.name))):
            children.setdefault(int(fields[1]), []).append(int(path.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def used(pids: Iterable[int]) -> Used:
    """CPU time of these processes, all threads, and of their children that have ended; in ticks of 10 ms."""
    user = system = 0
    for pid in pids:
        fields = _stat(pid)
        if fields:
            user += int(fields[11]) + int(fields[13])
            system += int(fields[12]) + int(fields[14])
    return Used(user / _TICKS_PER_S, system / _TICKS_PER_S)


def written_bytes(pid: int) -> int:
    """What a process has written by system calls, to files, pipes and sockets; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third one (the state) on; none if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


class MemoryWatch:
    """The memory of a server while it is asked, that of its largest process.

    `peak_bytes`: the peak of its resident memory, as the kernel keeps it (VmHWM); `anonymous_bytes`: the peak of what
    of it isn't the page cache's (RssAnon), as seen five times a second.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self.peak_bytes = self.anonymous_bytes = 0
        self._pids = tuple(pids)
        self._ended = Event()
        self._thread = Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self._look()

    def _look(self) -> None:
        for pid in self._pids:
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            except OSError:
                continue
            sizes = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
            self.peak_bytes = max(self.peak_bytes, _bytes(sizes.get("VmHWM")))
            self.anonymous_bytes = max(self.anonymous_bytes, _bytes(sizes.get("RssAnon")))


def _bytes(field: list[str] | None) -> int:
    return int(field[0]) * 1024 if field else 0

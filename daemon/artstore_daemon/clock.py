"""Time as the daemon counts it: going on while the machine sleeps, and set by nobody."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What a test may turn by hand."""

    def now(self) -> float:
        """Seconds of a clock that only goes forward."""
        ...

    def day_s(self) -> float:
        """Seconds since midnight, as people here count them."""
        ...

    def time(self) -> float:
        """Seconds since 1970, as the machine believes: for people, never for decisions."""
        ...


class SystemClock:
    """The machine's."""

    def now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def day_s(self) -> float:
        there = time.localtime()
        return 3600.0 * there.tm_hour + 60.0 * there.tm_min + min(there.tm_sec, 59)

    def time(self) -> float:
        return time.time()

"""Hours of the day in which something may be done: `22:00-06:00`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from artstore.errors import UsageError

DAY_S: Final = 86_400
_HOURS: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Hours:
    """From `start_s` until before `end_s`, seconds since midnight; over midnight if the end comes first."""

    start_s: int
    end_s: int

    def __str__(self) -> str:
        return f"{_clock(self.start_s)}-{_clock(self.end_s)}"


def parse_hours(text: str) -> Hours:
    """`22:00-06:00`. UsageError for anything else, and for no time at all."""
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} are no hours", hint="write 22:00-06:00")
    start, end = (60 * (60 * int(match[at]) + int(match[at + 1])) for at in (1, 3))
    if start == end:
        raise UsageError(f"{text!r} are no hours: they end when they begin", hint="write 22:00-06:00")
    return Hours(start, end)


def until_open(hours: Hours, day_s: float) -> float:
    """How long it is from this time of the day until they begin, s; 0 within them."""
    into = (day_s - hours.start_s) % DAY_S
    return 0.0 if into < (hours.end_s - hours.start_s) % DAY_S else DAY_S - into


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}"

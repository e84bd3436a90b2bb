"""Hours of the day, also over midnight."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from artstore.errors import UsageError
from artstore_daemon.machine.hours import DAY_S, Hours, parse_hours, until_open

MINUTES = st.integers(0, 24 * 60 - 1)
NIGHT = parse_hours("22:00-06:00")


def at(hours: float, minutes: float = 0) -> float:
    """Seconds since midnight."""
    return 3600 * hours + 60 * minutes


def test_hours_are_read_as_people_write_them() -> None:
    """Pushes would begin at another time than was asked for."""
    assert parse_hours("22:00-06:00") == Hours(22 * 3600, 6 * 3600)
    assert parse_hours(" 9:05-17:30 ") == Hours(9 * 3600 + 300, 17 * 3600 + 1800)
    assert str(parse_hours("9:05-17:30")) == "09:05-17:30"


@pytest.mark.parametrize(
    "text", ["", "22-6", "22:00", "22:00-24:00", "22:60-06:00", "10:00-10:00", "1:00-2:00-3:00", "2²:00-06:00", "-"]
)
def test_what_are_no_hours(text: str) -> None:
    """A daemon would find out at night, and push at noon or never."""
    with pytest.raises(UsageError, match="no hours"):
        parse_hours(text)


@pytest.mark.parametrize(
    ("day_s", "pause"),
    [
        (at(22), 0),
        (at(23, 59), 0),
        (at(0), 0),
        (at(5, 59.999), 0),
        (at(6), 16 * 3600),
        (at(12), 10 * 3600),
        (at(21, 59), 60),
    ],
)
def test_hours_over_midnight(day_s: float, pause: float) -> None:
    """Nothing would be pushed after midnight, or all day long."""
    assert until_open(NIGHT, day_s) == pause


def test_hours_of_one_day() -> None:
    """Nothing would be pushed, or all night long."""
    noon = parse_hours("12:00-13:00")
    pauses = [until_open(noon, day_s) for day_s in (at(11), at(12), at(12, 59), at(13), at(23))]
    assert pauses == [3600, 0, 0, 23 * 3600, 13 * 3600]


@given(MINUTES, MINUTES, st.floats(0, DAY_S, exclude_max=True))
def test_after_the_pause_it_is_time(start: int, end: int, day_s: float) -> None:
    """It would be waited for ever, or until after they have ended."""
    assume(start != end)
    hours = Hours(60 * start, 60 * end)
    pause = until_open(hours, day_s)
    assert 0 <= pause < DAY_S
    assert until_open(hours, (day_s + pause) % DAY_S) < 1e-6
    assert parse_hours(str(hours)) == hours
    if pause:
        assert until_open(hours, (day_s + pause / 2) % DAY_S) > 0, "it would begin later than it may"


@given(MINUTES, MINUTES)
def test_they_are_as_long_as_they_say(start: int, end: int) -> None:
    """A link that is to be left alone by day would be filled by day."""
    assume(start != end)
    hours = Hours(60 * start, 60 * end)
    open_minutes = sum(until_open(hours, 60.0 * minute) == 0 for minute in range(24 * 60))
    assert open_minutes == (end - start) % (24 * 60)

"""Arguments of several commands."""

from __future__ import annotations

import click
import pytest

from artstore.cli.params import DURATION


@pytest.mark.parametrize(
    ("given", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5d", 129_600), ("2w", 1_209_600), ("7", 7)]
)
def test_durations(given: str, seconds: float) -> None:
    """`--max-duration 30m` must not mean 30 seconds."""
    assert DURATION.convert(given, None, None) == seconds


@pytest.mark.parametrize("given", ["", "soon", "-1h", "nan", "inf", "1e99h", "5x"])
def test_what_is_no_duration_is_refused(given: str) -> None:
    """A check that never ends, or never begins, is worse than an error."""
    with pytest.raises(click.BadParameter):
        DURATION.convert(given, None, None)

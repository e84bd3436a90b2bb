"""Arguments of several commands."""

from __future__ import annotations

import click
import pytest

from artstore.cli.params import DURATION


@pytest.mark.parametrize(
    ("given", "seconds"), [("90s", 90), ("30min", 1800), ("2h", 7200), ("1d12h", 129_600), ("2w", 1_209_600)]
)
def test_durations(given: str, seconds: int) -> None:
    """`--max-duration 30min` must not mean 30 seconds."""
    assert DURATION.convert(given, None, None) == seconds * 1_000_000_000


@pytest.mark.parametrize("given", ["", "soon", "-1h", "nan", "inf", "1e99h", "5x", "30m", "7"])
def test_what_is_no_duration_is_refused(given: str) -> None:
    """A check that never ends, or never begins, is worse than an error."""
    with pytest.raises(click.BadParameter, match=r"write|no more"):
        DURATION.convert(given, None, None)

"""How values read on a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.cli import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (9_994, "9.99 kB"), (9_996, "10.0 kB"), (99_960, "100 kB"),
        (999_499, "999 kB"), (999_600, "1.00 MB"), (14_900_000_000, "14.9 GB"), (214_000_000, "214 MB"),
        (5 * 10**21, "5000 EB"),
    ],
)  # fmt: skip
def test_sizes_have_three_digits(value: int, shown: str) -> None:
    """A size that reads `1000 MB` or `1.234567 GB` is misread."""
    assert text.size(value) == shown


@given(st.integers(0, 10**18))
def test_sizes_are_right_to_half_a_percent(value: int) -> None:
    """What is shown must be what there is."""
    number, unit = text.size(value).split(" ")
    factor = 1000 ** ("B", "kB", "MB", "GB", "TB", "PB", "EB").index(unit)
    assert abs(float(number) * factor - value) <= value * 0.0051


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.004, "0.00 s"), (0.21, "0.21 s"), (6.24, "6.2 s"), (59.97, "1:00"), (62, "1:02"), (7384, "2:03:04")],
)
def test_durations(value: float, shown: str) -> None:
    """`60.0 s` and `1:60` are no times."""
    assert text.seconds(value) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 100, "0.0 %"), (1, 100_000, "< 0.1 %"), (14, 1000, "1.4 %"), (99_999, 100_000, "100 %"), (1, 0, "")],
)
def test_shares(part: int, whole: int, shown: str) -> None:
    """A little that is new must not read as nothing; an empty version divides by nothing."""
    assert text.share(part, whole) == shown


@given(st.binary(max_size=50))
def test_printable_text_can_do_nothing_to_a_terminal(raw: bytes) -> None:
    """Names come from others; a control character in one must not reach the screen."""
    for value in (raw, raw.decode("utf-8", "surrogateescape")):
        shown = text.printable(value)
        assert shown.isprintable()
        shown.encode("utf-8")


@given(st.binary(max_size=50))
def test_names_in_json_keep_their_bytes(raw: bytes) -> None:
    """A program must be able to open the file that a listing names."""
    import base64

    encoded = text.raw_name(raw)
    assert (text.name(raw).encode() if encoded is None else base64.b64decode(encoded)) == raw


def test_tables_align_and_end_without_blanks() -> None:
    """Columns that wander can't be read."""
    rows = [("a", "1 B", ""), ("long", "100 B", "x")]
    assert text.table(rows, right=frozenset({1})) == ["a       1 B", "long  100 B  x"]
    assert text.table([]) == []


def test_counts() -> None:
    """`1 files` looks careless where care is what is sold."""
    assert (text.count(1, "file"), text.count(2000, "file")) == ("1 file", "2,000 files")
    assert text.count(0, "alias", "aliases") == "0 aliases"

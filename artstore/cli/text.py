"""How sizes, times, ids and foreign names read on a terminal. Pure; the same value always reads the same."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_SECOND_NS: Final = 1_000_000_000
ID_SHOWN_HEX: Final = 8


def size(value: int) -> str:
    """Bytes in decimal units with three digits: `999 B`, `1.20 kB`, `14.9 GB`, `214 MB`."""
    number, unit = float(value), 0
    while abs(number) >= 999.5 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    if unit == 0:
        return f"{value} B"
    digits = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return f"{number:.{digits}f} {_UNITS[unit]}"


def count(value: int, one: str, many: str | None = None) -> str:
    """`1 file`, `2,000 files`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def share(part: int, whole: int) -> str:
    """A part in per cent: `1.4 %`, `< 0.1 %`, `100 %`; empty when there is no whole."""
    if whole <= 0:
        return ""
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %" if percent < 99.95 else "100 %"


def seconds(value: float) -> str:
    """`0.21 s`, `6.2 s`, `1:02`, `2:03:04`."""
    if value < 1:
        return f"{value:.2f} s"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def time(value_ns: int) -> str:
    """A time for people: UTC, to the second."""
    return rfc3339(value_ns - value_ns % _SECOND_NS)


def rfc3339(value_ns: int) -> str:
    """A time for programs: RFC 3339, UTC, with as many digits as it needs."""
    from artstore.revision import format_time

    return format_time(value_ns)


def short_id(value: bytes) -> str:
    """The first hex digits of an id: enough to find it again in most stores."""
    return value.hex()[:ID_SHOWN_HEX]


def name(value: bytes) -> str:
    """A path as JSON holds it: UTF-8, with each other byte written as `\\xNN`."""
    return value.decode("utf-8", "backslashreplace")


def raw_name(value: bytes) -> str | None:
    """Base64 of a path that is not UTF-8, else None: with it a program gets the exact bytes."""
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(value).decode("ascii")
    return None


def printable(value: str | bytes) -> str:
    """Text of others made safe for a terminal: what would move the cursor or colour the screen is written escaped."""
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def table(rows: Sequence[tuple[str, ...]], right: frozenset[int] = frozenset()) -> list[str]:
    """Rows as aligned columns, two spaces apart; columns in `right` are flush right. No trailing spaces."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _escaped(sign: str) -> str:
    code = ord(sign)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode("ascii")

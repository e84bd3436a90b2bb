"""The mounts' figures as tables: a row for each question, a column for each tool. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from artstore_bench.results import Summary
from artstore_bench.table import Table

_MISSING: Final = "–"
# In the order of the targets.
TITLES: Final[Mapping[str, str]] = {
    "cold": "cold, one reader",
    "pair": "cold, two readers",
    "narrow": "cold, readahead 128 KiB",
    "raw": "cold, incompressible",
    "second": "second pass",
    "random": "4 KiB at random, miss",
    "hit": "4 KiB at random, decoded",
    "mapped": "numpy.memmap",
    "list": "list 50,000 names",
    "ls": "ls -lU of them",
    "stat": "stat after the list",
    "small": "open, read, close; warm",
    "ready": "ready after",
    "million": "ready, a million files",
    "memory": "a mixture of all",
}
_STREAMED: Final = ("cold", "pair", "narrow", "raw", "second", "mapped")
_COUNTED: Final = ("random", "hit", "list", "stat", "small")
_WAITED: Final = ("ls", "ready", "million")
_PERCENTILES: Final = ("random", "hit", "small")

# The figures of one question by tool, and what of them a row shows.
_ByTool = Mapping[str, Summary]
_Show = Callable[[Summary], str]


def mount_tables(rows: Sequence[Summary]) -> list[Table]:
    """Speed, the servers' CPU time, their memory."""
    tools = list(dict.fromkeys(row.tool for row in rows))
    asked = {title: {row.tool: row for row in rows if row.question == title} for title in TITLES}
    asked = {question: found for question, found in asked.items() if found}

    def table(title: str, lines: Sequence[tuple[str, _ByTool, _Show]]) -> Table:
        shown = [
            (name, *(show(found[tool]) if tool in found else _MISSING for tool in tools)) for name, found, show in lines
        ]
        return Table(title, ("", *tools), tuple(shown))

    speeds = [(TITLES[question], found, _speed) for question, found in asked.items() if question != "memory"]
    for question in _PERCENTILES:
        if question in asked:
            speeds.append((f"{TITLES[question]}: p50, p99", asked[question], _percentiles))
    if "second" in asked:
        speeds.append(("READ requests of the second pass", asked["second"], _requests))
    costs: list[tuple[str, _ByTool, _Show]] = []
    for question, found in asked.items():
        if question in _STREAMED:
            costs.append((f"{TITLES[question]}, s/GiB", found, _cpu_per_gib))
        elif question in _COUNTED:
            costs.append((f"{TITLES[question]}, µs each", found, _cpu_each))
    tables = [table("Mount: speed", speeds), table("Mount: the server's CPU time", costs)]
    if "memory" in asked:
        sizes = [("peak, MB", asked["memory"], _peak), ("without the page cache's, MB", asked["memory"], _anonymous)]
        tables.append(table("Mount: the server's memory", sizes))
    return tables


def _speed(row: Summary) -> str:
    star = "*" if row.is_crowded else ""
    ratio = "" if row.ratio is None or row.tool == "artstore" else f" ({row.ratio:.2f})"
    return f"{_unit(row)}{star}{ratio}"


def _unit(row: Summary) -> str:
    if row.question in _WAITED:
        return f"{row.wall_s:.2f} s"
    if row.question in _COUNTED:
        return f"{row.operations_per_s or 0:,.0f}/s"
    return f"{row.bytes_per_s / 1e6:,.0f} MB/s"


def _percentiles(row: Summary) -> str:
    if row.p50_s is None or row.p99_s is None:
        return _MISSING
    return f"{row.p50_s * 1e3:.3f}, {row.p99_s * 1e3:.3f} ms"


def _requests(row: Summary) -> str:
    return _MISSING if row.requests is None else f"{row.requests:,}"


def _cpu_per_gib(row: Summary) -> str:
    return _MISSING if row.cpu_s_per_gib is None or not row.rss_bytes else f"{row.cpu_s_per_gib:.2f}"


def _cpu_each(row: Summary) -> str:
    if not row.operations_per_s or not row.rss_bytes:
        return _MISSING
    return f"{row.cpu_s / (row.operations_per_s * row.wall_s) * 1e6:,.0f}"


def _peak(row: Summary) -> str:
    return f"{row.rss_bytes / 1e6:,.0f}" if row.rss_bytes else _MISSING


def _anonymous(row: Summary) -> str:
    return f"{row.rss_anonymous_bytes / 1e6:,.0f}" if row.rss_anonymous_bytes else _MISSING

"""The remotes' figures as tables: times beside each other, and what artstore's pushes and reads cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from artstore_bench.results import Summary
from artstore_bench.table import Table

_MISSING: Final = "–"
TITLES: Final[Mapping[str, str]] = {
    "push": "push: the packs alone",
    "fetch": "full clone: the packs alone",
    "backup": "commit and push",
    "restore": "clone and checkout",
    "many": "push 50,000 files",
    "changed": "push one changed file of 1 GiB",
    "many-changed": "push one changed file of 50,000",
    "peek": "1 MiB out of 1 GiB, fresh clone",
}
_COMPARED: Final = ("push", "fetch", "backup", "restore")


def remote_tables(rows: Sequence[Summary]) -> list[Table]:
    """Time and speed of all tools; then requests and bytes of artstore."""
    tools = list(dict.fromkeys(row.tool for row in rows))
    compared: list[tuple[str, ...]] = []
    for question in _COMPARED:
        found = {row.tool: row for row in rows if row.question == question}
        if found:
            cells = [_time(found[tool]) if tool in found else _MISSING for tool in tools]
            compared.append((TITLES[question], *cells))
    costs = [
        (TITLES[row.question], f"{row.wall_s:.2f}{_star(row)}", _count(row.puts), _count(row.requests), _moved(row))
        for row in rows
        if row.requests is not None and row.question in TITLES
    ]
    tables = [Table("Remote: seconds, MB/s, artstore's time over the peer's", ("", *tools), tuple(compared))]
    if costs:
        heads = ("", "seconds", "PUTs", "requests", "MB moved")
        tables.append(Table("Remote: what artstore asks of the service", heads, tuple(costs)))
    return tables


def _time(row: Summary) -> str:
    ratio = "" if row.ratio is None or row.tool == "artstore" else f" ({row.ratio:.2f})"
    return f"{row.wall_s:.2f}{_star(row)}, {row.bytes_per_s / 1e6:,.0f}{ratio}"


def _star(row: Summary) -> str:
    return "*" if row.is_crowded else ""


def _count(value: int | None) -> str:
    return _MISSING if value is None else f"{value:,}"


def _moved(row: Summary) -> str:
    return _MISSING if row.moved_bytes is None else f"{row.moved_bytes / 1e6:,.2f}"

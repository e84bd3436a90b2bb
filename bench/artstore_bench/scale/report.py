"""How artstore's figures grow, as tables: a column for each number of chunks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from artstore_bench.results import Summary
from artstore_bench.scale.suite import chunk_counts, parts
from artstore_bench.scale.synthetic import PACK_CHUNKS
from artstore_bench.table import Table

_MISSING: Final = "–"
_Show = Callable[[Summary], str]


def scale_tables(rows: Sequence[Summary]) -> list[Table]:
    """The index, and the documents."""
    counts = chunk_counts([row.question for row in rows])
    found = {parts(row.question): row for row in rows}
    heads = ("", *(f"{count:,}" for count in counts))

    def lines(shown: Sequence[tuple[str, str, _Show]]) -> tuple[tuple[str, ...], ...]:
        return tuple(
            (title, *(_cell(found.get((question, count)), show) for count in counts)) for title, question, show in shown
        )

    return [
        Table("Scale: the index, by the number of chunks", heads, lines(_INDEX)),
        Table("Scale: shards, sets and recipes, by the number of chunks", heads, lines(_DOCUMENTS)),
    ]


def bytes_each(row: Summary) -> float | None:
    """Bytes kept for each chunk or pack. An index holds all chunks of its step, whoever entered the last of them."""
    question, chunks = parts(row.question)
    count = chunks if question in {"commit", "used"} else _operations(row)
    return None if row.stored_bytes is None or not count else row.stored_bytes / count


def written_per_pack(row: Summary) -> float | None:
    """Bytes written for each pack that was entered."""
    operations = _operations(row)
    return None if row.moved_bytes is None or not operations else row.moved_bytes / operations * PACK_CHUNKS


def _operations(row: Summary) -> int:
    return round((row.operations_per_s or 0.0) * row.wall_s)


def _cell(row: Summary | None, show: _Show) -> str:
    return _MISSING if row is None else show(row)


def _rate(row: Summary) -> str:
    star = "*" if row.is_crowded else ""
    return f"{row.operations_per_s or 0:,.0f}{star}"


def _milli(row: Summary) -> str:
    return f"{row.wall_s * 1e3:,.1f}"


def _seconds(row: Summary) -> str:
    return f"{row.wall_s:,.2f}"


def _percentiles(row: Summary) -> str:
    if row.p50_s is None or row.p99_s is None:
        return _MISSING
    return f"{row.p50_s * 1e3:.1f}, {row.p99_s * 1e3:.1f}"


def _each(row: Summary) -> str:
    found = bytes_each(row)
    return _MISSING if found is None else f"{found:.1f}"


def _whole(row: Summary) -> str:
    return _MISSING if row.stored_bytes is None else f"{row.stored_bytes / 1e6:,.1f}"


def _written(row: Summary) -> str:
    found = written_per_pack(row)
    return _MISSING if found is None else f"{found / 1e6:,.2f}"


def _anonymous(row: Summary) -> str:
    return _MISSING if row.rss_anonymous_bytes is None else f"{row.rss_anonymous_bytes / 1e6:,.0f}"


def _resident(row: Summary) -> str:
    return f"{row.rss_bytes / 1e6:,.0f}"


def _faults(row: Summary) -> str:
    operations = _operations(row)
    return _MISSING if row.requests is None or not operations else f"{row.requests / operations:.2f}"


_INDEX: Final[Sequence[tuple[str, str, _Show]]] = (
    ("file, MB", "commit", _whole),
    ("pages in use, MB", "used", _whole),
    ("… bytes a chunk", "used", _each),
    ("entered as a rebuild does, chunks/s", "rebuild", _rate),
    ("entered as a commit does, chunks/s", "commit", _rate),
    ("… ms a pack: p50, p99", "commit", _percentiles),
    ("… MB written a pack", "commit", _written),
    ("found, pack by pack, look-ups/s", "again", _rate),
    ("found, at random, look-ups/s", "hit", _rate),
    ("not found, look-ups/s", "miss", _rate),
    ("found, no page in memory, look-ups/s", "cold", _rate),
    ("… reads of the disk for each", "cold", _faults),
    ("memory after those at random, MB", "hit", _anonymous),
    ("… with the index's pages, MB", "hit", _resident),
    ("open and find one, ms", "open", _milli),
    ("forget a pack, s", "sweep", _seconds),
    ("where packs lie at a remote, ms", "journal", _milli),
    ("… memory, MB", "journal", _anonymous),
)
_DOCUMENTS: Final[Sequence[tuple[str, str, _Show]]] = (
    ("shards, bytes a chunk", "encode", _each),
    ("made, chunks/s", "encode", _rate),
    ("read, chunks/s", "decode", _rate),
    ("known to a push, chunks/s", "known", _rate),
    ("… look-ups/s", "known-hit", _rate),
    ("… memory, MB", "known", _anonymous),
    ("learnt for reading, chunks/s", "learn", _rate),
    ("… look-ups/s", "learnt-hit", _rate),
    ("a version's set, bytes a pack", "set", _each),
    ("collection at a remote planned, packs/s", "collect", _rate),
    ("… memory, MB", "collect", _anonymous),
    ("recipe, bytes a chunk", "recipe", _each),
    ("made, chunks/s", "recipe", _rate),
    ("read, chunks/s", "walk", _rate),
)

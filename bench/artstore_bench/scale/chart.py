"""How artstore's figures grow, as lines over the number of chunks."""

# Of matplotlib's methods the keyword arguments are untyped; what is passed here is plain.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from artstore_bench.results import Summary
from artstore_bench.scale.report import bytes_each, written_per_pack
from artstore_bench.scale.suite import chunk_counts, parts

_COLOURS: Final = ("#0b6e4f", "#c8553d", "#5b6c8f", "#b08d2e")
_ACROSS: Final = 3
_Value = Callable[[Summary], float | None]
# Of each panel its title and lines; of a line its label, its question, its value.
_Panel = tuple[str, Sequence[tuple[str, str, _Value]]]


def _thousands(row: Summary) -> float | None:
    return None if row.operations_per_s is None else row.operations_per_s / 1e3


def _written(row: Summary) -> float | None:
    found = written_per_pack(row)
    return None if found is None else found / 1e6


def _anonymous(row: Summary) -> float | None:
    return None if row.rss_anonymous_bytes is None else row.rss_anonymous_bytes / 1e6


_PANELS: Final[Sequence[_Panel]] = (
    (
        "entered, thousand chunks/s",
        (("as a rebuild does", "rebuild", _thousands), ("as a commit does", "commit", _thousands)),
    ),
    (
        "looked up, thousand/s",
        (
            ("pack by pack", "again", _thousands),
            ("at random", "hit", _thousands),
            ("not found", "miss", _thousands),
            ("nothing in memory", "cold", _thousands),
        ),
    ),
    (
        "bytes a chunk",
        (("index", "commit", bytes_each), ("shards", "encode", bytes_each), ("recipe", "recipe", bytes_each)),
    ),
    (
        "memory after look-ups, MB",
        (("with the index's pages", "hit", lambda row: row.rss_bytes / 1e6), ("its own", "hit", _anonymous)),
    ),
    ("index written for each pack, MB", (("as a commit does", "commit", _written),)),
    ("open and find one, ms", (("", "open", lambda row: row.wall_s * 1e3),)),
)


def scale_figure(rows: Sequence[Summary], *, repeat: int) -> Figure | None:
    """One picture of all; None unless there are two steps to draw a line between."""
    counts = chunk_counts([row.question for row in rows])
    if len(counts) < 2:
        return None
    found = {parts(row.question): row for row in rows}
    down = -(-len(_PANELS) // _ACROSS)
    figure = Figure(figsize=(3.8 * _ACROSS, 2.8 * down + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"scale: by the number of chunks in the index; medians of {repeat}", fontsize=11)
    for number, (title, lines) in enumerate(_PANELS):
        axes = figure.add_subplot(down, _ACROSS, number + 1)
        drawn = [(label, _points(found, question, counts, value)) for label, question, value in lines]
        _draw(axes, title, [(label, points) for label, points in drawn if points])
    return figure


def _points(
    found: dict[tuple[str, int], Summary], question: str, counts: Sequence[int], value: _Value
) -> list[tuple[int, float]]:
    values = [(count, value(row)) for count in counts if (row := found.get((question, count))) is not None]
    return [(count, number) for count, number in values if number is not None]


def _draw(axes: Axes, title: str, lines: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> None:
    for (label, points), colour in zip(lines, _COLOURS, strict=False):
        axes.plot(
            [count for count, _ in points],
            [number for _, number in points],
            color=colour,
            marker="o",
            markersize=4,
            label=label,
        )
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.margins(y=0.15)
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="#e3e6e8", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1:
        axes.legend(fontsize=8, frameon=False)

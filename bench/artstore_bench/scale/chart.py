"""How artstore's figures grow, as lines over the number of chunks."""

# Of matplotlib's methods the keyword arguments are untyped; what is passed here is plain.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from artstore_bench.results import Summary
from artstore_bench.scale.report import bytes_each, written_per_pack
from artstore_bench.scale.suite import chunk_counts, parts

_COLOURS: Final = ("#0b6e4f", "#c8553d", "#5b6c8f", "#b08d2e")
# Lines may lie on each other.
_STYLES: Final = ("-", "--", ":", "-.")
_ACROSS: Final = 3
_Value = Callable[[Summary], float | None]


@dataclass(frozen=True, slots=True)
class _Panel:
    """Its title and lines: of each its label, its question, its value. `is_log`: of the values' axis."""

    title: str
    lines: Sequence[tuple[str, str, _Value]]
    is_log: bool = False


def _rate(row: Summary) -> float | None:
    return row.operations_per_s


def _written(row: Summary) -> float | None:
    found = written_per_pack(row)
    return None if found is None else found / 1e6


def _anonymous(row: Summary) -> float | None:
    return None if row.rss_anonymous_bytes is None else row.rss_anonymous_bytes / 1e6


_PANELS: Final = (
    _Panel(
        "entered, chunks/s",
        (("as a rebuild does", "rebuild", _rate), ("as a commit does", "commit", _rate)),
        is_log=True,
    ),
    _Panel(
        "looked up, chunks/s",
        (
            ("pack by pack", "again", _rate),
            ("at random", "hit", _rate),
            ("not there", "miss", _rate),
            ("no page in memory", "cold", _rate),
        ),
        is_log=True,
    ),
    _Panel(
        "bytes a chunk",
        (
            ("index, pages in use", "used", bytes_each),
            ("index, its file", "commit", bytes_each),
            ("shards", "encode", bytes_each),
            ("recipe", "recipe", bytes_each),
        ),
    ),
    _Panel(
        "memory after random look-ups, MB",
        (("with the index's pages", "hit", lambda row: row.rss_bytes / 1e6), ("its own", "hit", _anonymous)),
        is_log=True,
    ),
    _Panel("index written for each pack, MB", (("as a commit does", "commit", _written),)),
    _Panel("one look at every row, s", (("forget a pack", "sweep", lambda row: row.wall_s),), is_log=True),
)


def scale_figure(rows: Sequence[Summary], *, repeat: int) -> Figure | None:
    """One picture of all; None unless there are two steps to draw a line between."""
    counts = chunk_counts([row.question for row in rows])
    if len(counts) < 2:
        return None
    found = {parts(row.question): row for row in rows}
    panels = [
        (panel, lines)
        for panel in _PANELS
        if (
            lines := [
                (label, points)
                for label, question, value in panel.lines
                if (points := _points(found, question, counts, value))
            ]
        )
    ]
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(3.8 * across, 2.8 * down + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"scale: by the number of chunks in the index; medians of {repeat}", fontsize=11)
    for number, (panel, lines) in enumerate(panels):
        _draw(figure.add_subplot(down, across, number + 1), panel, lines)
    return figure


def _points(
    found: dict[tuple[str, int], Summary], question: str, counts: Sequence[int], value: _Value
) -> list[tuple[int, float]]:
    values = [(count, value(row)) for count in counts if (row := found.get((question, count))) is not None]
    return [(count, number) for count, number in values if number is not None]


def _draw(axes: Axes, panel: _Panel, lines: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> None:
    for (label, points), colour, style in zip(lines, _COLOURS, _STYLES, strict=False):
        axes.plot(
            [count for count, _ in points],
            [number for _, number in points],
            color=colour,
            linestyle=style,
            marker="o",
            markersize=4,
            label=label,
        )
    axes.set_xscale("log")
    if panel.is_log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(panel.title, fontsize=10)
    axes.tick_params(which="both", labelsize=8)
    axes.grid(axis="y", color="#e3e6e8", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    # Beside no line, however these run.
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.1))

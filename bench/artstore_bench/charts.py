"""Bar charts of a run: for each corpus one picture, a panel for each question, as SVG and PNG.

Works on a machine without a display; matplotlib is imported nowhere else.
"""

# Of matplotlib's methods the keyword arguments are untyped; what is passed here is plain.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from artstore_bench.results import Document, Summary
from artstore_bench.scale.chart import scale_figure

_OURS: Final = "#0b6e4f"
_OTHERS: Final = "#a9b4bf"
_Value = Callable[[Summary], float | None]
_PANELS: Final[Sequence[tuple[str, str, _Value]]] = (
    ("first", "first commit, s", lambda row: row.wall_s),
    ("again", "unchanged again, s", lambda row: row.wall_s),
    ("v2", "commit of version 2, s", lambda row: row.wall_s),
    ("checkout", "checkout, s", lambda row: row.wall_s),
    ("known", "known data, s", lambda row: row.wall_s),
    ("first", "stored, MB", lambda row: _mega(row.stored_bytes)),
    ("v2", "added by version 2, MB", lambda row: _mega(row.added_bytes)),
)


def _per_gib(row: Summary) -> float:
    return (1 << 30) / row.bytes_per_s


def _micro(row: Summary) -> float | None:
    return 1e6 / row.operations_per_s if row.operations_per_s else None


# Of mounts: the time of a GiB, or of one operation, so that here as well shorter is better.
_MOUNT_PANELS: Final[Sequence[tuple[str, str, _Value]]] = (
    ("cold", "cold, one reader, s/GiB", _per_gib),
    ("pair", "cold, two readers, s/GiB", _per_gib),
    ("narrow", "readahead 128 KiB, s/GiB", _per_gib),
    ("raw", "incompressible, s/GiB", _per_gib),
    ("mapped", "numpy.memmap, s/GiB", _per_gib),
    ("random", "4 KiB at random, miss, µs", _micro),
    ("hit", "4 KiB at random, decoded, µs", _micro),
    ("small", "open, read, close, µs", _micro),
    ("ls", "ls -lU of 50,000 files, s", lambda row: row.wall_s),
    ("stat", "stat after a list, µs", _micro),
    ("cold", "server's CPU, cold, s/GiB", lambda row: row.cpu_s_per_gib if row.rss_bytes else None),
    ("ready", "ready after, s", lambda row: row.wall_s),
)

_REMOTE_PANELS: Final[Sequence[tuple[str, str, _Value]]] = (
    ("push", "push, the packs alone, s", lambda row: row.wall_s),
    ("fetch", "full clone, the packs alone, s", lambda row: row.wall_s),
    ("backup", "folder to the bucket, s", lambda row: row.wall_s),
    ("restore", "bucket to a folder, s", lambda row: row.wall_s),
)
_OF_CORPUS: Final = {"mount": _MOUNT_PANELS, "remote": _REMOTE_PANELS}


def draw(document: Document, folder: Path) -> list[Path]:
    """Write `chart-<corpus>.svg` and `.png` for scale, and each corpus that compares tools; returns what it wrote."""
    written: list[Path] = []
    for corpus in dict.fromkeys(row.corpus for row in document.summary):
        rows = [row for row in document.summary if row.corpus == corpus]
        if corpus == "scale":
            figure = scale_figure(rows, repeat=document.repeat)
        elif len({row.tool for row in rows}) < 2:
            continue
        else:
            figure = _figure(corpus, rows, repeat=document.repeat)
        if figure is None:
            continue
        for suffix in ("svg", "png"):
            path = folder / f"chart-{corpus}.{suffix}"
            figure.savefig(path, dpi=120, metadata={"Date": None} if suffix == "svg" else None)
            written.append(path)
    return written


def _figure(corpus: str, rows: Sequence[Summary], *, repeat: int) -> Figure | None:
    panels = [
        (title, values)
        for question, title, value in _OF_CORPUS.get(corpus, _PANELS)
        if (values := _values([row for row in rows if row.question == question], value))
    ]
    if not panels:
        return None
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    tools = max(len(values) for _, values in panels)
    figure = Figure(figsize=(3.6 * across, (0.9 + 0.28 * tools) * down + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{corpus}: shorter is better; medians of {repeat}, * on a busy machine", fontsize=11)
    for number, (title, values) in enumerate(panels):
        _panel(figure.add_subplot(down, across, number + 1), title, values)
    return figure


def _values(rows: Sequence[Summary], value: _Value) -> list[tuple[str, str, float]]:
    """(tool, its label, its value), the best last, which is where a bar chart has its top."""
    found = [(row.tool, row.tool + ("*" if row.is_crowded else ""), value(row)) for row in rows]
    known = [(tool, label, number) for tool, label, number in found if number is not None]
    return sorted(known, key=lambda item: -item[2])


def _panel(axes: Axes, title: str, values: Sequence[tuple[str, str, float]]) -> None:
    labels = [label for _, label, _ in values]
    colours = [_OURS if tool == "artstore" else _OTHERS for tool, _, _ in values]
    bars = axes.barh(labels, [number for _, _, number in values], color=colours)
    axes.bar_label(bars, labels=[f" {_shown(number)}" for _, _, number in values], fontsize=8)
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.18)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _shown(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _mega(size: int | None) -> float | None:
    return None if size is None else size / 1e6

"""The document as tables: Markdown for a file, the same on a terminal. Decides wording; measures nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from artstore_bench.mounts.report import mount_tables
from artstore_bench.remotes.report import remote_tables
from artstore_bench.results import Document, Summary, Verdict
from artstore_bench.scale.report import scale_tables
from artstore_bench.table import Table
from artstore_bench.targets import MORE_IS_BETTER, Figure

_TITLES: Final = {
    "model": "Model: 1 GiB of bf16 safetensors, and a fine-tuned second version",
    "dataset": "Dataset: 2,000 mixed files, 1 GiB, and a second version",
    "small": "50,000 files of 1-8 KiB",
    "edits": "One file of 2 GiB, and the same with 20 random edits",
    "known": "Known data: the model corpus recognised without a stat cache",
    "daemon": "Daemon: 100 MB saved, a burst of files, killed in the middle of a push, and idle",
    "kernel": "Kernel: cutting random bytes on one core",
}
_TIMED: Final = {"first": "first s", "again": "again s", "v2": "v2 s", "checkout": "checkout s", "known": "known s"}
_DAEMON: Final = {
    "saved": "100 MB saved, until at the remote",
    "burst": "100,000 files, until one version",
    "killed": "8 packs of 32 MB pushed, killed half-way: from the start after that",
    "idle": "nothing, 10 watches of 10,000 files",
}
_VERDICTS: Final = {
    "goal": "goal reached",
    "floor": "met",
    "short": "short of the goal",
    "missed": "**missed**",
}


def tables(document: Document) -> list[Table]:
    """One table for each corpus that was measured, more for mounts, remotes, scale; then the targets with figures."""
    subjects = list(dict.fromkeys(row.corpus for row in document.summary))
    measured: list[Table] = []
    for subject in subjects:
        rows = [row for row in document.summary if row.corpus == subject]
        if subject == "mount":
            measured += mount_tables(rows)
        elif subject == "daemon":
            measured.append(_daemon_table(rows))
        elif subject == "scale":
            measured += scale_tables(rows)
        else:
            measured += remote_tables(rows) if subject == "remote" else [_subject_table(subject, rows)]
    asked = [verdict for verdict in document.targets if verdict.measured is not None]
    return [*measured, *([_target_table(asked)] if asked else [])]


def markdown(document: Document) -> str:
    """The whole report as a Markdown document."""
    parts = ["# artstore and its peers", _preface(document)]
    parts += [_markdown_table(table) for table in tables(document)]
    unmeasured = [verdict for verdict in document.targets if verdict.measured is None]
    if unmeasured:
        what = "; ".join(dict.fromkeys(f"{v.work} ({v.corpus}, {v.against or 'absolute'})" for v in unmeasured))
        parts.append(f"Targets that this run did not measure: {what}.")
    if document.failures:
        lines = [f"- {f.tool}, {f.corpus}, repetition {f.repetition + 1}: {f.message}" for f in document.failures]
        parts += ["## Failures and omissions", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _preface(document: Document) -> str:
    machine = "\n".join(f"- {key}: {value}" for key, value in document.machine.items())
    tools = "\n".join(f"- {tool.name}: {tool.version}" for tool in document.tools)
    trees = "\n".join(
        f"- {tree.corpus} {tree.version}: {tree.files:,} files, {tree.bytes:,} bytes, `{tree.digest[:16]}`"
        for tree in document.trees
    )
    # Of "scale" it is how far it went, and each figure says at how many chunks it was taken.
    is_whole = document.scale == 1 or {row.corpus for row in document.summary} == {"scale"}
    scale = "" if is_whole else f" **At scale {document.scale:g}: these figures say nothing about speed.**"
    missing = f"\n\nNot on this machine: {', '.join(document.missing)}." if document.missing else ""
    return (
        f"Measured {document.started} to {document.finished} with `{' '.join(document.command)}`; medians of "
        f"{document.repeat}.{scale} In brackets: artstore's time over the peer's, so below 1 artstore is faster. "
        "`*`: other work took more than a quarter of the machine in most of these runs; such a time is an upper "
        f"bound. MB are 10^6 bytes. How it is measured stands in `bench/README.md`.{missing}\n\n"
        f"## Machine\n\n{machine}\n\n## Tools\n\n{tools}\n\n## Corpora\n\n{trees}"
    )


def _daemon_table(rows: Sequence[Summary]) -> Table:
    lines = tuple(
        (_DAEMON[row.question], f"{row.wall_s:.2f}{_star(row)}", f"{row.cpu_s:.2f}", _mega(row.rss_bytes))
        for row in rows
    )
    return Table(_TITLES["daemon"], ("", "seconds", "CPU s", "resident MB"), lines)


def _subject_table(subject: str, rows: Sequence[Summary]) -> Table:
    if subject == "kernel":
        speeds = tuple((row.tool, f"{row.bytes_per_s / 1e9:.2f}{_star(row)}") for row in rows)
        return Table(_TITLES[subject], ("tool", "GB/s"), speeds)
    by_tool: dict[str, dict[str, Summary]] = {}
    for row in rows:
        by_tool.setdefault(row.tool, {})[row.question] = row
    asked = [question for question in _TIMED if any(question in found for found in by_tool.values())]
    has_bytes = "first" in asked
    heads = ["tool", *(_TIMED[question] for question in asked), f"{asked[0]} CPU s", "peak RSS MB"]
    heads += ["stored MB"] if has_bytes else []
    heads += ["v2 adds MB"] if "v2" in asked else []
    lines: list[tuple[str, ...]] = []
    for tool, found in by_tool.items():
        line = [tool, *(_time(found.get(question)) for question in asked)]
        line += [_cpu(found.get(asked[0])), _mega(max(row.rss_bytes for row in found.values()))]
        if has_bytes:
            line.append(_stored(found.get("first")))
        if "v2" in asked:
            line.append(_added(found.get("v2")))
        lines.append(tuple(line))
    return Table(_TITLES[subject], tuple(heads), tuple(lines))


def _target_table(verdicts: Sequence[Verdict]) -> Table:
    rows = tuple(
        (
            verdict.work,
            verdict.corpus,
            _against(verdict),
            _bound(verdict, verdict.floor),
            _bound(verdict, verdict.goal),
            _bound(verdict, verdict.measured) + ("*" if verdict.is_crowded and verdict.measured else ""),
            _verdict(verdict),
        )
        for verdict in verdicts
    )
    return Table("Targets", ("work", "corpus", "against", "floor", "goal", "measured", "verdict"), rows)


def _against(verdict: Verdict) -> str:
    if verdict.against is None:
        return ""
    kinds = {Figure.STORED_RATIO: ", bytes", Figure.ADDED_RATIO: ", bytes", Figure.SPEED_RATIO: ", speed"}
    what = kinds.get(Figure(verdict.figure), "")
    return verdict.against + what


def _bound(verdict: Verdict, value: float | None) -> str:
    return "" if value is None else _WRITTEN[Figure(verdict.figure)](value)


def _times(value: float) -> str:
    return f"{value:.2f} ×"


_WRITTEN: Final[Mapping[Figure, Callable[[float], str]]] = {
    Figure.SECONDS: "{:.2f} s".format,
    Figure.BYTES_PER_SECOND: lambda value: f"{value / 1e9:.2f} GB/s",
    Figure.OPERATIONS_PER_SECOND: "{:,.0f}/s".format,
    Figure.P99_SECONDS: lambda value: f"{value * 1e3:.2f} ms",
    Figure.REQUESTS: "{:,.0f} requests".format,
    Figure.MEMORY_BYTES: lambda value: f"{value / 1e6:,.0f} MB",
    Figure.RESIDENT_BYTES: lambda value: f"{value / 1e6:,.0f} MB",
    Figure.CPU_SHARE: "{:.2%} of a core".format,
    Figure.MOVED_BYTES: lambda value: f"{value / (1 << 20):.2f} MiB",
    Figure.PUTS: "{:,.0f} PUTs".format,
    Figure.PUT_SHARE: "{:.2f} of those allowed".format,
    Figure.TIME_RATIO: _times,
    Figure.STORED_RATIO: _times,
    Figure.ADDED_RATIO: _times,
    Figure.SPEED_RATIO: _times,
    Figure.SPEED_KEPT: _times,
}
assert {*_WRITTEN} == {*Figure}


def _verdict(verdict: Verdict) -> str:
    words = _VERDICTS[verdict.verdict]
    if verdict.verdict != "missed" or verdict.measured is None or not verdict.floor:
        return words
    worse = verdict.measured / verdict.floor - 1
    if Figure(verdict.figure) in MORE_IS_BETTER:
        worse = 1 - verdict.measured / verdict.floor
    return f"{words} by {worse:.0%}"


def _time(row: Summary | None) -> str:
    if row is None:
        return "–"
    seconds = f"{row.wall_s:.2f}{_star(row)}"
    return seconds if row.ratio is None or row.ratio == 1 else f"{seconds} ({row.ratio:.2f})"


def _cpu(row: Summary | None) -> str:
    return "–" if row is None else f"{row.cpu_s:.2f}"


def _star(row: Summary) -> str:
    return "*" if row.is_crowded else ""


def _stored(row: Summary | None) -> str:
    return "–" if row is None or row.stored_bytes is None else _mega(row.stored_bytes)


def _added(row: Summary | None) -> str:
    return "–" if row is None or row.added_bytes is None else _mega(row.added_bytes)


def _mega(size: int) -> str:
    return f"{size / 1e6:.0f}" if size >= 100e6 else f"{size / 1e6:.1f}"


def _markdown_table(table: Table) -> str:
    lines = [table.heads, ("---", *("---:" for _ in table.heads[1:])), *table.rows]
    return f"## {table.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)

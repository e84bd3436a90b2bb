"""The command line of the benchmark: parses, runs, prints, writes; what needs the extra is imported late."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

if TYPE_CHECKING:
    from artstore_bench.results import Document
    from artstore_bench.suite import Settings

# Below it twenty edits no longer fit into the edited file.
SCALE_MIN: Final = 0.0005
_NAME_WIDTH: Final = 22
_EXIT_FAILED: Final = 1
_EXIT_USAGE: Final = 2
_EXIT_INTERRUPTED: Final = 130


def main(argv: Sequence[str]) -> int:
    """Run `artstore bench` with these arguments; returns the exit code.

    0: all of artstore's own measurements came about; 1: one failed; 2: usage, or the extra is missing; 130: Ctrl-C.
    Tables (or JSON) go to stdout, what is under way to stderr.
    """
    lacking = [name for name in ("numpy", "matplotlib") if find_spec(name) is None]
    if lacking:
        sys.stderr.write(f"bench needs {' and '.join(lacking)}: pip install 'artstore[bench]'\n")
        return _EXIT_USAGE
    try:
        options = _parser().parse_args(list(argv))
        return _run(options, argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else _EXIT_USAGE
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; corpora and tools stay in the work folder\n")
        return _EXIT_INTERRUPTED


def _run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    from artstore_bench.command import Toolbox
    from artstore_bench.install import install_peers
    from artstore_bench.suite import run

    console = Console(stderr=True)

    def tell(line: str) -> None:
        console.print(f"[dim]{escape(line)}[/dim]", highlight=False, soft_wrap=True)

    settings = _settings(options, argv)
    settings.workdir.mkdir(parents=True, exist_ok=True)
    if options.install_peers:
        for problem in install_peers(Toolbox(settings.workdir), tell):
            tell(f"not installed: {problem}")
    if options.list:
        _list(settings.workdir)
        return 0
    out = options.out or settings.workdir / "results"
    document = run(settings, tell, save=lambda document: _write(document, out))
    tell(f"results, tables and charts are in {out}")
    _print(document, as_json=options.json)
    ours = [failure for failure in document.failures if failure.tool == "artstore"]
    return _EXIT_FAILED if ours else 0


def _parser() -> argparse.ArgumentParser:
    from artstore_bench.peers import ALL_NAMES
    from artstore_bench.suite import DEFAULTS, SUBJECTS

    parser = argparse.ArgumentParser(
        prog="artstore bench",
        description="Measure artstore and its peers on seeded corpora, in turn, in one run.",
        epilog="A full run takes 20 GB of disk and, with all peers, roughly half an hour for each repetition.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "corpus", nargs="?", type=_names(SUBJECTS), default=DEFAULTS, metavar="CORPUS", help="the same as --corpus"
    )
    what.add_argument(
        "--corpus",
        dest="corpora",
        type=_names(SUBJECTS),
        metavar="LIST",
        help=f"of {','.join(SUBJECTS)} (all but scale)",
    )
    parser.add_argument(
        "--peers",
        type=_names(ALL_NAMES),
        default=ALL_NAMES,
        metavar="LIST",
        help=f"of {','.join(ALL_NAMES)}, or all (default), none",
    )
    parser.add_argument("--repeat", type=_count, default=3, metavar="N", help="times each is measured (3)")
    parser.add_argument("--scale", type=_scale, default=1.0, help="size of the corpora; targets hold for 1.0")
    parser.add_argument("--workdir", type=Path, default=_cache(), metavar="DIR", help="corpora, tools, repositories")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where results go (WORKDIR/results)")
    parser.add_argument("--install-peers", action="store_true", help="fetch what apt and PyPI have, then go on")
    parser.add_argument("--list", action="store_true", help="show corpora, and tools with their versions, and stop")
    parser.add_argument("--json", action="store_true", help="print the JSON document instead of tables")
    return parser


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "artstore-bench")


def _names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        if text in {"all", "none"}:
            return tuple(known) if text == "all" else ()
        wanted = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
        unknown = [name for name in wanted if name not in known]
        if unknown or not wanted:
            raise argparse.ArgumentTypeError(f"{text!r}: choose from {', '.join(known)}")
        return wanted

    return parse


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not SCALE_MIN <= scale <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not within {SCALE_MIN} and 1")
    return scale


def _settings(options: argparse.Namespace, argv: Sequence[str]) -> Settings:
    from artstore_bench.suite import Settings

    return Settings(
        subjects=options.corpora or options.corpus,
        peers=options.peers,
        repeat=options.repeat,
        scale=options.scale,
        workdir=options.workdir.resolve(),
        command=("artstore", "bench", *argv),
    )


def _list(workdir: Path) -> None:
    from artstore_bench.command import Toolbox
    from artstore_bench.corpus import DESCRIPTIONS
    from artstore_bench.peers import mountables, peers
    from artstore_bench.remotes import service as remote_service
    from artstore_bench.remotes.tools import replicas
    from artstore_bench.suite import SERVICE

    console = Console()
    for name, description in DESCRIPTIONS.items():
        console.print(f"{name:10}{escape(description)}", highlight=False, soft_wrap=True)
    toolbox = Toolbox(workdir)
    found = {name: peer.version() for name, peer in peers(toolbox).items()}
    mounts = {f"{name} (mount)": peer.mount_version() for name, peer in mountables(toolbox).items()}
    moving = {f"{name} (remote)": tool.version() for name, tool in replicas(toolbox).items()}
    for listed in (found, mounts, {SERVICE: remote_service.version(toolbox), **moving}):
        console.print()
        for name, version in listed.items():
            console.print(f"{name:{_NAME_WIDTH}}{escape(version or 'not found')}", highlight=False, soft_wrap=True)


def _write(document: Document, out: Path) -> None:
    from artstore_bench.charts import draw
    from artstore_bench.report import markdown

    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    (out / "results.md").write_text(markdown(document))
    draw(document, out)


def _print(document: Document, *, as_json: bool) -> None:
    from artstore_bench.report import tables

    if as_json:
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        return
    # Tables are wider than the 80 columns that rich assumes of a pipe.
    console = Console() if sys.stdout.isatty() else Console(width=140)
    for table in tables(document):
        shown = RichTable(title=table.title, title_justify="left")
        for number, head in enumerate(table.heads):
            shown.add_column(head, justify="right" if number else "left", no_wrap=True)
        for row in table.rows:
            shown.add_row(*(escape(cell.replace("**", "")) for cell in row))
        console.print(shown)

"""Make versions: `commit`, `check-ignore`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import click

from artstore import limits
from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.invocation import Invocation
from artstore.cli.params import REVISION
from artstore.errors import UsageError

if TYPE_CHECKING:
    from artstore import CommitOptions, CommitResult, Store
    from artstore.cli.documents import IgnoreItem
    from artstore.model import Scalar


@click.command(
    "commit",
    cls=Command,
    examples=[
        ("artstore commit ~/runs/llama", "llama/v1, then llama/v2 …"),
        ("artstore commit model.gguf --tag llama/best -m 'all tests pass'", "one file, a name of your choice"),
        ("artstore commit runs/7 --artifact llama --param lr=3e-4 --metric loss=0.21", "what it was made with"),
        ("tar c data | artstore commit - --name data.tar --artifact data", "standard input as a file"),
        ("artstore commit --base corpus/v7 --add new/part=./part --remove old", "without having the rest here"),
    ],
)
@click.argument("path", required=False, type=click.Path(allow_dash=True, readable=False))
@click.option("--tag", metavar="NAME", help="The version's name; else the artifact's next vN.")
@click.option("--artifact", metavar="NAME", help="What it is a version of; else the name of the folder.")
@click.option("-m", "--message", metavar="TEXT", default="", help="What a person should know about it.")
@click.option("--author", metavar="NAME", help="Else $ARTSTORE_AUTHOR, else you.")
@click.option("--param", "params", metavar="KEY=VALUE", multiple=True, help="A parameter; repeat it.")
@click.option("--metric", "metrics", metavar="KEY=NUMBER", multiple=True, help="A metric; repeat it.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="A label; repeat it.")
@click.option("--input", "inputs", metavar="NAME=REV", multiple=True, help="A version it was made from; repeat it.")
@click.option("--exclude", "excludes", metavar="PATTERN", multiple=True, help="Leave out, as a line of .artignore.")
@click.option("--no-default-ignores", is_flag=True, help="Take __pycache__, .ipynb_checkpoints, .nfs*, .DS_Store too.")
@click.option("--links", type=click.Choice(["fail", "follow", "keep"]), default="fail", help="Links that lead out.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out what can't be read, and list it.")
@click.option("--allow-changing", is_flag=True, help="Take files that change while they are read, and say so.")
@click.option("--no-stat-cache", is_flag=True, help="Read files even if their size and times are those of last time.")
@click.option("-n", "--dry-run", is_flag=True, help="Read and compare, store nothing.")
@click.option("--name", metavar="FILE", help="With -: the name of the file.")
@click.option("--base", metavar="REV", type=REVISION, help="Begin with this version instead of a folder.")
@click.option("--add", "added", metavar="[PATH=]LOCAL", multiple=True, help="With --base: put a file or folder there.")
@click.option("--remove", "removed", metavar="PATH", multiple=True, help="With --base: leave this out.")
@click.pass_obj
def commit_command(
    invocation: Invocation,
    path: str | None,
    tag: str | None,
    artifact: str | None,
    name: str | None,
    base: str | None,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    **given: Unpack[_Given],
) -> None:
    """Make a version of a folder or file.

    Only what the store doesn't have is stored. Without --tag or --artifact the folder's name is the artifact and the
    tag its next vN. If neither content nor metadata changed, no version is made. `.artignore` files leave things out by
    gitignore's rules; .gitignore is never read. `-` is standard input.

    With --base, REV is the new version's parent; else the artifact's newest version is. What --add puts there takes a
    file's place; a folder's, or a folder in the place of a file, only together with --remove of the same path. With
    --allow-changing, the version's `source` says how many files changed while they were read, and names the first.
    """
    _check_arguments(path, name, base, added, removed)
    invocation.unlock_ahead()
    options, said = _options(given), _said(given)
    store = invocation.open_store(create=base is None)
    with invocation.work("commit") as counters:
        if base is None:
            assert path is not None
            source = sys.stdin.buffer if path == "-" else path
            result = store.commit(
                source, tag=tag, artifact=artifact, name=name, options=options, counters=counters, **said
            )
        else:
            add = [_split_add(item) for item in added]
            result = store.edit(
                base, add=add, remove=removed, tag=tag, artifact=artifact, options=options, counters=counters, **said
            )
    _report(invocation, store, result, options)


@click.command(
    "check-ignore",
    cls=Command,
    examples=[("artstore check-ignore ~/runs/llama/cache/x.bin --root ~/runs/llama", "the rule, and where it stands")],
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--root", metavar="DIR", default=".", type=click.Path(), help="The folder to be committed; else this one."
)
@click.option("--exclude", "excludes", metavar="PATTERN", multiple=True, help="As for commit.")
@click.option("--no-default-ignores", is_flag=True, help="As for commit.")
@click.pass_obj
def check_ignore_command(
    invocation: Invocation, paths: tuple[str, ...], root: str, excludes: tuple[str, ...], no_default_ignores: bool
) -> None:
    """Tell which rule leaves a path out of a commit.

    DIR is the folder that would be committed.
    """
    from artstore.cli.documents import IgnoreDocument

    items = [_explain(path, root, excludes, defaults=not no_default_ignores) for path in paths]
    output = invocation.output
    rows = [
        (
            output.show(item.path),
            "ignored" if item.ignored else "committed",
            "no rule matches" if item.rule is None else f"{output.show(item.rule)} ({output.show(item.origin or '')})",
        )
        for item in items
    ]
    output.document(
        IgnoreDocument(paths=items),
        lines=lambda: text.table(rows),
        ids=lambda: [output.show(item.path) for item in items if item.ignored],
    )


def summary(result: CommitResult, *, dry_run: bool) -> str:
    """`llama/v2 3f2a9c1e · 14.9 GB, 214 MB new (1.4 %) · 6.2 s`."""
    took = text.seconds(result.seconds)
    name = result.tag or "dry run"
    if result.version is not None:
        name += f" {text.short_id(result.version)}"
    if result.unchanged:
        return f"{name} · unchanged, nothing to commit · {took}"
    if result.parent is None and not dry_run:
        files = text.count(result.files, "file")
        return f"{name} · {text.size(result.size)} in {files}, {text.size(result.stored_bytes)} stored · {took}"
    part = text.share(result.new_bytes, result.size)
    new = f"{text.size(result.new_bytes)} new" + (f" ({part})" if part else "")
    return f"{name} · {text.size(result.size)}, {new} · {took}"


class _Given(TypedDict):
    """The options which say what is read, and what is said of it."""

    message: str
    author: str | None
    params: tuple[str, ...]
    metrics: tuple[str, ...]
    labels: tuple[str, ...]
    inputs: tuple[str, ...]
    excludes: tuple[str, ...]
    no_default_ignores: bool
    links: Literal["fail", "follow", "keep"]
    skip_unreadable: bool
    allow_changing: bool
    no_stat_cache: bool
    dry_run: bool


class _Said(TypedDict):
    """What a person says of a version."""

    message: str
    author: str | None
    params: dict[str, Scalar]
    metrics: dict[str, int | float]
    labels: dict[str, Scalar]
    inputs: dict[str, str]


def _options(given: _Given) -> CommitOptions:
    from artstore import CommitOptions

    return CommitOptions(
        excludes=given["excludes"],
        default_ignores=not given["no_default_ignores"],
        links=given["links"],
        skip_unreadable=given["skip_unreadable"],
        allow_changing=given["allow_changing"],
        dry_run=given["dry_run"],
        stat_cache=not given["no_stat_cache"],
    )


def _said(given: _Given) -> _Said:
    from artstore.store.metadata import parse_inputs, parse_metrics, parse_values

    return _Said(
        message=given["message"],
        author=given["author"],
        params=parse_values(given["params"], option="--param"),
        metrics=parse_metrics(given["metrics"], option="--metric"),
        labels=parse_values(given["labels"], option="--label"),
        inputs=parse_inputs(given["inputs"], option="--input"),
    )


def _check_arguments(
    path: str | None, name: str | None, base: str | None, added: tuple[str, ...], removed: tuple[str, ...]
) -> None:
    if base is None and path is None:
        raise click.UsageError("PATH is missing: name a folder, a file, or - for standard input")
    if base is not None and path is not None:
        raise click.UsageError("--base begins with a version, PATH with a folder: give one of them")
    if base is not None and not added and not removed:
        raise click.UsageError("--base needs --add or --remove")
    if base is None and (added or removed):
        raise click.UsageError("--add and --remove need --base REV")
    if path == "-" and not name:
        raise click.UsageError("standard input has no name: give --name FILE")
    if path != "-" and name:
        raise click.UsageError("--name goes with - (standard input)")


def _split_add(item: str) -> tuple[bytes, bytes]:
    """`PATH=LOCAL`, or `LOCAL`, which is put at the top under its own name."""
    place, equals, local = item.partition("=")
    if not equals or os.path.lexists(item):
        place, local = os.path.basename(os.path.abspath(item)), item
    return os.fsencode(place), os.fsencode(local)


def _report(invocation: Invocation, store: Store, result: CommitResult, options: CommitOptions) -> None:
    from artstore.cli.documents import CommitDocument

    output = invocation.output
    version = None if result.version is None else result.version.hex()
    output.document(
        CommitDocument(
            ref=result.tag,
            version=version,
            parent=None if result.parent is None else result.parent.hex(),
            files=result.files,
            bytes=result.size,
            new_bytes=result.new_bytes,
            stored_bytes=result.stored_bytes,
            unchanged=result.unchanged,
            dry_run=options.dry_run,
            ignored=result.ignored,
            skipped=[text.name(path) for path in result.skipped],
            changed=[text.name(path) for path in result.changed],
            seconds=round(result.seconds, 3),
        ),
        lines=lambda: [summary(result, dry_run=options.dry_run)],
        ids=lambda: [] if version is None else [version],
    )
    if result.skipped:
        shown = ", ".join(map(text.printable, result.skipped[: limits.SUGGESTIONS_MAX]))
        more = len(result.skipped) - limits.SUGGESTIONS_MAX
        output.warn(f"skipped {shown}" + (f" and {more:,} more" if more > 0 else ""))
    if result.changed:
        shown = ", ".join(map(text.printable, result.changed[: limits.SUGGESTIONS_MAX]))
        rest = ", …" if len(result.changed) > limits.SUGGESTIONS_MAX else ""
        output.warn(f"changed while they were read: {shown}{rest}; the version may hold them half-written, and says so")
    if result.ignored:
        output.note(f"{text.count(result.ignored, 'path')} ignored; `artstore check-ignore PATH` tells why")
    if (step := _next_step(store, result, options)) is not None:
        output.note(f"next: {step}")


def _next_step(store: Store, result: CommitResult, options: CommitOptions) -> str | None:
    """What most people want to do now."""
    if options.dry_run:
        return "the same without --dry-run"
    if result.version is None or result.tag is None or result.unchanged:
        return None
    before = None if result.parent is None else store.name_of(result.parent, result.tag)
    if before is not None and before != result.tag:
        return f"artstore diff {before} {result.tag}"
    return f"artstore alias set {result.tag.rpartition('/')[0]}/production {result.tag.rpartition('/')[2]}"


def _explain(path: str, root: str, excludes: tuple[str, ...], *, defaults: bool) -> IgnoreItem:
    from artstore.cli.documents import IgnoreItem
    from artstore.planning.ignore import FILE_NAME, IgnoreStack

    top = os.fsencode(os.path.abspath(root))
    below = os.path.relpath(os.fsencode(os.path.abspath(path)), top)
    if below == b"." or below.split(b"/", 1)[0] == b"..":
        raise UsageError(f"{path} does not lie below {root}", hint="name the folder that is committed with --root DIR")
    rules = IgnoreStack.create(excludes, defaults=defaults).enter(b"", _read(os.path.join(top, FILE_NAME)))
    parts = below.split(b"/")
    for depth, name in enumerate(parts):
        here = os.path.join(top, *parts[: depth + 1])
        decision = rules.decide(name, depth < len(parts) - 1 or (os.path.isdir(here) and not os.path.islink(here)))
        if decision.ignored or depth == len(parts) - 1:
            return IgnoreItem(
                path=text.name(os.fsencode(path)),
                ignored=decision.ignored,
                rule=decision.pattern,
                origin=decision.source,
            )
        rules = rules.enter(name, _read(os.path.join(here, FILE_NAME)))
    raise AssertionError("a path has at least one part")


def _read(path: bytes) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(limits.ARTIGNORE_BYTES_MAX)
    except (FileNotFoundError, NotADirectoryError):
        return None

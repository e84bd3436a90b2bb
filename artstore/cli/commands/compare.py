"""Versions beside each other: `diff`, `du`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.invocation import Invocation
from artstore.cli.params import REVISION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from artstore._api import Change, Store
    from artstore.cli.documents import ChangeItem
    from artstore.cli.output import Output

_SIGNS = {"added": ("A", "green"), "removed": ("D", "red"), "modified": ("M", "yellow"), "renamed": ("R", "cyan"), "type": ("T", "yellow")}


@click.command(
    "diff",
    cls=Command,
    examples=[
        ("artstore diff llama/v1 llama/v2", "between two versions"),
        ("artstore diff llama/v2 ./model", "between a version and a folder"),
        ("artstore diff llama", "between the newest version and the one before"),
        ("artstore diff --exit-code llama/v2 ./model", "exit 1 if they differ"),
    ],
)
@click.argument("before", metavar="REV", type=REVISION)
@click.argument("after", metavar="[REV|DIR]", required=False, type=REVISION)
@click.argument("path", metavar="[PATH]", default="")
@click.option("--exit-code", is_flag=True, help="Exit 1 if anything differs.")
@click.pass_obj
def diff_command(invocation: Invocation, before: str, after: str | None, path: str, exit_code: bool) -> int:
    """What changed between two versions, or a version and a folder.

    A added, D removed, M modified (with the bytes that both share), R renamed, T of another kind. With one REV: since
    its parent. Something that is both a revision and a folder is the revision; write ./DIR for the folder.
    """
    from artstore.cli.documents import DiffHead

    store = invocation.open_store()
    output = invocation.output
    head, changes = _sides(store, before, after, os.fsencode(path))
    counted: dict[str, int] = {}
    seen = output.stream(
        _counting(changes, counted),
        head=DiffHead(before=head[0], after=head[1]),
        key="changes",
        encode=_item,
        line=lambda change: _line(output, change),
        id=lambda change: output.show(change.path),
    )
    told = ", ".join(f"{number:,} {kind}" for kind, number in sorted(counted.items()))
    output.note(told or "no difference")
    return 1 if seen and exit_code else 0


@click.command(
    "du",
    cls=Command,
    examples=[("artstore du", "all tags"), ("artstore du llama/v1 llama/v2", "what these take, and what they share")],
)
@click.argument("revisions", metavar="[REV]...", nargs=-1, type=REVISION)
@click.pass_obj
def du_command(invocation: Invocation, revisions: tuple[str, ...]) -> None:
    """Size of versions: in full, what only they need, and what they share with others.

    Removing a version frees what is exclusive to it. Without REV: of every tag.
    """
    from artstore.cli.documents import DuDocument, UsageItem

    usage = invocation.open_store().usage(revisions)
    items = [
        UsageItem(
            version=one.version.hex(),
            ref=one.name,
            bytes=one.size,
            exclusive_bytes=one.exclusive,
            shared_bytes=one.shared,
        )
        for one in usage.versions
    ]
    rows = [("VERSION", "SIZE", "EXCLUSIVE", "SHARED")]
    rows += [
        (item.ref or item.version[: text.ID_SHOWN_HEX], *map(text.size, (item.bytes, item.exclusive_bytes, item.shared_bytes)))
        for item in items
    ]
    rows.append(("together", text.size(usage.size), "", f"{text.size(usage.stored)} stored"))
    invocation.output.document(
        DuDocument(versions=items, bytes=usage.size, stored_bytes=usage.stored),
        lines=lambda: text.table(rows, right=frozenset({1, 2, 3})),
        ids=lambda: [item.version for item in items],
    )


def _sides(store: Store, before: str, after: str | None, path: bytes) -> tuple[tuple[str, str], Iterable[Change]]:
    if after is not None and _is_folder(store, after):
        left = store.resolve(before)
        return (left.version.hex(), text.name(os.fsencode(os.path.abspath(after)))), store.diff_folder(before, after, path)
    if after is None:
        before, after = f"{before}~1", before
    left, right = store.resolve(before), store.resolve(after)
    return (left.version.hex(), right.version.hex()), store.diff(before, after, path)


def _is_folder(store: Store, text: str) -> bool:
    """`./x`, `/x` and `../x` are folders; anything else is one if it is no revision."""
    if text in (".", "..") or text.startswith(("/", "./", "../", "~/")):
        return True
    return os.path.isdir(text) and store.find(text) is None


def _counting(changes: Iterable[Change], counted: dict[str, int]) -> Iterator[Change]:
    for change in changes:
        counted[change.kind] = counted.get(change.kind, 0) + 1
        yield change


def _line(output: Output, change: Change) -> str:
    sign, color = _SIGNS[change.kind]
    name = output.show(change.path)
    if change.kind == "renamed":
        name = f"{output.show(change.source or b'')} → {name}"
    return f"{output.style(sign, fg=color)} {name}{_sizes(change)}"


def _sizes(change: Change) -> str:
    before, after = change.size_before, change.size_after
    if before is None or after is None:
        given = before if after is None else after
        return "" if given is None else f"  {text.size(given)}"
    told = text.size(after) if before == after else f"{text.size(before)} → {text.size(after)}"
    return f"  {told}" + ("" if change.shared is None else f", {text.size(change.shared)} shared")


def _item(change: Change) -> ChangeItem:
    from artstore.cli.documents import ChangeItem

    return ChangeItem(
        change=change.kind,
        path=text.name(change.path),
        raw=text.raw_name(change.path),
        source=None if change.source is None else text.name(change.source),
        bytes_before=change.size_before,
        bytes_after=change.size_after,
        shared_bytes=change.shared,
    )

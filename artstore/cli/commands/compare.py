"""Versions beside each other: `diff`, `du`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.invocation import Invocation
from artstore.cli.params import REVISION
from artstore.cli.revisions import name_of
from artstore.errors import BadName, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from artstore import Compared, Store
    from artstore.cli.documents import ChangeItem, UsageItem
    from artstore.cli.output import Output

_SIGNS = {
    "added": ("A", "green"),
    "removed": ("D", "red"),
    "modified": ("M", "yellow"),
    "renamed": ("R", "cyan"),
    "retyped": ("T", "yellow"),
}


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
        line=lambda compared: _line(output, compared),
        id=lambda compared: output.show(compared.change.path),
    )
    told = ", ".join(f"{number:,} {kind}" for kind, number in sorted(counted.items()))
    output.note(told or "no difference")
    return 1 if seen and exit_code else 0


@click.command(
    "du",
    cls=Command,
    examples=[
        ("artstore du", "all tags"),
        ("artstore du llama/v1 llama/v2", "what these take; exclusive as among all versions"),
    ],
)
@click.argument("revisions", metavar="[REV]...", nargs=-1, type=REVISION)
@click.pass_obj
def du_command(invocation: Invocation, revisions: tuple[str, ...]) -> None:
    """Size of each version: its own, and what it shares.

    EXCLUSIVE would be freed if that version alone went: no other version that has a name needs it, whether it is
    listed or not. Without REV: of all that have a name.
    """
    from artstore.cli.documents import DuDocument, UsageItem

    store = invocation.open_store()
    wanted = {store.resolve(revision).version: revision for revision in revisions}
    usage = store.usage(list(wanted))
    items = [
        UsageItem(
            version=one.version.hex(),
            ref=wanted.get(one.version) or store.name_of(one.version),
            bytes=one.size,
            exclusive_bytes=one.exclusive,
            shared_bytes=one.shared,
        )
        for one in usage.versions
        if not wanted or one.version in wanted
    ]
    total = sum(one.size for one in usage.versions)
    rows = [("VERSION", "SIZE", "EXCLUSIVE", "SHARED"), *map(_usage_row, items)]
    rows.append(("all versions", text.size(total), "", f"{text.size(usage.stored)} stored"))
    invocation.output.document(
        DuDocument(versions=items, bytes=total, stored_bytes=usage.stored),
        lines=lambda: text.table(rows, right=frozenset({1, 2, 3})),
        ids=lambda: [item.version for item in items],
    )


def _usage_row(item: UsageItem) -> tuple[str, str, str, str]:
    name = item.ref or item.version[: text.ID_SHOWN_HEX]
    return name, text.size(item.bytes), text.size(item.exclusive_bytes), text.size(item.shared_bytes)


def _sides(store: Store, before: str, after: str | None, path: bytes) -> tuple[tuple[str, str], Iterable[Compared]]:
    if after is not None and _is_folder(store, after):
        left = store.resolve(before)
        folder = os.path.abspath(os.path.expanduser(after))
        return (left.version.hex(), text.name(os.fsencode(folder))), store.diff_folder(left.version, folder, path)
    if after is None:
        _check_parent(store, before)
        before, after = f"{before}~1", before
    left, right = store.resolve(before), store.resolve(after)
    return (left.version.hex(), right.version.hex()), store.diff(left.version, right.version, path)


def _check_parent(store: Store, revision: str) -> None:
    found = store.resolve(revision)
    if not store.version(found.version).parents:
        raise NotFound(f"{name_of(found)} has no version before it", hint="name two: artstore diff REV REV")


def _is_folder(store: Store, given: str) -> bool:
    """`./x`, `/x` and `../x` are folders; anything else is one if it is there and no revision."""
    if given in (".", "..") or given.startswith(("/", "./", "../", "~/")):
        return True
    if not os.path.isdir(given):
        return False
    try:
        store.resolve(given)
    except (NotFound, BadName):
        return True
    return False


def _counting(changes: Iterable[Compared], counted: dict[str, int]) -> Iterator[Compared]:
    for compared in changes:
        kind = compared.change.kind.value
        counted[kind] = counted.get(kind, 0) + 1
        yield compared


def _line(output: Output, compared: Compared) -> str:
    change = compared.change
    sign, color = _SIGNS[change.kind.value]
    name = output.show(change.path)
    if change.source_path is not None:
        name = f"{output.show(change.source_path)} → {name}"
    return f"{output.style(sign, fg=color)} {name}{_sizes(compared)}"


def _sizes(compared: Compared) -> str:
    before, after = compared.change.source, compared.change.target
    if before is None or after is None:
        given = before or after
        return "" if given is None else f"  {text.size(given.size)}"
    same = before.size == after.size
    told = text.size(after.size) if same else f"{text.size(before.size)} → {text.size(after.size)}"
    return f"  {told}" + ("" if compared.shared is None else f", {text.size(compared.shared)} shared")


def _item(compared: Compared) -> ChangeItem:
    from artstore.cli.documents import ChangeItem

    change = compared.change
    return ChangeItem(
        change=change.kind.value,
        path=text.name(change.path),
        raw=text.raw_name(change.path),
        source=None if change.source_path is None else text.name(change.source_path),
        bytes_before=None if change.source is None else change.source.size,
        bytes_after=None if change.target is None else change.target.size,
        shared_bytes=compared.shared,
    )

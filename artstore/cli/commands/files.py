"""Files of a version: `ls`, `cat`, `checkout`, `path`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import click

from artstore import limits
from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.invocation import Invocation
from artstore.cli.params import REVISION, Whole
from artstore.cli.revisions import name_of
from artstore.errors import NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore import CheckoutResult, Entry, Resolved, Store
    from artstore.cli.documents import EntryItem
    from artstore.cli.output import Output

KindName = Literal["file", "exec", "symlink", "dir"]
_KINDS: tuple[KindName, ...] = ("file", "exec", "symlink", "dir")
_LETTERS = "-xld"


@click.command(
    "ls",
    cls=Command,
    examples=[
        ("artstore ls llama/v2", "the files at its top"),
        ("artstore ls -R llama/v2:tokenizer", "everything below a folder"),
        ("artstore ls -R -q -0 llama | xargs -0 …", "paths alone, each ended by NUL"),
    ],
)
@click.argument("revision", metavar="REV[:PATH]", type=REVISION)
@click.option("-R", "--recursive", is_flag=True, help="Everything below, too.")
@click.option("-0", "--null", is_flag=True, help="Paths alone, each ended by a NUL byte.")
@click.pass_obj
def ls_command(invocation: Invocation, revision: str, recursive: bool, null: bool) -> None:
    """Files of a version.

    Kind (- file, x executable, d folder, l link), size, path. With --quiet the paths alone.
    """
    from artstore.cli.documents import LsHead

    store = invocation.open_store()
    found = store.resolve(revision)
    path = found.path or b""
    entries = store.walk(found.version, path) if recursive else store.entries(found.version, path)
    output = invocation.output
    if null and not invocation.json:
        for name, _ in entries:
            output.data(name + b"\0")
        return
    output.stream(
        _with_targets(store, entries) if not invocation.quiet else ((name, entry, b"") for name, entry in entries),
        head=LsHead(version=found.version.hex(), path=text.name(path)),
        key="entries",
        encode=lambda row: _item(*row),
        line=lambda row: _line(output, *row),
        id=lambda row: output.show(row[0]),
    )


@click.command(
    "cat",
    cls=Command,
    examples=[
        ("artstore cat llama/v2:config.json", "a file"),
        ("artstore cat 'data@{2026-11-01}:train.csv' | head", "as an alias had it then"),
    ],
)
@click.argument("revisions", metavar="REV:PATH...", nargs=-1, required=True, type=REVISION)
@click.pass_obj
def cat_command(invocation: Invocation, revisions: tuple[str, ...]) -> None:
    """Print files of versions, verified.

    One after the other; nothing is printed that has not been checked.
    """
    store = invocation.open_store()
    for revision in revisions:
        found = store.resolve(revision)
        if not found.path:
            raise UsageError(f"{revision!r} names no file", hint=f"write {revision}:PATH")
        if (kind := _KINDS[store.entry(found.version, found.path).kind]) not in ("file", "exec"):
            told = "a folder" if kind == "dir" else "a symbolic link"
            raise UsageError(f"{revision!r} is {told}, no file", hint=f"look at it with `artstore ls {revision}`")
        with store.open(found.version, found.path) as file:
            while block := file.read(limits.MIB):
                invocation.output.data(block)


@click.command(
    "checkout",
    cls=Command,
    examples=[
        ("artstore checkout llama/v2 ./model", "the whole version"),
        ("artstore checkout llama/production:tokenizer ./tok", "one folder of it"),
    ],
)
@click.argument("revision", metavar="REV[:PATH]", type=REVISION)
@click.argument("destination", metavar="DEST", type=click.Path(readable=False))
@click.option("-f", "--force", is_flag=True, help="Overwrite what differs in DEST.")
@click.option("--sync", is_flag=True, help="Return only when the files are safe from a power cut.")
@click.option("-j", "--jobs", type=Whole(1, limits.WORKERS_MAX), help="Files written at once.")
@click.pass_obj
def checkout_command(
    invocation: Invocation, revision: str, destination: str, force: bool, sync: bool, jobs: int | None
) -> None:
    """Write a version's files to a folder, verified.

    Files are written aside and renamed; what already lies in DEST with the right content stays. What differs is not
    overwritten without --force; other files are left alone. Interrupted, run it again.
    """
    from artstore.cli.documents import CheckoutDocument

    store = invocation.open_store()
    found = store.resolve(revision)
    with invocation.work("checkout") as counters:
        result = store.checkout(
            found.version, destination, path=found.path or b"", force=force, sync=sync, workers=jobs, counters=counters
        )
    shown = invocation.output.show(destination)
    invocation.output.document(
        CheckoutDocument(
            version=found.version.hex(),
            path=text.name(os.fsencode(os.path.abspath(destination))),
            files=result.files,
            bytes=result.size,
            written_bytes=result.written_bytes,
            reused_files=result.reused_files,
            seconds=round(result.seconds, 3),
        ),
        lines=lambda: [f"{name_of(found)} → {shown} · {_amount(result)} · {text.seconds(result.seconds)}"],
        ids=lambda: [shown],
    )


@click.command(
    "path",
    cls=Command,
    examples=[("ls $(artstore path llama/production)", "through the mount, the version that is in production now")],
)
@click.argument("revision", metavar="REV[:PATH]", type=REVISION)
@click.option(
    "--mount", metavar="DIR", envvar="ARTSTORE_MOUNT", help="Where it is mounted; else $ARTSTORE_MOUNT, else found."
)
@click.pass_obj
def path_command(invocation: Invocation, revision: str, mount: str | None) -> None:
    """Where a version stands in the mount.

    A path whose content never changes. Resolve once, then open files: an alias may move between two look-ups, this
    path doesn't.
    """
    from artstore.cli.documents import PathDocument

    store = invocation.open_store()
    found = store.resolve(revision)
    if found.path:
        store.entry(found.version, found.path)
    place = _place_in(mount, store, found) if mount is not None else _place_in_any(store, found)
    if place is None and mount is None:
        raise NotFound(
            f"no mount is known where {name_of(found)} could stand",
            hint=f"`artstore mount`, --mount DIR, or write the files: `artstore checkout {revision} DEST`",
        )
    if place is None:
        raise NotFound(f"{name_of(found)} is not in {mount}", hint=f"is the store mounted at {mount}?")
    shown = os.fsdecode(place)
    invocation.output.document(
        PathDocument(version=found.version.hex(), path=text.name(place)),
        lines=lambda: [shown],
        ids=lambda: [shown],
    )


def _place_in_any(store: Store, found: Resolved) -> bytes | None:
    """Where a version stands in a mount of this store that answers and shows it."""
    from artstore_fuse import mountinfo

    for mount in mountinfo.of_store(store.status().id):
        if mountinfo.look(mount.point, limits.MOUNT_LOOK_S) is mountinfo.Health.ALIVE:
            place = _place_in(mount.point, store, found)
            if place is not None:
                return place
    return None


def _place_in(mount: str, store: Store, found: Resolved) -> bytes | None:
    """Below its tag; by its id where the mount doesn't show that tag, or doesn't yet, or a push may rename it."""
    top = os.fsencode(os.path.abspath(os.path.expanduser(mount)))
    tag = found.tag or store.name_of(found.version, found.alias or "")
    by_tag = [] if tag is None or store.may_be_renumbered(tag) else [[b"versions", tag.encode()]]
    names = [*by_tag, [b"ids", found.version.hex().encode()]]
    for parts in names:
        place = os.path.join(top, *parts, *([found.path] if found.path else []))
        if os.path.lexists(place):
            return place
    return None


def _amount(result: CheckoutResult) -> str:
    files = text.count(result.files, "file")
    return f"{text.size(result.size)} in {files}, {text.size(result.written_bytes)} written"


def _with_targets(store: Store, entries: Iterator[tuple[bytes, Entry]]) -> Iterator[tuple[bytes, Entry, bytes]]:
    for path, entry in entries:
        yield path, entry, store.link_target(entry) if _KINDS[entry.kind] == "symlink" else b""


def _item(path: bytes, entry: Entry, target: bytes) -> EntryItem:
    from artstore.cli.documents import EntryItem

    kind = _KINDS[entry.kind]
    return EntryItem(
        path=text.name(path),
        raw=text.raw_name(path),
        kind=kind,
        bytes=entry.size,
        files=entry.files,
        target=text.name(target) if kind == "symlink" else None,
        id=entry.content.value.hex() if kind != "symlink" and entry.content.value else None,
    )


def _line(output: Output, path: bytes, entry: Entry, target: bytes) -> str:
    kind = _KINDS[entry.kind]
    name = output.show(path)
    if kind == "dir":
        name = output.style(name, fg="blue", bold=True) + "/"
    elif kind == "symlink":
        name = f"{output.style(name, fg='cyan')} -> {output.show(target)}"
    elif kind == "exec":
        name = output.style(name, fg="green")
    return f"{_LETTERS[entry.kind]} {text.size(entry.size):>8}  {name}"

"""Names: `list`, `resolve`, `tag`, `rm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.invocation import Invocation
from artstore.cli.params import REVISION
from artstore.cli.revisions import name_of, remark_of
from artstore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore import Store
    from artstore.cli.documents import RefItem
    from artstore.cli.output import Output


@click.command(
    "list",
    cls=Command,
    examples=[
        ("artstore list", "all names"),
        ("artstore list llama", "those of an artifact"),
        ("artstore list --aliases 'llama*/prod*'", "aliases that match"),
    ],
)
@click.argument("pattern", metavar="[PATTERN]", required=False)
@click.option("--tags", "only", flag_value="tag", help="Tags alone.")
@click.option("--aliases", "only", flag_value="alias", help="Aliases alone.")
@click.pass_obj
def list_command(invocation: Invocation, pattern: str | None, only: str | None) -> None:
    """Tags and aliases, by name.

    PATTERN is a name, an artifact, or a pattern with * and ?.
    """
    from artstore.cli.documents import ListHead

    output = invocation.output
    seen = output.stream(
        _refs(invocation.open_store(), pattern, only),
        head=ListHead(),
        key="refs",
        encode=lambda item: item,
        line=lambda item: _line(output, item),
        id=lambda item: item.name,
    )
    if not seen:
        output.note(_nothing(pattern, only))


@click.command(
    "resolve",
    cls=Command,
    examples=[
        ("artstore resolve llama/production", "the id that it stands for now"),
        ("artstore resolve 'llama/production@{2026-11-01}'", "and then"),
    ],
)
@click.argument("revision", metavar="REV", type=REVISION)
@click.pass_obj
def resolve_command(invocation: Invocation, revision: str) -> None:
    """The version id of a revision.

    Resolve once, use the id everywhere.
    """
    from artstore.cli.documents import ResolveDocument

    found = invocation.open_store().resolve(revision)
    if (remark := remark_of(found)) is not None:
        invocation.output.note(remark)
    invocation.output.document(
        ResolveDocument(revision=revision, version=found.version.hex(), ref=found.tag or found.alias),
        lines=lambda: [found.version.hex()],
        ids=lambda: [found.version.hex()],
    )


@click.command(
    "tag",
    cls=Command,
    examples=[
        ("artstore tag llama/best llama/v7", "a second, immutable name"),
        ("artstore tag --dismiss llama/v7", "it was renumbered by a push, and nobody remembers the old name"),
    ],
)
@click.argument("name")
@click.argument("revision", metavar="[REV]", required=False, type=REVISION)
@click.option("--dismiss", is_flag=True, help="Free a name that a push has renumbered for what it names at the remote.")
@click.pass_obj
def tag_command(invocation: Invocation, name: str, revision: str | None, dismiss: bool) -> None:
    """Give a version an immutable name.

    Without REV, the newest of NAME's artifact. A tag never moves: for a name that does, see `artstore alias`. A number
    that `commit` chose is provisional until it was pushed, or said here.
    """
    from artstore.cli.documents import TagDocument

    store = invocation.open_store()
    if dismiss and revision is not None:
        raise click.UsageError("--dismiss takes a name alone")
    if dismiss:
        _dismiss(invocation, store, name)
        return
    tag = store.tag(name, revision)
    created = text.rfc3339(tag.created)
    invocation.output.document(
        TagDocument(tag=tag.name, version=tag.version.hex(), created=created, dismissed=None),
        lines=lambda: [f"{tag.name} {text.short_id(tag.version)}"],
        ids=lambda: [tag.version.hex()],
    )


def _dismiss(invocation: Invocation, store: Store, name: str) -> None:
    from artstore.cli.documents import TagDocument

    found = store.dismiss(name)
    now = next((tag for tag in store.tags(found.new) if tag.name == found.new), None)
    created = None if now is None else text.rfc3339(now.created)
    invocation.output.document(
        TagDocument(tag=found.new, version=found.version.hex(), created=created, dismissed=name),
        lines=lambda: [f"{name} is free here; what it named stays {found.new}"],
        ids=lambda: [found.version.hex()],
    )
    invocation.output.note("next: artstore pull, for what it names there")


@click.command(
    "rm",
    cls=Command,
    examples=[
        ("artstore rm llama/v1 llama/old", "two names; then `artstore gc`"),
        ("artstore rm llama/v1 --remote origin", "at a remote, not here"),
    ],
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=REVISION)
@click.option("--remote", metavar="NAME", help="Remove the names at this remote, not here.")
@click.option("--reason", metavar="TEXT", default="", help="Why, for the history of aliases.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@click.pass_obj
def rm_command(invocation: Invocation, names: tuple[str, ...], remote: str | None, reason: str, yes: bool) -> None:
    """Remove names; `gc` frees what nothing names.

    Tags, aliases, or by its id a version with all its tags: all of them or none. Content stays until `gc` finds
    that nothing leads to it, and for seven days `gc --undo` brings the names back. A version that an alias names or
    that another one was made from is not left without a name.

    What a remote has stays there. With --remote, tags and aliases are removed there for good, and stay here.
    """
    from artstore.cli.documents import RmDocument

    store = invocation.open_store()
    if remote is not None:
        _remove_there(invocation, store, names, remote, reason, yes=yes)
        return
    for name in names:
        _check_exact(store, name)
    invocation.confirm(f"Remove {', '.join(names)}?", yes=yes, what="rm")
    removal = store.remove(*names, reason=reason)
    removed = [*(tag.name for tag in removal.tags), *(alias.name for alias in removal.aliases)]
    invocation.output.document(
        RmDocument(removed=removed, already=[], remote=None, unnamed=[version.hex() for version in removal.unnamed]),
        lines=lambda: [f"removed {name}" for name in removed],
        ids=lambda: removed,
    )
    invocation.output.note("next: artstore gc" if removal.unnamed else "what they named has other names and stays")


def _remove_there(
    invocation: Invocation, store: Store, names: tuple[str, ...], remote: str, reason: str, *, yes: bool
) -> None:
    from artstore.cli.documents import RmDocument

    invocation.confirm(f"Remove {', '.join(names)} at {remote}, for everybody?", yes=yes, what="rm --remote")
    told = store.remove_at_remote(*names, remote=remote, reason=reason)
    invocation.output.document(
        RmDocument(removed=told.removed, already=told.already, remote=remote, unnamed=[]),
        lines=lambda: [
            *(f"removed {name} at {remote}" for name in told.removed),
            *(f"{name} was removed at {remote} already" for name in told.already),
        ],
        ids=lambda: told.removed,
    )


def _refs(store: Store, pattern: str | None, only: str | None) -> Iterator[RefItem]:
    from artstore.cli.documents import RefItem

    for ref in store.refs(pattern):
        if only is None or ref.kind == only:
            version = store.version(ref.version)
            yield RefItem(
                name=ref.name,
                kind=ref.kind,
                version=ref.version.hex(),
                created=text.rfc3339(ref.time),
                files=version.files,
                bytes=version.size,
            )


def _nothing(pattern: str | None, only: str | None) -> str:
    what = {"tag": "no tag", "alias": "no alias"}.get(only or "", "nothing")
    if pattern:
        return f"{what} is called {pattern}"
    if only == "alias":
        return "no aliases yet; next: artstore alias set ARTIFACT/production REV"
    return "no names yet; next: artstore commit DIR"


def _check_exact(store: Store, name: str) -> None:
    """Only what is named exactly is removed; NotFound with what comes near."""
    if any(ref.name == name for ref in store.refs(name)):
        return
    found = store.resolve(name)
    if found.tag is not None or found.alias is not None:
        raise UsageError(f"{name!r} is no tag or alias by itself", hint=f"it leads to {name_of(found)}: name that")


def _line(output: Output, item: RefItem) -> str:
    name = output.style(f"{item.name:<32}", bold=item.kind == "tag", fg=None if item.kind == "tag" else "cyan")
    return f"{name}  {item.version[: text.ID_SHOWN_HEX]}  {text.size(item.bytes):>8}  {item.created[:19]}Z  {item.kind}"

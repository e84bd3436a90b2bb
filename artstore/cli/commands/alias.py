"""Movable names: `alias set|log|list|rm`, `rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from artstore.cli import text
from artstore.cli.command import Command, Group
from artstore.cli.invocation import Invocation
from artstore.cli.params import REVISION
from artstore.errors import Corrupt

if TYPE_CHECKING:
    from artstore import Move, Store
    from artstore.cli.documents import MoveItem
    from artstore.cli.output import Output


_local_option = click.option("--local", is_flag=True, help="Move it here only; at the next contact home decides.")


@click.group(
    "alias",
    cls=Group,
    examples=[
        ("artstore alias set llama/production v2", "a bare last part means the alias's own artifact"),
        ("artstore alias log llama/production", "who moved it, when, why"),
    ],
)
def alias_command() -> None:
    """Movable names with a history.

    An alias moves by compare-and-swap; each move is kept.
    """


@alias_command.command(
    "set",
    examples=[
        ("artstore alias set llama/production v4", "llama/v4"),
        ("artstore alias set llama/production v4 --if v3 --reason 'better recall'", "only if it stands on v3"),
    ],
)
@click.argument("alias", type=REVISION)
@click.argument("revision", metavar="REV", type=REVISION)
@click.option("--if", "expected", metavar="REV", help="Only if it stands there now; else exit 5.")
@click.option("--reason", metavar="TEXT", default="", help="Why, for the history.")
@_local_option
@click.pass_obj
def set_command(
    invocation: Invocation, alias: str, revision: str, expected: str | None, reason: str, local: bool
) -> None:
    """Make an alias, or move it.

    One that was pushed moves at the home remote first, then here: what others have made of it counts. If home can't be
    reached nothing moves: exit 7.
    """
    from artstore.cli.documents import AliasDocument

    store = invocation.open_store()
    moved = store.set_alias(alias, revision, expected=expected, reason=reason, local=local)
    assert moved.target is not None
    target = moved.target.hex()
    invocation.output.document(
        AliasDocument(
            alias=alias,
            source=None if moved.source is None else moved.source.hex(),
            target=target,
            seq=moved.seq,
            changed=moved.changed,
        ),
        lines=lambda: [_moved(store, alias, moved.source, moved.target)],
        ids=lambda: [target],
    )
    _remark(invocation, store, alias)


@alias_command.command("log", examples=[("artstore alias log llama/production", "newest first")])
@click.argument("alias", type=REVISION)
@click.pass_obj
def log_command(invocation: Invocation, alias: str) -> None:
    """Where an alias has stood, newest first."""
    from artstore.cli.documents import AliasLogDocument

    store = invocation.open_store()
    moves = store.alias_log(alias)
    output = invocation.output
    output.document(
        AliasLogDocument(alias=alias, moves=[_item(move) for move in moves]),
        lines=lambda: [_log_line(store, output, number, move) for number, move in enumerate(moves)],
        ids=lambda: [move.target.hex() for move in moves if move.target],
    )


@alias_command.command("list", examples=[("artstore alias list", "where all of them stand")])
@click.argument("prefix", metavar="[PREFIX]", default="")
@click.pass_obj
def list_command(invocation: Invocation, prefix: str) -> None:
    """Aliases and the versions that they name."""
    from artstore.cli.documents import AliasItem, AliasListDocument

    store = invocation.open_store()
    items = [
        AliasItem(
            alias=alias.name, version=alias.version.hex(), tag=store.name_of(alias.version, alias.name), seq=alias.seq
        )
        for alias in store.aliases(prefix)
    ]
    rows = [(item.alias, item.tag or "", item.version[: text.ID_SHOWN_HEX]) for item in items]
    invocation.output.document(
        AliasListDocument(aliases=items), lines=lambda: text.table(rows), ids=lambda: [item.alias for item in items]
    )


@alias_command.command("rm", examples=[("artstore alias rm llama/staging --yes", "")])
@click.argument("alias", type=REVISION)
@click.option("--reason", metavar="TEXT", default="", help="Why, for the history.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@_local_option
@click.pass_obj
def rm_command(invocation: Invocation, alias: str, reason: str, yes: bool, local: bool) -> None:
    """Remove an alias; its history stays.

    One that was pushed is removed at the home remote first, then here.
    """
    from artstore.cli.documents import RmDocument

    store = invocation.open_store()
    store.alias_log(alias)  # is there one?
    invocation.confirm(f"Remove the alias {alias}?", yes=yes, what="alias rm")
    removal = store.remove_alias(alias, reason=reason, local=local)
    unnamed = [version.hex() for version in removal.unnamed]
    document = RmDocument(removed=[alias], already=[], remote=None, unnamed=unnamed)
    invocation.output.document(document, lines=lambda: [f"removed {alias}"], ids=lambda: [alias])
    _remark(invocation, store, alias)


@click.command(
    "rollback",
    cls=Command,
    examples=[
        ("artstore rollback llama/production", "to where it stood before its newest forward move"),
        ("artstore rollback llama/production --to v2 --reason 'v3 answers in French'", "further"),
        ("artstore rollback llama/production --check", "would it work? moves nothing"),
    ],
)
@click.argument("alias", type=REVISION)
@click.option("--to", "target", metavar="REV", help="Where to; else before the newest forward move.")
@click.option("--reason", metavar="TEXT", default="", help="Why, for the history.")
@click.option("--check", is_flag=True, help="Move nothing; tell whether all of the target is here (exit 6 if not).")
@_local_option
@click.pass_obj
def rollback_command(
    invocation: Invocation, alias: str, target: str | None, reason: str, check: bool, local: bool
) -> None:
    """Move an alias back to where it stood.

    Repeated, it goes further back, and never to a version that was itself rolled back from. An alias that was pushed
    goes back at the home remote first, from where it stands there; then here.
    """
    store = invocation.open_store()
    if check:
        _check_rollback(invocation, store, alias, target)
        return
    moved = store.rollback(alias, target, reason=reason, local=local)
    assert moved.source is not None
    assert moved.target is not None
    for version in moved.skipped:
        invocation.output.note(f"passed over {version.hex()[:8]}, which was collected")
    _print_rollback(invocation, store, alias, moved.source, moved.target, moved=moved.changed, complete=None)
    _remark(invocation, store, alias)


def _check_rollback(invocation: Invocation, store: Store, alias: str, to: str | None) -> None:
    source, target = store.resolve(alias).version, store.rollback_target(alias, to)
    missing = store.missing(target)
    _print_rollback(invocation, store, alias, source, target, moved=False, complete=missing is None)
    if missing is not None:
        raise Corrupt(f"{_name(store, alias, target, full=True)} is not complete here: {missing}")


def _print_rollback(
    invocation: Invocation,
    store: Store,
    alias: str,
    source: bytes,
    target: bytes,
    *,
    moved: bool,
    complete: bool | None,
) -> None:
    from artstore.cli.documents import RollbackDocument

    remark = "" if complete is None else f" · {'all' if complete else 'not all'} of it is here, nothing moved"
    invocation.output.document(
        RollbackDocument(
            alias=alias,
            source=_name(store, alias, source, full=True),
            target=_name(store, alias, target, full=True),
            version=target.hex(),
            moved=moved,
            complete=complete,
        ),
        lines=lambda: [_moved(store, alias, source, target) + remark],
        ids=lambda: [target.hex()],
    )


def _remark(invocation: Invocation, store: Store, alias: str) -> None:
    if store.is_moved_here_only(alias):
        invocation.output.note("here only; next: artstore push, which says it at home unless that was moved meanwhile")


def _moved(store: Store, alias: str, source: bytes | None, target: bytes | None) -> str:
    """`production: v4 → v3`."""
    short = alias.rpartition("/")[2]
    if source is None:
        return f"{short}: {_name(store, alias, target or b'')}"
    if source == target:
        return f"{short}: {_name(store, alias, source)}, as it was"
    return f"{short}: {_name(store, alias, source)} → {_name(store, alias, target or b'')}"


def _name(store: Store, alias: str, version: bytes, *, full: bool = False) -> str:
    """The version's tag (its last part, in the alias's own artifact), else the beginning of its id."""
    name = store.name_of(version, alias)
    if name is None:
        return version.hex() if full else text.short_id(version)
    return name if full else name.removeprefix(alias.rpartition("/")[0] + "/")


def _log_line(store: Store, output: Output, number: int, move: Move) -> str:
    source = _name(store, move.alias, move.source) if move.source else "-"
    target = _name(store, move.alias, move.target) if move.target else "removed"
    kind = "rollback" if move.rollback else "move"
    reason = f" · {output.show(move.reason)}" if move.reason else ""
    who = output.show(f"{move.who}@{move.host}" if move.host else move.who)
    return f"@{{{number}}} {text.time(move.time)}  {source} → {target}  {kind} by {who}{reason}"


def _item(move: Move) -> MoveItem:
    from artstore.cli.documents import MoveItem

    return MoveItem(
        seq=move.seq,
        source=move.source.hex() or None,
        target=move.target.hex() or None,
        time=text.rfc3339(move.time),
        who=move.who,
        host=move.host,
        reason=move.reason,
        rollback=move.rollback,
    )

"""Which remote is home: `remote promote`, `remote settle`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.invocation import Invocation
from artstore.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore.store.remote.names import Conflicting


@click.command(
    "promote",
    cls=Command,
    examples=[
        ("artstore remote promote eu", "the mirror is home from now on, and has all that home had"),
        ("artstore remote promote eu --lost", "home is gone, or won't be back for long"),
    ],
)
@click.argument("name")
@click.option("--lost", is_flag=True, help="Even if the home that it is can't be asked for what the mirror lacks.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@click.pass_obj
def promote_command(invocation: Invocation, name: str, lost: bool, yes: bool) -> int:
    """Make a mirror the home, for everybody.

    What home has is copied first; then the old home is a mirror. Whoever still takes it for home is told before he
    writes a name there. Was it promoted by others already, this store follows. Exit 5 if one of both has names that
    the other hasn't: they are told, never merged; exit 7 if home can't be reached, without --lost.
    """
    from artstore.cli.documents import ConflictItem, PromoteDocument

    store = invocation.open_store()
    asked = f"Make {name} the home" + (", though what the old one has since may be left behind?" if lost else "?")
    invocation.confirm(asked, yes=yes, what="remote promote")
    started = time.monotonic()
    with invocation.transfer("promote") as counters:
        told = store.promote(name, lost=lost, counters=counters)
    seconds = time.monotonic() - started
    invocation.output.document(
        PromoteDocument(
            name=name,
            epoch=told.epoch,
            changed=told.changed,
            copied=told.copied,
            conflicts=[ConflictItem(name=each.name, why=each.why) for each in told.conflicts],
            notes=told.notes,
            seconds=seconds,
        ),
        lines=lambda: [
            *(f"{each} was brought over" for each in told.copied),
            f"{name} is home, by promotion {told.epoch}"
            + ("" if told.changed else ", which had been made before: this store follows"),
        ],
        ids=lambda: [name],
    )
    for note in told.notes:
        invocation.output.warn(f"artstore: {note}")
    return _warned(invocation, told.conflicts)


@click.command(
    "settle",
    cls=Command,
    examples=[("artstore remote settle old llama/production", "what was moved there only gives way to home")],
)
@click.argument("name")
@click.argument("names", metavar="REF...", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@click.pass_obj
def settle_command(invocation: Invocation, name: str, names: tuple[str, ...], yes: bool) -> int:
    """Let names of a mirror, which a push has told as conflicts, give way to home's.

    Say them again at home first, if they are wanted: `artstore fetch REF --from NAME` brings a tag. The moves of an
    alias stay there, and no more name leads to them.
    """
    from artstore.cli.documents import ConflictItem, CopiedItem, SettleDocument

    store = invocation.open_store()
    invocation.confirm(f"Let {', '.join(names)} at {name} give way to home?", yes=yes, what="remote settle")
    with invocation.transfer("settle") as counters:
        told = store.settle_mirror(name, names, counters=counters)
    invocation.output.document(
        SettleDocument(
            mirror=CopiedItem(
                name=name,
                written=told.written,
                unchanged=len(told.unchanged),
                conflicts=[ConflictItem(name=each.name, why=each.why) for each in told.conflicts],
                packs=told.packs,
                sent_bytes=told.sent_bytes,
                requests=told.requests,
            )
        ),
        lines=lambda: [
            *(f"{each} is at {name} as at home now" for each in told.written),
            f"{text.count(len(told.written), 'name')} written, {len(told.unchanged)} unchanged",
        ],
        ids=lambda: told.written,
    )
    return _warned(invocation, told.conflicts)


def _warned(invocation: Invocation, conflicts: Sequence[Conflicting]) -> int:
    for conflict in conflicts:
        invocation.output.warn(f"artstore: {conflict.name} was left alone: {conflict.why}")
    return Conflict.exit_code if conflicts else 0

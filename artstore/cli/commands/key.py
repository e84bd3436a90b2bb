"""Who may open an encrypted store: `key`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from artstore.cli import text
from artstore.cli.command import Group
from artstore.cli.invocation import Invocation, ask_new_passphrase, ask_passphrase
from artstore.cli.output import is_terminal

if TYPE_CHECKING:
    from artstore import KeyChange, Store


@click.group(
    "key",
    cls=Group,
    examples=[
        ("artstore key list", "who may open the store"),
        ("artstore key add --label alice", "one passphrase more"),
        ("artstore key remove 9f31c2aa", "one less, and a new key for what is written from now on"),
    ],
)
def key_command() -> None:
    """Passphrases of an encrypted store.

    Each opens all of it. They are changed at the home remote, if there is one, and other machines take that over when
    they next push or fetch.
    """


@key_command.command("list", examples=[("artstore key list --json", "for programs")])
@click.pass_obj
def list_command(invocation: Invocation) -> None:
    """Keys by id, with their labels; * marks the one that opened the store now."""
    from artstore.cli.documents import KeyItem, KeyListDocument

    store = invocation.open_store()
    items = [
        KeyItem(id=key.id, label=key.label, created=text.rfc3339(key.created), current=key.current)
        for key in store.list_keys()
    ]
    rows = [(item.id, item.created[:19] + "Z", item.label, "*" if item.current else "") for item in items]
    invocation.output.document(
        KeyListDocument(store=_path(store), keys=items),
        lines=lambda: [text.printable(line) for line in text.table(rows)],
        ids=lambda: [item.id for item in items],
    )


@key_command.command(
    "add",
    examples=[
        ("artstore key add --label alice", "asks for the passphrase twice"),
        ("artstore key add --label ci --new-passphrase-file ./secret", "takes it from a file"),
    ],
)
@click.option("--label", metavar="NAME", required=True, help="Whose it is, for people.")
@click.option(
    "--new-passphrase-file", "file", metavar="FILE", type=click.Path(), help="Take the passphrase from a file."
)
@click.pass_obj
def add_command(invocation: Invocation, label: str, file: str | None) -> None:
    """Let another passphrase open the store."""
    store = invocation.open_store()
    change = store.add_key(new_passphrase(file), label=label)
    _show(invocation, store, change, f"the key {change.id} ({text.printable(label)}) opens it, too")


@key_command.command("remove", examples=[("artstore key remove 9f31c2aa", "its id stands in `artstore key list`")])
@click.argument("id")
@click.pass_obj
def remove_command(invocation: Invocation, id: str) -> None:
    """Let a passphrase open the store no more.

    What is written from now on is sealed by a new key, which it never opened. Who had it and copied the store, or its
    keyring, can still open what was there then.
    """
    store = invocation.open_store()
    change = store.remove_key(id)
    _show(invocation, store, change, f"the key {id} opens it no more; what is new is sealed by key {change.epoch}")


@key_command.command("rotate", examples=[("artstore key rotate", "once a year, or when somebody has left")])
@click.pass_obj
def rotate_command(invocation: Invocation) -> None:
    """Seal what is written from now on by a new key. Passphrases stay as they are."""
    store = invocation.open_store()
    change = store.rotate_keys()
    _show(invocation, store, change, f"what is new is sealed by key {change.epoch}")


@key_command.command("remember", examples=[("artstore key remember", "asks for it, once")])
@click.pass_obj
def remember_command(invocation: Invocation) -> None:
    """Put the passphrase into this system's keyring, and take it from there from now on."""
    from artstore import UsageError

    store = invocation.open_store()
    store.list_keys()
    if not is_terminal(sys.stderr):
        raise UsageError("the passphrase is asked for, and there is no terminal", hint="run it on one")
    store.remember_passphrase(ask_passphrase("passphrase to remember: "))
    invocation.output.note("the system's keyring has it")


@key_command.command("forget", examples=[("artstore key forget", "it is asked for again")])
@click.pass_obj
def forget_command(invocation: Invocation) -> None:
    """Take the passphrase out of this system's keyring."""
    invocation.open_store().forget_passphrase()
    invocation.output.note("the system's keyring doesn't have it any more")


def new_passphrase(file: str | None, *, otherwise: str = "add --new-passphrase-file FILE") -> str:
    """A passphrase that isn't in use yet: from a file, else asked for twice. UsageError without a terminal, which says
    what to do `otherwise`.
    """
    from artstore import UsageError
    from artstore.wiring import keys

    if file is not None:
        return keys.passphrase_in(file, "--new-passphrase-file")
    if not is_terminal(sys.stderr):
        raise UsageError("a new passphrase is asked for, and there is no terminal", hint=otherwise)
    return ask_new_passphrase()


def _show(invocation: Invocation, store: Store, change: KeyChange, said: str) -> None:
    from artstore.cli.documents import KeyDocument

    invocation.output.document(
        KeyDocument(store=_path(store), id=change.id, epoch=change.epoch, unreached=list(change.unreached)),
        lines=lambda: [said],
        ids=lambda: [change.id] if change.id else [],
    )
    for name in change.unreached:
        invocation.output.warn(f"artstore: {name} can't be reached: it gets the keyring with the next push there")


def _path(store: Store) -> str:
    return text.name(os.fsencode(store.path))

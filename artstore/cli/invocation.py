"""One call of the command: what was asked for on its line, and what it opened."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore.cli.output import Output, is_terminal
from artstore.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from artstore import Store
    from artstore.store.context import Counters
    from artstore.wiring.keys import Unlocking


@dataclass(slots=True)
class Invocation:
    """The global options, as they were found anywhere on the line, and the store once a command asks for it."""

    store: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: int = 0
    color: bool | None = None
    may_ask: bool = True
    _opened: Store | None = None
    _unlocking: Unlocking | None = None

    @property
    def output(self) -> Output:
        """Where this command's words go."""
        return Output(json=self.json, quiet=self.quiet, color=self.color)

    def open_store(self, *, create: bool = False) -> Store:
        """The store; with `create` the default one is made on first use. Closed when the command ends."""
        if self._opened is None:
            unlocking = self.unlock_ahead()
            from artstore import Store

            self._opened = Store.open(self.store, create=create, passphrase=unlocking)
        return self._opened

    def unlock_ahead(self) -> Unlocking:
        """Begin to unlock the store, if it is encrypted: the more is imported behind this, the sooner it is open."""
        from artstore.wiring.keys import Unlocking

        if self._unlocking is None:
            self._unlocking = Unlocking(self.store, self.asks_passphrase)
        return self._unlocking

    @property
    def asks_passphrase(self) -> Callable[[], str] | None:
        """What asks for the passphrase of an encrypted store; None without a terminal, and while a shell completes."""
        return ask_passphrase if is_terminal(sys.stderr) and self.may_ask else None

    @contextmanager
    def work(self, verb: str, *, plain: bool = True) -> Generator[Counters]:
        """Something that may take long: memory is set up for it, and its counters are shown as it goes.

        `plain`: in lines, if there is no terminal.
        """
        from artstore import wiring
        from artstore.cli.progress import Progress
        from artstore.store.context import Counters

        wiring.prepare_process()
        counters = Counters()
        with Progress(verb, counters, self.output, plain=plain):
            yield counters

    @contextmanager
    def transfer(self, verb: str) -> Generator[Counters]:
        """The same with a remote: how far it is is shown on a terminal only."""
        with self.work(verb, plain=False) as counters:
            yield counters

    def confirm(self, question: str, *, yes: bool, what: str) -> None:
        """Ask on the terminal, and end the command unless it is `y`; without one, name the option that answers."""
        if yes:
            return
        if not is_terminal(sys.stdin):
            raise UsageError(f"{what} asks first, and nobody is there to answer", hint="add --yes")
        import click

        if not click.confirm(question, err=True):
            raise Interrupted("nothing was done")

    def close(self) -> None:
        """Let go of the store."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def ask_passphrase(prompt: str = "passphrase: ") -> str:
    """Ask on the terminal, whatever standard input is; nothing is shown."""
    from getpass import getpass

    try:
        return getpass(prompt)
    except EOFError as error:
        raise Interrupted("no passphrase was said") from error


def ask_new_passphrase() -> str:
    """Ask for one that isn't in use yet, twice."""
    passphrase = ask_passphrase("new passphrase: ")
    if passphrase != ask_passphrase("the same again: "):
        raise UsageError("these are two passphrases", hint="try again")
    return passphrase

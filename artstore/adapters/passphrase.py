"""Where the passphrase of an encrypted store comes from when nobody is asked for it. Owner of `keyring`.

In this order: $ARTSTORE_PASSPHRASE, $ARTSTORE_PASSPHRASE_FILE, $ARTSTORE_PASSPHRASE_COMMAND; then what the store's
config says: `encryption.passphrase_file`, `encryption.passphrase_command`, `encryption.keyring`.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from artstore import limits
from artstore.errors import NotFound, NotPermitted, UsageError

VARIABLE: Final = "ARTSTORE_PASSPHRASE"
FILE_VARIABLE: Final = "ARTSTORE_PASSPHRASE_FILE"
COMMAND_VARIABLE: Final = "ARTSTORE_PASSPHRASE_COMMAND"
_SERVICE: Final = "artstore"
_STDIN: Final = 0
_COMMAND_S: Final = 120.0  # a command may ask on a screen


@dataclass(frozen=True, slots=True)
class Sources:
    """What a store's config says. `keys`: the fingerprint of its keys in hex, under which the keyring has it."""

    keys: str = ""
    file: str | None = None
    command: str | None = None
    keyring: bool = False


@dataclass(frozen=True, slots=True)
class Passphrase:
    """One that was found. `origin`: what to call its place."""

    value: bytes = field(repr=False)  # kept out of logs
    origin: str


def find(
    sources: Sources, *, config: str, environment: Mapping[str, str] | None = None, asks_others: bool = True
) -> Passphrase | None:
    """The first that there is; None if nothing is set. A place that is set and has none is an error.

    `config`: the path of the config, whose command is run only if nobody else can have written it. `asks_others`: else
    None, too, if a command or the system's keyring would have to be asked.
    """
    environment = os.environ if environment is None else environment
    if VARIABLE in environment:
        return Passphrase(environment[VARIABLE].encode(), f"${VARIABLE}")
    if FILE_VARIABLE in environment:
        return from_file(environment[FILE_VARIABLE], f"${FILE_VARIABLE}")
    if COMMAND_VARIABLE in environment:
        if not asks_others:
            return None
        return _from_command(environment[COMMAND_VARIABLE], f"${COMMAND_VARIABLE}")
    if sources.file is not None:
        return from_file(sources.file, "encryption.passphrase_file")
    if not asks_others:
        return None
    if sources.command is not None:
        _require_own(config)
        return _from_command(sources.command, "encryption.passphrase_command")
    if sources.keyring:
        value = _keyring().get_password(_SERVICE, sources.keys)
        if value is None:
            raise NotFound(
                "this system's keyring has no passphrase for this store", hint="`artstore key remember` puts it there"
            )
        return Passphrase(value.encode(), "the system's keyring")
    return None


def remember(keys: str, passphrase: bytes) -> None:
    """Put a passphrase into the system's keyring. NotFound if there is none that can be used."""
    from keyring.errors import KeyringError

    backend = _keyring()
    try:
        backend.set_password(_SERVICE, keys, passphrase.decode())
    except (KeyringError, UnicodeDecodeError) as error:
        raise NotFound(f"the system's keyring did not take it: {error}", hint=_WITHOUT) from error


def forget(keys: str) -> None:
    """Take it out; absent is fine."""
    from keyring.errors import PasswordDeleteError

    try:
        _keyring().delete_password(_SERVICE, keys)
    except PasswordDeleteError:
        return


class _Backend:
    """What is used of `keyring`, with its errors as ours."""

    def __init__(self) -> None:
        import keyring

        self._keyring = keyring

    def get_password(self, service: str, name: str) -> str | None:
        from keyring.errors import KeyringError

        try:
            return self._keyring.get_password(service, name)
        except KeyringError as error:
            raise NotFound(f"this system's keyring can't be read: {error}", hint=_WITHOUT) from error

    def set_password(self, service: str, name: str, value: str) -> None:
        self._keyring.set_password(service, name, value)

    def delete_password(self, service: str, name: str) -> None:
        self._keyring.delete_password(service, name)


def _keyring() -> _Backend:
    try:
        return _Backend()
    except ModuleNotFoundError as error:
        raise NotFound(
            f"what the system's keyring needs is missing: {error.name} is not installed",
            hint="pip install 'artstore[encrypt]'",
        ) from error


def from_file(path: str, origin: str) -> Passphrase:
    """The first line of a file that `origin` names."""
    path = os.path.expanduser(path)
    try:
        with open(path, "rb") as file:
            data = file.read(limits.PASSPHRASE_BYTES_MAX + 2)
    except FileNotFoundError as error:
        raise NotFound(f"{origin} names {path}, which is missing") from error
    except OSError as error:
        raise NotPermitted(f"{origin} names {path}, which can't be read: {error.strerror}") from error
    return Passphrase(_line(data, f"{path} ({origin})"), f"{path} ({origin})")


def _from_command(command: str, origin: str) -> Passphrase:
    try:
        words = shlex.split(command)
        # It may ask on a terminal; what is piped in is to be committed, and would lack what the command has read of it.
        given = None if os.isatty(_STDIN) else subprocess.DEVNULL
        done = subprocess.run(words, stdin=given, stdout=subprocess.PIPE, check=False, timeout=_COMMAND_S)  # noqa: S603 - what the user says
    except (ValueError, OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{origin} can't be run: {error}") from error
    if done.returncode != 0:
        raise UsageError(f"{origin} ended with {done.returncode}, and gave no passphrase")
    return Passphrase(_line(done.stdout, origin), origin)


def _line(data: bytes, origin: str) -> bytes:
    """The first line: programs put a newline behind it, password managers more of what they know."""
    value = data.partition(b"\n")[0].removesuffix(b"\r")
    if not 0 < len(value) <= limits.PASSPHRASE_BYTES_MAX:
        raise UsageError(f"{origin} has {len(value)} bytes, a passphrase 1 to {limits.PASSPHRASE_BYTES_MAX}")
    return value


def _require_own(config: str) -> None:
    """NotPermitted if somebody else could have said what is run here."""
    told = os.stat(config)
    if told.st_uid not in (os.getuid(), 0) or told.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotPermitted(
            f"encryption.passphrase_command is not run, since others can write {config}",
            hint=f"say it in ${COMMAND_VARIABLE}",
        )


_WITHOUT: Final = f"use ${FILE_VARIABLE}, ${COMMAND_VARIABLE} or the prompt"

"""What lets others in over TCP: random bytes in a file that only its owner reads."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from typing import Final

from artstore.errors import NotPermitted

_BYTES: Final = 32
_CHARACTERS: Final = len(secrets.token_urlsafe(_BYTES))
_READ_MAX: Final = 4096


def token_of(path: str) -> str:
    """The token in a file, which is made if it is missing. NotPermitted if others can read or replace it."""
    try:
        found = _found(path)
        if len(found) >= _CHARACTERS:
            return found
        # A full disk has left it empty or cut off: what is in it anybody might guess.
        os.unlink(path)
    except FileNotFoundError:
        pass
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        made = secrets.token_urlsafe(_BYTES)
        file.write(made + "\n")
        return made


def _found(path: str) -> str:
    """What a file holds that is this user's alone."""
    try:
        # Neither through a link, nor waiting for whoever writes to a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EACCES, errno.ENXIO):
            raise _not_alone(path) from error
        raise
    with open(descriptor, encoding="ascii", errors="replace") as file:
        found = os.fstat(descriptor)
        if found.st_uid != os.getuid() or found.st_mode & 0o077 or not stat.S_ISREG(found.st_mode):
            raise _not_alone(path)
        return file.read(_READ_MAX).strip()


def _not_alone(path: str) -> NotPermitted:
    return NotPermitted(f"others can read or replace the token in {path}", hint=f"rm {path}; a new one is made")

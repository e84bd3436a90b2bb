"""What lets others in over TCP: random bytes in a file that only its owner reads."""

from __future__ import annotations

import os
import secrets
import stat

from artstore.errors import NotPermitted

_BYTES = 32


def token_of(path: str) -> str:
    """The token in a file, which is made if it is missing. NotPermitted if others can read it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        found = os.lstat(path)
        if found.st_uid != os.getuid() or found.st_mode & 0o077 or not stat.S_ISREG(found.st_mode):
            raise NotPermitted(
                f"others can read or replace the token in {path}", hint=f"rm {path}; a new one is made"
            ) from None
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    with open(descriptor, "w", encoding="ascii") as file:
        made = secrets.token_urlsafe(_BYTES)
        file.write(made + "\n")
        return made

"""Who is at work, for the record: a name on a version, a user and a machine on an alias's move."""

from __future__ import annotations

import getpass
import os
import socket


def user() -> str:
    """The name of the user, or its number where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user-{os.getuid()}"


def host() -> str:
    """The name of this machine."""
    return socket.gethostname()


def author() -> str:
    """Who a version is by: $ARTSTORE_AUTHOR, else the user at this machine."""
    return os.environ.get("ARTSTORE_AUTHOR") or f"{user()}@{host()}"

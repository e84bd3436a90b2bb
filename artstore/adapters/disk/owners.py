"""Whose a store is, and what to tell who may not use it."""

from __future__ import annotations

import os
import pwd

from artstore.errors import NotPermitted


def owner_of(path: str) -> str:
    """The name of who owns the nearest folder that can be looked at."""
    while True:
        try:
            uid = os.stat(path).st_uid
        except OSError:
            parent = os.path.dirname(path)
            if parent == path:
                return "its owner"
            path = parent
            continue
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return f"user {uid}"


def refused(store: str) -> NotPermitted:
    """What to tell a user who may not open or write this store."""
    if _is_mounted_read_only(store):
        return NotPermitted(
            f"the store {store} lies on a file system that is mounted read-only", hint="mount it writable"
        )
    owner, is_readable = owner_of(store), os.access(store, os.R_OK | os.X_OK)
    return NotPermitted(
        f"the store {store} belongs to {owner} and is not open to you" + (" for writing" if is_readable else ""),
        hint=f"ask {owner} to run `artstore --store {store} config shared GROUP` with a group that you are in",
    )


def _is_mounted_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False

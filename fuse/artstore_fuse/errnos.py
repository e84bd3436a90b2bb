"""Which errno a program gets for which error: total, so that nothing reaches it as an accident.

Programs know few errnos: what they can do nothing about is EIO, and the log says more.
"""

from __future__ import annotations

import errno
from typing import Final

from artstore import errors

# Looked up along the classes of an error, the nearest first.
ERRNOS: Final[dict[type[errors.ArtstoreError], int]] = {
    errors.UsageError: errno.EINVAL,
    errors.BadName: errno.ENOENT,
    errors.Ambiguous: errno.ENOENT,
    errors.BadInput: errno.EINVAL,
    errors.Changing: errno.EINVAL,
    errors.Unsafe: errno.EINVAL,
    errors.NewerFormat: errno.EIO,
    errors.NotFound: errno.ENOENT,
    errors.NotPermitted: errno.EACCES,
    errors.Conflict: errno.EBUSY,
    errors.Corrupt: errno.EIO,
    errors.Unopened: errno.EIO,
    errors.Erased: errno.EIO,
    errors.RemoteError: errno.EIO,  # ETIMEDOUT confuses programs, EAGAIN lets them ask without end
    errors.Busy: errno.EBUSY,
    errors.NoSpace: errno.ENOSPC,
    errors.Interrupted: errno.EINTR,
    errors.ArtstoreError: errno.EIO,
}


def errno_of(error: Exception) -> int:
    """The errno of any error: its own for one of the system, that of its class for one of ours, else EIO; never 0."""
    if isinstance(error, OSError):
        return error.errno or errno.EIO
    for kind in type(error).__mro__:
        if kind in ERRNOS:
            return ERRNOS[kind]
    return errno.EIO

"""One daemon for each store: a lock of the kernel's, which goes with its process, and says which that is."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from artstore.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Generator

_MODE = 0o644
_SHARED_MODE = 0o664  # in a store that a group shares: whoever starts the next daemon writes there, too


@contextmanager
def held(path: str) -> Generator[None]:
    """Hold the lock. Busy, with whose it is, if a daemon has it; what one that was killed left is taken over."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        _share(path, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise Busy(
                f"a daemon watches over this store already: {_said(descriptor) or 'it doesn’t say which'}",
                hint="`artstore daemon status` asks it, `artstore daemon stop` ends it",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(path: str) -> int | None:
    """The process that holds the lock, on this machine; None if nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        words = _said(descriptor).split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def _share(path: str, descriptor: int) -> None:
    is_shared = os.stat(os.path.dirname(path)).st_mode & stat.S_IWGRP
    found = os.fstat(descriptor)
    if is_shared and found.st_uid == os.geteuid() and not found.st_mode & stat.S_IWGRP:
        os.fchmod(descriptor, _SHARED_MODE)


def _said(descriptor: int) -> str:
    return os.pread(descriptor, 256, 0).decode("utf-8", "replace").strip()

"""One daemon for each store: a lock of the kernel's, which goes with its process, and says which that is."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from artstore.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Generator

_MODE = 0o644


@contextmanager
def held(path: str) -> Generator[None]:
    """Hold the lock. Busy, with whose it is, if a daemon has it; what one that was killed left is taken over."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
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


def _said(descriptor: int) -> str:
    return os.pread(descriptor, 256, 0).decode("utf-8", "replace").strip()

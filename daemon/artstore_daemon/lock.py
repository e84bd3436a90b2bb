"""One daemon for each store: a lock of the kernel's, which goes with its process, and says which that is."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from artstore import wiring
from artstore.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Generator

_MODE: Final = 0o644
_SHARED_MODE: Final = 0o664  # in a store that a group shares: whoever starts the next daemon writes there, too
_BYTES_MAX: Final = 8192
_SPACE: Final = "numbered in"
_SOCKET: Final = "answers at"
_TRIES: Final = 5
_PAUSE_S: Final = 0.02


class Held:
    """The lock while this process has it."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def is_lost(self) -> bool:
        """Was it removed with its store, or is another in its place? A store that was only moved away may come back."""
        own = os.fstat(self._descriptor)
        try:
            there = os.stat(self._path)
        except OSError:
            return own.st_nlink == 0
        return not os.path.samestat(own, there)


@contextmanager
def held(path: str, *, socket_path: str = "") -> Generator[Held]:
    """Hold the lock. Busy, with whose it is, if a daemon has it; what one that was killed left is taken over.

    `socket_path`: where this one answers, whatever the environment of those who ask.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise wiring.refused(os.path.dirname(path)) from error
        raise
    try:
        _share(path, descriptor)
        _take(descriptor)
        said = (f"process {os.getpid()} on {socket.gethostname()}", f"{_SPACE} {_space()}", f"{_SOCKET} {socket_path}")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, "".join(f"{line}\n" for line in said).encode("utf-8", "surrogateescape"), 0)
        yield Held(path, descriptor)
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(path: str) -> int | None:
    """The process that holds the lock; None if nobody does, 0 if it isn't said, or it isn't one of this container."""
    said = _told(path)
    if said is None:
        return None
    words = said[0].split() if said else []
    is_here = _value(said, _SPACE) in (None, _space())
    return int(words[1]) if is_here and len(words) > 1 and words[1].isdigit() else 0


def said(path: str) -> str:
    """Who holds the lock, in words; empty if nobody does, or it isn't said."""
    return next(iter(_told(path) or ()), "")


def socket_of(path: str) -> str | None:
    """Where the daemon that holds the lock answers, if it says so, and is this user's."""
    place = _value(_told(path) or [], _SOCKET)
    try:
        return place if place and os.stat(place).st_uid == os.getuid() else None
    except OSError:
        return None


def _take(descriptor: int) -> None:
    """Those who only look whose it is hold it for a moment, too: they are waited for."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            time.sleep(_PAUSE_S)
        else:
            return
    raise Busy(
        f"a daemon watches over this store already: {next(iter(_read(descriptor)), 'it doesn’t say which')}",
        hint="`artstore daemon status` asks it, `artstore daemon stop` ends it",
    )


def _told(path: str) -> list[str] | None:
    """What the holder has written; None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


def _value(lines: list[str], name: str) -> str | None:
    return next((line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")), None)


def _space() -> str:
    """In which numbers of processes mean what they mean here: a container has its own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "unknown"


def _share(path: str, descriptor: int) -> None:
    is_shared = os.stat(os.path.dirname(path)).st_mode & stat.S_IWGRP
    found = os.fstat(descriptor)
    if is_shared and found.st_uid == os.geteuid() and not found.st_mode & stat.S_IWGRP:
        os.fchmod(descriptor, _SHARED_MODE)


def _read(descriptor: int) -> list[str]:
    return os.pread(descriptor, _BYTES_MAX, 0).decode("utf-8", "surrogateescape").splitlines()

"""Running writers, known to other processes by locked files: STORE/sessions/<24 hex>, held by flock while they live.

The kernel lets go of a lock when its process dies, so that a file that can be locked is a dead session's. Whoever
cleans up removes a file only while he holds its lock; a session that finds its file gone after it got the lock begins
again with another one.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import shutil
import time
import weakref
from contextlib import suppress
from types import TracebackType
from typing import Self

from artstore import limits
from artstore.adapters.disk import faultpoints
from artstore.adapters.disk.errnos import translating
from artstore.adapters.disk.files import share
from artstore.adapters.disk.owners import refused
from artstore.model import PackId

FOLDER = "sessions"
TEMPORARY = "tmp"
SESSION_ID_BYTES = 12
SEQUENCE_MAX = (1 << 32) - 1

_NAME = re.compile(r"[0-9a-f]{24}")
_UNFINISHED = re.compile(r".+\.[0-9a-f]{16}\.tmp|refs\.log\.new")  # disk.files.durable_write, RefsLog.rewrite
_INDEX = re.compile(r"index-[0-9a-f]{16}(\.old)?")  # lmdb_index.rebuilding
_PACK = re.compile(r"([0-9a-f]{24})[0-9a-f]{8}\.pack")


class FileSession:
    """Implements `artstore.ports.Session`. Thread-safe."""

    def __init__(self, path: str, id: bytes, descriptor: int) -> None:
        self._path = path
        self._held = [descriptor]  # no lock guards it: Ctrl-C could leave one locked
        self._id = id
        self._numbers = itertools.count()
        self._pid = os.getpid()
        _living.add(self)

    @property
    def id(self) -> bytes:
        """12 random bytes."""
        return self._id

    def next_pack_id(self) -> PackId:
        """A name that was never used and never will be [I6]."""
        assert self._pid == os.getpid(), "a session does not survive a fork"
        number = next(self._numbers)
        assert number <= SEQUENCE_MAX
        return PackId(self._id + number.to_bytes(4, "big"))

    def close(self) -> None:
        """End the session; closing twice is fine. In a forked child it leaves the parent's session alone."""
        if not self._held:
            return
        try:
            _unlink_if_there(self._path)
            faultpoints.reach("session.ended")
        finally:
            self.let_go()

    def __del__(self) -> None:
        # Ctrl-C may come between the beginning of a session and the `with` that would have ended it.
        if hasattr(self, "_held"):
            self.close()

    def let_go(self) -> None:
        """Give up the lock. In a forked child too: it must end with the parent, not with its last child."""
        with suppress(IndexError):  # of two threads one closes it
            os.close(self._held.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FileSessions:
    """Implements `artstore.ports.Sessions` for the store at a path."""

    def __init__(self, store: str, *, shared: bool = False) -> None:
        self._store = store
        self._folder = os.path.join(store, FOLDER)
        self._temporary = os.path.join(store, TEMPORARY)
        self._shared = shared

    def begin(self) -> FileSession:
        """Create and lock a session's file."""
        with translating("begin a session in", self._folder):
            if not os.access(self._folder, os.W_OK) and os.path.isdir(self._folder):
                raise refused(self._store)
            while True:
                id = os.urandom(SESSION_ID_BYTES)
                path = os.path.join(self._folder, id.hex())
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                session = FileSession(path, id, descriptor)  # from here on it is ended whatever happens
                if self._shared:
                    share(descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if _is_at(path, descriptor):
                    faultpoints.reach("session.begun")
                    return session
                session.close()  # a clean-up had it between our open and our lock

    def running(self) -> list[tuple[bytes, int]]:
        """(session id, start time in ns) of sessions whose lock is held, this process's own included."""
        found: list[tuple[bytes, int]] = []
        for name in self._names():
            path = os.path.join(self._folder, name)
            with translating("look at", path):
                try:
                    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                try:
                    if not _lock_now(descriptor, fcntl.LOCK_SH) and _is_at(path, descriptor):
                        found.append((bytes.fromhex(name), os.fstat(descriptor).st_mtime_ns))
                finally:
                    os.close(descriptor)
        return found

    def clean(self) -> int:
        """Remove files of dead sessions and the temporary packs that belong to them; return how many files went."""
        removed = sum(self._remove_if_dead(name) for name in self._names())
        # A pack's session file is made before the pack and removed after it: none here means nobody writes the pack.
        for name in _listed(self._temporary):
            match = _PACK.fullmatch(name)
            if match is not None and not os.path.exists(os.path.join(self._folder, match[1])):
                removed += _unlink_if_there(os.path.join(self._temporary, name))
        return removed + self._remove_abandoned()

    def _remove_abandoned(self) -> int:
        """What killed `durable_write`s or rebuilding of the index left: they have no session, but none takes a day."""
        removed = 0
        for folder, pattern in ((self._store, _UNFINISHED), (self._temporary, _INDEX)):
            for name in _listed(folder):
                path = os.path.join(folder, name)
                if pattern.fullmatch(name) and _age_ns(path) > limits.ABANDONED_NS:
                    removed += _remove(path)
        return removed

    def _remove_if_dead(self, name: str) -> int:
        path = os.path.join(self._folder, name)
        with translating("clean up", path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return 0
            try:
                if _lock_now(descriptor, fcntl.LOCK_EX) and _is_at(path, descriptor):
                    return _unlink_if_there(path)
                return 0
            finally:
                os.close(descriptor)

    def _names(self) -> list[str]:
        return [name for name in _listed(self._folder) if _NAME.fullmatch(name)]


def _after_fork_in_child() -> None:
    for session in list(_living):
        session.let_go()
    _living.clear()


_living: weakref.WeakSet[FileSession] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork_in_child)


def _is_at(path: str, descriptor: int) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock_now(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _listed(folder: str) -> list[str]:
    with translating("read", folder):
        try:
            return os.listdir(folder)
        except FileNotFoundError:
            return []


def _age_ns(path: str) -> int:
    """Since the last change of a file, or of the newest thing in a folder; 0 when it is gone."""
    with translating("look at", path):
        try:
            inside = [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else []
            return time.time_ns() - max(os.stat(each).st_mtime_ns for each in (path, *inside))
        except FileNotFoundError:
            return 0


def _remove(path: str) -> int:
    if not os.path.isdir(path):
        return _unlink_if_there(path)
    shutil.rmtree(path, ignore_errors=True)
    return 1


def _unlink_if_there(path: str) -> int:
    with translating("delete", path):
        try:
            os.unlink(path)
        except FileNotFoundError:
            return 0
        return 1

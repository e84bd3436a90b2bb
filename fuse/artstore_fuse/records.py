"""What this user's mounts leave on disk beside the kernel's list: a record, a lock and a log for each mount point.

The kernel's list is the truth about what is mounted; a record adds which store and which processes. Everything lies in
one folder of state, named by its caller.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from typing import Final

from artstore import limits
from artstore.errors import Busy, NotPermitted

_RETRY_S: Final = 0.02
_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR})


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One mount: `supervisor` and `server` are processes, which began at `supervisor_born` and `born` (`birth_of`)."""

    point: str
    store: str
    store_id: str
    supervisor: int
    supervisor_born: int
    server: int
    born: int
    started_ns: int
    log: str | None


class Records:
    """The records in one folder, which is made when something is first kept there."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def log_path(self, point: str) -> str:
        """Where the mount at this point writes what it has to say."""
        return self._path(point, "log")

    def prepare(self) -> None:
        """Make the folder. NotPermitted if nothing can be kept there."""
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            raise NotPermitted(
                f"{self._folder}: {error.strerror}; the mount's log and its lock would lie there",
                hint="set XDG_STATE_HOME to a folder that can be written",
            ) from error

    def get(self, point: str) -> Record | None:
        """The record of a mount point; None if there is none that can be read."""
        try:
            with open(self._path(point, "json"), encoding="utf-8") as file:
                return Record(**json.load(file))
        except (OSError, ValueError, TypeError):
            return None

    def put(self, record: Record) -> None:
        """Keep a record in place of an older one."""
        path = self._path(record.point, "json")
        temporary = f"{path}.{os.getpid()}"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(record), file)
        os.replace(temporary, path)

    def remove(self, point: str, *, supervisor: int) -> None:
        """Forget a record, if it is still that of this supervisor, which then starts no server again."""
        found = self.get(point)
        if found is not None and found.supervisor == supervisor:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(point, "json"))

    @contextlib.contextmanager
    def lock(self, point: str, timeout_s: float, *, wait: Callable[[float], None] = time.sleep) -> Generator[None]:
        """Be the only one who mounts there. Busy after `timeout_s`.

        `wait` lets so many seconds pass; what it raises ends the waiting.
        """
        descriptor = os.open(self._path(point, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = time.monotonic() + timeout_s
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise Busy(f"somebody else is mounting at {point}", hint="try again") from None
                    wait(_RETRY_S)
            yield
        finally:
            os.close(descriptor)

    def _path(self, point: str, kind: str) -> str:
        key = hashlib.blake2b(os.fsencode(point), digest_size=8).hexdigest()
        return os.path.join(self._folder, f"mount-{key}.{kind}")


def birth_of(process: int) -> int | None:
    """When a process began, in ticks since the system's start: with its number it is told from a later one.

    None if there is no such process any more.
    """
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if words[0] in (b"Z", b"X") else int(words[19])


def is_running(record: Record) -> bool:
    """Does the server of a record still run?"""
    return birth_of(record.server) == record.born


def is_supervised(record: Record) -> bool:
    """Does the supervisor of a record still run, which may start another server?"""
    return birth_of(record.supervisor) == record.supervisor_born


def wait_for_end(process: int, timeout_s: float) -> bool:
    """Wait until a process, whose parent somebody else may be, is gone; False if it isn't in time."""
    born, end = birth_of(process), time.monotonic() + timeout_s
    while born is not None and birth_of(process) == born:
        if time.monotonic() > end:
            return False
        time.sleep(_RETRY_S)
    return True


def rotate(path: str) -> None:
    """Empty a log that has become long; one older one is kept. Whoever has it open to append goes on in it."""
    with contextlib.suppress(OSError):
        if os.stat(path).st_size > limits.MOUNT_LOG_BYTES_MAX:
            older = os.open(f"{path}.1", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(older, "wb") as kept, open(path, "rb") as file:
                shutil.copyfileobj(file, kept)
            os.truncate(path, 0)

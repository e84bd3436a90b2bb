"""Files that are there after a power cut, and what lies beneath them: file systems and their free space."""

from __future__ import annotations

import os
from dataclasses import dataclass

from artstore.adapters.disk import faultpoints
from artstore.adapters.disk.errnos import translating

FOLDER_MODE_SHARED = 0o2770  # setgid: what is made below belongs to the same group
FILE_MODE_SHARED = 0o660


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of a file system: free for this user, and in all."""

    free: int
    total: int


def fsync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    with translating("sync", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(path: str, *, shared: bool) -> bool:
    """Make one folder whose parent exists; False if it is there. Its name is durable when this returns."""
    with translating("make the folder", path):
        try:
            os.mkdir(path)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
            return False
        if shared:
            os.chmod(path, FOLDER_MODE_SHARED)  # mkdir's own mode is cut by umask
    fsync_folder(os.path.dirname(path))
    return True


def share(descriptor: int) -> None:
    """Let the group read and write a file that was just made."""
    os.fchmod(descriptor, FILE_MODE_SHARED)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte, whatever the system takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def durable_write(path: str, data: bytes, *, shared: bool = False, exclusive: bool = False) -> bool:
    """Put a whole file at `path`, or nothing: a temporary file beside it, fsync, rename, fsync of the folder.

    `exclusive`: an existing file stays as it is, and False is returned.
    """
    temporary = f"{path}.{os.urandom(8).hex()}.tmp"
    with translating("write", path):
        try:
            _write_synced(temporary, data, shared=shared)
            faultpoints.reach("file.written")
            done = _place(temporary, path, exclusive=exclusive)
        finally:
            _unlink_if_there(temporary)
    faultpoints.reach("file.renamed")
    fsync_folder(os.path.dirname(path))
    return done


def space(path: str) -> Space:
    """How much room there is where `path` lies."""
    with translating("look at", path):
        status = os.statvfs(path)
    return Space(free=status.f_bavail * status.f_frsize, total=status.f_blocks * status.f_frsize)


def _write_synced(path: str, data: bytes, *, shared: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        if shared:
            share(descriptor)
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _place(temporary: str, path: str, *, exclusive: bool) -> bool:
    if not exclusive:
        os.rename(temporary, path)
        return True
    try:
        os.link(temporary, path)  # unlike rename, it fails when another process was first
    except FileExistsError:
        return False
    return True


def _unlink_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return

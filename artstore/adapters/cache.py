"""STORE/cache: parts of packs that remotes have, as sparse files: STORE/cache/<first 2 hex>/<32 hex>.pack.

Nothing is synced and nothing is recorded: a hole reads as zeros, a crash may leave anything, and whoever reads checks
each object against its id [I5]. So any number of processes write the same bytes to the same places without a lock.
"""

from __future__ import annotations

import errno
import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.adapters.disk import faultpoints
from artstore.adapters.disk.errnos import translating
from artstore.adapters.disk.files import FILE_MODE_SHARED, FOLDER_MODE_SHARED, space
from artstore.model import CachedPack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.ports import Buffer

FOLDER: Final = "cache"
_NAME: Final = re.compile(r"([0-9a-f]{32})\.pack")
_BLOCK: Final = 512  # st_blocks counts these, whatever the file system's own are


class FileCache:
    """Implements `artstore.ports.PackCache` for the store at a path."""

    def __init__(self, store: str, *, shared: bool = False) -> None:
        self._store = store
        self._root = os.path.join(store, FOLDER)
        self._shared = shared
        self._noted: dict[bytes, float] = {}  # when it was last noted that a pack is in use

    def read(self, name: bytes, offset: int, size: int) -> bytes | None:
        """`size` bytes, or None if the file ends before them."""
        path = self._path(name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # whatever it is: what can't be read is a miss
            return None
        try:
            data = os.pread(descriptor, size, offset)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        self._note_use(name, path)
        return data if len(data) == size else None

    def holes(self, name: bytes, offset: int, size: int) -> list[tuple[int, int]]:
        """What was not kept of a range: by SEEK_DATA and SEEK_HOLE, in whole blocks of the file system."""
        end = offset + size
        try:
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return [(offset, size)]
        found: list[tuple[int, int]] = []
        try:
            while offset < end:
                data = min(_seek(descriptor, offset, os.SEEK_DATA, end), end)
                if data > offset:
                    found.append((offset, data - offset))
                offset = min(_seek(descriptor, data, os.SEEK_HOLE, end), end) if data < end else end
        except OSError:  # as in `read`
            found.append((offset, end - offset))
        finally:
            os.close(descriptor)
        return found

    def write(self, name: bytes, offset: int, data: Buffer) -> None:
        """Keep a part of a pack."""
        path = self._path(name)
        with translating("keep what was fetched in", path):
            descriptor = self._open(path)
            try:
                view = memoryview(data)
                while view:
                    count = os.pwrite(descriptor, view, offset)
                    view, offset = view[count:], offset + count
            finally:
                os.close(descriptor)
        faultpoints.reach("cache.written")

    def drop(self, name: bytes) -> None:
        """Forget a pack; absent is fine."""
        path = self._path(name)
        with translating("delete", path), suppress(FileNotFoundError):
            os.unlink(path)

    def list(self) -> Iterator[CachedPack]:
        """All packs of which something is kept."""
        for folder in _entries(self._root):
            for entry in _entries(folder.path):
                match = _NAME.fullmatch(entry.name)
                with suppress(FileNotFoundError):  # another process was quicker
                    if match is not None:
                        found = entry.stat(follow_symlinks=False)
                        yield CachedPack(bytes.fromhex(match[1]), found.st_blocks * _BLOCK, found.st_mtime_ns)

    def disk(self) -> tuple[int, int]:
        """Bytes that are free, and all."""
        found = space(self._store)
        return found.free, found.total

    def _open(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            for folder in (self._root, os.path.dirname(path)):
                with suppress(FileExistsError):
                    os.mkdir(folder, 0o700)
                if self._shared:  # also where who made it was killed before
                    with suppress(PermissionError):  # another user's
                        os.chmod(folder, FOLDER_MODE_SHARED)
            descriptor = os.open(path, flags, 0o600)
        if self._shared:
            with suppress(PermissionError):  # another user's
                os.fchmod(descriptor, FILE_MODE_SHARED)
        return descriptor

    def _note_use(self, name: bytes, path: str) -> None:
        """What is used goes last; by the file's time, since other processes are to see it."""
        now = time.monotonic()
        if now - self._noted.get(name, float("-inf")) < limits.CACHE_USE_S:
            return
        if len(self._noted) >= limits.CACHE_NOTED_MAX:
            self._noted.clear()
        self._noted[name] = now
        with suppress(OSError):  # gone, or another user's
            os.utime(path)

    def _path(self, name: bytes) -> str:
        text = name.hex()
        return os.path.join(self._root, text[:2], f"{text}.pack")


def _seek(descriptor: int, offset: int, whence: int, end: int) -> int:
    try:
        return os.lseek(descriptor, offset, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing behind it
            return end
        raise


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # the last: another user's, who was killed
        return []

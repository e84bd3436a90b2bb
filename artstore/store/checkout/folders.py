"""Folders below a destination, reached only by descriptors: no symbolic link is ever followed on the way.

A bounded number of descriptors stays open; a folder whose own was closed is opened again from the nearest one above.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Self

from artstore import limits
from artstore.store.trouble import translate

if TYPE_CHECKING:
    from collections.abc import Generator

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """A folder of the destination. `fresh`: made by this run, so that nothing of others can be in it."""

    __slots__ = ("descriptor", "fresh", "name", "parent", "pins")

    def __init__(self, parent: Folder | None, name: bytes, *, fresh: bool) -> None:
        self.parent = parent
        self.name = name
        self.fresh = fresh
        self.descriptor = -1
        self.pins = 0

    def path(self, name: bytes = b"") -> bytes:
        """For messages."""
        parts = [name] if name else []
        folder: Folder | None = self
        while folder is not None:
            parts.append(folder.name)
            folder = folder.parent
        return b"/".join(reversed(parts))


class Folders:
    """All folders of one checkout. Thread-safe; a context, which closes what it opened."""

    def __init__(self, path: bytes, *, fresh: bool, open_max: int = limits.RESTORE_FOLDERS_OPEN) -> None:
        self.top = Folder(None, path, fresh=fresh)
        try:
            # The destination itself is the user's word: it may be a symbolic link.
            self.top.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise translate(error, "open", path) from error
        self.top.pins = 1
        self._open_max = open_max
        self._open: OrderedDict[Folder, None] = OrderedDict()
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in [self.top, *self._open]:
            os.close(folder.descriptor)
            folder.descriptor = -1
        self._open.clear()

    @contextmanager
    def pin(self, folder: Folder) -> Generator[int]:
        """The folder's descriptor, which stays open meanwhile."""
        with self._lock:
            descriptor = self._descriptor(folder)
            folder.pins += 1
        try:
            yield descriptor
        finally:
            with self._lock:
                folder.pins -= 1

    def make(self, parent: Folder, name: bytes, *, replace: bool = False) -> Folder:
        """The folder `name`, made if need be; `replace`: in place of a file or link of that name. Unsafe otherwise."""
        try:
            with self.pin(parent) as above:
                if _mkdir(name, above):
                    return Folder(parent, name, fresh=True)
                if not stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                    if not replace:
                        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
                    os.unlink(name, dir_fd=above)
                    os.mkdir(name, dir_fd=above)
                    return Folder(parent, name, fresh=True)
        except OSError as error:
            raise translate(error, "make the folder", parent.path(name)) from error
        return Folder(parent, name, fresh=False)

    def _descriptor(self, folder: Folder) -> int:
        if folder.descriptor < 0:
            folder.descriptor = self._reopen(folder)
            self._open[folder] = None
            self._close_some()
        elif folder is not self.top:
            self._open.move_to_end(folder)
        return folder.descriptor

    def _reopen(self, folder: Folder) -> int:
        way: list[Folder] = []
        above = folder
        while above.descriptor < 0:
            way.append(above)
            assert above.parent is not None  # the top stays open
            above = above.parent
        descriptor = above.descriptor
        for step in reversed(way):
            try:
                below = os.open(step.name, _OPEN, dir_fd=descriptor)
            except OSError as error:
                raise translate(error, "open", step.path()) from error
            finally:
                if descriptor != above.descriptor:
                    os.close(descriptor)
            descriptor = below
        return descriptor

    def _close_some(self) -> None:
        if len(self._open) <= self._open_max:
            return
        # The newest is about to be pinned; of the others the one used longest ago goes first.
        idle = next((folder for folder in self._open if folder.pins == 0), None)
        if idle is not None and idle is not next(reversed(self._open)):
            del self._open[idle]
            os.close(idle.descriptor)
            idle.descriptor = -1


def _mkdir(name: bytes, above: int) -> bool:
    try:
        os.mkdir(name, dir_fd=above)
    except FileExistsError:
        return False
    return True

"""Temporary files that a checkout which was killed left in the destination: found, completed or removed."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from artstore.format.tree import lookup
from artstore.store.checkout.restore import name_key
from artstore.store.trouble import translate

if TYPE_CHECKING:
    from artstore.model import Entry
    from artstore.store.checkout.folders import Folder, Folders
    from artstore.store.objects import Objects

_NAME = re.compile(rb"\.artstore-([0-9a-f]{16})?-[0-9a-f]{12}-[0-9]+\.part")
_REMEMBERED_MAX = 4096  # in one folder; what is beyond waits for the next run


class Leftovers:
    """Of all folders entered and not left yet. Used by one thread, while the destination is locked."""

    def __init__(self, objects: Objects, folders: Folders) -> None:
        self._objects = objects
        self._folders = folders
        self._names: dict[Folder, list[bytes]] = {}

    def enter(self, folder: Folder, tree: bytes) -> None:
        """Look for them in a folder that was there before; what the tree itself names is not ours."""
        try:
            with self._folders.pin(folder) as above, os.scandir(above) as found:
                names = (os.fsencode(each.name) for each in found)
                ours = [name for name in names if _NAME.fullmatch(name)][:_REMEMBERED_MAX]
        except OSError as error:
            raise translate(error, "look into", folder.path()) from error
        ours = [name for name in ours if lookup(tree, name, self._objects.load) is None]
        if ours:
            self._names[folder] = ours

    def claim(self, folder: Folder, entry: Entry) -> bytes:
        """The temporary file of this entry, b"" if there is none."""
        names = self._names.get(folder)
        if names is None:
            return b""
        key = name_key(entry.name)
        for name in names:
            if (match := _NAME.fullmatch(name)) is not None and match[1] == key:
                names.remove(name)
                return name
        return b""

    def leave(self, folder: Folder) -> None:
        """Remove those that nothing claimed."""
        for name in self._names.pop(folder, ()):
            with suppress(OSError), self._folders.pin(folder) as above:
                os.unlink(name, dir_fd=above)

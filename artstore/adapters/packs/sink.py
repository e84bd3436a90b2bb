"""A pack while it is written: STORE/tmp/<32 hex>.pack, past the page cache, then under its final name.

A pack is written once, made durable at once, and may be as long as all memory put together: going through the page
cache would cost a copy of each byte, and push out what a training run next door keeps there. See docs/decisions/0020.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from artstore.adapters.disk import faultpoints
from artstore.adapters.disk.direct import BlockWriter
from artstore.adapters.disk.errnos import translating
from artstore.adapters.disk.files import fsync_folder, make_folder, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore.adapters.disk.direct import Blocks
    from artstore.model import PackId
    from artstore.ports import Buffer

FOLDER = "packs"
TEMPORARY = "tmp"
SUFFIX = ".pack"
PACK_ID_BYTES = 16


class FilePackSink:
    """Implements `artstore.ports.PackSink`."""

    def __init__(self, store: str, pack: PackId, *, shared: bool, durable: set[str], blocks: Blocks) -> None:
        assert len(pack) == PACK_ID_BYTES
        self._id = pack
        self._shared = shared
        self._durable = durable  # folders of packs whose names are known to last
        self._size = 0
        self._temporary = os.path.join(store, TEMPORARY, pack.hex() + SUFFIX)
        self._path = pack_path(store, pack)
        with translating("create", self._temporary):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._temporary, flags, 0o644)
            if shared:
                share(self._descriptor)
        self._writer = BlockWriter(self._descriptor, blocks)
        faultpoints.reach("pack.created")

    @property
    def id(self) -> PackId:
        """The pack's name."""
        return self._id

    @property
    def size(self) -> int:
        """Bytes appended so far."""
        return self._size

    def append(self, buffers: Sequence[Buffer]) -> int:
        """Append the buffers one after the other; return the offset of the first."""
        start = self._size
        with translating("write", self._temporary):
            self._size += self._writer.append(buffers)
        faultpoints.reach("pack.written")
        return start

    def flush(self) -> None:
        """Write dirty bytes out; may be called from another thread than the one that appends."""
        descriptor = self._descriptor
        if descriptor >= 0 and not self._writer.is_direct:  # else it went to the disk, or is sealed
            with translating("write", self._temporary):
                os.fdatasync(descriptor)

    def seal(self) -> None:
        """Make the pack durable under its final name [I1]."""
        with translating("write", self._temporary):
            self._writer.finish()
            os.fsync(self._descriptor)
            faultpoints.reach("pack.fsynced")
            self._close()
            shard = os.path.dirname(self._path)
            if not make_folder(shard, shared=self._shared) and shard not in self._durable:
                fsync_folder(os.path.dirname(shard))  # who made it may not have come so far
            self._durable.add(shard)
            assert not os.path.exists(self._path), "a pack's name is used again"
            os.rename(self._temporary, self._path)
        faultpoints.reach("pack.renamed")
        # The new name is what has to last; the old one, should it come back, is a second name that clean-up removes.
        fsync_folder(shard)
        faultpoints.reach("pack.sealed")

    def abort(self) -> None:
        """Remove the temporary file; after `seal` there is none."""
        self._writer.close()
        self._close()
        with translating("delete", self._temporary), suppress(FileNotFoundError):
            os.unlink(self._temporary)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def pack_path(store: str, pack: PackId) -> str:
    """Where a sealed pack lies."""
    name = pack.hex()
    return os.path.join(store, FOLDER, name[:2], name + SUFFIX)

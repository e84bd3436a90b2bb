"""The cache as readers of remotes use it: bounded, and never in their way. What can't be kept is read and let go."""

from __future__ import annotations

import logging
import time
from threading import Lock
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.errors import ArtstoreError, NoSpace
from artstore.format.ids import checksum
from artstore.planning.cache import free_min, plan_trim, size_max

if TYPE_CHECKING:
    from artstore.model import FarPack
    from artstore.planning.cache import CacheBounds
    from artstore.ports import Buffer, PackCache

_log: Final = logging.getLogger(__name__)
_NAME_BYTES: Final = 16


class KeptPacks:
    """Parts of packs of remotes, kept within bounds. Thread-safe."""

    def __init__(self, cache: PackCache, bounds: CacheBounds) -> None:
        self._cache = cache
        self._bounds = bounds
        self._lock = Lock()
        self._unseen = limits.CACHE_LOOK_BYTES  # written since it was last looked at what all takes
        self._off_until = float("-inf")
        self._trouble: ArtstoreError | None = None

    @property
    def is_on(self) -> bool:
        """Whether anything can be kept now."""
        return time.monotonic() >= self._off_until

    @property
    def size_max(self) -> int:
        """Bytes that all together may take."""
        return size_max(self._bounds, disk=self._cache.disk()[1])

    @property
    def shortfall(self) -> int:
        """Bytes that would have to be freed so that as much of the disk is free as `disk.min_free` says."""
        free, disk = self._cache.disk()
        return max(0, free_min(self._bounds, disk=disk) - free)

    def read(self, pack: FarPack, offset: int, size: int) -> bytes | None:
        """What was kept of a pack; it has to be checked."""
        return self._cache.read(name_of(pack), offset, size)

    def holes(self, pack: FarPack, offset: int, size: int) -> list[tuple[int, int]]:
        """What wasn't."""
        return self._cache.holes(name_of(pack), offset, size)

    def keep(self, pack: FarPack, offset: int, data: Buffer) -> None:
        """Keep a part of a pack, if there is room or can be made."""
        if not self.is_on:
            return
        try:
            self._write(pack, offset, data)
        except ArtstoreError as error:
            self._trouble = error
            self._off_until = time.monotonic() + limits.CACHE_OFF_S
            _log.warning("what is fetched is not kept for now: %s", error)

    def require_on(self) -> None:
        """Raise what has kept this from keeping something lately: NoSpace, NotPermitted …"""
        if not self.is_on and self._trouble is not None:
            raise self._trouble

    def _write(self, pack: FarPack, offset: int, data: Buffer) -> None:
        self._make_room(len(data))
        try:
            self._cache.write(name_of(pack), offset, data)
        except NoSpace:
            self._make_room(len(data) + limits.CACHE_LOOK_BYTES, look=True)
            self._cache.write(name_of(pack), offset, data)

    def drop(self, pack: FarPack) -> None:
        """Forget a pack."""
        self._cache.drop(name_of(pack))

    def drop_all(self) -> int:
        """Forget all; the bytes that are free by that."""
        freed = 0
        for found in list(self._cache.list()):
            self._cache.drop(found.name)
            freed += found.size
        return freed

    def size(self) -> int:
        """Bytes that all together take."""
        return sum(found.size for found in self._cache.list())

    def _make_room(self, size: int, *, look: bool = False) -> None:
        with self._lock:
            self._unseen += size
            free, disk = self._cache.disk()
            low = free - size < free_min(self._bounds, disk=disk)
            if not (look or low or self._unseen >= self._look_every(disk)):
                return
            self._unseen = size
            going = plan_trim(
                self._cache.list(),
                room=size,
                size_max=size_max(self._bounds, disk=disk),
                free=free,
                free_min=free_min(self._bounds, disk=disk),
            )
        for name in going:
            self._cache.drop(name)
        if low and not going:
            raise NoSpace(
                f"less than {free_min(self._bounds, disk=disk)} bytes are free, which `disk.min_free` keeps",
                hint="free some space, or lower it: `artstore config set disk.min_free 1G`",
            )

    def _look_every(self, disk: int) -> int:
        return min(limits.CACHE_LOOK_BYTES, size_max(self._bounds, disk=disk) // 8)


def name_of(pack: FarPack) -> bytes:
    """Under which name the cache knows a pack."""
    return checksum(pack.remote + pack.key.encode())[:_NAME_BYTES]

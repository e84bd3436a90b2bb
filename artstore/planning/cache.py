"""How much of what remotes have is kept on this machine's disk, and what goes first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from artstore.model import CachedPack


@dataclass(frozen=True, slots=True)
class CacheBounds:
    """What a store's config says, in bytes; None: a part of the disk."""

    size: int | None = None
    min_free: int | None = None


def size_max(bounds: CacheBounds, *, disk: int) -> int:
    """Bytes the cache may take: `cache.size`, else a tenth of the disk, at most 100 GB."""
    if bounds.size is not None:
        return bounds.size
    return min(disk // limits.CACHE_DISK_SHARE, limits.CACHE_DISK_BYTES_MAX)


def free_min(bounds: CacheBounds, *, disk: int) -> int:
    """Bytes to leave free: `disk.min_free`, else a twentieth of the disk."""
    return disk // limits.CACHE_FREE_SHARE if bounds.min_free is None else bounds.min_free


def plan_trim(packs: Iterable[CachedPack], *, room: int, size_max: int, free: int, free_min: int) -> list[bytes]:
    """The packs that have to go so that `room` more bytes may come: those that weren't used for longest first.

    What can't be reached by dropping all of them stays out of reach: then all are named.
    """
    known = sorted(packs, key=lambda pack: (pack.used, pack.name))
    total = sum(pack.size for pack in known)
    surplus = max(total + room - size_max, free_min + room - free)
    going: list[bytes] = []
    for pack in known:
        if surplus <= 0:
            break
        going.append(pack.name)
        surplus -= pack.size
    return going

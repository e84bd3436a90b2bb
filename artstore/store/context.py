"""What every service of the store works with: the ports of one opened store, and the counters it reports by.

It knows no adapter; `artstore.wiring` makes one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore.planning.cache import CacheBounds
from artstore.store.remote.flow import Flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.format.ids import Ids
    from artstore.ports import Clock, Index, PackCache, PackFiles, RemotePool, Sessions
    from artstore.store.sealed import Keychain


@dataclass(frozen=True, slots=True)
class Far:
    """Where what isn't here may be had, and how much of it is kept. `keep_local`: nothing of this machine's is evicted
    from its packs.
    """

    pool: RemotePool
    cache: PackCache
    bounds: CacheBounds
    keep_local: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """One opened store. `path` is for messages and temporary files, `level` zstd's; `shared`: a group may write.

    `ids`: how all that lies there is named; its index names moves by the same. `keychain`: its keys if it is encrypted.
    """

    path: str
    index: Index
    packs: PackFiles
    sessions: Sessions
    clock: Clock
    ids: Ids
    level: int = 3
    shared: bool = False
    readonly: bool = False
    far: Far | None = None
    flow: Flow = field(default_factory=Flow)
    keychain: Keychain | None = None


@dataclass(slots=True)
class Counters:
    """How far a long operation is: written by its threads without a lock, polled by whoever shows progress."""

    files_done: int = 0
    files_total: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    bytes_moving: int = 0  # of what is on its way, and not done
    requests: Callable[[], int] | None = None  # sent to remotes so far
    wants_total: bool = False  # somebody watches: a remote may be asked for how much is to come
    bytes_new: int = 0  # raw bytes of chunks that were not known
    bytes_stored: int = 0  # bytes they took
    current: bytes = b""
    notes: list[str] = field(default_factory=list[str])

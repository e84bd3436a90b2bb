"""The remotes of a store, each opened when it is first needed, and once for each process."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING

from artstore.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from artstore.model import RemotePlace, RemoteStats
    from artstore.ports import Remote


class LazyPool:
    """Implements `artstore.ports.RemotePool`. `places`: the store's remotes now, by name; `connect` opens one."""

    def __init__(
        self, places: Callable[[], Mapping[str, RemotePlace]], connect: Callable[[RemotePlace], Remote]
    ) -> None:
        self._places = places
        self._connect = connect
        self._open: dict[bytes, Remote] = {}
        self._process = os.getpid()
        self._lock = Lock()

    def ids(self) -> Sequence[bytes]:
        """Ids of those that were reached once, the home first."""
        return [bytes.fromhex(place.id) for place in self._places().values() if place.id]

    def open(self, id: bytes) -> Remote:
        """One of them."""
        if self._process != os.getpid():  # connections and locks are the parent's
            self._open, self._lock, self._process = {}, Lock(), os.getpid()
        with self._lock:
            known = self._open.get(id)
            if known is not None:
                return known
            place = next((place for place in self._places().values() if place.id == id.hex()), None)
            if place is None:
                raise NotFound(
                    "the remote that has it was removed from this store", hint="`artstore remote add` brings it back"
                )
            remote = self._open[id] = self._connect(place)
            return remote

    def stats(self) -> Sequence[RemoteStats]:
        """Of each that is open."""
        return [remote.stats for remote in list(self._open.values())]

    def close(self) -> None:
        """Let go of their connections."""
        if self._process == os.getpid():
            with self._lock:
                opened, self._open = list(self._open.values()), {}
            for remote in opened:
                remote.close()

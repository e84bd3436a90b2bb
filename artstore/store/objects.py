"""Objects by id, as everything that reads a store gets them: checked [I5], and the recent ones from memory.

Decides what is kept in memory and for how long; where bytes lie is the fetcher's business.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from artstore import limits
from artstore.errors import ArtstoreError
from artstore.format.version import decode_version
from artstore.model import Digest, ObjectKind, Version
from artstore.store.fetch import Fetcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore.store.context import Context

K = TypeVar("K")
_log: Final = logging.getLogger(__name__)


class Objects:
    """Reads of one store. Thread-safe; a forked child begins with empty caches and its own locks.

    Bytes in the caches were checked when they came from disk, and never change.
    """

    def __init__(
        self, context: Context, *, cache_bytes: int = limits.CACHE_BYTES, pages: int = limits.PAGE_CACHE_ENTRIES
    ) -> None:
        self.ids = context.ids
        self._fetcher = Fetcher(context)
        self._cache_bytes = cache_bytes
        self._pages = pages
        self._caches = self._empty()

    @property
    def fetcher(self) -> Fetcher:
        """For who reads more than a cache should see, once."""
        return self._fetcher

    def load(self, kind: ObjectKind, id: bytes) -> bytes:
        """One object. Erased if it was purged, Corrupt if it is damaged or missing."""
        if kind == ObjectKind.CHUNK:
            return self.chunk(id)
        pages = self._now().pages
        data = pages.get((kind, id))
        if data is None:
            data = self._fetcher.one(kind, id)
            pages.put((kind, id), data, 1)
        return data

    def chunk(self, id: bytes) -> bytes:
        """The bytes of one chunk; errors as `load`."""
        chunks = self._now().chunks
        data = chunks.get(id)
        if data is None:
            data = self._fetcher.one(ObjectKind.CHUNK, id)
            chunks.put(id, data, len(data))
        return data

    def chunks(self, ids: Sequence[bytes], ahead: Sequence[bytes] = ()) -> list[bytes]:
        """The bytes of each chunk, in order; neighbours in a pack are read together. The caller bounds their number.

        If anything must be read, so is what may be asked for next, `ahead`.
        """
        cache = self._now().chunks
        found = {id: data for id in ids if (data := cache.get(id)) is not None}
        missing = [id for id in ids if id not in found]
        if missing:
            fetched = self._fetch(missing, [id for id in ahead if cache.get(id) is None])
            for id, data in fetched.items():
                cache.put(id, data, len(data))
            found |= fetched
        return [found[id] for id in ids]

    def _fetch(self, ids: Sequence[bytes], ahead: Sequence[bytes]) -> dict[bytes, bytes]:
        """These chunks, and what may be asked for next if that can be had."""
        if ahead:
            try:
                return self._fetcher.many(ObjectKind.CHUNK, [*ids, *ahead])
            except (ArtstoreError, OSError) as error:
                # It may be that of a chunk which nobody has asked for: who does will be told.
                _log.debug("not read ahead: %s", error)
        return self._fetcher.many(ObjectKind.CHUNK, ids)

    def version(self, id: bytes) -> Version:
        """A version's document."""
        self._fetcher.note_opened(Digest(id))
        return decode_version(self.load(ObjectKind.VERSION, id))

    def tree_page(self, id: bytes) -> bytes:
        """A page of a directory."""
        return self.load(ObjectKind.TREE_PAGE, id)

    def recipe_page(self, id: bytes) -> bytes:
        """A page of a file's recipe."""
        return self.load(ObjectKind.RECIPE_PAGE, id)

    def forget(self) -> None:
        """Let go of the memory: what is read next is read anew. Who reads meanwhile goes on."""
        self._caches = self._empty()

    def close(self) -> None:
        """The same, and let go of connections to remotes; later reads still work."""
        self.forget()
        self._fetcher.close()

    def _empty(self) -> _Caches:
        return _Caches(chunks=_Recent(self._cache_bytes), pages=_Recent(self._pages))

    def _now(self) -> _Caches:
        """This process's caches: after a fork a lock may be held by a thread that isn't here."""
        caches = self._caches
        if caches.process != os.getpid():
            caches = self._caches = self._empty()
        return caches


class _Recent(Generic[K]):
    """The most recently used values, up to a total weight."""

    def __init__(self, weight_max: int) -> None:
        self._weight_max = weight_max
        self._weight = 0
        self._values: OrderedDict[K, tuple[bytes, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> bytes | None:
        with self._lock:
            held = self._values.get(key)
            if held is None:
                return None
            self._values.move_to_end(key)
            return held[0]

    def put(self, key: K, value: bytes, weight: int) -> None:
        with self._lock:
            if key in self._values or weight > self._weight_max:
                return
            self._values[key] = (value, weight)
            self._weight += weight
            while self._weight > self._weight_max:
                self._weight -= self._values.popitem(last=False)[1][1]


@dataclass(frozen=True, slots=True)
class _Caches:
    """What one process remembers."""

    chunks: _Recent[bytes]
    pages: _Recent[tuple[ObjectKind, bytes]]
    process: int = field(default_factory=os.getpid)

"""The cache, masked on disk: nobody reads there what was fetched without the keys.

It keeps any bytes of a pack, so that it can't be sealed in segments; and it needn't be: nothing in it is believed, each
object is checked against its id [I5]. So its bytes are masked with a key stream: AES-256-CTR, a key for each pack, the
block's place in the pack as the counter. A pack never changes and what comes from a remote was opened with its seal, so
that a stretch of key stream masks the same bytes for ever. Holes stay holes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.format.cipher import derive, mask
from artstore.store.sealed.keychain import Keychain, Known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.model import CachedPack
    from artstore.ports import Buffer, PackCache


class SealedCache:
    """Implements `artstore.ports.PackCache` around another one."""

    def __init__(self, cache: PackCache, keychain: Keychain) -> None:
        self._cache = cache
        self._keychain = keychain
        self._known: Known[bytes, bytes] = Known()

    def read(self, name: bytes, offset: int, size: int) -> bytes | None:
        data = self._cache.read(name, offset, size)
        return None if data is None else mask(self._key(name), data, offset=offset)

    def holes(self, name: bytes, offset: int, size: int) -> list[tuple[int, int]]:
        return self._cache.holes(name, offset, size)

    def write(self, name: bytes, offset: int, data: Buffer) -> None:
        self._cache.write(name, offset, mask(self._key(name), data, offset=offset))

    def drop(self, name: bytes) -> None:
        self._cache.drop(name)

    def list(self) -> Iterator[CachedPack]:
        return self._cache.list()

    def disk(self) -> tuple[int, int]:
        return self._cache.disk()

    def _key(self, name: bytes) -> bytes:
        known = self._known.get(name)
        if known is None:
            known = derive(self._keychain.keys.cache, info=b"artstore 2026 cached pack 1" + name)
            self._known.put(name, known)
        return known

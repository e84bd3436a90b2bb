"""A watch over nonces: each use of one is noted in a file, by every process that was forked off, killed ones included.

It tells what an attacker would see: two messages under one key and nonce, or two under one stretch of a key stream.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from artstore.format import keyring, sealed
from artstore.format.cipher import Gcm
from artstore.store.sealed import SealedCache

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from artstore.format.ids import Buffer

_KEY: Final = 16
_NONCE: Final = 12
_TEXT: Final = 16
_RECORD: Final = _KEY + _NONCE + _TEXT
_STRIDE: Final = 512  # of a key stream that is noted as one
_MASK: Final = b"\xff" * 4  # where the nonce of a segment has zeros


class Nonces:
    """What was noted in the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # One write for each record, at the file's end: whole, whoever else writes.
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)

    def note(self, key: bytes, nonce: bytes, *text: Buffer) -> None:
        """One use, before what it makes is given to anybody."""
        hashed = sha256()
        for part in text:
            hashed.update(part)
        told = key + nonce + hashed.digest()[:_TEXT]
        assert len(told) == _RECORD
        os.write(self._file, told)

    def used(self) -> dict[bytes, list[bytes]]:
        """The hashes of what was sealed, by key and nonce."""
        data, found = self._path.read_bytes(), dict[bytes, list[bytes]]()
        assert len(data) % _RECORD == 0
        for at in range(0, len(data), _RECORD):
            end = at + _KEY + _NONCE
            found.setdefault(data[at:end], []).append(data[end : at + _RECORD])
        return found

    def check(self) -> int:
        """AssertionError if a nonce was used twice, or a key stream for two texts; how many uses there were."""
        used = self.used()
        for at, texts in used.items():
            if at[-len(_MASK) :] == _MASK:
                assert len(set(texts)) == 1, "a stretch of a key stream masks two texts"
            else:
                assert len(texts) == 1, "a nonce was used twice under a key"
        return len(used)

    @property
    def keys(self) -> int:
        """How many keys there were."""
        return len({at[:_KEY] for at in self.used()})

    def close(self) -> None:
        os.close(self._file)


@contextmanager
def watched(path: Path) -> Generator[Nonces]:
    """Note all that this process, and each that is forked off it, seals until this ends."""
    nonces = Nonces(path)

    class Watched(Gcm):
        """The same, noted."""

        __slots__ = ("_told",)

        def __init__(self, key: bytes) -> None:
            super().__init__(key)
            self._told = sha256(key).digest()[:_KEY]

        def seal(self, nonce: bytes, data: Buffer, *, bound: bytes = b"") -> bytes:
            nonces.note(self._told, nonce, data, b"\0", bound)
            return super().seal(nonce, data, bound=bound)

        def seal_into(self, nonce: bytes, data: Buffer, room: Buffer) -> None:
            nonces.note(self._told, nonce, data, b"\0")
            super().seal_into(nonce, data, room)

    class WatchedCache(SealedCache):
        """What is written, noted; what is read may be a hole, or what a crash left, and is no text of ours."""

        def write(self, name: bytes, offset: int, data: Buffer) -> None:
            told, view = sha256(b"mask" + self._key(name)).digest()[:_KEY], memoryview(data)
            for at in range(-offset % _STRIDE, len(view) - _STRIDE + 1, _STRIDE):
                block = (offset + at) // _STRIDE
                nonces.note(told, block.to_bytes(_NONCE - len(_MASK), "big") + _MASK, view[at : at + _STRIDE])
            super().write(name, offset, data)

    with (
        patch.object(sealed, "Gcm", Watched),
        patch.object(keyring, "Gcm", Watched),
        patch("artstore.store.sealed.SealedCache", WatchedCache),
    ):
        try:
            yield nonces
        finally:
            nonces.close()

"""Keys for tests: cheap to unlock, kept in memory."""

from __future__ import annotations

import os

from artstore.format.cipher import Stretching
from artstore.format.keyring import Unlocked, new_ring
from artstore.store.sealed import Keychain

CHEAP = Stretching(8, 1, 1)
PASSPHRASE = b"open sesame"


def unlocked(passphrase: bytes = PASSPHRASE) -> Unlocked:
    """A new ring, opened."""
    return new_ring(passphrase, label="test", now=1, random=os.urandom, cost=CHEAP)


class KeptRing:
    """Where a keychain keeps its ring, in place of a file."""

    def __init__(self) -> None:
        self.data = b""

    def keep(self, data: bytes, instead_of: bytes) -> bool:
        if self.data != instead_of:
            return False
        self.data = data
        return True

    def load(self) -> bytes:
        return self.data


def keychain(opened: Unlocked | None = None) -> Keychain:
    """A keychain, of new keys unless some are given."""
    from artstore.format.ring import encode_ring

    opened = opened or unlocked()
    kept = KeptRing()
    kept.keep(encode_ring(opened.ring), b"")
    return Keychain(opened, keep=kept.keep, load=kept.load)

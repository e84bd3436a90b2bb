"""`artstore.Store`: the keys of an encrypted store, and who may open it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from artstore._names import Names
from artstore.errors import Conflict, Corrupt, NotFound, NotPermitted, RemoteError, UsageError
from artstore.wiring import keys as wiring_keys

if TYPE_CHECKING:
    from artstore.format.keyring import Unlocked
    from artstore.store.sealed import Keychain

_UNREACHED: Final = (RemoteError, NotFound, NotPermitted, Conflict, Corrupt, UsageError)


@dataclass(frozen=True, slots=True)
class Key:
    """One who may open a store. `id`: in hex; `created`: ns UTC; `current`: the store is open by it."""

    id: str
    label: str
    created: int
    current: bool


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What became of a change. `epoch`: the newest; `unreached`: remotes that get the keyring when they are next
    written to, by name.
    """

    id: str | None
    epoch: int
    unreached: tuple[str, ...]


class Keys(Names):
    """Changes are made at the home remote first, then here, then at the other remotes."""

    @property
    def is_encrypted(self) -> bool:
        """Is what this store writes sealed?"""
        return self.context.keychain is not None

    def list_keys(self) -> list[Key]:
        """Who may open it, in the order in which they were added. UsageError if it isn't encrypted."""
        unlocked = self._keychain().unlocked
        return [
            Key(slot.id.hex(), slot.label, slot.created, current=slot.id == unlocked.slot)
            for slot in unlocked.ring.slots
        ]

    def add_key(self, passphrase: str, *, label: str) -> KeyChange:
        """Let another passphrase open it. RemoteError, and nothing is changed, if the home can't be reached."""
        from artstore.format.keyring import add_slot

        made: list[str] = []

        def add(known: Unlocked) -> Unlocked:
            now = self.context.clock.now_ns()
            unlocked, slot = add_slot(known, passphrase.encode(), label=label, now=now, random=os.urandom)
            made.append(slot.id.hex())
            return unlocked

        return self._change(add, made)

    def remove_key(self, id: str) -> KeyChange:
        """Let a passphrase open it no more, and seal what is written from now on by a new key. Who had it can still
        open what he copied before. NotFound; errors as `add_key`.
        """
        from artstore.format.keyring import remove_slot

        try:
            slot = bytes.fromhex(id)
        except ValueError as error:
            raise UsageError(f"{id!r} is no id of a key", hint="`artstore key list` shows them") from error
        return self._change(lambda known: remove_slot(known, slot, random=os.urandom), [id])

    def rotate_keys(self) -> KeyChange:
        """Seal what is written from now on by a new key. Errors as `add_key`."""
        from artstore.format.keyring import rotate

        return self._change(partial(rotate, random=os.urandom), [])

    def remember_passphrase(self, passphrase: str) -> None:
        """Put it into the system's keyring, from where this store takes it from now on. NotPermitted if it is wrong."""
        from artstore.format.keyring import unlock

        ring = self._keychain().ring
        unlock(ring, passphrase.encode())
        wiring_keys.remember(self.path, ring.keys.hex(), passphrase.encode())

    def forget_passphrase(self) -> None:
        """Take it out again."""
        wiring_keys.forget(self.path, self._keychain().ring.keys.hex())

    def _keychain(self) -> Keychain:
        keychain = self.context.keychain
        if keychain is None:
            raise UsageError(f"{self.path} is not encrypted", hint="`artstore init --encrypt` makes a store that is")
        return keychain

    def _change(self, change: Callable[[Unlocked], Unlocked], made: list[str]) -> KeyChange:
        from artstore.store.sealed.ring import change_kept_ring, change_ring, sync_ring

        keychain = self._keychain()
        unreached: list[str] = []
        names = list(self.remotes())
        if names:
            with self._opened(names[0]) as (remote, _):
                change_ring(remote, keychain, change)
        else:
            change_kept_ring(keychain, change)
        for name in names[1:]:
            try:
                with self._opened(name) as (remote, _):
                    sync_ring(remote, keychain)
            except _UNREACHED:  # the change stands: it was made at home
                unreached.append(name)
        return KeyChange(made[-1] if made else None, keychain.keys.epoch, tuple(unreached))

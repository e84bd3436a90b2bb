"""The keyring: the keys of an encrypted store, and who may open them. docs/format.md, "Keyring".

It is one document, STORE/keyring here and `keys/ring` at each remote, stored as `ring` says. It holds

- the *secrets*, sealed by a master key: the root key, which is the store's for ever, and a key for each epoch;
- a *slot* for each passphrase: an X25519 key whose private half is sealed by what Argon2id makes of the passphrase,
  and the master key, wrapped by HPKE for the public half.

Anybody can wrap a master key of his own for a public half. So the private half is bound to the fingerprint of the
store's keys, and opens in no ring of others: who has only the bucket can't give a new clone keys that he knows.

Each change draws a new master key and wraps it for the slots that stay, which takes none of their passphrases: who was
removed can't open what is written from then on. The slots are bound to the sealed secrets, so that nobody without the
keys adds one. `serial` grows by one with each change; an older ring than the one known isn't taken. Each knows which
ones it was made from, so that two that were changed apart can be told from two of which one is older.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import msgspec

from artstore import limits
from artstore.errors import Conflict, Corrupt, NotFound, NotPermitted, UsageError
from artstore.format.cipher import (
    KEY_BYTES,
    NONCE_BYTES,
    SIV_KEY_BYTES,
    Gcm,
    Stretching,
    derive,
    public_of,
    stretch,
    unwrap,
    wrap,
)
from artstore.format.ring import (
    COPIES,
    FINGERPRINT_BYTES,
    SALT_BYTES,
    SLOT_ID_BYTES,
    Ring,
    Secrets,
    Slot,
    decode_secrets,
    digest_of,
    encode_body,
    encode_secrets,
)

Random = Callable[[int], bytes]
"""So many random bytes that nobody can foretell."""

_CONTEXT: Final = b"artstore 2026 keyring 1 "
DEFAULT_COST: Final = Stretching(limits.STRETCH_MEMORY_KIB, limits.STRETCH_PASSES, limits.STRETCH_LANES)


@dataclass(frozen=True)
class Keys:
    """The keys of a store. `epochs`: that of epoch n at n - 1; what is new is sealed by the last one."""

    root: bytes = field(repr=False)  # kept out of logs
    epochs: tuple[bytes, ...] = field(repr=False)

    @property
    def epoch(self) -> int:
        """The newest epoch."""
        return len(self.epochs)

    def follow(self, other: Keys) -> bool:
        """Are these the other ones, or made from them?"""
        return self.root == other.root and self.epochs[: other.epoch] == other.epochs

    @cached_property
    def ids(self) -> bytes:
        """The key that ids are made with. It never changes."""
        return derive(self.root, info=_CONTEXT + b"ids")

    @cached_property
    def names(self) -> bytes:
        """The key, of SIV_KEY_BYTES, that names of refs are sealed with at remotes. It never changes."""
        return derive(self.root, info=_CONTEXT + b"names", size=SIV_KEY_BYTES)

    @cached_property
    def cache(self) -> bytes:
        """The key that keys of cached packs are derived from. It never changes."""
        return derive(self.root, info=_CONTEXT + b"cache")

    @cached_property
    def fingerprint(self) -> bytes:
        """Tells these keys from others."""
        return derive(self.root, info=_CONTEXT + b"fingerprint", size=FINGERPRINT_BYTES)


@dataclass(frozen=True, slots=True)
class Unlocked:
    """A ring that was opened by one of its slots: its keys, and what opens later rings without the passphrase.
    `before`: digests of the rings that it was made from.
    """

    ring: Ring
    keys: Keys
    slot: bytes
    private: bytes = field(repr=False)  # kept out of logs
    before: tuple[bytes, ...] = ()


def new_ring(passphrase: bytes, *, label: str, now: int, random: Random, cost: Stretching = DEFAULT_COST) -> Unlocked:
    """The ring of a new store, with one slot. UsageError for a passphrase or label that can't be."""
    keys = Keys(random(KEY_BYTES), (random(KEY_BYTES),))
    slot, private = _new_slot(passphrase, keys, label=label, now=now, random=random, cost=cost)
    return _sealed(keys, [slot], serial=1, slot=slot.id, private=private, before=[], random=random)


def unlock(ring: Ring, passphrase: bytes) -> Unlocked:
    """Open a ring. NotPermitted if no slot has this passphrase; Corrupt if the ring was changed without its keys."""
    for slot in ring.slots:
        private = _private_of(slot, ring, Gcm(stretch(passphrase, salt=slot.salt, cost=slot.cost)))
        if private is not None:
            return _opened(ring, slot, private)
    raise NotPermitted("the passphrase is wrong")


def reopen(known: Unlocked, ring: Ring) -> Unlocked:
    """Open another ring of the same store by what opened the one that is known.

    The known one if the other one isn't newer, or lacks a key of ours. NotPermitted if our slot was removed; Conflict
    if it is another store's, or if both began an epoch.
    """
    _require_same_store(known, ring)
    if ring.serial <= known.ring.serial:
        return known
    opened = _beside(known, ring)
    if opened is None:
        label = next(slot.label for slot in known.ring.slots if slot.id == known.slot)
        raise NotPermitted(
            f"the key {known.slot.hex()} ({label}), which this store was opened with, was removed",
            hint="use the passphrase of another key; `artstore key list` shows them",
        )
    if opened.keys.follow(known.keys):
        return opened
    if known.keys.follow(opened.keys):  # changed apart from ours, which opens all that it opens: `join` has both
        return known
    raise _made_apart()


def join(known: Unlocked, ring: Ring, *, random: Random) -> Unlocked:
    """The ring that has what both have: one of them, or a new one if they were changed apart from each other.

    Removing a slot begins an epoch. So of two rings with the same epochs a slot is lacking in one only because it was
    added to the other, and both have it; else the slots are those of the ring that began an epoch.

    NotPermitted if our slot isn't in the other ring, unless ours was made from that; Conflict if it is another store's,
    or if both began an epoch: one number names two keys, and either may have sealed something.
    """
    _require_same_store(known, ring)
    if ring == known.ring or digest_of(ring) in known.before:
        return known
    other = _beside(known, ring)
    if other is None:
        reopen(known, ring)
        raise NotPermitted(
            "the keys were changed in two places, and the one that this store was opened with is in one of them only",
            hint="use the passphrase of another key, which is in both",
        )
    if digest_of(known.ring) in other.before:
        return other
    longer, shorter = (known, other) if known.keys.epoch >= other.keys.epoch else (other, known)
    if not longer.keys.follow(shorter.keys):
        raise _made_apart()
    slots = longer.ring.slots
    if longer.keys.epoch == shorter.keys.epoch:
        ids = {slot.id for slot in slots}
        slots = [*slots, *(slot for slot in shorter.ring.slots if slot.id not in ids)]
    if len(slots) > limits.KEY_SLOTS_MAX:
        raise UsageError(
            f"keys were added in two places, and there are {len(slots)} now; {limits.KEY_SLOTS_MAX} may be",
            hint="`artstore key remove` some where they were added, from a store that pushes there",
        )
    return _sealed(
        longer.keys,
        slots,
        serial=max(known.ring.serial, ring.serial) + 1,
        slot=known.slot,
        private=known.private,
        before=[*other.before, *known.before, digest_of(ring), digest_of(known.ring)],
        random=random,
    )


def add_slot(
    known: Unlocked, passphrase: bytes, *, label: str, now: int, random: Random, cost: Stretching = DEFAULT_COST
) -> tuple[Unlocked, Slot]:
    """The ring with one more slot, and that. UsageError if there are too many."""
    if len(known.ring.slots) >= limits.KEY_SLOTS_MAX:
        raise UsageError(f"there are {limits.KEY_SLOTS_MAX} keys already", hint="`artstore key remove` one")
    slot, _ = _new_slot(passphrase, known.keys, label=label, now=now, random=random, cost=cost)
    ring = known.ring
    return _next(known, known.keys, [*ring.slots, slot], random), slot


def remove_slot(known: Unlocked, id: bytes, *, random: Random) -> Unlocked:
    """The ring without a slot, and with a new epoch, whose key that slot never opened. NotFound; UsageError for the
    last one, or the one that it was opened with.
    """
    slots = [slot for slot in known.ring.slots if slot.id != id]
    if len(slots) == len(known.ring.slots):
        raise NotFound(f"there is no key {id.hex()}", hint="`artstore key list` shows them")
    if id == known.slot:
        raise UsageError("this is the key that you opened the store with", hint="open it with another one to remove it")
    return _next(known, _with_epoch(known.keys, random), slots, random)


def rotate(known: Unlocked, *, random: Random) -> Unlocked:
    """The ring with a new epoch: what is written from now on is sealed by a new key."""
    return _next(known, _with_epoch(known.keys, random), known.ring.slots, random)


def _with_epoch(keys: Keys, random: Random) -> Keys:
    if keys.epoch >= limits.KEY_EPOCHS_MAX:
        raise UsageError(f"the keys were changed {limits.KEY_EPOCHS_MAX} times already")
    return Keys(keys.root, (*keys.epochs, random(KEY_BYTES)))


def _next(known: Unlocked, keys: Keys, slots: list[Slot], random: Random) -> Unlocked:
    return _sealed(
        keys,
        slots,
        serial=known.ring.serial + 1,
        slot=known.slot,
        private=known.private,
        before=[*known.before, digest_of(known.ring)],
        random=random,
    )


def _new_slot(
    passphrase: bytes, keys: Keys, *, label: str, now: int, random: Random, cost: Stretching
) -> tuple[Slot, bytes]:
    """A slot without the master key, and its private key."""
    if not 0 < len(passphrase) <= limits.PASSPHRASE_BYTES_MAX:
        raise UsageError(f"a passphrase has 1 to {limits.PASSPHRASE_BYTES_MAX} bytes, not {len(passphrase)}")
    if len(label.encode()) > limits.KEY_LABEL_BYTES_MAX or not label.isprintable():
        raise UsageError(f"a key's label is printable and has at most {limits.KEY_LABEL_BYTES_MAX} bytes")
    id, salt, private, nonce = random(SLOT_ID_BYTES), random(SALT_BYTES), random(KEY_BYTES), random(NONCE_BYTES)
    sealed = Gcm(stretch(passphrase, salt=salt, cost=cost)).seal(nonce, private, bound=_CONTEXT + id + keys.fingerprint)
    return Slot(id, label, now, salt, cost, public_of(private), nonce + sealed, b""), private


def _sealed(
    keys: Keys, slots: list[Slot], *, serial: int, slot: bytes, private: bytes, before: list[bytes], random: Random
) -> Unlocked:
    """A ring of these keys for these slots. `before`: of what it is made from, as `Unlocked` has it; the last count."""
    if serial > limits.KEYRING_SERIAL_MAX:
        raise UsageError("the keyring was changed as often as can be", hint="make a new store")
    before = list(dict.fromkeys(before))[-limits.KEYRINGS_BEFORE_MAX :]
    master, nonce = random(KEY_BYTES), random(NONCE_BYTES)
    wrapped = [
        msgspec.structs.replace(each, master=wrap(master, public=each.public, info=_CONTEXT + each.id))
        for each in slots
    ]
    ring = Ring(serial, keys.fingerprint, wrapped, b"")
    secrets = encode_secrets(Secrets(keys.root, keys.epochs, tuple(before)))
    sealed = Gcm(master).seal(nonce, secrets, bound=encode_body(ring))
    return Unlocked(msgspec.structs.replace(ring, sealed=nonce + sealed), keys, slot, private, tuple(before))


def _opened(ring: Ring, slot: Slot, private: bytes) -> Unlocked:
    """The ring, opened by a slot's private key. Corrupt."""
    try:
        master = unwrap(slot.master, private=private, info=_CONTEXT + slot.id)
        nonce, sealed = ring.sealed[:NONCE_BYTES], ring.sealed[NONCE_BYTES:]
        bound = encode_body(msgspec.structs.replace(ring, sealed=b""))
        secrets = decode_secrets(Gcm(master).open(nonce, sealed, bound=bound))
    except Corrupt as error:
        raise Corrupt(f"the keyring was damaged or changed: {error.message}", hint=COPIES) from error
    keys = Keys(secrets.root, secrets.epochs)
    sizes = {len(keys.root), *map(len, keys.epochs)}
    if sizes != {KEY_BYTES} or not keys.epochs or keys.fingerprint != ring.keys:
        raise Corrupt("the keyring contradicts itself", hint=COPIES)
    return Unlocked(ring, keys, slot.id, private, secrets.before)


def _beside(known: Unlocked, ring: Ring) -> Unlocked | None:
    """Another ring of the same store, opened by what opened the known one; None if our slot isn't in it. Corrupt."""
    slot = next((slot for slot in ring.slots if slot.id == known.slot), None)
    if slot is None:
        return None
    opened = _opened(ring, slot, known.private)
    if opened.keys.root != known.keys.root:
        raise Corrupt("the keyring has the name of this store's keys, and other keys", hint=COPIES)
    return opened


def _require_same_store(known: Unlocked, ring: Ring) -> None:
    if ring.keys != known.ring.keys:
        raise Conflict("it was encrypted with other keys")
    # Who had a passphrase once can make rings of old keys, and nobody could change keys behind the last serial.
    if ring.serial > known.ring.serial + limits.KEYRING_STEPS_MAX:
        raise Conflict(
            f"its keyring claims to be {ring.serial - known.ring.serial:,} changes ahead of the one here",
            hint="somebody made it who may write there: put a copy back in its place",
        )


def _made_apart() -> Conflict:
    return Conflict(
        "the keys were changed in two places, neither knowing of the other, and each may have sealed data since",
        hint="keep one of the two: `artstore clone` its home into a new store, and commit there what the other one has",
    )


def _private_of(slot: Slot, ring: Ring, opener: Gcm) -> bytes | None:
    """The private key of a slot; None if this is another one's."""
    nonce, sealed = slot.private[:NONCE_BYTES], slot.private[NONCE_BYTES:]
    with suppress(Corrupt):
        return opener.open(nonce, sealed, bound=_CONTEXT + slot.id + ring.keys)
    return None

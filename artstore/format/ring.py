"""How a keyring is stored: its documents, byte for byte. docs/format.md, "Keyring"."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.cipher import KEY_BYTES, NONCE_BYTES, TAG_BYTES, Stretching
from artstore.format.document import FORMAT, Codec
from artstore.format.ids import checksum

SLOT_ID_BYTES: Final = 4
SALT_BYTES: Final = 16
FINGERPRINT_BYTES: Final = 16
_CHECK_BYTES: Final = 16
_PRIVATE_BYTES: Final = NONCE_BYTES + KEY_BYTES + TAG_BYTES
_MASTER_BYTES: Final = KEY_BYTES + KEY_BYTES + TAG_BYTES  # the encapsulated key in front


class Slot(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. Who may open the ring: `label` for people, when it was made (ns UTC), Argon2id's salt and cost, the
    public key, the private key sealed (nonce first), the master key wrapped.
    """

    id: bytes
    label: str
    created: int
    salt: bytes
    cost: Stretching
    public: bytes
    private: bytes
    master: bytes


class Ring(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. `keys`: tells the store's keys from others', and nothing of them; `sealed`: the secrets, nonce first."""

    serial: int
    keys: bytes
    slots: list[Slot]
    sealed: bytes


class _Secrets(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored, sealed: of a store's first ring."""

    root: bytes
    epochs: list[bytes]


class _LaterSecrets(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored, sealed: of a ring that was made from others. `before`: digests of those, the last ones of them."""

    root: bytes
    epochs: list[bytes]
    before: list[bytes]


class Secrets(NamedTuple):
    """What a ring seals: the root key, that of each epoch, digests of the rings that it was made from."""

    root: bytes
    epochs: tuple[bytes, ...]
    before: tuple[bytes, ...]


def encode_ring(ring: Ring) -> bytes:
    """The bytes of a ring."""
    data = encode_body(ring)
    return data + checksum(data)[:_CHECK_BYTES]


def decode_ring(data: bytes) -> Ring:
    """A ring. NewerFormat, Corrupt. It is believed only once it is unlocked."""
    body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if len(data) <= _CHECK_BYTES or checksum(body)[:_CHECK_BYTES] != check:
        raise Corrupt("a keyring does not match its checksum", hint=COPIES)
    _, ring = _RING.decode(body)
    if not _is_sane(ring):
        raise Corrupt("a keyring makes no sense", hint=COPIES)
    return ring


def digest_of(ring: Ring) -> bytes:
    """By which a ring made from it knows it."""
    return checksum(encode_body(ring))[:_CHECK_BYTES]


def encode_body(ring: Ring) -> bytes:
    """A ring without its checksum."""
    return _RING.encode((FORMAT, ring))


def encode_secrets(secrets: Secrets) -> bytes:
    """The bytes of what a ring seals."""
    if not secrets.before:
        return _SECRETS.encode((FORMAT, _Secrets(secrets.root, list(secrets.epochs))))
    later = _LaterSecrets(secrets.root, list(secrets.epochs), list(secrets.before))
    return _LATER_SECRETS.encode((_LATER_FORMAT, later))


def decode_secrets(data: bytes) -> Secrets:
    """What a ring seals. NewerFormat, Corrupt."""
    if data[1:2] == bytes([FORMAT]):
        _, first = _SECRETS.decode(data)
        return Secrets(first.root, tuple(first.epochs), ())
    _, later = _LATER_SECRETS.decode(data)
    return Secrets(later.root, tuple(later.epochs), tuple(later.before))


def _is_sane(ring: Ring) -> bool:
    """Can it be opened? Who can write the bucket chose all of it."""
    return (
        0 < ring.serial <= limits.KEYRING_SERIAL_MAX
        and len(ring.keys) == FINGERPRINT_BYTES
        and len(ring.sealed) > NONCE_BYTES + TAG_BYTES
        and 0 < len(ring.slots) <= limits.KEY_SLOTS_MAX
        and all(map(_is_sane_slot, ring.slots))
    )


def _is_sane_slot(slot: Slot) -> bool:
    sizes = (slot.id, slot.salt, slot.public, slot.private, slot.master)
    cost = slot.cost
    return (
        tuple(map(len, sizes)) == (SLOT_ID_BYTES, SALT_BYTES, KEY_BYTES, _PRIVATE_BYTES, _MASTER_BYTES)
        and 8 * cost.lanes <= cost.memory_kib <= limits.STRETCH_MEMORY_KIB_MAX
        and 0 < cost.passes <= limits.STRETCH_PASSES_MAX
        and 0 < cost.lanes <= limits.STRETCH_LANES_MAX
    )


COPIES: Final = "copies lie in the store, as `keyring`, and at its remotes, as `keys/ring`"
_RING: Final[Codec[tuple[int, Ring]]] = Codec(tuple[int, Ring], name="keyring", bytes_max=limits.KEYRING_BYTES_MAX)
_SECRETS: Final[Codec[tuple[int, _Secrets]]] = Codec(
    tuple[int, _Secrets], name="keyring's secrets", bytes_max=limits.KEYRING_BYTES_MAX
)
_LATER_FORMAT: Final = 2
_LATER_SECRETS: Final[Codec[tuple[int, _LaterSecrets]]] = Codec(
    tuple[int, _LaterSecrets], name="keyring's secrets", bytes_max=limits.KEYRING_BYTES_MAX, format=_LATER_FORMAT
)

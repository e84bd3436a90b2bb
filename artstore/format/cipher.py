"""The primitives that encryption is made of, each by its standard. Owner of `cryptography`; decides nothing.

| what | standard |
|---|---|
| AES-256-GCM | NIST SP 800-38D |
| AES-256-SIV, deterministic | RFC 5297 |
| AES-256-CTR | NIST SP 800-38A |
| HKDF-SHA256 | RFC 5869 |
| Argon2id | RFC 9106 |
| HPKE: X25519, HKDF-SHA256, AES-256-GCM; base mode, one message | RFC 9180 |
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from artstore.errors import Corrupt
from artstore.format.ids import Buffer

KEY_BYTES = 32
SIV_KEY_BYTES = 64
NONCE_BYTES = 12
TAG_BYTES = 16
_BLOCK_BYTES = 16
_BROKEN = "it does not match its seal: it was damaged, or changed by somebody without the key"


class Stretching(NamedTuple):
    """How much work a guess at a passphrase costs: Argon2id's memory in KiB, passes over it, lanes."""

    memory_kib: int
    passes: int
    lanes: int


class Gcm:
    """AES-256-GCM under one key. Who calls it sees to it that no nonce is used for two different messages."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_BYTES
        self._cipher = AESGCM(key)

    def seal(self, nonce: bytes, data: Buffer, *, bound: bytes = b"") -> bytes:
        """`data` sealed, TAG_BYTES longer; it opens only beside the same `bound`."""
        return self._cipher.encrypt(nonce, data, bound)

    def seal_into(self, nonce: bytes, data: Buffer, room: Buffer) -> None:
        """The same into `room`, which is exactly as long as what comes out."""
        self._cipher.encrypt_into(nonce, data, None, room)

    def open(self, nonce: bytes, sealed: Buffer, *, bound: bytes = b"") -> bytes:
        """What `seal` was given. Corrupt if any bit of it, the nonce or `bound` is another one."""
        try:
            return self._cipher.decrypt(nonce, sealed, bound)
        except InvalidTag as error:
            raise Corrupt(_BROKEN) from error

    def open_into(self, nonce: bytes, sealed: Buffer, room: Buffer) -> None:
        """The same into `room`; what is in there after an error is not to be used."""
        try:
            self._cipher.decrypt_into(nonce, sealed, None, room)
        except InvalidTag as error:
            raise Corrupt(_BROKEN) from error


class Siv:
    """AES-256-SIV under one key of SIV_KEY_BYTES: equal messages seal to equal bytes, and nothing else is told."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        assert len(key) == SIV_KEY_BYTES
        self._cipher = AESSIV(key)

    def seal(self, data: bytes, *, bound: bytes) -> bytes:
        """`data` sealed, TAG_BYTES longer."""
        return self._cipher.encrypt(data, [bound])

    def open(self, sealed: bytes, *, bound: bytes) -> bytes | None:
        """What `seal` was given; None for anything else."""
        try:
            return self._cipher.decrypt(sealed, [bound])
        except InvalidTag:
            return None


def derive(key: bytes, *, info: bytes, size: int = KEY_BYTES) -> bytes:
    """A key for another purpose, by HKDF-SHA256 without a salt: `key` is uniformly random already."""
    return HKDF(SHA256(), size, None, info).derive(key)


def mask(key: bytes, data: Buffer, *, offset: int) -> bytes:
    """`data` XOR the key stream of AES-256-CTR from byte `offset` on: twice gives what it was. It proves nothing."""
    start, skip = divmod(offset, _BLOCK_BYTES)
    stream = Cipher(AES256(key), CTR(start.to_bytes(_BLOCK_BYTES, "big"))).encryptor()
    stream.update(bytes(skip))
    return stream.update(data)


def stretch(passphrase: bytes, *, salt: bytes, cost: Stretching) -> bytes:
    """A key from a passphrase, by Argon2id."""
    made = Argon2id(salt=salt, length=KEY_BYTES, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib)
    return made.derive(passphrase)


def public_of(private: bytes) -> bytes:
    """The public half of an X25519 key. Any KEY_BYTES random bytes are a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def wrap(secret: bytes, *, public: bytes, info: bytes) -> bytes:
    """A secret for who has the private half of `public`. HPKE takes its randomness from the system."""
    return _suite().encrypt(secret, X25519PublicKey.from_public_bytes(public), info)


def unwrap(wrapped: bytes, *, private: bytes, info: bytes) -> bytes:
    """What `wrap` was given. Corrupt if it isn't for this key."""
    try:
        return _suite().decrypt(wrapped, X25519PrivateKey.from_private_bytes(private), info)
    except (InvalidTag, ValueError) as error:
        raise Corrupt(_BROKEN) from error


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)

"""The keys of an open store, as they are now: a later keyring, met at a remote, is taken up while it is open."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.keyring import Keys, Ring, Unlocked, decode_ring, encode_ring, reopen
from artstore.format.sealed import SALT_BYTES, UNKNOWN_SIZE, Header, Segments, encode_header, parse_header, seal_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.ports import Buffer

K = TypeVar("K")
V = TypeVar("V")


class Keychain:
    """Thread-safe. `keep` makes a later keyring durable, before it is used; `load` reads what is kept: another process
    may have taken up a later one.
    """

    def __init__(self, unlocked: Unlocked, *, keep: Callable[[bytes], None], load: Callable[[], bytes]) -> None:
        self._unlocked = unlocked
        self._keep = keep
        self._load = load

    @property
    def unlocked(self) -> Unlocked:
        return self._unlocked

    @property
    def keys(self) -> Keys:
        return self._unlocked.keys

    @property
    def ring(self) -> Ring:
        return self._unlocked.ring

    def renewed(self) -> Unlocked:
        """The same, once a later keyring that another process kept was taken up."""
        self.meet(self._load())
        return self._unlocked

    def take(self, unlocked: Unlocked) -> None:
        """Use, and keep, a ring that was made from this one."""
        self._keep(encode_ring(unlocked.ring))
        self._unlocked = unlocked

    def meet(self, data: bytes) -> None:
        """A keyring as it lies elsewhere: it is taken up if it is a later one of this store. Errors as `reopen`."""
        reopened = reopen(self._unlocked, decode_ring(data))
        if reopened is not self._unlocked:
            self.take(reopened)

    def seal(self, data: Buffer, name: bytes) -> bytes:
        """A whole object, under the newest key."""
        keys = self.keys
        salt = secrets.token_bytes(SALT_BYTES)
        return seal_object(data, epoch=keys.epoch, epoch_key=keys.epochs[-1], salt=salt, name=name)

    def begin(self, name: bytes) -> tuple[bytes, Segments]:
        """An object that is sealed as it comes: its header, and what seals its segments."""
        keys = self.keys
        header = Header(keys.epoch, secrets.token_bytes(SALT_BYTES), UNKNOWN_SIZE)
        return encode_header(header), Segments(keys.epochs[-1], header, name)

    def segments(self, header: bytes, name: bytes, *, look: Callable[[], bytes | None] | None = None) -> Segments:
        """What opens an object that begins with this header. `look`: reads the keyring of where the object lies, if
        the key is a later one. Corrupt for a key that nobody has.
        """
        told = parse_header(header)
        if told.epoch > self.keys.epoch:
            self.meet(self._load())
        if told.epoch > self.keys.epoch and look is not None and (ring := look()) is not None:
            self.meet(ring)
        keys = self.keys
        if told.epoch > keys.epoch:
            raise Corrupt(
                f"it is sealed by key {told.epoch}, and the keyring here ends at {keys.epoch}",
                hint="the keys were changed elsewhere: `artstore fetch` brings the new keyring",
            )
        return Segments(keys.epochs[told.epoch - 1], told, name)


class Known(Generic[K, V]):
    """The last so many of something that is dear to derive. Thread-safe."""

    def __init__(self) -> None:
        self._known: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
            return found

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._known[key] = value
            if len(self._known) > limits.SEALED_OBJECTS_KNOWN_MAX:
                self._known.popitem(last=False)

    def drop(self, key: K) -> None:
        with self._lock:
            self._known.pop(key, None)

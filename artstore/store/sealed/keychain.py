"""The keys of an open store, as they are now: a later keyring, met at a remote, is taken up while it is open."""

from __future__ import annotations

import logging
import os
import secrets
import weakref
from collections import OrderedDict
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from artstore import limits
from artstore.errors import Conflict, Corrupt, NoSpace, NotPermitted
from artstore.format.keyring import Keys, Unlocked, join, reopen
from artstore.format.ring import Ring, decode_ring, encode_ring
from artstore.format.sealed import SALT_BYTES, UNKNOWN_SIZE, Header, Segments, encode_header, parse_header, seal_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.ports import Buffer

_log: Final = logging.getLogger(__name__)
K = TypeVar("K")
V = TypeVar("V")


class Keychain:
    """Thread-safe, usable after a fork. `load` reads the keyring that is kept here; `keep` puts one in the place of the
    one that was read, durably, before anything is sealed by it. False if another process was quicker.
    """

    def __init__(self, unlocked: Unlocked, *, keep: Callable[[bytes, bytes], bool], load: Callable[[], bytes]) -> None:
        self._unlocked = unlocked
        self._keep = keep
        self._load = load
        self._is_kept = True
        self._lock = Lock()
        _living.add(self)

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
        """The same, with what another process has kept meanwhile. Errors as `join`, if what is kept is later."""
        with self._lock:
            self._take_up(self._unlocked)
            return self._unlocked

    def take(self, unlocked: Unlocked) -> bool:
        """Use, and keep, a ring that was made from this one. False, and nothing has changed, if another process was
        quicker; errors as `join`, and of `keep`.
        """
        with self._lock:
            kept = self._load()
            joined = join(unlocked, decode_ring(kept), random=os.urandom)
            if joined is not unlocked or not self._keep(encode_ring(unlocked.ring), kept):
                return False
            self._unlocked, self._is_kept = unlocked, True
            return True

    def meet(self, data: bytes) -> None:
        """A keyring as it lies elsewhere: it is taken up if it is a later one of this store. Errors as `reopen`."""
        ring = decode_ring(data)
        with self._lock:
            reopened = reopen(self._unlocked, ring)
            if reopened is not self._unlocked:
                self._take_up(reopened)

    def take_up(self, unlocked: Unlocked) -> None:
        """Use a ring that was opened by the passphrase itself, kept here or not."""
        with self._lock:
            self._take_up(unlocked)

    def _take_up(self, unlocked: Unlocked) -> None:
        """Use it, kept or not: who may only read here reads all the same, or if the disk is full, or what is kept can't
        be joined with it.
        """
        self._unlocked, self._is_kept = unlocked, False
        try:
            self._settle()
        except NoSpace:
            return
        except (NotPermitted, Conflict, Corrupt) as error:
            if self._is_overtaken():
                raise
            _log.debug("the keyring in use is not kept: %s", error.message)

    def _settle(self) -> None:
        """Join the ring in use with the one that is kept, and keep that. Errors as `join`, and of `keep`."""
        for _ in range(limits.REMOTE_SWAPS_MAX):
            kept = self._load()
            joined = join(self._unlocked, decode_ring(kept), random=os.urandom)
            data = encode_ring(joined.ring)
            if data == kept or self._keep(data, kept):
                self._unlocked, self._is_kept = joined, True
                return
        raise Conflict("the keyring is changed again and again", hint="try again")

    def _is_overtaken(self) -> bool:
        """Is a later ring kept than the one in use, which doesn't know our slot?"""
        try:
            kept = decode_ring(self._load())
        except (Corrupt, NotPermitted):
            return False
        return kept.serial > self.ring.serial and all(slot.id != self._unlocked.slot for slot in kept.slots)

    def _newest(self) -> Keys:
        """The keys to seal by: those of a keyring that is kept here. Killed, nobody here would open it otherwise."""
        self.require_kept()
        return self._unlocked.keys

    def require_kept(self) -> None:
        """Keep the ring in use, if it isn't. Errors as `join`, and of `keep`."""
        with self._lock:
            if not self._is_kept:
                self._settle()

    def forget_lock(self) -> None:
        """In a forked child: nobody is left who could let go of it."""
        self._lock = Lock()

    def seal(self, data: Buffer, name: bytes) -> bytes:
        """A whole object, under the newest key."""
        keys = self._newest()
        salt = secrets.token_bytes(SALT_BYTES)
        return seal_object(data, epoch=keys.epoch, epoch_key=keys.epochs[-1], salt=salt, name=name)

    def begin(self, name: bytes) -> tuple[bytes, Segments]:
        """An object that is sealed as it comes: its header, and what seals its segments."""
        keys = self._newest()
        header = Header(keys.epoch, secrets.token_bytes(SALT_BYTES), UNKNOWN_SIZE)
        return encode_header(header), Segments(keys.epochs[-1], header, name)

    def segments(self, header: bytes, name: bytes, *, look: Callable[[], bytes | None] | None = None) -> Segments:
        """What opens an object that begins with this header. `look`: reads the keyring of where the object lies, if
        the key is a later one. Corrupt for a key that nobody has.
        """
        told = parse_header(header)
        if told.epoch > self.keys.epoch:
            self.renewed()
        if told.epoch > self.keys.epoch and look is not None and (ring := look()) is not None:
            self.meet(ring)
        keys = self.keys
        if told.epoch > keys.epoch:
            raise Corrupt(
                f"it is sealed by key {told.epoch}, and the keyring here ends at {keys.epoch}",
                hint="the keys were changed elsewhere: `artstore fetch` brings the keyring, `artstore push` joins both",
            )
        return Segments(keys.epochs[told.epoch - 1], told, name)


class Known(Generic[K, V]):
    """The last so many of something that is dear to derive. Thread-safe without a lock, for which a child would wait
    that is forked off while another thread reads: each step is one of a dictionary's own.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        found = self._known.get(key)
        if found is not None:
            with suppress(KeyError):  # another thread put something in its place
                self._known.move_to_end(key)
        return found

    def put(self, key: K, value: V) -> None:
        self._known[key] = value
        if len(self._known) > limits.SEALED_OBJECTS_KNOWN_MAX:
            with suppress(KeyError):
                self._known.popitem(last=False)

    def drop(self, key: K) -> None:
        self._known.pop(key, None)


def _after_fork_in_child() -> None:
    for keychain in _living:
        keychain.forget_lock()


_living: weakref.WeakSet[Keychain] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork_in_child)

"""How an encrypted store is unlocked: where its keyring lies, and its passphrase comes from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Final, TypeAlias

from artstore import limits, wiring
from artstore.errors import ArtstoreError, Corrupt, NotFound, NotPermitted, RemoteError, UsageError
from artstore.wiring import reaching

if TYPE_CHECKING:
    from artstore.adapters.passphrase import Passphrase, Sources
    from artstore.adapters.store_folder import StoreConfig
    from artstore.format.keyring import Unlocked
    from artstore.format.ring import Ring
    from artstore.model import RemotePlace
    from artstore.store.sealed import Keychain

    Secret: TypeAlias = "str | Callable[[], str] | Unlocked | Unlocking | None"  # noqa: S105 - a type

SECRET: Final = "ARTSTORE_PASSPHRASE"  # noqa: S105 - the variable that has a passphrase
SECRET_FILE: Final = "ARTSTORE_PASSPHRASE_FILE"  # noqa: S105 - the variable that names a file with a passphrase
_ASKED_MAX: Final = 3  # times for a passphrase


class Unlocking:
    """Opens a store's keyring on another core, which takes a tenth of a second, while this one imports what works on
    the store; if nobody has to be asked for the passphrase. What goes wrong is told by `unlock`, which does it again.
    """

    def __init__(self, path: str | None, ask: Callable[[], str] | None) -> None:
        """`ask`: what asks for the passphrase otherwise."""
        from artstore.adapters import store_folder

        self._ask = ask
        self.found: Passphrase | None = None  # it may be one that can be read once
        self._unlocked: Unlocked | None = None
        self._thread: Thread | None = None
        place = wiring.place_of(path)
        if os.path.exists(os.path.join(place, store_folder.KEYRING)):
            with suppress(ArtstoreError, OSError, RuntimeError):  # the last one if there may be no more threads
                self._begin(place)

    def result(self) -> Unlocked | Callable[[], str] | None:
        """The keys, else what asks for the passphrase."""
        if self._thread is not None:
            self._thread.join()
        return self._unlocked or self._ask

    def _begin(self, path: str) -> None:
        from artstore.adapters import passphrase as places
        from artstore.adapters import store_folder

        self.found = found = places.find(_sources(store_folder.load_config(path)), config="", asks_others=False)
        if found is None:
            return
        ring = _ring_of(path)
        # What it needs is imported by now: it would wait for the other imports, and all for it.
        thread = Thread(target=self._work, args=(ring, found.value), name="artstore-unlock")
        thread.start()
        self._thread = thread

    def _work(self, ring: Ring, passphrase: bytes) -> None:
        from artstore.format.keyring import unlock

        with suppress(ArtstoreError, MemoryError):
            self._unlocked = unlock(ring, passphrase)


def unlock(path: str, passphrase: Secret = None) -> Keychain:
    """The keys of an encrypted store. NotPermitted for a wrong passphrase, or if there is none to be had; Corrupt.

    What `passphrase` asks for is asked again if it is wrong, three times in all. One that doesn't open the keyring here
    may be newer than that: then those at the remotes are looked at.
    """
    from artstore.adapters import store_folder
    from artstore.store.sealed import Keychain

    config = store_folder.load_config(path)
    assert config.keys is not None
    ring = _ring_of(path)
    unlocked = _unlock(passphrase, config, path=path, rings=[lambda: ring, *_rings_at(config, ring)])
    if unlocked.keys.fingerprint.hex() != config.keys:
        raise Corrupt(f"the keyring of {path} is that of another store", hint="restore `keyring` from a copy")

    def keep(data: bytes, instead_of: bytes) -> bool:
        return store_folder.save_keyring(path, data, instead_of=instead_of)

    keychain = Keychain(unlocked, keep=keep, load=lambda: store_folder.load_keyring(path))
    if unlocked.ring.serial > ring.serial:
        keychain.take_up(unlocked)
    return keychain


def unlock_ring(ring: Ring, *, path: str, passphrase: Secret = None) -> Unlocked:
    """The keyring of a place that is no store yet, opened; `path`: what to call that. Errors as `unlock`."""
    return _unlock(passphrase, None, path=path, rings=[lambda: ring])


def _unlock(
    passphrase: Secret, config: StoreConfig | None, *, path: str, rings: Iterable[Callable[[], Ring | None]]
) -> Unlocked:
    """The first of these keyrings that a passphrase opens; later ones are asked for when it opens none before them."""
    from artstore.adapters import passphrase as places
    from artstore.adapters import store_folder
    from artstore.format import keyring

    found: Passphrase | None = None
    if isinstance(passphrase, Unlocking):
        found, passphrase = passphrase.found, passphrase.result()

    def opened(value: bytes) -> Unlocked:
        for ring in rings:
            if (there := ring()) is not None:
                with suppress(NotPermitted):
                    return keyring.unlock(there, value)
        raise NotPermitted(f"the passphrase is wrong: it doesn't open {path}")

    if isinstance(passphrase, keyring.Unlocked):  # by somebody who had it before
        first = next(iter(rings))()
        assert first is not None
        return keyring.reopen(passphrase, first)
    if isinstance(passphrase, str):
        return opened(passphrase.encode())
    found = found or places.find(_sources(config), config=os.path.join(path, store_folder.CONFIG))
    if found is not None:
        try:
            return opened(found.value)
        except NotPermitted as error:
            raise NotPermitted(error.message, hint=f"it comes from {found.origin}") from error
    if passphrase is None:
        raise NotPermitted(
            f"{path} is encrypted, and there is no passphrase",
            hint=f"set ${places.FILE_VARIABLE} or ${places.COMMAND_VARIABLE}, or run it on a terminal",
        )
    for _ in range(_ASKED_MAX - 1):
        with suppress(NotPermitted):
            return opened(passphrase().encode())
    return opened(passphrase().encode())


def _sources(config: StoreConfig | None) -> Sources:
    from artstore.adapters import passphrase as places

    if config is None or config.keys is None:
        return places.Sources()
    return places.Sources(config.keys, config.passphrase_file, config.passphrase_command, config.keyring)


def _rings_at(config: StoreConfig, here: Ring) -> Iterator[Callable[[], Ring | None]]:
    """What reads the keyring of each remote, which may be later than the one here; None if it isn't, or isn't there."""
    from artstore.adapters import store_folder

    def read(place: RemotePlace) -> Ring | None:
        try:
            ring = ring_at(place)
        except (RemoteError, NotFound, NotPermitted, Corrupt):
            return None  # the passphrase is wrong as far as is known here, and that is told
        if ring is None or ring.keys != here.keys:
            return None
        return ring if here.serial < ring.serial <= here.serial + limits.KEYRING_STEPS_MAX else None

    for table in config.remotes.values():
        yield partial(read, store_folder.place_of(table))


def new_ring(passphrase: str, *, label: str) -> Unlocked:
    """The keyring of a store to be made."""
    from artstore.adapters.clock import SystemClock
    from artstore.format.keyring import new_ring

    return new_ring(passphrase.encode(), label=label, now=SystemClock().now_ns(), random=os.urandom)


def remember(path: str, keys: str, passphrase: bytes) -> None:
    """Put a store's passphrase into the system's keyring, and have it found there. NotFound if there is none."""
    from artstore.adapters import passphrase as places

    places.remember(keys, passphrase)
    wiring.change_config(path, keyring=True)


def forget(path: str, keys: str) -> None:
    """Take it out again."""
    from artstore.adapters import passphrase as places

    places.forget(keys)
    wiring.change_config(path, keyring=False)


def passphrase_in(file: str, origin: str) -> str:
    """What a file has; NotFound, NotPermitted, UsageError. `origin`: who named it."""
    from artstore.adapters import passphrase as places

    return _text(places.from_file(file, origin))


def passphrase_said() -> str | None:
    """What the environment says of one; None if it doesn't."""
    from artstore.adapters import passphrase as places

    found = places.find(places.Sources(), config="")
    return None if found is None else _text(found)


def _text(found: Passphrase) -> str:
    try:
        return found.value.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"the passphrase from {found.origin} is not text in UTF-8") from error


def unlocked(path: str, passphrase: Secret = None) -> Unlocked | None:
    """What opens a store again, in this process or one forked off it, without asking; None if it isn't encrypted."""
    return None if wiring.load_config(path).keys is None else unlock(path, passphrase).unlocked


def _ring_of(path: str) -> Ring:
    from artstore.adapters import store_folder
    from artstore.format.ring import decode_ring

    try:
        return decode_ring(store_folder.load_keyring(path))
    except Corrupt as error:
        raise Corrupt(f"{os.path.join(path, store_folder.KEYRING)}: {error.message}", hint=error.hint) from error
    except ModuleNotFoundError as error:
        raise _needs_encryption(error) from error


def _needs_encryption(error: ModuleNotFoundError) -> NotFound:
    if (error.name or "").startswith("artstore"):
        raise error
    return NotFound(
        f"what encryption needs is missing: {error.name} is not installed", hint="pip install 'artstore[encrypt]'"
    )


def ring_at(place: RemotePlace) -> Ring | None:
    """The keyring of an encrypted remote; None if it isn't encrypted. Corrupt."""
    from artstore.format.remote import FORMAT_KEY, RING_KEY, RemoteFormat
    from artstore.store.remote.documents import read_checked, read_document

    remote = reaching.open_remote(place)
    try:
        told = read_document(remote, RemoteFormat, FORMAT_KEY)
        if told is None or not told[0].keys:
            return None
        try:
            from artstore.format.ring import decode_ring
        except ModuleNotFoundError as error:
            raise _needs_encryption(error) from error
        found = read_checked(remote, RING_KEY, decode_ring)
    finally:
        remote.close()
    if found is None:
        raise Corrupt(
            f"{place.url}/{RING_KEY} is missing: nothing there can be opened without it",
            hint="`artstore push` from a store that has it writes it again",
        )
    if found[0].keys != told[0].keys:
        raise Corrupt(f"{place.url}/{RING_KEY} is the keyring of another store")
    return found[0]

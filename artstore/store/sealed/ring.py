"""Keeps the keyring here and at a remote at the later of both, or joins them; changes it: at the home first, then here.

Killed between the two, this store meets what it wrote itself at the next contact. What isn't home gets it when it is
next written to or read from; until then it holds nothing that the older one doesn't open.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Conflict, Corrupt, NoSpace, NotPermitted
from artstore.format.keyring import join
from artstore.format.remote import RING_KEY
from artstore.format.ring import decode_ring, encode_ring

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from artstore.format.keyring import Unlocked
    from artstore.model import Fetched
    from artstore.ports import Remote
    from artstore.store.sealed.keychain import Keychain


def sync_ring(remote: Remote, keychain: Keychain) -> Fetched:
    """The keyring at a remote, which is the one in use here when this returns. `remote`: as it is, not opened.

    Were they changed apart from each other, it has what both have. NotPermitted once our key was removed; Conflict for
    a keyring of others, or if both began an epoch.
    """
    for _ in range(limits.REMOTE_SWAPS_MAX):
        known = keychain.renewed()
        found = remote.get(RING_KEY)
        if found is None:
            remote.create(RING_KEY, encode_ring(known.ring))
            continue
        with _told_of(remote):
            joined = join(known, decode_ring(found.data), random=os.urandom)
        ours = encode_ring(joined.ring)
        if found.data != ours:
            remote.swap(RING_KEY, ours, found.etag)  # what lies there by now is met next
            continue
        keychain.meet(found.data)
        if keychain.ring == joined.ring:  # else another thread has taken up another one
            return found
    raise Conflict(f"{remote.url}/{RING_KEY} is changed again and again", hint="try again")


def meet_ring(remote: Remote, keychain: Keychain) -> Fetched | None:
    """The keyring at a remote, taken up if it is later than ours; None if there is none. Errors as `sync_ring`."""
    found = remote.get(RING_KEY)
    if found is None:
        return None
    keychain.renewed()
    with _told_of(remote):
        keychain.meet(found.data)
    return found


@contextmanager
def _told_of(remote: Remote) -> Generator[None]:
    """Errors of a keyring say where it lies."""
    try:
        yield
    except (Corrupt, Conflict) as error:
        raise type(error)(f"{remote.url}/{RING_KEY}: {error.message}", hint=error.hint) from error


def change_ring(remote: Remote, keychain: Keychain, change: Callable[[Unlocked], Unlocked]) -> None:
    """Change the keyring at the home remote, then here; not at all if the one here can't follow. Errors as `sync_ring`
    and `change`.
    """
    for _ in range(limits.REMOTE_SWAPS_MAX):
        found = sync_ring(remote, keychain)
        keychain.require_kept()
        changed = change(keychain.unlocked)
        if remote.swap(RING_KEY, encode_ring(changed.ring), found.etag) is not None:
            _take(remote, keychain, changed)
            return
    raise Conflict(f"{remote.url}/{RING_KEY} is changed again and again", hint="try again")


def change_kept_ring(keychain: Keychain, change: Callable[[Unlocked], Unlocked]) -> None:
    """Change the keyring of a store without a home. Errors as `change`."""
    for _ in range(limits.REMOTE_SWAPS_MAX):
        if keychain.take(change(keychain.renewed())):  # else another process was quicker
            return
    raise Conflict("the keyring is changed again and again", hint="try again")


def _take(remote: Remote, keychain: Keychain, changed: Unlocked) -> None:
    """What is so at the home already is so here."""
    try:
        if not keychain.take(changed):
            keychain.renewed()  # another process took up a later one
    except (NoSpace, NotPermitted) as error:
        raise type(error)(
            f"the keys were changed at {remote.url}, but not here yet: {error.message}",
            hint="don't change them again: the next `artstore fetch` takes this up",
        ) from error

"""Keeps the keyring here and at a remote at the later of both, and changes it: at the home first, then here.

Killed between the two, this store meets what it wrote itself at the next contact. What isn't home gets it when it is
next written to or read from; until then it holds nothing that the older one doesn't open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Conflict, Corrupt, NoSpace, NotPermitted
from artstore.format.keyring import decode_ring, encode_ring
from artstore.format.remote import RING_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.format.keyring import Unlocked
    from artstore.model import Fetched
    from artstore.ports import Remote
    from artstore.store.sealed.keychain import Keychain


def sync_ring(remote: Remote, keychain: Keychain) -> Fetched:
    """The keyring at a remote, which is the one in use here when this returns. `remote`: as it is, not opened.

    NotPermitted once our key was removed; Conflict for a keyring of others.
    """
    for _ in range(limits.REMOTE_SWAPS_MAX):
        found = meet_ring(remote, keychain)
        if found is None:
            remote.create(RING_KEY, encode_ring(keychain.ring))
            continue
        there = decode_ring(found.data)
        ours = encode_ring(keychain.ring)
        if found.data == ours:
            return found
        if there.serial == keychain.ring.serial:
            raise Conflict(
                f"the keys were changed here and at {remote.url}, neither knowing of the other",
                hint=f"say the change again that is to count; the copy here is kept as `keyring`, there as {RING_KEY}",
            )
        remote.swap(RING_KEY, ours, found.etag)
    raise Conflict(f"{remote.url}/{RING_KEY} is changed again and again", hint="try again")


def meet_ring(remote: Remote, keychain: Keychain) -> Fetched | None:
    """The keyring at a remote, taken up if it is later than ours; None if there is none. Errors as `sync_ring`."""
    found = remote.get(RING_KEY)
    if found is None:
        return None
    try:
        keychain.meet(found.data)
    except Corrupt as error:
        raise Corrupt(f"{remote.url}/{RING_KEY}: {error.message}", hint=error.hint) from error
    except Conflict as error:
        raise Conflict(f"{remote.url}: {error.message}") from error
    return found


def change_ring(remote: Remote, keychain: Keychain, change: Callable[[Unlocked], Unlocked]) -> None:
    """Change the keyring at the home remote, then here. Errors as `sync_ring` and `change`."""
    for _ in range(limits.REMOTE_SWAPS_MAX):
        found = sync_ring(remote, keychain)
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

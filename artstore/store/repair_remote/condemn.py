"""Tells collection of packs that nothing names any more: from then on no push relies on them, from whatever store.

That is what being listed in gc/state means already, and it is safe at any time (`artstore.planning.remote_gc`): who saw
a pack unlisted before has his name written before a later run, that begins a `grace` after it was seen listed, looks
for what is needed. If something needs the pack by then, that run takes it off the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.remote import GC_KEY, CondemnedPack, GcState, changed_state
from artstore.store.remote.documents import read_document
from artstore.store.remote.gc_state import swap_state

if TYPE_CHECKING:
    from collections.abc import Collection

    from artstore.ports import Remote


def condemn(remote: Remote, keys: Collection[str]) -> set[str]:
    """List these packs, as far as there is room; those that are listed now. NotPermitted for who may not collect."""
    for _ in range(limits.REMOTE_MOVES_MAX):
        found = read_document(remote, GcState, GC_KEY)
        if found is None or found[0].exclusive:
            return set()
        state, how = found
        known = {pack.key for pack in state.listed} | set(state.deleting)
        room = max(0, limits.REMOTE_LISTED_MAX - len(state.listed))
        new = sorted(set(keys) - known)[:room]
        if not new:
            return known.intersection(keys)
        listed = sorted([*state.listed, *(CondemnedPack(key, None) for key in new)], key=lambda pack: pack.key)
        # All else stays, a longer grace that is still in force too: it may be what keeps these.
        if swap_state(remote, changed_state(state, listed=listed), how.etag) is not None:
            return (known | set(new)).intersection(keys)
    return set()

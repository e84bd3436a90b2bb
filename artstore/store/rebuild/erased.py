"""Keeps what was purged from coming back with a pack that a killed purge, or an older copy of the store, left behind.

Such a pack does not enter the new index: the rest of it is copied into a new pack, and its file goes once the index has
taken its place. Killed in between, the file is one that no index knows, and `gc` removes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.errors import Corrupt, Erased, NoSpace
from artstore.format.frame import KIND_MASK
from artstore.model import ObjectKind, PackRow, PackState
from artstore.store.collect.copying import Copier
from artstore.store.rebuild.packs import enter

if TYPE_CHECKING:
    from artstore.model import PackId, TableEntry
    from artstore.ports import Session
    from artstore.store.context import Context
    from artstore.store.objects import Objects
    from artstore.store.rebuild.packs import Found, PackEntries


def rewrite_tainted(
    context: Context, objects: Objects, session: Session, entered: PackEntries
) -> tuple[list[PackId], list[str]]:
    """Copy what stays of the tainted packs; tell which files are to go when the index is in place, and what could not
    be done.

    A pack that can't be copied is entered as it is, without what was purged.
    """
    done: list[PackId] = []
    notes: list[str] = []
    for found in entered.tainted:
        try:
            with Copier(context, objects, session) as copier:
                copier.copy(_row_of(found), [entry for entry in found.entries if not _is_elsewhere(objects, entry)])
                copier.finish()
            entered.count(found)
            done.append(found.id)
        except (Corrupt, NoSpace) as error:
            enter(context, [found], entered)
            notes.append(
                f"pack {found.id.hex()} still holds {found.erased} purged chunks, out of reach; "
                f"it can't be rewritten: {error.message}"
            )
    entered.tainted = []
    own = [pack for pack, _ in context.packs.list() if pack.startswith(session.id)]
    entered.packs.update(own)
    return done, notes


def _row_of(found: Found) -> PackRow:
    return PackRow(0, found.id, found.kind, PackState.LIVE, found.size, len(found.entries), 0)


def _is_elsewhere(objects: Objects, entry: TableEntry) -> bool:
    """Does a pack that was entered have this object, whole?"""
    try:
        objects.fetcher.one(ObjectKind(entry.flags & KIND_MASK), entry.id)
    except (Corrupt, Erased):
        return False
    return True

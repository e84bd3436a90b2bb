"""What killed commands leave behind: files of their sessions, packs never finished or never named, temporary folders.

Nothing here is known to the index, so that nobody can need it but the session that made it; what a running session may
have made stays [I10].
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.model import PackId
    from artstore.store.context import Context

_PREFIXES = ("stdin-", "index-")  # in STORE/tmp: what a stream is spooled into, an index that is made anew


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Files that were, or would be, removed, and the bytes of the packs among them."""

    files: int
    size: int


def orphans(context: Context) -> Iterator[tuple[PackId, int]]:
    """Packs on disk that the index doesn't know and no running session made, with their sizes."""
    # In this order: who names its pack after the listing still runs, or the snapshot knows the pack.
    found = list(context.packs.list())
    running = {id for id, _ in context.sessions.running()}
    with context.index.read() as reader:
        unknown = [(pack, size) for pack, size in found if reader.pack_by_id(pack) is None]
    return ((pack, size) for pack, size in unknown if not any(pack.startswith(session) for session in running))


def find_leftovers(context: Context) -> Leftovers:
    """What `remove_leftovers` would remove, but for the files of dead sessions."""
    packs, folders = list(orphans(context)), list(_dead_folders(context))
    return Leftovers(len(packs) + len(folders), sum(size for _, size in packs) + sum(map(_bytes_below, folders)))


def remove_leftovers(context: Context) -> Leftovers:
    """Remove all of it. Idempotent."""
    found = find_leftovers(context)
    for pack, _ in orphans(context):
        context.packs.delete(pack)
    for path in _dead_folders(context):
        shutil.rmtree(path, ignore_errors=True)
    return Leftovers(found.files + context.sessions.clean(), found.size)


def _dead_folders(context: Context) -> Iterator[str]:
    """Temporary folders that were made before any session that runs now began."""
    folder = os.path.join(context.path, "tmp")
    try:
        names = [name for name in os.listdir(folder) if name.startswith(_PREFIXES)]
    except OSError:
        return
    begun = min((start for _, start in context.sessions.running()), default=None)
    for name in names:
        path = os.path.join(folder, name)
        try:
            made = os.stat(path).st_mtime_ns
        except OSError:
            continue
        if begun is None or made < begun:
            yield path


def _bytes_below(folder: str) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(path, name)).st_blocks * 512
            except OSError:
                continue  # gone meanwhile
    return total

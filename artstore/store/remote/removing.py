"""Removes refs at a remote; what is here stays as it is.

A tag gives way to its tombstone, so that its name is never used for something else; an alias goes on to nothing, by one
more move of its history.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore.errors import NotFound
from artstore.format.remote import (
    ALIASES,
    HINT_KEY,
    TAGS,
    WRITE_BYTES,
    RemoteAlias,
    RemoteTag,
    encode_remote,
    move_key,
)
from artstore.format.version import encode_move
from artstore.model import Move
from artstore.revision import check_ref_name
from artstore.store.remote.claims import require_home
from artstore.store.remote.documents import read_document, read_documents
from artstore.store.remote.presence import Look, boot_time, look

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from artstore.format.ids import Ids
    from artstore.ports import Remote


@dataclass(slots=True)
class RemoteRemoval:
    """What was removed at a remote, and what had been already."""

    removed: list[str] = field(default_factory=list[str])
    already: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Remover:
    """Who removes, when by this machine's clock (ns), and why: for the history of aliases."""

    who: str
    host: str
    time: int
    reason: str = ""


def remove_refs(
    remote: Remote, id: bytes, names: Sequence[str], remover: Remover, ids: Ids, *, now: Callable[[], float] = boot_time
) -> RemoteRemoval:
    """Remove tags and aliases there. NotFound, and nothing is removed, if one of the names never was there.

    `id`: the remote's own. Conflict if it is a mirror; Busy while collection has the remote for itself.
    Idempotent: who was killed in between does it again. `ids`: those of all stores of this remote.
    """
    wanted = [check_ref_name(name) for name in dict.fromkeys(names)]
    seen = look(remote, now=now)
    require_home(remote, id)
    tags = read_documents(remote, RemoteTag, [TAGS + name for name in wanted])
    aliases = read_documents(remote, RemoteAlias, [ALIASES + name for name in wanted])
    for name, tag, alias in zip(wanted, tags, aliases, strict=True):
        if tag is None and alias is None:
            raise NotFound(
                f"there is no {name} at {remote.url}", hint="`artstore status --remote` tells what is there only"
            )
    told = RemoteRemoval()
    for name, tag, alias in zip(wanted, tags, aliases, strict=True):
        seen = _fresh(remote, seen, now)
        done = False
        if tag is not None and tag[0].version:
            done = _remove_tag(remote, name)
        elif alias is not None:
            done = _remove_alias(remote, name, remover, ids)
        (told.removed if done else told.already).append(name)
    if told.removed:
        look(remote, now=now)  # step 6 of a push; nothing that was removed relies on a pack
        remote.put(HINT_KEY, secrets.token_bytes(WRITE_BYTES))
    return told


def _fresh(remote: Remote, seen: Look, now: Callable[[], float]) -> Look:
    """A collection that wants nobody to write may have begun since."""
    return seen if seen.is_fresh(now()) else look(remote, now=now)


def _remove_tag(remote: Remote, name: str) -> bool:
    """False if others have removed it meanwhile. Ends, since a tag changes once in its life."""
    while (found := read_document(remote, RemoteTag, TAGS + name)) is not None and found[0].version:
        tombstone = RemoteTag(secrets.token_bytes(WRITE_BYTES), b"", found[0].created)
        if remote.swap(TAGS + name, encode_remote(tombstone), found[1].etag) is not None:
            return True
    return False


def _remove_alias(remote: Remote, name: str, remover: Remover, ids: Ids) -> bool:
    """False if it is removed. Who loses to a move of others removes it from where that has led: seq grows each time."""
    while (found := read_document(remote, RemoteAlias, ALIASES + name)) is not None and found[0].version:
        there = found[0]
        seq = there.seq + 1
        move = Move(
            name, seq, there.version, b"", remover.time, remover.who, remover.host, remover.reason, False, there.move
        )
        document = encode_move(move, ids)
        remote.put(move_key(document.id), document.data)  # I3: the move, then the ref that names it
        value = RemoteAlias(secrets.token_bytes(WRITE_BYTES), b"", seq, document.id)
        if remote.swap(ALIASES + name, encode_remote(value), found[1].etag) is not None:
            return True
    return False

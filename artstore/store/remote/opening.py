"""The first contact with a remote: is it one of ours, and may a store use it?"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Conflict, Corrupt, NewerFormat, RemoteError
from artstore.format.remote import (
    FORMAT_KEY,
    GC_KEY,
    RING_KEY,
    WRITE_BYTES,
    GcState,
    RemoteFormat,
    SealedFormat,
    encode_remote,
)
from artstore.store.remote.documents import read_document

if TYPE_CHECKING:
    from artstore.ports import Remote


def look_at_remote(remote: Remote, *, chunker: int, keys: bytes | None = None) -> RemoteFormat | None:
    """What a remote says of itself; None if nothing was written there yet. `keys`: the fingerprint of this store's
    keys, b"" if it isn't encrypted; None: any will do.

    NewerFormat if a later release made it, or cuts files by a rule that isn't ours; Conflict if it is something else,
    or encrypted otherwise than this store.
    """
    try:
        found = read_document(remote, RemoteFormat, FORMAT_KEY)
    except Corrupt as error:
        raise Conflict(f"{error.message}: it is not artstore's", hint="choose an empty prefix or folder") from error
    if found is None:
        return None
    told = found[0]
    if told.chunker != chunker:
        raise NewerFormat(f"{remote.url} cuts files by rule {told.chunker}, unknown here", hint="upgrade artstore")
    if keys is not None:
        _require_keys(remote, told, keys)
    return told


def _require_keys(remote: Remote, told: RemoteFormat, keys: bytes) -> None:
    if told.keys == keys:
        return
    if not told.keys:
        raise Conflict(f"{remote.url} is not encrypted, this store is", hint="choose an empty prefix or folder")
    if not keys:
        raise Conflict(
            f"{remote.url} is encrypted, this store is not", hint=f"`artstore clone {remote.url}` makes a store that is"
        )
    raise Conflict(
        f"{remote.url} is encrypted with other keys than this store",
        hint=f"choose an empty prefix or folder; `artstore clone {remote.url}` makes a store with those keys",
    )


def require_known(remote: Remote, told: RemoteFormat | None, *, known: str | None) -> None:
    """A remote that was reached before, under the id `known` (hex), must be that one still. RemoteError if it is empty
    or another one: a disk that isn't mounted, a bucket that was deleted.
    """
    if known is not None and (told is None or told.id.hex() != known):
        what = "is empty" if told is None else "holds another remote"
        raise RemoteError(
            f"{remote.url} {what}: it is not the remote that this store knows",
            hint="is its disk mounted, its bucket the right one? If it was deleted: `artstore remote remove` it, then "
            "`artstore remote add` it anew and push again",
        )


def prepare_remote(remote: Remote, *, chunker: int, keys: bytes = b"", ring: bytes | None = None) -> RemoteFormat:
    """The same, written if nothing was; Conflict if other things lie there. `ring`: an encrypted store's keyring."""
    told = look_at_remote(remote, chunker=chunker, keys=keys)
    if told is not None:
        return told
    ours = (FORMAT_KEY, GC_KEY, RING_KEY)
    stranger = next((found.key for found in remote.list("") if found.key not in ours), None)
    if stranger is not None and look_at_remote(remote, chunker=chunker, keys=keys) is None:
        raise Conflict(f"{remote.url} is not empty: it holds {stranger!r}", hint="choose an empty prefix or folder")
    # Before the format: what has a format has this, too.
    state = GcState(secrets.token_bytes(WRITE_BYTES), 1, limits.REMOTE_GRACE_S, False, 0, [], [])
    remote.create(GC_KEY, encode_remote(state))
    if ring is not None:
        remote.create(RING_KEY, ring)
    id = secrets.token_bytes(WRITE_BYTES)
    made = SealedFormat(id, chunker, keys) if keys else RemoteFormat(id, chunker)
    if remote.create(FORMAT_KEY, encode_remote(made)) is not None:
        return made
    told = look_at_remote(remote, chunker=chunker, keys=keys)  # another one was quicker
    if told is None:
        raise Conflict(f"{remote.url} was made and removed at once", hint="try again")
    return told

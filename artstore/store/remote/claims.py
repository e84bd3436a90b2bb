"""What remotes say of who is home, in their `mirror-of`: read before each ref is written, replaced by promotions.

One without it decides for itself, as every remote did before there were mirrors.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore.errors import Conflict
from artstore.format.remote import MIRROR_KEY, WRITE_BYTES, MirrorOf, encode_remote
from artstore.planning.mirrors import Claim
from artstore.store.remote.documents import read_document, read_or_etag

if TYPE_CHECKING:
    from artstore.ports import Remote


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim, and the ETag of what it stands in; none: in nothing."""

    claim: Claim
    etag: str | None


def read_claim(remote: Remote, id: bytes) -> Claimed:
    """What a remote says, `id` being its own. Corrupt, naming it, if it is damaged: nobody writes names there then."""
    found = read_document(remote, MirrorOf, MIRROR_KEY)
    if found is None:
        return Claimed(Claim(id, id), None)
    told = found[0]
    return Claimed(Claim(id, told.home, told.epoch, told.url), found[1].etag)


def read_or_replace(remote: Remote, id: bytes) -> Claimed:
    """The same, for who says anew who is home: one that can't be read says nothing."""
    found = read_or_etag(remote, MirrorOf, MIRROR_KEY)
    if found is None or found.value is not None:
        return read_claim(remote, id)
    return Claimed(Claim(id, b""), found.etag)


def put_claim(remote: Remote, claim: Claim, before: Claimed) -> bool:
    """Have a remote say that, if it still says what it did `before`; False if it says something else by now."""
    data = encode_remote(MirrorOf(secrets.token_bytes(WRITE_BYTES), claim.home, claim.epoch, claim.url))
    if before.etag is None:
        return remote.create(MIRROR_KEY, data) is not None
    return remote.swap(MIRROR_KEY, data, before.etag) is not None


def require_home(remote: Remote, id: bytes) -> Claim:
    """Its claim, if names may be written there. Conflict, with who is home, if it is a mirror."""
    claim = read_claim(remote, id).claim
    if not claim.is_home:
        raise no_home(remote.url, claim)
    return claim


def no_home(url: str, claim: Claim) -> Conflict:
    """What to tell who would write names at a mirror."""
    since = f", which promotion {claim.epoch} made home" if claim.epoch else ""
    where = claim.url or f"remote {claim.home.hex()}"
    return Conflict(
        f"{url} is a mirror of {where}{since}: names are decided there",
        hint=f"`artstore remote promote NAME` if {where} is a remote of this store (`artstore remote list`), else "
        f"`artstore remote add NAME {claim.url or 'URL'}` first",
    )

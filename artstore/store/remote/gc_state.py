"""gc/state: what collection at a remote says to everybody who writes there. Read, replaced with If-Match, or refused.

Whoever wants a remote for himself says so there (`exclusive`), and who he is; everybody else stops. That ends when he
has done, when he gives up, or, since he may have died, with the next run once it has stood for too long. Taking it from
one who lives costs him his run and nothing else: his decision is swapped in with If-Match, too.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Busy, Corrupt
from artstore.format.remote import GC_KEY, WRITE_BYTES, GcState, changed_state, encode_remote
from artstore.store.remote.documents import Found, read_document

if TYPE_CHECKING:
    from artstore.model import Written
    from artstore.ports import Remote


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """What collection at a remote says to whoever looks. `grace_s`: how long garbage waits; `grace_before_s`: the
    longer one that is still waited for, if it was lowered; `held`: by whom and since when nobody else may write names.
    """

    grace_s: int
    grace_before_s: int | None
    held: str | None


def collection_status(remote: Remote) -> CollectionStatus:
    """The same, as it is now. Corrupt if it is missing or damaged."""
    state, _ = read_state(remote)
    before = None if state.former is None else state.former.grace
    held = f"{state.holder or 'somebody'} since {_told(held_since(remote))}" if state.exclusive else None
    return CollectionStatus(state.grace, before, held)


def read_state(remote: Remote) -> tuple[GcState, Found]:
    """What it says, and how it came. Corrupt if it is missing."""
    found = read_document(remote, GcState, GC_KEY)
    if found is None:
        raise Corrupt(f"{remote.url}/{GC_KEY} is missing", hint="is this a remote of artstore? was it deleted in part?")
    return found


def swap_state(remote: Remote, state: GcState, etag: str) -> Written | None:
    """Replace the one with this ETag by `state`, as the next generation; None if another one stands there by now."""
    new = changed_state(state, write=secrets.token_bytes(WRITE_BYTES), generation=state.generation + 1)
    return remote.swap(GC_KEY, encode_remote(new), etag)


def held_since(remote: Remote) -> float:
    """Not before the time, by the remote's clock, at which gc/state was last replaced. Services tell whole seconds."""
    found = remote.head(GC_KEY)
    if found is None:
        raise Corrupt(f"{remote.url}/{GC_KEY} is missing", hint="was the remote deleted in part?")
    return found.time + 1


def hold_ends(state: GcState, since: float) -> float:
    """When anybody may take it that whoever holds the remote is dead."""
    return since + state.grace_in_force / 2 + limits.REMOTE_HOLD_S


def held(remote: Remote, state: GcState) -> Busy:
    """What to tell who may not write there now."""
    since = held_since(remote)
    who = state.holder or "somebody"
    return Busy(
        f"{remote.url} is held by {who} since {_told(since)}, and collected at once: nobody else may write names there "
        "meanwhile",
        hint=f"try again later; if that run is dead, `artstore gc --remote NAME --now` goes on with it, and from "
        f"{_told(hold_ends(state, since))} on `artstore gc --remote NAME` ends it",
    )


def _told(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

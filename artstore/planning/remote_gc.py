"""What collection at a remote does to packs: list, condemn, delete. DESIGN, "Collection".

Pure: what gc/state says and what was seen after it was read in, the next gc/state out. All times are the remote's own.

    absent ── unmarked, older than grace ──> listed ── seen listed at t0 ──> since t0 ── grace later ──> deleting
       ^──────────── marked, or gone ───────────┴──────────────────────────────┘                            │
       └────────────────────────────── deleted, then swapped out: `deletions` + 1 ──────────────────────────┘

Why nobody loses a pack P: who reuses P has seen gc/state without it at W, and swaps a ref before W + grace/2; P is
listed after W, so that `since` > W, and the last marking begins at since + grace at the earliest, and sees that ref.
While P is listed nobody reuses it. A time is given to P only by a run that found it listed: the time of a swap isn't
known to the one who swaps, whose clock isn't believed and whose request may lie about for hours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from artstore import limits
from artstore.model import Listed


@dataclass(frozen=True, slots=True)
class Standing:
    """What gc/state says of packs: those that are listed, with the time (s) at which they were seen to be, if they
    were; and those that are being deleted.
    """

    listed: Mapping[str, int | None]
    deleting: Sequence[str]


@dataclass(frozen=True, slots=True)
class RemoteGcStep:
    """One run. `after`: what gc/state is to say; `changes`: is that anything else than before?

    `spared`: no longer listed, since something needs them; `begun`: newly listed; `waiting`: listed already, and not
    for long enough; `deleting`: their time is over. `left`: garbage for which there was no room in the list; `young`:
    what may be garbage, or may be needed by a push that is under way.
    """

    after: Standing
    changes: bool
    spared: Sequence[Listed]
    begun: Sequence[Listed]
    waiting: Sequence[Listed]
    deleting: Sequence[Listed]
    left: Sequence[Listed]
    young: Sequence[Listed]


def plan_remote_gc(
    before: Standing,
    packs: Iterable[Listed],
    marked: Collection[str],
    *,
    read_at: float,
    grace: int,
    at_once: bool = False,
) -> RemoteGcStep:
    """The next step. `before` was read at `read_at`; `packs` and `marked` (what refs and pins need) were seen after
    that. What `before` is deleting already is deleted again: whoever was at it may have stopped, or may go on.

    `at_once`: nobody may write refs, and nobody's proof is young any more, so that what isn't marked goes now.
    """
    there = {pack.key: pack for pack in packs}
    spared = [there[key] for key in before.listed if key in marked and key in there]
    listed = {key: since for key, since in before.listed.items() if key not in marked and key in there}
    over = {key: None for key, since in listed.items() if at_once or (since is not None and read_at - since >= grace)}
    since = {key: _seen_listed(read_at) if at is None else at for key, at in listed.items() if key not in over}
    known = {*before.listed, *before.deleting}
    garbage = [pack for pack in there.values() if pack.key not in marked and pack.key not in known]
    grown = garbage if at_once else [pack for pack in garbage if read_at - pack.time >= grace]
    old = sorted(grown, key=lambda pack: (-pack.size, pack.key))
    room = max(0, limits.REMOTE_LISTED_MAX - len(since) - len(over) - len(before.deleting))
    new = {pack.key: None for pack in old[:room]}
    if at_once:
        over |= new
    after = Standing(since if at_once else {**since, **new}, [*before.deleting, *over])
    return RemoteGcStep(
        after,
        changes=dict(after.listed) != dict(before.listed) or list(after.deleting) != list(before.deleting),
        spared=spared,
        begun=[] if at_once else old[:room],
        waiting=[there[key] for key in since],
        deleting=[there.get(key, Listed(key, 0, read_at)) for key in after.deleting],
        left=old[room:],
        young=[] if at_once else [pack for pack in garbage if read_at - pack.time < grace],
    )


def _seen_listed(read_at: float) -> int:
    """A time that is not before the one at which it was seen: services tell whole seconds."""
    return int(read_at) + 1

"""What local collection does to packs and versions: condemn, revive, delete, unlink, repack.

Pure: one consistent view in, a plan out; the service carries it out in one write transaction and unlinks afterwards.

    LIVE ── unneeded ──> CONDEMNED ── undo window over ──> DELETING ── no older session runs ──> forgotten, unlinked
      ^───── needed ────────┘ <──────── needed ───────────────┘

A pack is needed by the sets of kept versions and by the running session that wrote it. DELETING packs are invisible to
look-ups; a session that began before may still reuse one and takes it back in its last transaction. Which sessions
these are is recorded for each pack, by id: clocks may be set back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from artstore import limits
from artstore.model import Digest, PackRow, PackState

_SESSION_ID_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class GcView:
    """What collection sees, in one transaction.

    `kept`, `gone`: sets (pack numbers) of the versions as `plan_roots` judged them. `gone_since`: when earlier runs
    first saw a version gone (ns). `running`: ids of sessions, without the collector's own. `witnesses`: for packs that
    are DELETING, the sessions that ran after they were marked. `live_bytes`: of packs, where they were counted.
    """

    packs: Sequence[PackRow]
    kept: Mapping[Digest, Sequence[int]]
    gone: Mapping[Digest, Sequence[int]]
    now: int
    gone_since: Mapping[Digest, int]
    running: frozenset[bytes] = frozenset()
    witnesses: Mapping[int, frozenset[bytes]] | None = None
    live_bytes: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Freed:
    """Bytes that are free at a time (ns)."""

    at: int
    size: int


@dataclass(frozen=True, slots=True)
class GcPlan:
    """Pack numbers, ascending. Carry it out in this order [I4]: versions, states of packs, rows of packs, files.

    `mark_gone`, `forget_gone`: what `gone_since` gains and loses. `drop`: versions whose sets are removed. `delete`: to
    be marked; they are `unlink`ed by the next plan. `witness`: packs for which `running` is to be recorded. `waiting`:
    bytes that older sessions hold back. `freed_now`: by `unlink`, and by `delete` when nothing runs.
    """

    mark_gone: tuple[Digest, ...]
    forget_gone: tuple[Digest, ...]
    drop: tuple[Digest, ...]
    condemn: tuple[int, ...]
    revive: tuple[int, ...]
    delete: tuple[int, ...]
    unlink: tuple[int, ...]
    witness: tuple[int, ...]
    repack: tuple[int, ...]
    waiting: int
    freed_now: int
    freed_later: tuple[Freed, ...]

    @property
    def is_empty(self) -> bool:
        """Would carrying it out change nothing?"""
        return not (
            self.mark_gone or self.forget_gone or self.drop or self.condemn or self.revive or self.delete
            or self.unlink or self.witness or self.repack
        )  # fmt: skip


def plan_gc(view: GcView, *, undo_ns: int = limits.UNDO_NS) -> GcPlan:
    """One step of collection. `undo_ns=0` (`gc --now`) gives up the undo window; call again to unlink."""
    needed = {number for packs in view.kept.values() for number in packs}
    needed |= {pack.number for pack in view.packs if pack.id[:_SESSION_ID_BYTES] in view.running}
    revive = [pack for pack in view.packs if pack.state is not PackState.LIVE and pack.number in needed]
    unneeded = [pack for pack in view.packs if pack.number not in needed]
    waiting_for_undo = [pack for pack in unneeded if pack.state is not PackState.DELETING]
    delete = [pack for pack in waiting_for_undo if _condemned_at(pack, view.now) + undo_ns <= view.now]
    condemned = [pack for pack in waiting_for_undo if _condemned_at(pack, view.now) + undo_ns > view.now]
    deleting = [pack for pack in unneeded if pack.state is PackState.DELETING]
    unlink = [pack for pack in deleting if not _held_back(pack, view)]
    held = [pack for pack in deleting if _held_back(pack, view)] + (delete if view.running else [])
    drop = _dropped(view, {pack.number for pack in (*delete, *deleting)}, undo_ns)
    return GcPlan(
        mark_gone=tuple(v for v in view.gone if v not in view.gone_since and v not in drop),
        forget_gone=tuple(v for v in view.gone_since if v not in view.gone or v in drop),
        drop=tuple(drop),
        condemn=_numbers(pack for pack in condemned if pack.state is PackState.LIVE),
        revive=_numbers(revive),
        delete=_numbers(delete),
        unlink=_numbers(unlink),
        witness=_numbers(pack for pack in deleting if view.running and pack.number not in (view.witnesses or {})),
        repack=_numbers(pack for pack in view.packs if pack.number in needed and _is_mostly_dead(pack, view)),
        waiting=_size(held),
        freed_now=_size(unlink) + (0 if view.running else _size(delete)),
        freed_later=_freed_later(condemned, view.now, undo_ns),
    )


def plan_undo(view: GcView) -> tuple[tuple[Digest, ...], tuple[int, ...]]:
    """What `gc --undo` brings back: versions whose packs are all still here, and the packs to revive for them."""
    here = {pack.number: pack for pack in view.packs}
    versions = tuple(version for version, packs in view.gone.items() if all(number in here for number in packs))
    wanted = {number for version in versions for number in view.gone[version]}
    return versions, _numbers(here[number] for number in wanted if here[number].state is not PackState.LIVE)


def _condemned_at(pack: PackRow, now: int) -> int:
    """Since when a pack is condemned; from now on for a live one, and for one whose time lies in the future."""
    return min(pack.since, now) if pack.state is PackState.CONDEMNED else now


def _held_back(pack: PackRow, view: GcView) -> bool:
    """Does a session run that may have seen the pack before it was marked? Unless recorded, each that runs may."""
    return not view.running.isdisjoint((view.witnesses or {}).get(pack.number, view.running))


def _dropped(view: GcView, lost: set[int], undo_ns: int) -> dict[Digest, None]:
    """Versions that can't come back: the undo window is over, or a pack of theirs is lost."""
    here = {pack.number for pack in view.packs}
    return {
        version: None
        for version, packs in view.gone.items()
        if view.gone_since.get(version, view.now) + undo_ns <= view.now
        or any(number in lost or number not in here for number in packs)
    }


def _is_mostly_dead(pack: PackRow, view: GcView) -> bool:
    live = (view.live_bytes or {}).get(pack.number)
    is_written = pack.id[:_SESSION_ID_BYTES] in view.running
    return live is not None and not is_written and live < pack.size * limits.REPACK_LIVE_MIN


def _freed_later(condemned: Iterable[PackRow], now: int, undo_ns: int) -> tuple[Freed, ...]:
    sizes: dict[int, int] = {}
    for pack in condemned:
        at = _condemned_at(pack, now) + undo_ns
        sizes[at] = sizes.get(at, 0) + pack.size
    return tuple(Freed(at, size) for at, size in sorted(sizes.items()))


def _numbers(packs: Iterable[PackRow]) -> tuple[int, ...]:
    return tuple(sorted(pack.number for pack in packs))


def _size(packs: Iterable[PackRow]) -> int:
    return sum(pack.size for pack in packs)

"""Aliases: where they move, as plans of one snapshot, and the moves themselves.

A move is planned first and entered then: of an alias whose moves are decided elsewhere, both happen there in between.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, TypedDict

from artstore import limits
from artstore.errors import Conflict, NotFound
from artstore.format.undo import RemovedRef
from artstore.format.version import encode_move
from artstore.model import Alias, Digest, Move
from artstore.planning.rollback import Refusal, RollbackPlan, plan_rollback
from artstore.revision import check_ref_name
from artstore.store.collect.records import note_removed
from artstore.store.names import check_free, hold, shown
from artstore.store.resolve import check_version

if TYPE_CHECKING:
    from artstore.format.ids import Ids
    from artstore.ports import IndexReader, IndexWriter


class Absent(Enum):
    """Expected by a compare-and-swap: the alias names nothing yet."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of an alias. None as `source` or `target`: it named nothing before, or was removed.

    `changed` is False when it stood there already; then `seq` and `time` are those of its last move. `skipped`:
    versions that a rollback passed over since they were collected.
    """

    alias: str
    source: Digest | None
    target: Digest | None
    seq: int
    time: int
    rollback: bool = False
    changed: bool = True
    skipped: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to become of an alias; no `move`: it stands there already."""

    moved: Moved
    move: Move | None = None

    def move_id(self, ids: Ids) -> Digest:
        """The move's id."""
        assert self.move is not None
        return encode_move(self.move, ids).id


Planner = Callable[["IndexReader"], Planned]
"""Decides on one snapshot."""


class Mover(TypedDict):
    """Who moves, where, when (ns)."""

    who: str
    host: str
    now: int


def plan_alias(
    reader: IndexReader,
    name: str,
    target: Digest,
    *,
    if_current: Digest | Absent | None = None,
    reason: str = "",
    who: str,
    host: str,
    now: int,
) -> Planned:
    """Where an alias goes forward to, or is made. `if_current`: only if it stands there (None: wherever it stands).

    Raises Conflict if it stands elsewhere or the name is a tag's; NotFound if the version isn't here.
    """
    check_ref_name(name)
    alias = reader.alias(name)
    _check_current(reader, name, alias, if_current)
    if alias is not None and alias.version == target:
        return _unmoved(reader, alias)
    if alias is None:
        check_free(reader, name, wanted="alias")
    return _planned(reader, name, target, reason=reason, who=who, host=host, now=now)


def plan_alias_rollback(
    reader: IndexReader,
    name: str,
    *,
    to: Digest | None = None,
    if_current: Digest | Absent | None = None,
    reason: str = "",
    who: str,
    host: str,
    now: int,
) -> Planned:
    """Where an alias goes back to: see `planning.rollback`. Raises Conflict when there is nowhere to go."""
    alias = reader.alias(name)
    if alias is None:
        raise _no_alias(name)
    _check_current(reader, name, alias, if_current)
    plan = rollback_target(reader, name, to=to)
    if plan.target == alias.version:
        return _unmoved(reader, alias)
    return _planned(
        reader, name, plan.target, reason=reason, who=who, host=host, now=now, rollback=True, skipped=plan.skipped
    )


def rollback_target(
    reader: IndexReader, name: str, *, to: Digest | None = None, elsewhere: Container[Digest] = ()
) -> RollbackPlan:
    """Where `rollback` would go, changing nothing. `elsewhere`: versions that could be had. Errors as `rollback`."""
    alias = reader.alias(name)
    if alias is None:
        raise _no_alias(name)
    moves = [move for _, move in islice(reader.moves(name), limits.ROLLBACK_MOVES_MAX)]

    def available(version: Digest) -> bool:
        return reader.version_set(version) is not None or version in elsewhere

    plan = plan_rollback(moves, available=available, to=to)
    if isinstance(plan, RollbackPlan):
        return plan
    if plan is Refusal.CURRENT:
        return RollbackPlan(Digest(alias.version))
    where = "" if to is None else f" to {shown(reader, to, name)}"
    raise Conflict(
        f"{name} can't be rolled back{where}: {plan.value} (it is at {shown(reader, alias.version, name)})",
        hint=f"`artstore alias log {name}` shows where it was, `artstore alias set {name} REV` moves it anywhere",
    )


def plan_alias_removal(
    reader: IndexReader,
    name: str,
    *,
    if_current: Digest | Absent | None = None,
    reason: str = "",
    who: str,
    host: str,
    now: int,
) -> Planned:
    """An alias goes on to nothing; its history stays and goes on if it is made again."""
    alias = reader.alias(name)
    if alias is None:
        raise _no_alias(name)
    _check_current(reader, name, alias, if_current)
    return _planned(reader, name, None, reason=reason, who=who, host=host, now=now)


def enter(writer: IndexWriter, planned: Planned) -> Moved:
    """Make a move that was planned on this state: what it leads to is kept [I3], and what it removes `gc --undo` can
    bring back. Conflict if the state has changed.
    """
    move = planned.move
    if move is not None:
        if move.target:
            hold(writer, Digest(move.target))
        writer.put_move(move)
        if move.source and not move.target:
            note_removed(writer, RemovedRef(move.alias, True, move.source, 0, move.time))
    return planned.moved


def restore_moves(writer: IndexWriter, name: str, moves: Sequence[Move]) -> None:
    """Go on with an alias as others did: moves that follow upon those here, oldest first.

    Raises Conflict if they don't, or the name is a tag's; NotFound if the version it stands at then isn't here.
    """
    if writer.alias(name) is None:
        check_free(writer, name, wanted="alias")
    if moves and moves[-1].target:
        hold(writer, Digest(moves[-1].target))
    for move in moves:
        writer.put_move(move)


def restore_history(writer: IndexWriter, name: str, moves: Sequence[Move]) -> None:
    """Let an alias that was removed here have the history that others gave it; what was its own is forgotten.

    NotFound if the version it stands at then isn't here.
    """
    if moves[-1].target:
        hold(writer, Digest(moves[-1].target))
    writer.put_history(name, moves)


def alias_log(reader: IndexReader, name: str) -> Iterator[tuple[Digest, Move]]:
    """The moves of an alias with their ids, newest first, be it removed by now; NotFound if there never was one."""
    moves = reader.moves(name)
    first = next(moves, None)
    if first is None:
        raise _no_alias(name)
    return chain([first], moves)


def _planned(
    reader: IndexReader,
    name: str,
    target: Digest | None,
    *,
    reason: str,
    who: str,
    host: str,
    now: int,
    rollback: bool = False,
    skipped: tuple[Digest, ...] = (),
) -> Planned:
    if target is not None:
        check_version(reader, target)
    last = next(iter(reader.moves(name)), None)
    source, seq, previous = (b"", 1, b"") if last is None else (last[1].target, last[1].seq + 1, bytes(last[0]))
    move = Move(name, seq, source, target or b"", now, who, host, reason, rollback, previous)
    moved = Moved(name, Digest(source) if source else None, target, seq, now, rollback, skipped=skipped)
    return Planned(moved, move)


def _unmoved(reader: IndexReader, alias: Alias) -> Planned:
    version = Digest(alias.version)
    move = reader.move(alias.move)
    return Planned(Moved(alias.name, version, version, alias.seq, 0 if move is None else move.time, changed=False))


def _check_current(reader: IndexReader, name: str, alias: Alias | None, expected: Digest | Absent | None) -> None:
    if expected is None or (alias is None and expected is ABSENT):
        return
    if alias is not None and alias.version == expected:
        return
    stands = "names nothing" if alias is None else f"is at {shown(reader, alias.version, name)}"
    wanted = "nothing" if isinstance(expected, Absent) else shown(reader, expected, name)
    raise Conflict(f"{name} {stands}, not at {wanted}", hint=f"look at `artstore alias log {name}`, then decide again")


def _no_alias(name: str) -> NotFound:
    return NotFound(f"there is no alias {name}", hint="`artstore list` shows the refs")

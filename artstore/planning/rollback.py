"""Where a rollback of an alias goes: back along its history, never to what was rolled back from.

Pure: moves in, a decision out. Think of the forward moves as a stack. A forward move puts its target on top; a rollback
takes the top off and marks it as rolled back from, until a later forward move sets it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from artstore.model import Digest, Move


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """Where to go. `skipped`: versions passed over since they aren't here any more, newest first."""

    target: Digest
    skipped: tuple[Digest, ...] = ()


class Refusal(Enum):
    """Why there is nowhere to go."""

    NOT_SET = "it names nothing"
    NOTHING_LEFT = "there is nothing before it"
    GONE = "what came before was collected"
    CURRENT = "it is there already"
    NEVER_THERE = "it never named that version"
    ROLLED_BACK_FROM = "it was rolled back from that version"


def plan_rollback(
    moves: Sequence[Move], *, available: Callable[[Digest], bool], to: Digest | None = None
) -> RollbackPlan | Refusal:
    """The target of a rollback, given the newest moves, newest first.

    Without `to`: the target before the newest forward move that is still in force, and further back each time. With
    `to`: that version, if the alias ever named it and was not rolled back from it since.
    """
    stack, abandoned = _replay(moves)
    if not stack:
        return Refusal.NOT_SET
    if to is not None:
        return _plan_to(moves, stack, abandoned, to=to, available=available)
    skipped: list[Digest] = []
    for version in reversed(stack[:-1]):
        if version == stack[-1] or version in abandoned:
            continue
        if available(version):
            return RollbackPlan(version, tuple(skipped))
        if version not in skipped:
            skipped.append(version)
    return Refusal.GONE if skipped else Refusal.NOTHING_LEFT


def _plan_to(
    moves: Sequence[Move],
    stack: list[Digest],
    abandoned: set[Digest],
    *,
    to: Digest,
    available: Callable[[Digest], bool],
) -> RollbackPlan | Refusal:
    if to == stack[-1]:
        return Refusal.CURRENT
    if to in abandoned:
        return Refusal.ROLLED_BACK_FROM
    if all(to not in (move.source, move.target) for move in moves):
        return Refusal.NEVER_THERE
    return RollbackPlan(to) if available(to) else Refusal.GONE


def _replay(moves: Sequence[Move]) -> tuple[list[Digest], set[Digest]]:
    """The stack (its last is where the alias stands) and the versions that were rolled back from."""
    stack: list[Digest] = []
    abandoned: set[Digest] = set()
    for move in reversed(moves):
        source, target = Digest(move.source), Digest(move.target)
        if not target:  # removed: what it named before belongs to another life of that name
            stack = []
            continue
        if not stack and source:
            stack = [source]  # the oldest move that we see
        if not move.rollback:
            abandoned.discard(target)
            stack.append(target)
            continue
        abandoned.add(source)
        while stack and stack[-1] == source:
            stack.pop()
        if target in stack:
            while stack[-1] != target:
                stack.pop()
        else:  # `to` named a version that an earlier rollback had passed over
            stack.append(target)
    return stack, abandoned

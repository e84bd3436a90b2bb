"""Where a rollback goes, move by move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.model import Digest, Move
from artstore.planning.rollback import Refusal, RollbackPlan, plan_rollback


def version(number: int) -> Digest:
    """A version called by a number."""
    return Digest(bytes([number]) * 32)


def history(steps: str) -> list[Move]:
    """Moves, newest first: `1 2 <1 - 3` sets 1, sets 2, rolls back to 1, removes, sets 3."""
    moves: list[Move] = []
    source = b""
    for seq, step in enumerate(steps.split(), 1):
        target = b"" if step == "-" else bytes(version(int(step.removeprefix("<"))))
        moves.append(Move("a/p", seq, source, target, seq, "me", "here", "", step.startswith("<"), b""))
        source = target
    return moves[::-1]


def plan(steps: str, *, to: int | None = None, gone: str = "") -> RollbackPlan | Refusal:
    """The decision after these steps, when the versions `gone` were collected."""
    missing = {version(int(number)) for number in gone.split()}
    return plan_rollback(history(steps), available=lambda v: v not in missing, to=None if to is None else version(to))


@pytest.mark.parametrize(
    ("steps", "target"),
    [
        ("1 2", 1),
        ("1 2 3 <2", 1),
        ("1 2 3 <2 4", 2),
        ("1 2 3 <2 4 <2", 1),
        ("1 2 3 <2 3", 2),
        ("1 2 1", 2),
        ("1 2 <1 2", 1),
        ("1 2 <1 3 4 <3", 1),
        ("1 2 3 4 <2 5", 2),
        ("1 2 3 4 <2", 1),
        ("1 2 3 4 <2 <3", 1),
        ("1 - 2 3", 2),
    ],
)
def test_a_rollback_goes_before_the_newest_forward_move_then_further_back(steps: str, target: int) -> None:
    """Production would go to a version that nobody had chosen before the broken one."""
    assert plan(steps) == RollbackPlan(version(target))


@pytest.mark.parametrize(
    ("steps", "refusal"),
    [
        ("", Refusal.NOT_SET),
        ("1 -", Refusal.NOT_SET),
        ("1", Refusal.NOTHING_LEFT),
        ("1 2 <1", Refusal.NOTHING_LEFT),
        ("1 2 1 <2", Refusal.NOTHING_LEFT),
        ("1 - 2", Refusal.NOTHING_LEFT),
    ],
)
def test_with_nothing_before_it_a_rollback_refuses(steps: str, refusal: Refusal) -> None:
    """A second rollback would bring the broken version back."""
    assert plan(steps) is refusal


def test_collected_versions_are_passed_over_and_told() -> None:
    """A rollback would point production at data that is gone."""
    assert plan("1 2 3 4", gone="2 3") == RollbackPlan(version(1), (version(3), version(2)))
    assert plan("1 2 3", gone="1 2") is Refusal.GONE
    assert plan("1 2 3", to=1, gone="1") is Refusal.GONE


@pytest.mark.parametrize(
    ("steps", "to", "expected"),
    [
        ("1 2 3", 1, RollbackPlan(version(1))),
        ("1 2 3", 3, Refusal.CURRENT),
        ("1 2 3", 9, Refusal.NEVER_THERE),
        ("1 2 3 <2", 3, Refusal.ROLLED_BACK_FROM),
        ("1 2 3 <2 3 4", 3, RollbackPlan(version(3))),
        ("1 2 - 3", 1, RollbackPlan(version(1))),
    ],
)
def test_a_chosen_target_must_have_been_there_and_not_be_broken(
    steps: str, to: int, expected: RollbackPlan | Refusal
) -> None:
    """A typing error in `--to` would deploy a version that never was in production, or the broken one."""
    assert plan(steps, to=to) == expected


def test_the_oldest_moves_may_be_cut_off() -> None:
    """An alias with a very long history couldn't be rolled back any more."""
    assert plan_rollback(history("1 2 3 4")[:1], available=lambda _: True) == RollbackPlan(version(3))


@given(st.lists(st.integers(0, 5), max_size=40))
def test_no_rollback_ends_on_a_version_that_was_rolled_back_from(choices: list[int]) -> None:
    """The broken version would come back by rolling back once more."""
    steps: list[str] = []
    current, broken = 0, set[int]()
    for choice in choices:
        if choice:
            if choice != current:
                steps.append(str(choice))
                broken.discard(choice)
                current = choice
            continue
        decision = plan(" ".join(steps))
        if isinstance(decision, RollbackPlan):
            broken.add(current)
            current = decision.target[0]
            assert current not in broken
            steps.append(f"<{current}")

"""What collection at a remote decides: lists, times, deletions."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from artstore.model import Listed
from artstore.planning.remote_gc import RemoteGcStep, Standing, plan_remote_gc

DAY = 86400
NOW = 1_000_000.5
OLD = NOW - 2 * DAY


def run(
    listed: Mapping[str, int | None],
    packs: Mapping[str, float],
    *marked: str,
    deleting: tuple[str, ...] = (),
    read_at: float = NOW,
) -> RemoteGcStep:
    """A run that sees these packs, with the times at which they were written; each of 10 bytes."""
    there = [Listed(key, 10, time) for key, time in packs.items()]
    return plan_remote_gc(Standing(listed, deleting), there, set(marked), read_at=read_at, grace=DAY)


def test_garbage_takes_three_runs() -> None:
    """A pack that was found to be garbage would be deleted while a push relies on it."""
    first = run({}, {"a": OLD, "b": OLD}, "b")
    assert first.after == Standing({"a": None}, [])
    assert first.changes
    second = run(first.after.listed, {"a": OLD, "b": OLD}, "b")
    assert second.after == Standing({"a": 1_000_001}, []), "not before the time at which it was seen to be listed"
    third = run(second.after.listed, {"a": OLD, "b": OLD}, "b", read_at=NOW + DAY - 1)
    assert third.after == second.after
    assert not third.changes
    assert [pack.key for pack in third.waiting] == ["a"]
    fourth = run(third.after.listed, {"a": OLD, "b": OLD}, "b", read_at=NOW + DAY + 1)
    assert fourth.after == Standing({}, ["a"])
    assert [(pack.key, pack.size) for pack in fourth.deleting] == [("a", 10)]


@pytest.mark.parametrize("since", [None, 5])
def test_what_is_needed_again_is_spared(since: int | None) -> None:
    """What a ref leads to would be deleted since nothing did once."""
    step = run({"a": since}, {"a": OLD}, "a")
    assert step.after == Standing({}, [])
    assert [pack.key for pack in step.spared] == ["a"]


def test_what_is_young_is_let_be() -> None:
    """A pack that was sent a minute ago, by a push that hasn't got to its names, would be listed."""
    step = run({}, {"a": NOW - DAY + 1, "b": NOW - DAY})
    assert step.after == Standing({"b": None}, [])
    assert [pack.key for pack in step.young] == ["a"]


def test_deletion_is_gone_on_with() -> None:
    """What a collector was at when it was killed would lie there for ever, and be taken for gone."""
    step = run({}, {"a": OLD}, "a", deleting=("a", "b"))
    assert step.after == Standing({}, ["a", "b"])
    assert not step.changes
    assert [pack.key for pack in step.deleting] == ["a", "b"]
    assert step.begun == []


def test_what_is_gone_is_no_longer_listed() -> None:
    """The list would fill with what somebody deleted by hand."""
    step = run({"a": 5}, {})
    assert step.after == Standing({}, [])
    assert step.changes
    assert step.spared == []


def test_the_biggest_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each push would read a list of a million packs; and what frees most would come last."""
    monkeypatch.setattr("artstore.limits.REMOTE_LISTED_MAX", 3)
    packs = [Listed(key, size, OLD) for key, size in {"a": 1, "b": 3, "c": 2, "d": 9}.items()]
    step = plan_remote_gc(Standing({"d": None}, []), packs, set(), read_at=NOW, grace=DAY)
    assert step.after.listed == {"d": 1_000_001, "b": None, "c": None}
    assert [pack.key for pack in step.left] == ["a"]

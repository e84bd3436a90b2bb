"""Which versions collection keeps, and why."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.model import Digest, Move, Tag
from artstore.planning.roots import AliasHistory, Reason, RootsPlan, VersionFacts, Why, plan_roots

NOW = 10**18
OLD = NOW - limits.UNDO_NS


def version(number: int) -> Digest:
    """A version called by a number."""
    return Digest(number.to_bytes(2, "big") * 16)


def history(name: str, *targets: int) -> AliasHistory:
    """The moves of an alias, given oldest first; 0 removes it."""
    moves: list[Move] = []
    source = b""
    for seq, target in enumerate(targets, 1):
        to = bytes(version(target)) if target else b""
        moves.append(Move(name, seq, source, to, seq, "me", "here", "", False, b""))
        source = to
    return AliasHistory(name, moves[::-1])


def plan(
    *numbers: int,
    tags: Mapping[str, int] | None = None,
    histories: tuple[AliasHistory, ...] = (),
    created: Mapping[int, int] | None = None,
    inputs: Mapping[int, tuple[int, ...]] | None = None,
) -> RootsPlan:
    """The judgement on these versions, which are old unless said otherwise."""
    facts = {
        version(number): VersionFacts(
            (created or {}).get(number, number), tuple(version(each) for each in (inputs or {}).get(number, ()))
        )
        for number in numbers
    }
    named = [Tag(name, version(number), 1) for name, number in (tags or {}).items()]
    return plan_roots(tags=named, histories=histories, versions=facts, now=NOW)


def test_each_version_is_kept_for_its_reason_or_goes() -> None:
    """`gc` would remove what a tag, an alias, its history or a new version needs, or couldn't say why it stays."""
    found = plan(
        1, 2, 3, 4, 5, 6, 7, 8,
        tags={"a/v1": 1},
        histories=(history("a/p", 2, 3),),
        created={4: OLD + 1, 5: OLD, 8: NOW + 1},
        inputs={1: (6,), 6: (7, 99)},
    )  # fmt: skip
    assert found.kept == {
        version(1): Reason(Why.TAG, "a/v1"),
        version(3): Reason(Why.ALIAS, "a/p"),
        version(2): Reason(Why.MOVE, "a/p"),
        version(4): Reason(Why.YOUNG),
        version(8): Reason(Why.YOUNG),
        version(6): Reason(Why.INPUT, version(1).hex()),
        version(7): Reason(Why.INPUT, version(6).hex()),
    }
    assert found.gone == (version(5),)
    assert found.missing == ()


def test_parents_and_old_moves_hold_nothing() -> None:
    """Nothing would ever be freed: each version has a parent."""
    moves = history("a/p", *range(1, limits.ALIAS_MOVES_KEPT + 4))
    found = plan(*range(1, limits.ALIAS_MOVES_KEPT + 4), histories=(moves,))
    assert found.gone == (version(1), version(2))  # the last 32 moves lead from 3 to 35


def test_a_removed_alias_holds_nothing_until_it_is_made_again() -> None:
    """What an alias ever named could never be freed: its history stays, and there is nothing left to remove."""
    assert plan(1, 2, histories=(history("a/p", 1, 2, 0),)).gone == (version(1), version(2))
    found = plan(1, 2, 3, histories=(history("a/p", 1, 2, 0, 3),))
    assert found.kept == {
        version(3): Reason(Why.ALIAS, "a/p"),
        version(2): Reason(Why.MOVE, "a/p"),
        version(1): Reason(Why.MOVE, "a/p"),
    }


def test_a_ref_to_a_version_that_is_not_there_is_told() -> None:
    """Collection would go on in a damaged store and free what could still be repaired."""
    found = plan(1, tags={"a/v1": 1, "a/v2": 2}, histories=(history("a/p", 5, 3),))
    assert found.missing == (("a/v2", version(2)), ("a/p", version(3)))
    assert set(found.kept) == {version(1)}


def test_cycles_of_inputs_end() -> None:
    """A malicious pair of documents would hang every collection."""
    assert set(plan(1, 2, tags={"a/v1": 1}, inputs={1: (2,), 2: (1,)}).kept) == {version(1), version(2)}
    assert plan(1, 2, inputs={1: (2,), 2: (1,)}).gone == (version(1), version(2))


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Reason(Why.TAG, "a/v1"), "tag a/v1"),
        (Reason(Why.YOUNG), "younger than the undo window"),
        (Reason(Why.INPUT, "ab"), "input of ab"),
    ],
)
def test_reasons_are_readable(reason: Reason, text: str) -> None:
    """`gc` would answer "why is this still here" with a code."""
    assert str(reason) == text


numbers = st.integers(1, 12)


@given(
    st.sets(numbers),
    st.dictionaries(st.sampled_from(["a/v1", "a/v2", "b/v1"]), numbers),
    st.lists(numbers, max_size=40),
    st.dictionaries(numbers, st.lists(numbers, max_size=3).map(tuple)),
)
def test_everything_is_kept_or_goes_and_what_is_kept_has_its_inputs(
    present: set[int], tags: dict[str, int], moves: list[int], inputs: dict[int, tuple[int, ...]]
) -> None:
    """A kept model would lose the dataset it was made from, or a version be freed though it is named."""
    found = plan(*present, tags=tags, histories=(history("a/p", *moves),), inputs=inputs)
    assert set(found.kept) | set(found.gone) == {version(number) for number in present}
    assert not set(found.kept) & set(found.gone)
    for number in present:
        if version(number) in found.kept:
            assert all(version(each) in found.kept for each in inputs.get(number, ()) if each in present)
    named = {*tags.values(), *moves[-limits.ALIAS_MOVES_KEPT - 1 :]} & present
    assert {version(number) for number in named} <= found.kept.keys()

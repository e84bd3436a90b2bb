"""Which tags a retention policy removes, and why the others stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import UsageError
from artstore.model import Digest, Move, Tag
from artstore.planning.retention import Policy, RetentionPlan, parse_duration, plan_retention
from artstore.planning.roots import AliasHistory, VersionFacts, Why

DAY = 24 * 3600 * 1_000_000_000
NOW = 1000 * DAY


def version(number: int) -> Digest:
    """A version called by a number."""
    return Digest(bytes([number]) * 32)


def tag(name: str, number: int, *, days: int | None = None) -> Tag:
    """A tag of so many days ago; without days the number tells the order."""
    return Tag(name, version(number), number if days is None else NOW - days * DAY)


def alias(name: str, *targets: int) -> AliasHistory:
    """An alias and its moves, given oldest first."""
    moves = [Move(name, seq, b"", version(each), seq, "", "", "", False, b"") for seq, each in enumerate(targets, 1)]
    return AliasHistory(name, moves[::-1])


def plan(
    policy: Policy, tags: list[Tag], *histories: AliasHistory, only: str | None = None, **inputs: int
) -> RetentionPlan:
    """The judgement; `_2=1` says that version 1 is an input of version 2."""
    facts = {Digest(each.version): VersionFacts(each.created) for each in tags}
    for model, data in inputs.items():
        facts[version(int(model[1:]))] = VersionFacts(0, (version(data),))

    def applies(artifact: str) -> bool:
        return only in (None, artifact)

    return plan_retention(tags=tags, histories=histories, versions=facts, policy=policy, now=NOW, applies=applies)


def removed(found: RetentionPlan) -> list[str]:
    """Names of the tags that would go."""
    return [each.name for each in found.removed]


def reasons(found: RetentionPlan) -> dict[str, Why]:
    """Why the others stay."""
    return {each.tag.name: each.reason.why for each in found.kept}


FIVE = [tag(f"a/v{number}", number) for number in range(1, 6)]


def test_the_last_of_each_artifact_are_kept() -> None:
    """`--keep-last 2` would keep two of all artifacts together, or the first two, or go by name."""
    other = [tag("b/v1", 9), tag("a/b/v1", 8)]
    found = plan(Policy(keep_last=2), [*FIVE, *other])
    assert removed(found) == ["a/v1", "a/v2", "a/v3"]
    assert set(reasons(found).values()) == {Why.LAST}
    assert found.versions == (version(1), version(2), version(3))
    by_time = [tag("a/v10", 1), tag("a/v9", 2)]
    assert removed(plan(Policy(keep_last=1), by_time)) == ["a/v10"]


def test_names_that_somebody_chose_are_kept() -> None:
    """A release tag would go with the hundred automatic versions around it."""
    found = plan(Policy(keep_tagged=True), [*FIVE, tag("a/release-1", 2)])
    assert removed(found) == ["a/v1", "a/v3", "a/v4", "a/v5"]
    assert reasons(found) == {"a/release-1": Why.CHOSEN_NAME, "a/v2": Why.CHOSEN_NAME}


def test_recent_tags_are_kept() -> None:
    """`--keep-within 30d` would remove yesterday's version."""
    tags = [tag("a/v1", 1, days=31), tag("a/v2", 2, days=30), tag("a/v3", 3, days=29), tag("a/v4", 4, days=-1)]
    assert removed(plan(Policy(keep_within=30 * DAY), tags)) == ["a/v1", "a/v2"]


def test_rules_add_up() -> None:
    """With two rules a tag would have to satisfy both to survive."""
    tags = [tag("a/v1", 1, days=90), tag("a/best", 2, days=80), tag("a/v3", 3, days=70), tag("a/v4", 4, days=60)]
    policy = Policy(keep_last=1, keep_tagged=True, keep_within=75 * DAY)
    assert removed(plan(policy, tags)) == ["a/v1"]


def test_without_a_rule_nothing_goes() -> None:
    """A plain `gc` would remove every tag."""
    found = plan(Policy(), FIVE)
    assert removed(found) == []
    assert len(found.kept) == 5


def test_what_aliases_name_or_named_is_never_chosen() -> None:
    """Production, or what it would be rolled back to, would be removed."""
    found = plan(Policy(keep_last=1), FIVE, alias("a/production", 1, 2), alias("x/y", 3))
    assert removed(found) == ["a/v4"]
    assert reasons(found) == {"a/v1": Why.MOVE, "a/v2": Why.ALIAS, "a/v3": Why.ALIAS, "a/v5": Why.LAST}


def test_inputs_of_what_stays_are_never_chosen() -> None:
    """A kept model's dataset would be removed; one with no tag of its own, too."""
    found = plan(Policy(keep_last=1), FIVE, _5=4, _4=3)
    assert removed(found) == ["a/v1", "a/v2"]
    assert reasons(found)["a/v3"] is Why.INPUT
    assert removed(plan(Policy(keep_last=1), FIVE, _77=1)) == ["a/v2", "a/v3", "a/v4"]
    assert removed(plan(Policy(keep_last=1), FIVE, _4=3)) == ["a/v1", "a/v2", "a/v3", "a/v4"]


def test_a_version_stays_with_all_its_tags() -> None:
    """A name would be removed that frees not one byte."""
    found = plan(Policy(keep_last=1), [*FIVE, tag("b/v1", 1)])
    assert removed(found) == ["a/v2", "a/v3", "a/v4"]


def test_other_artifacts_are_left_alone() -> None:
    """Retention of one artifact would reach into another team's."""
    found = plan(Policy(keep_last=1), [*FIVE, tag("b/v1", 7), tag("b/v2", 8), tag("b/v3", 2)], only="a")
    assert removed(found) == ["a/v1", "a/v3", "a/v4"]
    assert reasons(found)["b/v1"] is Why.OTHER


@pytest.mark.parametrize(("last", "within"), [(0, None), (-1, None), (None, 0), (None, -DAY)])
def test_a_policy_that_keeps_nothing_is_refused(last: int | None, within: int | None) -> None:
    """A slip of the finger would remove every version of an artifact."""
    with pytest.raises(UsageError, match="keeps nothing"):
        Policy(keep_last=last, keep_within=within)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", 30 * 86400), ("12h", 43200), ("1w2d", 9 * 86400), ("90min", 5400), ("45s", 45), ("1y", 365 * 86400)],
)
def test_durations_are_read(text: str, seconds: int) -> None:
    """`--keep-within 30d` would keep another span."""
    assert parse_duration(text) == seconds * 1_000_000_000


@pytest.mark.parametrize("text", ["", "30", "d", "6m", "30 d", "-1d", "1.5h", "1d6m", "٣d", "9999999999d", "101y"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """`6m`, meant as months, would be taken for minutes, and nearly everything be removed."""
    with pytest.raises(UsageError, match="is no duration"):
        parse_duration(text)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 9), st.integers(1, 9)), max_size=12),
    st.lists(st.integers(1, 9), max_size=4),
    st.integers(1, 4),
)
def test_the_last_ones_and_what_aliases_name_survive(
    drawn: list[tuple[str, int, int]], targets: list[int], last: int
) -> None:
    """Some mix of tags and aliases would lose a version that a rule promises to keep."""
    tags = list(
        {name: tag(name, number) for artifact, suffix, number in drawn for name in [f"{artifact}/v{suffix}"]}.values()
    )
    found = plan(Policy(keep_last=last), tags, alias("a/p", *targets))
    assert sorted([*removed(found), *reasons(found)]) == sorted(each.name for each in tags)
    assert not {version(each) for each in targets} & {Digest(each.version) for each in found.removed}
    for artifact in "ab":
        own = sorted((t for t in tags if t.name.startswith(artifact)), key=lambda t: (t.created, t.name))
        assert not {t.name for t in own[-last:]} & set(removed(found))
    assert not {t.version for t in found.removed} & {each.tag.version for each in found.kept}

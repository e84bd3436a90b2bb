"""Names go by hand or by a policy, and never those of what is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from artstore.errors import Conflict, NotFound
from artstore.planning.retention import Policy, parse_duration
from artstore.store.remove import apply_policy, plan_removal

if TYPE_CHECKING:
    from artstore.store.remove import Removal
    from tests.unit.store.collect.conftest import Keeper


def test_tags_aliases_and_versions_go_by_name(keeper: Keeper) -> None:
    """A user would have to look up which command removes which kind of name."""
    first = keeper.commit({"a": b"1"}, "m/v1")
    second = keeper.commit({"a": b"2"}, "m/v2")
    third = keeper.commit({"a": b"3"}, "m/v3")
    keeper.set_alias("m/production", second)
    removed = keeper.remove("m/v1", "m/production", third.hex()[:12])
    assert [tag.name for tag in removed.tags] == ["m/v1", "m/v3"]
    assert [alias.name for alias in removed.aliases] == ["m/production"]
    assert set(removed.unnamed) == {first, third}
    assert keeper.tags() == ["m/v2"]


def test_all_or_none(keeper: Keeper) -> None:
    """After a typing error nobody knows which half of the command has been done."""
    keeper.commit({"a": b"1"}, "m/v1")
    with pytest.raises(NotFound):
        keeper.remove("m/v1", "m/v9")
    assert keeper.tags() == ["m/v1"]


def test_an_artifact_is_not_a_name_to_remove(keeper: Keeper) -> None:
    """`rm resnet50` would remove its newest version, which is what nobody means."""
    keeper.commit({"a": b"1"}, "m/v1")
    keeper.commit({"a": b"1"}, "cafecafecafe/v1")
    for name in ("m", "m/latest", "cafecafecafe"):
        with pytest.raises(NotFound):
            keeper.remove(name)
    assert keeper.tags() == ["cafecafecafe/v1", "m/v1"]


def test_what_an_alias_names_keeps_its_last_tag(keeper: Keeper) -> None:
    """Production would serve a version that has no name and isn't listed."""
    version = keeper.commit({"a": b"1"}, "m/v1")
    keeper.commit({"a": b"1"}, "m/again")
    keeper.set_alias("m/production", version)
    keeper.remove("m/v1")  # it has another name
    for name in ("m/again", version.hex()):
        with pytest.raises(Conflict, match="m/production names it"):
            keeper.remove(name)
    assert keeper.tags() == ["m/again"]
    keeper.remove("m/production", "m/again")
    assert keeper.tags() == []


def test_inputs_keep_their_last_tag(keeper: Keeper) -> None:
    """The data that a model was made from would lose its name while the model still refers to it."""
    data = keeper.commit({"a": b"1"}, "data/v1")
    keeper.commit({"m": b"1"}, "m/v1", inputs={"data": data.hex()})
    with pytest.raises(Conflict, match="an input of m/v1"):
        keeper.remove("data/v1")
    keeper.remove("m/v1")
    keeper.remove("data/v1")
    assert keeper.tags() == []


def test_a_version_and_what_was_made_of_it_go_together(keeper: Keeper) -> None:
    """Naming both in one command would be refused in one order and done in the other."""
    data = keeper.commit({"a": b"1"}, "data/v1")
    keeper.commit({"m": b"1"}, "m/v1", inputs={"data": data.hex()})
    keeper.remove("data/v1", "m/v1")
    assert keeper.tags() == []


def test_a_version_without_a_name_is_said_to_have_none(keeper: Keeper) -> None:
    """`rm` would claim to have removed what it left as it was."""
    version = keeper.commit({"a": b"1"}, "m/v1")
    keeper.remove("m/v1")
    with pytest.raises(NotFound, match="no name left"):
        keeper.remove(version.hex())


def apply(keeper: Keeper, policy: Policy, *artifacts: str) -> Removal:
    plan = plan_removal(keeper.context, keeper.objects, policy, artifacts=artifacts)
    return apply_policy(keeper.context, keeper.objects, policy, plan, artifacts=artifacts, who="me")


def test_a_policy_removes_what_it_said_and_undo_brings_it_back(keeper: Keeper) -> None:
    """A policy that was too strict would cost versions for good."""
    for number in range(1, 6):
        keeper.commit({"a": bytes([number])}, f"m/v{number}")
    keeper.commit({"b": b"1"}, "other/v1")
    keeper.commit({"b": b"2"}, "other/v2")
    with keeper.context.index.read() as reader:
        before = list(reader.tags())
    removed = apply(keeper, Policy(keep_last=2), "m")
    assert [tag.name for tag in removed.tags] == ["m/v1", "m/v2", "m/v3"]
    assert len(removed.unnamed) == 3
    assert keeper.tags() == ["m/v4", "m/v5", "other/v1", "other/v2"]
    keeper.undo()
    with keeper.context.index.read() as reader:
        assert list(reader.tags()) == before


def test_a_policy_spares_what_is_needed_or_young(keeper: Keeper) -> None:
    """Retention at night would take what production runs on."""
    versions = [keeper.commit({"a": bytes([number])}, f"m/v{number}") for number in range(1, 4)]
    keeper.later(40)
    keeper.commit({"a": b"now"}, "m/v4")
    keeper.set_alias("m/production", versions[0])
    removed = apply(keeper, Policy(keep_within=parse_duration("30d")))
    assert [tag.name for tag in removed.tags] == ["m/v2", "m/v3"]
    assert keeper.tags() == ["m/v1", "m/v4"]


def test_a_policy_does_not_go_beyond_its_plan(keeper: Keeper) -> None:
    """A tag that became the third newest after the user said yes would go unseen."""
    for number in range(1, 4):
        keeper.commit({"a": bytes([number])}, f"m/v{number}")
    policy = Policy(keep_last=2)
    plan = plan_removal(keeper.context, keeper.objects, policy)
    keeper.commit({"a": b"more"}, "m/v4")
    apply_policy(keeper.context, keeper.objects, policy, plan, who="me")
    assert keeper.tags() == ["m/v2", "m/v3", "m/v4"]


def test_a_policy_for_an_unknown_artifact_is_refused(keeper: Keeper) -> None:
    """A misspelt name would look like a policy that found nothing to do."""
    keeper.commit({"a": b"1"}, "m/v1")
    with pytest.raises(NotFound):
        plan_removal(keeper.context, keeper.objects, Policy(keep_last=1), artifacts=["n"])

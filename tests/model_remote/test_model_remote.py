"""Collection at a remote never deletes what a ref needs: every course of writers, collectors, pauses and deaths.

What was found, beyond that:

- DESIGN's order of steps 3 and 4 is unsafe where a set that exists is replaced, by a repack or by a push of a version
  whose packs are listed: who pauses between the upload and the replacement makes a living ref's set name packs that
  were collected meanwhile. Such a set has to be replaced as a ref is: after a proof, while that is young (`set_proof`).
- Step 4 has to read sets after its GET of gc/state: else a ref is written whose set, another's by now, names packs that
  its writer has not proven (`set_again`).
- `grace`/2, not `grace`, is needed for that alone: one who replaces the set and one who writes a ref on it, the latter
  with an older look at the set, use up half of it each (`half`).
- `--now` has to wait for `grace`/2 after it swapped in `exclusive`: who proved before may write until then.
- Without `pins`, or without `old_only`, no ref loses its packs, but long pushes send packs in vain.
- Without `set_if_match` none does either, as long as the other rules of sets are kept: work is undone, not lost.
- Who is frozen between his clock and the request that follows, and dies before step 6, leaves a ref without its packs.
- Step 1 has no part in safety: whatever a writer believes before step 4 may be wrong.
- Lowering `grace` at once is unsafe as soon as the new one is shorter than half of the old one (`lower_waits`).
- The sets of versions that no ref leads to can't be deleted, not even in the run that deletes packs they name: a set's
  name is used again, and a DELETE takes no condition (`sets_stay`).
- Where a collector ends (packs are deleted, gc/state is to say so) a lost reply is as if it was killed.
- A ref's write whose reply was lost is as one before a pause, if it is repeated only after another look at the clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, replace

import pytest

from artstore.model import Listed
from artstore.planning.remote_gc import Standing, plan_remote_gc
from tests.model_remote.deciding import Listing
from tests.model_remote.model import Model
from tests.model_remote.rules import Rules, World

REUSE = World(packs=1, uploads=False)
"""Nothing but an old pack, which pushes rely on."""
TWO_SETS = World(packs=2, old=2, uploads=False, writers=2, jobs=("tag", "repack"), apart=True, living=True)
"""Two old packs; one pushes a tag, one repacks."""

WORLDS = {
    "two of each": replace(REUSE, writers=2, collectors=2),
    "lost replies": replace(REUSE, collectors=2, lost=True),
    "fine time": replace(REUSE, writers=1, collectors=2, grace=6, freeze=True),
    "upload": World(pins=True),
    "repack": World(jobs=("tag", "repack"), living=True, lost=True),
    "freeze": World(freeze=True),
    "now": replace(REUSE, now=True, collectors=2),
    "lowered": replace(REUSE, grace=6, low=2),
    "repair": replace(REUSE, writers=2, collectors=1, repairs=True),
}
LONG = {
    "lowered, two of each": replace(REUSE, grace=6, low=2, writers=2, collectors=2),
    "lowered, repack": World(grace=6, low=2, jobs=("tag", "repack"), living=True),
    "lowered and held": replace(REUSE, grace=6, low=2, now=True, collectors=2),
    "held, repack": World(jobs=("tag", "repack"), living=True, lost=True, now=True),
    "repacks of two": World(jobs=("repack",), living=True, lost=True, writers=2, collectors=2),
    "repair and upload": World(repairs=True),
    "moves": World(packs=2, old=2, uploads=False, versions=2, jobs=("alias",)),
    "now": World(now=True, collectors=1),
    "two collectors": World(collectors=2, lost=True),
    "two pushes": World(writers=2),
    "push and repack": TWO_SETS,
    "repair and repack": replace(TWO_SETS, repairs=True),
    "finer time": replace(TWO_SETS, grace=4),
    "frozen among others": replace(TWO_SETS, freeze=True),
    "three packs": World(packs=3, jobs=("tag", "repack"), living=True, pins=True),
    "moves and uploads": World(versions=2, jobs=("alias", "tag")),
}
NEEDED = {
    "listed_is_absent": REUSE,
    "proof": REUSE,
    "proof_after_look": REUSE,
    "swap_soon": REUSE,
    "half": TWO_SETS,
    "deletions": REUSE,
    "renew": replace(REUSE, freeze=True),
    "set_proof": World(jobs=("repack",), living=True),
    "set_again": TWO_SETS,
    "names_once": World(packs=1, collectors=2),
    "state_if_match": replace(REUSE, collectors=2),
    "read_back": replace(REUSE, collectors=2, lost=True),
    "mark_after": REUSE,
    "drop_marked": REUSE,
    "since_later": REUSE,
    "wait": REUSE,
    "age_by_t0": REUSE,
    "deleting_first": replace(REUSE, collectors=2),
    "moves": replace(REUSE, versions=2, jobs=("alias",)),
    "now_waits": replace(REUSE, now=True),
    "lower_waits": replace(REUSE, grace=6, low=2),
    "sets_stay": World(packs=2, collectors=1),
}
FOR_PUSHES = {"old_only": World(pins=True), "pins": World(pins=True)}
NOT_NEEDED = {"set_if_match": World(jobs=("tag", "repack"), living=True)}
STATES_MAX = 500_000
LONG_STATES_MAX = 4_000_000


def product(
    state: Listing,
    marked: AbstractSet[int],
    packs: Mapping[int, int],
    *,
    t0: int,
    grace: int,
    at_once: bool = False,
) -> Listing:
    """What the product decides. Its times are the next whole second, so that t0 stands for that here."""
    before = Standing(
        {str(pack): since for pack, since in state.listed.items()}, [str(each) for each in state.deleting]
    )
    there = [Listed(str(pack), 1, time) for pack, time in packs.items()]
    needed = {str(pack) for pack in marked}
    after = plan_remote_gc(before, there, needed, read_at=t0, grace=grace, at_once=at_once).after
    listed = {int(pack): t0 if since == t0 + 1 else since for pack, since in after.listed.items()}
    return Listing(listed, frozenset(map(int, after.deleting)))


def without(rule: str) -> Rules:
    """The protocol without one of its rules."""
    return replace(Rules(), **{rule: False})


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_no_ref_ever_needs_a_pack_that_is_gone(world: World) -> None:
    explored = Model(world, decision=product).explore(STATES_MAX)
    assert not explored.fault, f"{world}: {explored}"
    assert explored.is_all, f"{world}: {explored}"


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("world", LONG.values(), ids=LONG)
def test_nor_in_larger_worlds(world: World) -> None:
    explored = Model(world, decision=product).explore(LONG_STATES_MAX)
    print(explored)
    assert not explored.fault, f"{world}: {explored}"


def test_every_rule_is_tried() -> None:
    assert {*NEEDED, *FOR_PUSHES, *NOT_NEEDED} == {field.name for field in fields(Rules)}


@pytest.mark.parametrize("rule", NEEDED)
def test_without_this_rule_a_ref_loses_its_pack(rule: str) -> None:
    explored = Model(NEEDED[rule], without(rule)).explore(STATES_MAX)
    print(explored)
    assert explored.fault.startswith("version 0 has a ref"), f"without {rule}: {explored}"


@pytest.mark.parametrize("rule", FOR_PUSHES)
def test_without_this_rule_a_push_sends_packs_in_vain(rule: str) -> None:
    explored = Model(FOR_PUSHES[rule], without(rule)).explore(STATES_MAX)
    print(explored)
    assert explored.fault.startswith("a pack was pinned"), f"without {rule}: {explored}"


@pytest.mark.parametrize("rule", [*FOR_PUSHES, *NOT_NEEDED])
def test_without_this_rule_no_ref_loses_its_pack(rule: str) -> None:
    """Nobody pins where nothing is said to be sent in vain."""
    world = replace({**FOR_PUSHES, **NOT_NEEDED}[rule], pins=False)
    explored = Model(world, without(rule)).explore(STATES_MAX)
    assert not explored.fault, f"without {rule}: {explored}"
    assert explored.is_all


def test_where_no_set_is_replaced_refs_may_be_swapped_within_all_of_grace() -> None:
    explored = Model(replace(REUSE, writers=2, grace=4), without("half")).explore(STATES_MAX)
    assert not explored.fault, explored
    assert explored.is_all


def test_who_freezes_and_dies_leaves_a_ref_without_its_pack() -> None:
    """A limit of the protocol, not a rule: only step 6 mends what a request does that comes `grace`/2 too late."""
    explored = Model(replace(REUSE, freeze=True, die_frozen=True)).explore(STATES_MAX)
    assert explored.course[-1] == "writer 1 is killed", explored


@pytest.mark.parametrize("world", [World(lost=True), replace(REUSE, collectors=2)], ids=["upload", "two collectors"])
def test_garbage_goes_in_four_runs_whatever_happened_before(world: World) -> None:
    explored = Model(world, decision=product).explore(STATES_MAX, settling=True)
    assert not explored.fault, f"{world}: {explored}"
    assert explored.is_all


def test_another_decision_can_be_put_to_the_test() -> None:
    """One that never lists anything keeps garbage for ever."""

    def decide(
        state: Listing,
        marked: AbstractSet[int],
        packs: Mapping[int, int],
        *,
        t0: int,
        grace: int,
        at_once: bool = False,
    ) -> Listing:
        return state

    explored = Model(REUSE, decision=decide).explore(STATES_MAX, settling=True)
    assert explored.fault == "pack 0 stays for ever, and nobody needs it", explored

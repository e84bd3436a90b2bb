"""What collection frees, when, and what it must not touch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artstore import limits
from artstore.errors import Busy, Corrupt, NotFound
from artstore.model import Digest, Kind, PackId, PackState
from artstore.store import refs
from artstore.store.collect import gc, gc_plan, only_paths

if TYPE_CHECKING:
    from tests.unit.store.collect.conftest import Keeper

DAY = 24 * 3600 * 1_000_000_000


def noise(seed: int, size: int = 60_000) -> bytes:
    import random

    return random.Random(seed).randbytes(size)


def two_versions(keeper: Keeper) -> tuple[Digest, Digest]:
    """v1 and v2 share `same`; `own` differs."""
    first = keeper.commit({"same": noise(1), "a/own": noise(2, 500_000)}, "m/v1")
    second = keeper.commit({"same": noise(1), "a/own": noise(3, 500_000)}, "m/v2")
    return first, second


def test_an_unnamed_version_goes_after_a_week_and_another_one(keeper: Keeper) -> None:
    """Who removes a name by mistake has a week to notice, and the space is there on the day that was told."""
    first, second = two_versions(keeper)
    keeper.remove("m/v1")
    assert gc_plan(keeper.context, keeper.objects).versions == ()  # young
    keeper.later(8)
    plan = gc_plan(keeper.context, keeper.objects)
    assert [(each.version, each.tags) for each in plan.versions] == [(first, ("m/v1",))]
    assert plan.freed_now == 0
    assert sum(each.size for each in plan.freed_later) > 400_000
    assert all(abs(each.at - keeper.clock.now_ns() - limits.UNDO_NS) < DAY // 24 for each in plan.freed_later)
    before = keeper.pack_names()
    result = gc(keeper.context, keeper.objects, plan)
    assert result.versions == {first}
    assert result.condemned_packs > 0
    assert before <= keeper.pack_names()
    keeper.later(8)
    assert gc_plan(keeper.context, keeper.objects).freed_now > 400_000
    freed = keeper.gc().freed_bytes
    assert freed > 400_000
    assert not keeper.is_here(first)
    assert not before <= keeper.pack_names()
    assert keeper.files(second) == {"same": noise(1), "a/own": noise(3, 500_000)}


def test_a_plan_changes_nothing(keeper: Keeper) -> None:
    """`gc` without --yes that deleted something would break its promise."""
    first, _ = two_versions(keeper)
    keeper.remove("m/v1")
    keeper.later(30)
    rows, names = keeper.packs(), keeper.pack_names()
    for now in (False, True):
        assert gc_plan(keeper.context, keeper.objects, now=now).ids == {first}
    assert keeper.packs() == rows
    assert keeper.pack_names() == names


def test_a_plan_names_what_only_the_version_holds(keeper: Keeper) -> None:
    """A list of ids tells nobody which files he is about to lose."""
    files = {"same": noise(1), "d/same": noise(2), "d/old": b"x" * 10, "gone/1": b"a", "gone/2": b"b", "changed": b"1"}
    first = keeper.commit(files, "m/v1")
    keeper.commit({"same": noise(1), "d/same": noise(2), "d/new": b"y", "changed": b"2"}, "m/v2")
    keeper.remove("m/v1")
    keeper.later(8)
    plan = gc_plan(keeper.context, keeper.objects)
    found = [
        (each.path, each.kind, each.size, each.files)
        for each in only_paths(keeper.context, keeper.objects, plan, first)
    ]
    assert found == [
        (b"changed", Kind.FILE, 1, 1),
        (b"d/old", Kind.FILE, 10, 1),
        (b"gone", Kind.DIR, 2, 2),
    ]


def test_now_frees_at_once(keeper: Keeper) -> None:
    """Who needs the space today would have to wait two weeks."""
    first, second = two_versions(keeper)
    keeper.remove("m/v1")
    plan = gc_plan(keeper.context, keeper.objects, now=True)
    size = keeper.pack_bytes()
    result = gc(keeper.context, keeper.objects, plan, now=True)
    assert keeper.pack_bytes() == size - result.freed_bytes
    assert abs(plan.freed_now - result.freed_bytes) < 2_000  # trailers, other lengths of what is compressed anew
    assert result.freed_bytes > 480_000
    assert plan.repacked > 0
    assert not keeper.is_here(first)
    assert keeper.files(second)["same"] == noise(1)
    assert {bytes(row.id) for row in keeper.packs()} == keeper.pack_names()
    assert gc_plan(keeper.context, keeper.objects, now=True).is_empty


def test_now_is_busy_while_others_write(keeper: Keeper) -> None:
    """A commit that found its chunks in a pack would lose them under its hands."""
    first, _ = two_versions(keeper)
    keeper.remove("m/v1")
    plan = gc_plan(keeper.context, keeper.objects, now=True)
    with keeper.context.sessions.begin():
        assert gc_plan(keeper.context, keeper.objects, now=True).freed_now == 0
        rows = keeper.packs()
        with pytest.raises(Busy) as caught:
            gc(keeper.context, keeper.objects, plan, now=True)
        assert caught.value.exit_code == 8
        assert keeper.packs() == rows
        assert keeper.is_here(first)
    assert gc(keeper.context, keeper.objects, plan, now=True).freed_packs > 0


def test_a_session_that_began_before_holds_files_back(keeper: Keeper) -> None:
    """A long commit that reuses a condemned pack would name a file that is gone."""
    two_versions(keeper)
    keeper.remove("m/v1")
    keeper.later(8)
    keeper.gc()
    keeper.later(8)
    names = keeper.pack_names()
    with keeper.context.sessions.begin():
        assert keeper.gc().waiting > 0
        assert keeper.pack_names() == names
        assert keeper.packs(PackState.DELETING)
        with keeper.context.sessions.begin():
            pass
    with keeper.context.sessions.begin():  # this one began later
        assert keeper.gc().freed_packs > 0
    assert keeper.pack_names() < names


def test_what_was_only_looked_at_by_the_plan_goes(keeper: Keeper) -> None:
    """A version that lost its name after the user said yes would go without having been shown."""
    first, second = two_versions(keeper)
    keeper.remove("m/v1")
    plan = gc_plan(keeper.context, keeper.objects, now=True)
    keeper.remove("m/v2")
    assert gc(keeper.context, keeper.objects, plan, now=True).versions == {first}
    assert keeper.files(second)["a/own"] == noise(3, 500_000)


def test_a_version_that_got_a_name_again_stays(keeper: Keeper) -> None:
    """A tag made between the question and the answer would dangle."""
    first, _ = two_versions(keeper)
    keeper.remove("m/v1")
    plan = gc_plan(keeper.context, keeper.objects, now=True)
    keeper.set_alias("m/back", first)
    assert gc(keeper.context, keeper.objects, plan, now=True).versions == set()
    assert keeper.files(first)["a/own"] == noise(2, 500_000)


def test_aliases_their_last_moves_and_inputs_hold_versions(keeper: Keeper) -> None:
    """A rollback would lead to nothing, a model to data that can't be looked at any more."""
    data = keeper.commit({"data": noise(1)}, "data/v1")
    old = keeper.commit({"model": noise(2)}, "m/v1", inputs={"data": data.hex()})
    new = keeper.commit({"model": noise(3)}, "m/v2")
    loose = keeper.commit({"model": noise(4)}, "m/v3")
    keeper.set_alias("m/production", old)
    keeper.set_alias("m/production", new)
    with keeper.context.index.write() as writer:
        for name in ("data/v1", "m/v1", "m/v2", "m/v3"):
            writer.remove_tag(name, time=1, who="me")
    assert keeper.gc(now=True).versions == {loose}
    assert [keeper.is_here(each) for each in (data, old, new, loose)] == [True, True, True, False]
    assert keeper.files(data) == {"data": noise(1)}


def test_collecting_stops_at_a_doubt(keeper: Keeper) -> None:
    """A version whose inputs can't be read may be all that leads to another one."""
    first, _ = two_versions(keeper)
    keeper.commit({"x": b"x"}, "m/v3")
    keeper.remove("m/v3")
    with keeper.context.index.write() as writer:
        place = writer.find(first)
        assert place is not None
        writer.remove_object(first, place.pack)
    keeper.objects.close()
    with pytest.raises(Corrupt, match="m/v1"):
        gc_plan(keeper.context, keeper.objects, now=True)


def test_a_commit_revives_what_was_condemned(keeper: Keeper) -> None:
    """The same checkpoint, committed again, would be stored twice, or vanish with its first life."""
    first, _ = two_versions(keeper)
    keeper.remove("m/v1")
    keeper.later(8)
    keeper.gc()
    packs = len(keeper.packs())
    again = keeper.commit({"same": noise(1), "a/own": noise(2, 500_000)}, "m/v3")
    assert len(keeper.packs()) <= packs + 1  # the new version's document
    keeper.later(8)
    keeper.gc()
    assert not keeper.packs(PackState.DELETING)
    assert keeper.files(again) == {"same": noise(1), "a/own": noise(2, 500_000)}
    assert not keeper.is_here(first)


def test_undo_brings_back_names_versions_and_packs(keeper: Keeper) -> None:
    """The week would be of no use."""
    first, second = two_versions(keeper)
    keeper.set_alias("m/production", second)
    keeper.set_alias("m/old", first)
    with keeper.context.index.read() as reader:
        before = list(reader.tags())
    keeper.remove("m/old", "m/v1")
    keeper.later(8)
    keeper.gc()
    keeper.later(6)
    undone = keeper.undo()
    assert (undone.tags, undone.aliases, undone.versions, undone.lost) == (("m/v1",), ("m/old",), (first,), ())
    assert undone.revived_bytes > 400_000
    with keeper.context.index.read() as reader:
        assert list(reader.tags()) == before
        alias = reader.alias("m/old")
        assert alias is not None
        assert alias.version == first
    keeper.later(30)
    keeper.gc()
    keeper.gc(now=True)
    assert keeper.files(first)["a/own"] == noise(2, 500_000)
    again = keeper.undo()
    assert (again.tags, again.aliases, again.versions, again.revived_bytes) == ((), (), (), 0)


def test_undo_of_a_removed_alias_brings_back_what_it_could_be_rolled_back_to(keeper: Keeper) -> None:
    """An alias removed by mistake would come back without the versions of its history."""
    first, second = two_versions(keeper)
    keeper.set_alias("m/production", first)
    keeper.set_alias("m/production", second)
    keeper.remove("m/v1")
    keeper.later(8)
    keeper.gc()
    assert keeper.is_here(first)  # a move of a living alias holds it
    keeper.remove("m/production", "m/v2")
    keeper.gc()
    keeper.later(6)
    undone = keeper.undo()
    assert undone.aliases == ("m/production",)
    assert set(undone.versions) == {first, second}
    with keeper.context.index.write() as writer:
        moved = refs.rollback(writer, "m/production", to=first, who="me", host="here", now=keeper.clock.now_ns())
    assert moved.target == first
    keeper.later(8)
    keeper.gc()
    assert keeper.files(first)
    assert keeper.files(second)


def test_what_only_a_removed_alias_led_to_is_freed_after_the_window(keeper: Keeper) -> None:
    """A store could never shrink below what any alias had named once."""
    first, second = two_versions(keeper)
    keeper.set_alias("m/production", first)
    keeper.set_alias("m/production", second)
    keeper.remove("m/v1")
    keeper.remove("m/production", "m/v2")
    keeper.later(8)
    keeper.gc()
    keeper.later(8)
    keeper.gc()
    keeper.gc()
    assert not keeper.is_here(first)
    assert not keeper.is_here(second)
    assert keeper.undo().aliases == ()


def test_undo_takes_back_a_removal_alone(keeper: Keeper) -> None:
    """`rm` without `gc` would be harder to undo than with it."""
    two_versions(keeper)
    keeper.remove("m/v1")
    assert keeper.tags() == ["m/v2"]
    assert keeper.undo().tags == ("m/v1",)
    assert keeper.tags() == ["m/v1", "m/v2"]


def test_undo_leaves_alone_what_was_removed_long_ago(keeper: Keeper) -> None:
    """A name removed last year would come back with last week's."""
    first, _ = two_versions(keeper)
    keeper.set_alias("m/old", first)
    keeper.set_alias("m/older", first)
    keeper.remove("m/older")
    keeper.later(8)
    keeper.remove("m/old")
    assert keeper.undo().aliases == ("m/old",)
    keeper.gc()
    assert keeper.undo().aliases == ()


def test_undo_does_not_take_a_name_from_its_new_owner(keeper: Keeper) -> None:
    """An alias that was made anew on purpose would jump back."""
    first, second = two_versions(keeper)
    keeper.set_alias("m/production", first)
    keeper.remove("m/production")
    keeper.set_alias("m/production", second)
    assert keeper.undo().aliases == ()
    with keeper.context.index.read() as reader:
        alias = reader.alias("m/production")
    assert alias is not None
    assert alias.version == second


def test_what_now_freed_cannot_be_undone(keeper: Keeper) -> None:
    """A tag that came back without its content would dangle."""
    two_versions(keeper)
    keeper.remove("m/v1")
    keeper.gc(now=True)
    assert keeper.undo().tags == ()
    assert keeper.tags() == ["m/v2"]


def test_what_failed_commits_left_goes(keeper: Keeper) -> None:
    """Packs of commits that never published would fill the disk."""
    keeper.commit({"a": noise(1)}, "m/v1")
    session = keeper.context.sessions.begin()
    orphan = session.next_pack_id()
    for name in (orphan, session.next_pack_id()):
        sink = keeper.context.packs.create(name)
        sink.append([b"half a pack"])
        if name == orphan:
            sink.seal()
    store = Path(keeper.context.path)
    spool = store / "tmp" / "stdin-abc"
    spool.mkdir()
    (spool / "stdin").write_bytes(b"x" * 10_000)
    (store / "tmp" / "index-0").mkdir()
    keeper.gc()
    assert bytes(orphan) in keeper.pack_names()  # its session runs
    assert spool.exists()
    session.close()
    old = os.stat(store / "config.toml").st_mtime - 100
    for folder in (spool, store / "tmp" / "index-0"):
        os.utime(folder, (old, old))
    assert gc_plan(keeper.context, keeper.objects).leftovers >= 10_000
    result = keeper.gc()
    assert result.leftovers == 4
    assert bytes(orphan) not in keeper.pack_names()
    assert not list((store / "tmp").iterdir())
    assert keeper.gc().leftovers == 0


def test_packs_of_a_running_session_are_left_alone(keeper: Keeper) -> None:
    """A commit of a day would lose in the evening what it stored in the morning."""
    keeper.commit({"a": noise(1)}, "m/v1")
    keeper.remove("m/v1")
    with keeper.context.index.read() as reader:
        row = next(iter(reader.packs()))
    session = keeper.context.sessions.begin()
    pack = session.next_pack_id()
    sink = keeper.context.packs.create(pack)
    sink.append([b"x"])
    sink.seal()
    with keeper.context.index.write() as writer:
        number = writer.add_pack(PackId(pack), row.kind, size=1, created=1, table=[])
    keeper.later(30)
    keeper.gc()
    states = {row.number: row.state for row in keeper.packs()}
    assert states[number] is PackState.LIVE
    assert PackState.CONDEMNED in states.values()
    session.close()
    keeper.gc(now=True)
    assert keeper.pack_names() == set()


def test_an_empty_store_has_nothing_to_free(keeper: Keeper) -> None:
    """The first `gc` a curious user tries would fail."""
    assert gc_plan(keeper.context, keeper.objects).is_empty
    assert keeper.gc().freed_bytes == 0
    assert keeper.undo().versions == ()
    with pytest.raises(NotFound):
        keeper.remove("m/v1")

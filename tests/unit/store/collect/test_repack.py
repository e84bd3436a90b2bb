"""Packs that are mostly dead are rewritten; nobody who reads, commits or undoes loses anything by it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from artstore import limits
from artstore.format.ids import PLAIN
from artstore.model import PackState
from artstore.store.collect import gc, gc_plan, records

if TYPE_CHECKING:
    from tests.unit.store.collect.conftest import Files, Keeper


def noise(seed: int, size: int = 10_000) -> bytes:
    return random.Random(seed).randbytes(size)


def many(numbers: range) -> Files:
    return {f"d{number // 20}/f{number}": noise(number) for number in numbers}


def mostly_dead(keeper: Keeper) -> tuple[Files, bytes]:
    """One version left, which needs a tenth of the packs that another one filled."""
    keeper.commit(many(range(100)), "m/v1")
    files = {name: data for name, data in many(range(100)).items() if name.endswith("3")}
    version = keeper.commit(files, "m/v2")
    keeper.remove("m/v1")
    keeper.later(8)
    return files, version


def test_what_is_mostly_dead_is_rewritten(keeper: Keeper) -> None:
    """A version of a few files would hold the disk space of all that were ever committed with them."""
    files, version = mostly_dead(keeper)
    plan = gc_plan(keeper.context, keeper.objects)
    assert plan.repacked > 800_000
    result = gc(keeper.context, keeper.objects, plan)
    assert result.repacked_packs >= 4
    assert 100_000 < result.rewritten_bytes < 130_000
    assert keeper.files(version) == files
    keeper.later(8)
    keeper.gc()
    assert keeper.pack_bytes() < 140_000
    assert keeper.files(version) == files
    assert keeper.gc(now=True).repacked_packs == 0


def test_at_once(keeper: Keeper) -> None:
    """`gc --now` would leave nine tenths of the garbage."""
    files, version = mostly_dead(keeper)
    keeper.gc(now=True)
    assert keeper.pack_bytes() < 140_000
    assert keeper.files(version) == files
    assert {bytes(row.id) for row in keeper.packs()} == keeper.pack_names()


def test_a_commit_afterwards_uses_the_new_packs(keeper: Keeper) -> None:
    """Each commit of an unchanged folder would revive the old packs, so that nothing was ever freed."""
    files, _ = mostly_dead(keeper)
    keeper.gc()
    condemned = {row.number for row in keeper.packs(PackState.CONDEMNED)}
    again = keeper.commit(files, "m/v3")
    assert condemned == {row.number for row in keeper.packs(PackState.CONDEMNED)}
    with keeper.context.index.read() as reader:
        assert condemned.isdisjoint(reader.version_set(again) or ())


def test_undo_after_a_rewrite(keeper: Keeper) -> None:
    """A version that was removed by mistake would be gone although its week isn't over."""
    files, version = mostly_dead(keeper)
    keeper.gc()
    keeper.later(6)
    assert keeper.undo().tags == ("m/v1",)
    keeper.gc(now=True)
    assert keeper.files(keeper.version_of("m/v1")) == many(range(100))
    assert keeper.files(version) == files
    keeper.remove("m/v1")
    keeper.gc(now=True)
    assert keeper.pack_bytes() < 140_000
    assert keeper.files(version) == files


def test_a_version_made_while_packs_are_rewritten_keeps_them(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that found its chunks in an old pack, and ended before the swap, would lose them."""
    files, version = mostly_dead(keeper)
    made: list[bytes] = []
    from artstore.store.collect import repack as module
    from artstore.store.collect.live import table_of

    original = table_of

    def commit_first(*arguments: object) -> object:
        if not made:
            made.append(b"")
            made[0] = keeper.commit(many(range(50)), "other/v1")
        return original(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(module, "table_of", commit_first)
    keeper.gc()
    monkeypatch.undo()
    keeper.later(20)
    keeper.gc()
    keeper.gc(now=True)
    assert keeper.files(made[0]) == many(range(50))
    assert keeper.files(version) == files


@pytest.mark.plain("damages frames where they lie in the file")
def test_a_damaged_pack_is_left_to_repair(keeper: Keeper) -> None:
    """A rewrite that dropped what it can't read would make the damage final, one that gave up would free nothing."""
    files, version = mostly_dead(keeper)
    with keeper.context.index.read() as reader:
        data = next(name for name in files)
        place = reader.find(PLAIN.chunk(files[data]))
        assert place is not None
        row = reader.pack(place.pack)
    assert row is not None
    path = f"{keeper.context.path}/packs/{row.id.hex()[:2]}/{row.id.hex()}.pack"
    with open(path, "r+b") as file:
        file.seek(place.offset + limits.FRAME_HEADER_BYTES + 5)
        file.write(b"damage")
    result = keeper.gc()
    assert len(result.notes) == 1
    assert result.repacked_packs >= 3
    states = {each.number: each.state for each in keeper.packs()}
    assert states[row.number] is PackState.LIVE
    with keeper.context.index.read() as reader:
        assert row.number in (reader.version_set(version) or ())
        assert records.suspects(reader)


def test_memory_bounds_do_not_change_the_outcome(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """What spills to disk, or is forgotten, in a great store would be freed while it is needed."""
    monkeypatch.setattr(limits, "COLLECT_IDS_MAX", 7)
    monkeypatch.setattr(limits, "COLLECT_PAGES_MAX", 2)
    monkeypatch.setattr(limits, "REPACK_IDS_MAX", 10)
    files, version = mostly_dead(keeper)
    big = {"big": noise(7, 700_000)}
    other = keeper.commit(big, "big/v1")
    keeper.gc(now=True)
    assert keeper.pack_bytes() < 900_000
    assert keeper.files(version) == files
    assert keeper.files(other) == big

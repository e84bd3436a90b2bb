"""What a repack at a remote decides: which packs, what goes together, what sets name afterwards."""

from __future__ import annotations

import pytest

from artstore import limits
from artstore.format.remote import FormerGrace, RemoteSet
from artstore.model import Digest, PackKind, TableEntry
from artstore.planning.remote_grace import change_grace, grace_at
from artstore.planning.remote_repack import (
    OldPack,
    PackUse,
    moved_to,
    plan_new_packs,
    plan_rounds,
    replaced_set,
    small_keys,
)

MIB = limits.MIB
KEYS = [f"p/{'0' * 24}/{number:08}" for number in range(40)]
META = f"m/{'0' * 24}/00000001"


def use(key: str, size: int, live_bytes: int, live: int = 1) -> PackUse:
    return PackUse(key, size, "x", live, live_bytes, 0)


def entry(number: int, stored: int = 1000) -> TableEntry:
    return TableEntry(Digest(number.to_bytes(32)), 0, stored, stored, 0, 0)


def test_what_is_mostly_dead() -> None:
    """A pack would be rewritten for nothing, or never."""
    assert use(KEYS[0], 10 * MIB, 5 * MIB).is_dead
    assert not use(KEYS[0], 10 * MIB, 6 * MIB).is_dead
    assert not use(KEYS[0], MIB - 1, 0).is_dead


def test_small_ones_wait_for_others() -> None:
    """Each run would rewrite what the one before it has put together."""
    few = dict.fromkeys(KEYS[: limits.REMOTE_SMALL_PACKS_MIN - 1], 10)
    assert small_keys({**few, META: 10}) == set()
    many = {**few, KEYS[30]: MIB - 1}
    assert small_keys({**many, KEYS[31]: MIB, META: 10}) == many.keys()


def test_rounds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed repack would lose all that it has sent."""
    monkeypatch.setattr(limits, "REMOTE_REPACK_ROUND_BYTES_MAX", 10)
    monkeypatch.setattr(limits, "REMOTE_REPACK_ROUND_IDS_MAX", 5)
    packs = [use(KEYS[2], 99, 6), use(KEYS[0], 99, 6), use(KEYS[1], 99, 4), use(KEYS[3], 99, 1, live=5)]
    assert [[each.key for each in batch] for batch in plan_rounds(packs)] == [KEYS[:2], [KEYS[2]], [KEYS[3]]]
    assert plan_rounds([]) == []


def test_new_packs_hold_all_of_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object would be lost, or lie there twice."""
    monkeypatch.setattr(limits, "PACK_BYTES_TARGET", 3500)
    old = [
        OldPack(KEYS[0], [entry(1), entry(2)]),
        OldPack(KEYS[1], [entry(2), entry(3), entry(4)]),
        OldPack(META, [entry(5)]),
        OldPack(KEYS[2], []),
    ]
    new = dict(zip(["p/new1", "p/new2", "m/new"], plan_new_packs(old), strict=True))
    assert [pack.kind for pack in new.values()] == [PackKind.DATA, PackKind.DATA, PackKind.META]
    held = [each.id for pack in new.values() for piece in pack.pieces for each in piece.entries]
    assert sorted(held) == [entry(number).id for number in range(1, 6)]
    assert moved_to(old, new, set()) == {
        KEYS[0]: {"p/new1"},
        KEYS[1]: {"p/new1", "p/new2"},
        META: {"m/new"},
        KEYS[2]: frozenset(),
    }
    assert moved_to(old, new, {entry(2).id}).keys() == {META, KEYS[2]}, "what is whole nowhere keeps its packs"


def test_a_set_names_new_packs_and_the_shards_that_tell_of_what_it_names() -> None:
    """A reader would find no chunk, or read a shard for each push there ever was."""
    told = RemoteSet(b"w" * 16, [KEYS[0], KEYS[1], KEYS[2]], [META], ["x/a", "x/b", "x/lost"], [b"i" * 32])
    after = replaced_set(
        told,
        {KEYS[0]: frozenset({"p/n"}), KEYS[1]: frozenset()},
        write=b"v" * 16,
        shards={"p/n": "x/n", "p/other": "x/other"},
        tells={"x/a": {KEYS[0], KEYS[1]}, "x/b": {KEYS[1], KEYS[2], META}},
    )
    assert after == RemoteSet(b"v" * 16, [KEYS[2], "p/n"], [META], ["x/b", "x/lost", "x/n"], [b"i" * 32])


def test_grace_is_raised_at_once() -> None:
    """What was to be kept longer would go meanwhile."""
    assert change_grace(100, None, to=200) == (200, None)
    assert grace_at(200, None, read_at=0) == (200, None)


def test_grace_is_lowered_once_the_old_one_is_over() -> None:
    """Who proved something before has half of the old one to write his name."""
    assert change_grace(100, None, to=10) == (10, FormerGrace(100, None))
    assert grace_at(10, FormerGrace(100, None), read_at=1000.5) == (100, FormerGrace(100, 1001))
    assert grace_at(10, FormerGrace(100, 1001), read_at=1100.9) == (100, FormerGrace(100, 1001))
    assert grace_at(10, FormerGrace(100, 1001), read_at=1101) == (10, None)


def test_grace_is_changed_again_before_that() -> None:
    """The longest of all that anybody may have read counts."""
    pending = FormerGrace(100, 1001)
    assert change_grace(10, pending, to=5) == (5, FormerGrace(100, None))
    assert change_grace(10, pending, to=50) == (50, FormerGrace(100, None))
    assert change_grace(10, pending, to=100) == (100, None)

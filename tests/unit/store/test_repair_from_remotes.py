"""A store that is damaged takes what it lost from its remotes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore import Store
from artstore.errors import NoSpace
from artstore.model import PackKind, RemotePlace
from artstore.testing.damage import flip, pack_files
from artstore.testing.faults import Faults, FaultyIndex, FaultyPacks
from tests.machines import Machines, commit, noise, same

SIZE = 600_000


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path, RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    yield made
    for store in made.opened:
        store.close()


@pytest.fixture
def folder(machines: Machines) -> Path:
    return machines.folder("m", weights=noise(SIZE), config=b"{}")


@pytest.fixture
def store(machines: Machines, folder: Path) -> Store:
    made = machines.new("one")
    commit(made, folder, "m/v1")
    made.push()
    return made


def mend(store: Store) -> int:
    """Repair as the command does; objects that came."""
    report = store.check(data=True, resume=False)
    if not report.is_sound:
        store.repair(report)
    return store.repair_from_remotes().objects


@pytest.mark.parametrize("kind", [PackKind.DATA, PackKind.META, None])
@pytest.mark.parametrize("how", ["flip", "unlink"])
def test_what_is_lost_here_comes_back(
    store: Store, folder: Path, tmp_path: Path, kind: PackKind | None, how: str
) -> None:
    """A disk that flips bits would cost what a bucket still has."""
    for path in pack_files(store.context, kind):
        if how == "unlink":
            path.unlink()
        else:
            for at in range(60, path.stat().st_size - 200, 100_000):
                flip(path, at)
    assert not store.check(data=True).is_sound
    assert mend(store) > 0
    assert store.lost_objects() == 0
    assert store.check(data=True, resume=False).is_sound
    assert same(store, "m/v1", folder, tmp_path / "out")
    store.remove_remote("origin")
    with Store.open(store.path) as again:
        assert same(again, "m/v1", folder, tmp_path / "alone"), "it lies here"
    assert mend(store) == 0


@pytest.mark.plain("a segment may hold several objects")
def test_what_no_remote_has_is_told(store: Store, machines: Machines, folder: Path, tmp_path: Path) -> None:
    """Nobody would know what is gone, or where it was looked for; and it comes once somebody has it."""
    two = machines.clone("two")
    nas = RemotePlace(url=f"file://{tmp_path / 'nas'}")
    two.add_remote("nas", nas)
    two.push(to="nas")
    flip(pack_files(store.context, PackKind.DATA)[0], 2000)
    for key in machines.keys("p/"):
        flip(machines.file(key), 2000)
    store.repair(store.check(data=True))
    told = store.repair_from_remotes()
    assert (told.wanted, told.objects) == (1, 0)
    assert [(hurt.path, hurt.refs) for hurt in told.hurt] == [(b"weights", ("m/v1",))]
    assert told.asked == [machines.place.url]
    assert any("does not match its id" in why for why in told.trouble)
    store.add_remote("nas", nas)
    told = store.repair_from_remotes()
    assert (told.objects, told.hurt) == (1, [])
    assert same(store, "m/v1", folder, tmp_path / "out")
    assert store.repair_at_remote(data=True).is_sound, "and goes to where it was damaged"
    assert store.check_at_remote(data=True).is_sound


@pytest.mark.plain("a segment may hold several objects")
def test_a_remote_that_is_gone(store: Store, machines: Machines, tmp_path: Path) -> None:
    """It would be told that nobody has it, though nobody was asked."""
    flip(pack_files(store.context, PackKind.DATA)[0], 2000)
    store.repair(store.check(data=True))
    machines.file("").rename(tmp_path / "away")
    told = store.repair_from_remotes()
    assert told.objects == 0
    assert told.trouble
    assert len(told.hurt) == 1
    (tmp_path / "away").rename(machines.file(""))
    with Store.open(store.path) as again:
        assert again.repair_from_remotes().hurt == []


def test_a_refill_that_fails_at_each_step(store: Store, folder: Path, tmp_path: Path) -> None:
    """A full disk in the midst would leave a pack that the index names and nobody can read."""
    from dataclasses import replace

    from artstore.store.context import Counters
    from artstore.store.objects import Objects
    from artstore.store.repair.refill import refill

    for path in pack_files(store.context, PackKind.DATA):
        for at in range(60, path.stat().st_size - 200, 200_000):
            flip(path, at)
    store.repair(store.check(data=True))
    at = 0
    while True:
        at += 1
        faults = Faults(at)
        context = replace(
            store.context,
            index=FaultyIndex(store.context.index, faults),
            packs=FaultyPacks(store.context.packs, faults),
        )
        objects = Objects(context)
        try:
            refill(context, objects, Counters())
        except NoSpace:
            assert faults.hit
        finally:
            objects.close()
        assert store.check(data=True, resume=False).is_sound or store.lost_objects()
        if not faults.hit:
            break
    assert at > 5
    assert store.lost_objects() == 0
    assert same(store, "m/v1", folder, tmp_path / "out")

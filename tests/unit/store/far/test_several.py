"""Reading from whichever remote has it: one that is down, lacks a pack or has it damaged is passed over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from artstore import Store
from artstore.errors import Corrupt, RemoteError
from artstore.model import RemotePlace, RemoteStats
from artstore.testing.damage import flip
from tests.unit.store.far.conftest import MIB, Lab, noise, since


@pytest.fixture
def mirrored(lab: Lab) -> Lab:
    """A version at home and at a mirror; whoever made it isn't asked."""
    origin = lab.origin()
    lab.write(weights=noise(6 * MIB), config=b"{}")
    origin.commit(lab.folder, tag="m/v1")
    origin.push()
    origin.add_mirror("nas", nas(lab))
    origin.push(to="nas")
    return lab


def nas(lab: Lab) -> RemotePlace:
    return replace(lab.place, url=f"file://{lab.path / 'nas'}")


def clone(lab: Lab) -> Store:
    """A machine with the names alone, and both remotes."""
    store = lab.clone()
    store.add_mirror("nas", nas(lab))
    return store


def test_home_is_down(mirrored: Lab) -> None:
    """Training would stop with a region, though all of it lies in another one."""
    store = clone(mirrored)
    mirrored.remote.rename(mirrored.path / "away")
    assert mirrored.is_same(store, "m/v1")


def test_home_goes_down_meanwhile(mirrored: Lab) -> None:
    """What is known to lie at home is asked for there first; then the mirror's shards are read."""
    store = clone(mirrored)
    with store.open("m/v1", "weights") as file:
        assert file.read(1000) == noise(6 * MIB)[:1000]
        mirrored.remote.rename(mirrored.path / "away")
        file.seek(3 * MIB)
        assert file.read() == noise(6 * MIB)[3 * MIB :]
    store.prefetch("m/v1")
    (mirrored.path / "nas").rename(mirrored.path / "nas-away")
    assert mirrored.is_same(store, "m/v1", "again")


def test_home_is_back(mirrored: Lab) -> None:
    """The mirror goes down after home was back: neither is given up for good."""
    store = clone(mirrored)
    mirrored.remote.rename(mirrored.path / "away")
    with store.open("m/v1", "config") as file:
        assert file.read() == b"{}"
    (mirrored.path / "away").rename(mirrored.remote)
    (mirrored.path / "nas").rename(mirrored.path / "nas-away")
    assert mirrored.is_same(store, "m/v1")


def test_both_are_down(mirrored: Lab) -> None:
    """It is told so, and not as if the version were damaged."""
    store = clone(mirrored)
    mirrored.remote.rename(mirrored.path / "away")
    (mirrored.path / "nas").rename(mirrored.path / "nas-away")
    with pytest.raises(RemoteError, match="isn't here"):
        mirrored.is_same(store, "m/v1")


def test_a_pack_is_gone_from_home(mirrored: Lab) -> None:
    """Somebody has deleted it there."""
    store = clone(mirrored)
    assert store.open("m/v1", "config").read() == b"{}"
    for pack in mirrored.packs():
        pack.unlink()
    assert mirrored.is_same(store, "m/v1")


def test_a_pack_is_damaged_at_home(mirrored: Lab) -> None:
    """The mirror's is whole; with both damaged it is told."""
    store = clone(mirrored)
    (pack,) = mirrored.packs()
    for at in range(MIB, 5 * MIB, MIB // 2):
        flip(pack, at)
    assert mirrored.is_same(store, "m/v1")
    (other,) = [path for path in (mirrored.path / "nas" / "p").rglob("*") if path.is_file()]
    flip(other, 3 * MIB)
    again = mirrored.clone("other")
    again.add_mirror("nas", nas(mirrored))
    flip(pack, 3 * MIB + 1000)
    with pytest.raises(Corrupt):
        mirrored.is_same(again, "m/v1", "again")


@pytest.mark.plain("counts requests: each pack costs one more")
def test_home_is_up_and_has_it(mirrored: Lab) -> None:
    """A mirror far away is asked twice for each version, and for none of its data, as long as home has it."""
    store = clone(mirrored)
    before = RemoteStats()
    before.add(store.remote_stats())
    assert mirrored.is_same(store, "m/v1")
    both = since(store, before)
    single = mirrored.clone("single")
    before = RemoteStats()
    before.add(single.remote_stats())
    assert mirrored.is_same(single, "m/v1", "single-out")
    one = since(single, before)
    # How many requests bring the data depends on how far readers are ahead of each other; its bytes don't.
    assert 0 < both.received_bytes - one.received_bytes < 20_000, "the version's set and shard at the mirror"

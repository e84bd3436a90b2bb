"""Several remotes for one store: a mirror has what home has, decides nothing, and takes over when it is promoted."""

from __future__ import annotations

import shutil

import msgspec
import pytest

from artstore import Store
from artstore.errors import Conflict, Corrupt, NotFound, RemoteError, UsageError
from artstore.format.remote import (
    GC_KEY,
    MIRROR_KEY,
    CondemnedPack,
    GcState,
    decode_remote,
    encode_remote,
)
from artstore.model import RemotePlace
from artstore.store.remote.names import read_move
from artstore.testing.damage import flip
from tests.machines import MIB, noise
from tests.worlds import World


@pytest.fixture
def one(world: World) -> Store:
    """A machine that has pushed m/v1 and m/v2, and m/production at the latter, to a home with the mirror nas."""
    store = world.store("one", "nas")
    world.opened["one"] = store
    world.commit(store, "m/v1", weights=noise(2 * MIB), config=b"{}")
    world.commit(store, "m/v2", weights=noise(2 * MIB), config=b'{"a": 1}')
    store.set_alias("m/production", "m/v1")
    store.set_alias("m/production", "m/v2")
    store.push()
    return store


def mirrored(world: World, mirror: str = "nas", home: str = "home") -> None:
    """The mirror says what home says."""
    assert world.tags(mirror) == world.tags(home)
    for each in world.remote(home).list("aliases/"):
        name = each.key.removeprefix("aliases/")
        ours, theirs = world.alias(home, name), world.alias(mirror, name)
        assert ours is not None
        assert theirs is not None
        assert (theirs.version, theirs.seq, theirs.move) == (ours.version, ours.seq, ours.move)
        id = theirs.move
        while id:  # the whole chain is there
            id = read_move(world.remote(mirror), id, world.made[0].context.ids).previous


# --- copies


def test_a_mirror_has_what_home_has(world: World, one: Store) -> None:
    """A second region that lacks a move or a pack is no second region."""
    result = one.push(to="nas")
    assert sorted(result.written) == ["m/production", "m/v1", "m/v2"]
    assert not result.conflicts
    mirrored(world)
    assert world.is_whole("two", "nas")
    again = one.push(to="nas")
    assert (again.written, again.packs, again.conflicts) == ([], 0, [])
    assert sorted(again.unchanged) == ["m/production", "m/v1", "m/v2"]
    assert not list(world.remote("nas").list("pins/"))


def test_keys_at_a_mirror_are_its_own(world: World, one: Store) -> None:
    """A key that its collection has deleted, or is deleting, would be used again."""
    one.push(to="nas")
    for kind in ("p/", "m/", "x/"):
        there, here = ({each.key for each in world.remote(name).list(kind)} for name in ("nas", "home"))
        assert there
        assert there.isdisjoint(here)


def test_a_store_that_lacks_the_data_copies_it(world: World, one: Store) -> None:
    """Who made a version may be gone: any machine brings the mirror up."""
    two = world.clone("two", full=False)
    two.add_mirror("nas", world.place("nas"))
    assert sorted(two.push(to="nas").written) == ["m/production", "m/v1", "m/v2"]
    mirrored(world)
    assert world.is_whole("three", "nas")


def test_what_another_machine_has_copied_is_not_copied_again(world: World, one: Store) -> None:
    """Ten machines that push would fill the mirror with one dataset tenfold."""
    one.push(to="nas")
    before = sum(each.size for each in world.remote("nas").list("p/"))
    two = world.clone("two")
    two.add_mirror("nas", world.place("nas"))
    world.commit(two, "m/v3", weights=noise(2 * MIB), config=b'{"a": 2}')
    two.push()
    two.push(to="nas")
    mirrored(world)
    assert sum(each.size for each in world.remote("nas").list("p/")) - before < MIB
    assert world.is_whole("three", "nas")


def test_only_what_home_has(world: World, one: Store) -> None:
    """A mirror that is pushed to first would decide what a name means."""
    one.push(to="nas")
    world.commit(one, "m/v3")
    assert one.push(to="nas").written == []
    with pytest.raises(NotFound, match="home has nothing of the name m/v3"):
        one.push(["m/v3"], to="nas")
    assert "m/v3" not in world.tags("nas")
    one.push()
    assert one.push(["m/v3"], to="nas").written == ["m/v3"]


def test_removed_names_are_removed_there(world: World, one: Store) -> None:
    """What was withdrawn at home would live on in the other region, and its name be used again."""
    one.push(to="nas")
    one.remove_at_remote("m/v1", "m/production", remote="home")
    assert sorted(one.push(to="nas").written) == ["m/production", "m/v1"]
    assert world.tags("nas")["m/v1"] == b""
    mirrored(world)


def test_a_mirror_decides_nothing(world: World, one: Store) -> None:
    """Whoever takes it for home, or removes there, would be undone later, or not."""
    one.push(to="nas")
    with pytest.raises(Conflict, match="is a mirror of"):
        one.remove_at_remote("m/v1", remote="nas")
    two = world.clone("two", "nas")
    world.commit(two, "m/v3")
    for act in (two.push, lambda: two.set_alias("m/production", "m/v3")):
        with pytest.raises(Conflict, match=f"mirror of file://{world.path}/home") as caught:
            act()
        assert caught.value.exit_code == 5
        assert "remote add" in str(caught.value)
    mirrored(world)
    assert two.resolve("m/production").version == one.resolve("m/v2").version
    two.add_remote("home", world.place("home"))
    assert list(two.remotes()) == ["home", "nas"], "the clone's home is known now"
    assert two.mirrors() == ["nas"]
    assert two.push().written == ["m/v3"]
    assert two.push(to="nas").written == ["m/v3"]


def test_another_remote_decides_for_itself(world: World, one: Store) -> None:
    """A second remote that was never made a mirror goes on as it did."""
    one.add_remote("usb", world.place("usb"))
    assert one.mirrors() == ["nas"]
    world.commit(one, "m/v3")
    assert "m/v3" in one.push(to="usb").written
    assert "m/v3" not in world.tags("home")
    assert world.claim("usb") is None
    with pytest.raises(UsageError, match="usb is no mirror"):
        one.promote("usb")


def test_a_mirror_is_not_taken_twice(world: World, one: Store) -> None:
    """Two homes would copy into one place."""
    other = world.stack.enter_context(Store.init(world.path / "other"))
    with pytest.raises(UsageError, match="no home"):
        other.add_mirror("nas", world.place("nas"))
    other.add_remote("elsewhere", world.place("elsewhere"))
    with pytest.raises(Conflict, match=f"is a mirror of file://{world.path}/home"):
        other.add_mirror("nas", world.place("nas"))
    with pytest.raises(Conflict, match="is the home"):
        other.add_mirror("itself", RemotePlace(url=f"file://{world.path}/./elsewhere"))


def test_listed_at_the_mirror(world: World, one: Store) -> None:
    """Its own collection would delete what a copy relies on."""
    one.push(to="nas")
    remote = world.remote("nas")
    found = remote.get(GC_KEY)
    assert found is not None
    state = decode_remote(GcState, found.data)
    listed = sorted(each.key for kind in ("p/", "m/") for each in remote.list(kind))
    condemned = msgspec.structs.replace(state, listed=[CondemnedPack(key, None) for key in listed])
    remote.put(GC_KEY, encode_remote(condemned))
    world.commit(one, "m/v3", weights=noise(2 * MIB), config=b"{3}")
    one.push()
    one.push(to="nas")
    for key in listed:
        remote.delete(key)
    one.push(to="nas", anew=True)
    assert world.is_whole("two", "nas")


def test_what_a_mirror_has_lost_is_copied_again(world: World, one: Store) -> None:
    """`push --all` mends what somebody has deleted there."""
    one.push(to="nas")
    for kind in ("p/", "m/", "sets/"):
        for each in list(world.remote("nas").list(kind)):
            world.remote("nas").delete(each.key)
    assert one.push(to="nas").packs == 0, "not looked at anew"
    assert one.push(to="nas", anew=True).packs > 0
    assert world.is_whole("two", "nas")


def test_what_is_damaged_at_home_is_not_copied(world: World, one: Store) -> None:
    """Damage would spread, or one damaged pack keep all else from the mirror."""
    world.commit(one, "n/v1", a=noise(300_000, 5))
    one.push()
    two = world.clone("two", full=False)
    two.add_mirror("nas", world.place("nas"))
    sizes = {each.key: each.size for each in world.remote("home").list("p/")}
    (smallest,) = [key for key, size in sizes.items() if 250_000 < size < 350_000]
    flip(world.path / "home" / smallest, sizes[smallest] // 2)
    result = two.push(to="nas")
    (conflict,) = result.conflicts
    assert smallest in conflict.why
    assert conflict.name not in world.tags("nas")
    assert len(result.written) == 3
    assert one.push(to="nas").written == [conflict.name], "from where it is whole"
    assert world.is_whole("three", "nas")


def test_a_mirror_that_is_down_catches_up(world: World, one: Store) -> None:
    """The push to home would be lost with it, or the mirror stay behind for ever."""
    world.down("nas")
    world.commit(one, "m/v3")
    assert one.push().written == ["m/v3"]
    with pytest.raises(RemoteError):
        one.push(to="nas")
    world.up("nas")
    assert len(one.push(to="nas").written) == 4
    mirrored(world)


# --- promotion


def test_promote(world: World, one: Store) -> None:
    """The second region takes over as planned: nothing is left behind."""
    world.commit(one, "m/v3")
    one.push()
    told = one.promote("nas")
    assert (told.epoch, told.changed, told.conflicts, told.notes) == (1, True, [], [])
    assert len(told.copied) == 4, "what it lacked comes first"
    assert list(one.remotes()) == ["nas", "home"]
    assert one.mirrors() == ["home"]
    assert world.claim("nas") == (world.id("nas"), 1)
    assert world.claim("home") == (world.id("nas"), 1)
    one.set_alias("m/production", "m/v3")
    moved, left = world.alias("nas", "m/production"), world.alias("home", "m/production")
    assert moved is not None
    assert left is not None
    assert (moved.seq, left.seq) == (3, 2)
    assert one.push(to="home").written == ["m/production"]
    mirrored(world, "home", "nas")
    back = one.promote("home")
    assert (back.epoch, back.changed) == (2, True)
    assert world.claim("nas") == world.claim("home") == (world.id("home"), 2)


def test_clients_of_the_old_home_find_out(world: World, one: Store) -> None:
    """They would go on to move aliases that nobody sees."""
    one.push(to="nas")
    two = world.clone("two")
    one.promote("nas")
    world.commit(two, "m/v3")
    for act in (two.push, lambda: two.set_alias("m/production", "m/v3")):
        with pytest.raises(Conflict, match=f"mirror of file://{world.path}/nas, which promotion 1 made home") as caught:
            act()
        assert "remote promote" in str(caught.value)
    two.add_remote("nas", world.place("nas"))
    assert two.promote("nas").changed is False
    assert list(two.remotes()) == ["nas", "home"]
    assert two.push().written == ["m/v3"]
    two.set_alias("m/production", "m/v3")
    assert one.pull().written == ["m/v3", "m/production"]


def test_another_machine_follows(world: World, one: Store) -> None:
    """Each machine would have to be set up anew, or promote once more."""
    two = world.clone("two")
    two.add_mirror("nas", world.place("nas"))
    one.promote("nas")
    with pytest.raises(Conflict):
        two.push(anew=True)
    told = two.promote("nas")
    assert (told.epoch, told.changed) == (1, False)
    assert list(two.remotes()) == ["nas", "home"]
    world.commit(two, "m/v3")
    assert two.push().written == ["m/v3"]


def test_the_old_home_is_lost(world: World, one: Store) -> None:
    """Work goes on at the mirror; nobody promotes by mistake since a cable is out."""
    one.push(to="nas")
    world.down("home")
    with pytest.raises(RemoteError, match="can't be asked for what nas lacks") as caught:
        one.promote("nas")
    assert "--lost" in str(caught.value)
    assert world.claim("nas") == (world.id("home"), 0)
    told = one.promote("nas", lost=True)
    assert (told.epoch, told.changed) == (1, True)
    assert len(told.notes) == 1
    world.commit(one, "m/v3")
    assert one.push().written == ["m/v3"]
    one.set_alias("m/production", "m/v3")


def test_the_old_home_comes_back(world: World, one: Store) -> None:
    """It is told, gets what it lacks, and is a mirror from then on."""
    one.push(to="nas")
    world.down("home")
    one.promote("nas", lost=True)
    world.commit(one, "m/v3")
    one.push()
    world.up("home")
    assert world.claim("home") is None
    assert one.push(to="home").written == ["m/v3"]
    assert world.claim("home") == (world.id("nas"), 1)
    mirrored(world, "home", "nas")


def test_moves_at_the_old_home_are_conflicts(world: World, one: Store) -> None:
    """Merged, production would jump to a version that nobody has put there; forgotten, somebody's work were lost."""
    one.push(to="nas")
    two = world.clone("two")  # knows of no mirror
    world.down("home")
    one.promote("nas", lost=True)
    one.set_alias("m/production", "m/v1")
    world.up("home")
    late = world.commit(two, "m/late")
    two.push()
    two.set_alias("m/production", "m/late")
    moved = world.alias("nas", "m/production")
    result = one.push(to="home")
    assert sorted(each.name for each in result.conflicts) == ["m/late", "m/production"]
    assert any(late.hex()[:8] in each.why for each in result.conflicts)
    assert result.written == []
    assert world.alias("nas", "m/production") == moved
    at_old = world.alias("home", "m/production")
    assert at_old is not None
    assert at_old.version == late, "it stays where it is"
    assert sorted(each.name for each in one.push(to="home").conflicts) == ["m/late", "m/production"], "each time"
    with pytest.raises(Conflict, match="mirror of"):
        two.set_alias("m/production", "m/v1")
    (status,) = one.mirror_status()
    assert (status.name, status.behind, len(status.conflicts), status.error) == ("home", [], 2, None)
    # Who made them says them again at the new home; then the old one gives way.
    two.add_remote("nas", world.place("nas"))
    told = two.promote("nas")
    assert told.changed is False
    assert sorted(each.name for each in told.conflicts) == ["m/late", "m/production"]
    assert "m/late" in two.push(["m/late"]).written
    assert one.settle_mirror("home", ["m/production"]).written == ["m/production"]
    assert one.push(to="home").conflicts == []
    mirrored(world, "home", "nas")
    assert world.is_whole("three", "home")


def test_strays_give_way(world: World, one: Store) -> None:
    """What is no more wanted would be told for ever; and its name is home's to use."""
    one.push(to="nas")
    two = world.clone("two")
    world.down("home")
    one.promote("nas", lost=True)
    world.up("home")
    world.commit(two, "m/v3", a=b"theirs")
    two.push()
    (conflict,) = one.push(to="home").conflicts
    assert conflict.name == "m/v3"
    one.settle_mirror("home", ["m/v3"])
    assert one.push(to="home").conflicts == []
    world.commit(one, "m/v3", a=b"ours")
    one.push()
    assert one.push(to="home").written == ["m/v3"]
    mirrored(world, "home", "nas")


def test_a_client_that_sees_both_says_so_before_it_writes(world: World, one: Store) -> None:
    """Its push to the old home would be one more conflict."""
    one.push(to="nas")
    two = world.clone("two")
    two.add_mirror("nas", world.place("nas"))
    world.down("home")
    one.promote("nas", lost=True)
    world.up("home")
    world.commit(two, "m/v3")
    before = world.tags("home")
    for act in (two.push, lambda: two.set_alias("m/production", "m/v3"), lambda: two.push(to="nas")):
        with pytest.raises(Conflict, match=r"isn't home any more|is a mirror of") as caught:
            act()
        assert "remote promote" in str(caught.value)
    assert world.tags("home") == before
    assert world.claim("home") == (world.id("nas"), 1), "and others find out by it"
    two.promote("nas")
    assert two.push().written == ["m/v3"]


def test_two_are_promoted_at_once(world: World) -> None:
    """Two regions that don't see each other both take over: nothing of either is lost, and people decide."""
    one = world.store("one", "nas", "far")
    world.opened["one"] = one
    world.commit(one, "m/v1")
    one.set_alias("m/production", "m/v1")
    one.push()
    one.push(to="nas")
    one.push(to="far")
    two = world.clone("two")
    for name in ("nas", "far"):
        two.add_mirror(name, world.place(name))
    world.down("home")
    world.down("far")
    one.promote("nas", lost=True)
    ours = world.commit(one, "m/ours")
    one.push()
    one.set_alias("m/production", "m/ours")
    world.up("far")
    world.down("nas")
    two.promote("far", lost=True)
    theirs = world.commit(two, "m/theirs")
    two.push()
    two.set_alias("m/production", "m/theirs")
    world.up("nas")
    for store in (one, two):
        with pytest.raises(Conflict, match="disagree on who is home"):
            store.push(anew=True)
    told = one.promote("nas")
    assert told.epoch == 2
    result = one.push(to="far")
    assert sorted(each.name for each in result.conflicts) == ["m/production", "m/theirs"]
    here, there = world.alias("nas", "m/production"), world.alias("far", "m/production")
    assert here is not None
    assert there is not None
    assert (here.version, there.version) == (ours, theirs)
    with pytest.raises(Conflict, match="which promotion 2 made home"):
        two.push(anew=True)


def test_moves_made_here_only_wait_for_the_new_home(world: World, one: Store) -> None:
    """`--local` on a train, and home is another one when it arrives."""
    one.push(to="nas")
    world.down("home")
    one.set_alias("m/production", "m/v1", local=True)
    one.promote("nas", lost=True)
    assert not one.is_moved_here_only("m/production"), "it was swapped in at that contact"
    at = world.alias("nas", "m/production")
    assert at is not None
    assert at.version == one.resolve("m/v1").version


def test_a_damaged_mark(world: World, one: Store) -> None:
    """It would pass for none, and a mirror for a home."""
    one.push(to="nas")
    flip(world.path / "nas" / MIRROR_KEY, 5)
    two = world.stack.enter_context(Store.init(world.path / "two"))
    for act in (
        lambda: one.push(to="nas"),
        lambda: one.push(anew=True),
        lambda: two.add_remote("nas", world.place("nas")),
    ):
        with pytest.raises(Corrupt, match="mirror-of"):
            act()


def test_a_mark_that_was_put_back(world: World, one: Store) -> None:
    """A bucket is restored from before a promotion: two homes, if it were believed."""
    one.push(to="nas")
    old = world.remote("nas").get(MIRROR_KEY)
    assert old is not None
    one.promote("nas")
    world.remote("nas").put(MIRROR_KEY, old.data)
    with pytest.raises(Conflict, match="is a mirror of"):
        one.push(anew=True)
    assert one.promote("nas").epoch == 1, "the old home knows of it"
    one.push(anew=True)
    assert world.claim("nas") == (world.id("nas"), 1)


def test_a_mirror_emptied_is_not_taken_for_one(world: World, one: Store) -> None:
    """A disk that isn't mounted would get all of it anew, and be promoted empty."""
    one.push(to="nas")
    shutil.rmtree(world.path / "nas")
    with pytest.raises((RemoteError, NotFound)):
        one.push(to="nas")
    with pytest.raises((RemoteError, NotFound)):
        one.promote("nas")

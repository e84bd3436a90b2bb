"""Mirrors, promotions, collection, repacking, repair and keys, each while another one is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from artstore import Store
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import Busy, Conflict, Corrupt
from artstore.format.remote import (
    GC_KEY,
    MIRROR_KEY,
    FormerGrace,
    GcState,
    RemoteSet,
    all_keys,
    changed_state,
    decode_remote,
    encode_remote,
    set_key,
)
from artstore.model import Digest
from artstore.store.remote import copied_packs
from artstore.store.remote.repack_swap import Swapped, Swapper
from artstore.store.repair_remote.condemn import condemn
from artstore.store.sealed import SealedRemote
from artstore.testing.damage import flip, truncate
from tests.machines import MIB, noise
from tests.worlds import World

LONGER = 40 * 3600


@pytest.fixture
def one(world: World) -> Store:
    """A machine that has pushed m/v1 and m/v2, and m/production at the latter, to a home and its mirror nas."""
    store = world.store("one", "nas")
    world.opened["one"] = store
    world.commit(store, "m/v1", weights=noise(2 * MIB), config=b"{}")
    world.commit(store, "m/v2", weights=noise(2 * MIB), config=b'{"a": 1}')
    store.set_alias("m/production", "m/v1")
    store.set_alias("m/production", "m/v2")
    store.push()
    store.push(to="nas")
    return store


def state_of(world: World, name: str) -> GcState:
    found = world.remote(name).get(GC_KEY)
    assert found is not None
    return decode_remote(GcState, found.data)


def change_state(world: World, name: str, **changes: object) -> None:
    world.remote(name).put(GC_KEY, encode_remote(changed_state(state_of(world, name), **changes)))


def hold(world: World, name: str) -> None:
    """As `gc --remote NAME --now` of another machine does."""
    change_state(world, name, exclusive=True, holder="eve on gpu9")


def set_at(world: World, name: str, version: bytes) -> RemoteSet:
    found = world.remote(name).get(set_key(version))
    assert found is not None
    return decode_remote(RemoteSet, found.data)


def flip_one(path: Path) -> None:
    flip(path, 40)


def cut_off(path: Path) -> None:
    truncate(path, 20)


def file_of(world: World, name: str, key: str) -> Path:
    """Where an object of a remote lies."""
    remote = world.remote(name)
    return world.path / name / (remote.place(key) if isinstance(remote, SealedRemote) else key)


# --- a remote is held


def test_a_promotion_waits_before_it_begins(world: World, one: Store) -> None:
    """The old home would be none any more, the held mirror not yet, and nobody could write names for half a day."""
    hold(world, "nas")
    with pytest.raises(Busy, match="held by eve on gpu9"):
        one.promote("nas")
    assert world.claim("home") is None
    one.set_alias("m/production", "m/v1")
    change_state(world, "nas", exclusive=False, holder="")
    assert one.promote("nas").changed


def test_the_old_home_is_held(world: World, one: Store) -> None:
    """What collection deletes there is no reason to leave names undecided; it gets its copies when it is let go."""
    hold(world, "home")
    told = one.promote("nas")
    assert (told.changed, told.conflicts) == (True, [])
    assert world.claim("nas") == (world.id("nas"), 1)
    world.commit(one, "m/v3")
    assert one.push().written == ["m/v3"]
    with pytest.raises(Busy, match="held by eve on gpu9"):
        one.push(to="home")
    change_state(world, "home", exclusive=False, holder="")
    assert one.push(to="home").written == ["m/v3"]
    assert world.is_whole("reader", "home")


def test_each_who_writes_is_refused_and_has_changed_nothing(world: World, one: Store) -> None:
    """A name, or a set, written now may rely on what is deleted next."""
    world.commit(one, "m/v3")
    one.push()
    world.commit(one, "m/v4")
    file_of(world, "nas", set_key(one.resolve("m/v1").version)).unlink()
    for name in ("home", "nas"):
        hold(world, name)
    before = {name: world.tags(name) for name in ("home", "nas")}
    acts: list[Callable[[], object]] = [
        one.push,
        lambda: one.push(to="nas"),
        lambda: one.remove_at_remote("m/v1", remote="home"),
        lambda: one.set_alias("m/production", "m/v1"),
        lambda: one.repair_at_remote("nas"),
        lambda: one.remote_gc("nas"),
    ]
    for act in acts:
        with pytest.raises(Busy, match="held by eve on gpu9"):
            act()
    assert before == {name: world.tags(name) for name in ("home", "nas")}
    assert one.check_at_remote("home").is_sound, "reading goes on"


# --- grace


def test_a_repair_leaves_the_longer_grace_in_force(world: World, one: Store) -> None:
    """Collection would go by the shorter one at once, and delete what slower pushes rely on."""
    former = FormerGrace(LONGER, None)
    change_state(world, "home", grace=3600, former=former)
    (bad,) = set_at(world, "home", one.resolve("m/v1").version).data[:1]
    file_of(world, "home", bad).unlink()
    world.remote("home").put(bad, b"no pack")
    assert one.repair_at_remote("home", data=True).is_sound
    after = state_of(world, "home")
    assert [pack.key for pack in after.listed] == [bad]
    assert (after.grace, after.former) == (3600, former)


def test_listing_is_one_generation_more(world: World, one: Store) -> None:
    """A collector that decided by the state before must lose."""
    before = state_of(world, "home")
    assert condemn(world.remote("home"), ["p/" + "ab" * 12 + "/00000001"])
    assert state_of(world, "home").generation == before.generation + 1


# --- copies while home is repacked


def test_what_is_repacked_meanwhile_is_copied_from_where_it_is_now(
    world: World, one: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first copy takes days: versions would be left out as damaged, though home has them whole."""
    bare = world.clone("bare", full=False)
    bare.add_mirror("far", world.place("far"))
    version = one.resolve("m/v2").version
    real = copied_packs.PackCopier._fetch  # pyright: ignore[reportPrivateUsage]
    moved: dict[str, str] = {}
    one_by_one = threading.Lock()

    def fetch(self: copied_packs.PackCopier, key: str) -> tuple[bytes, bytes]:
        with one_by_one:
            repack()
        return real(self, key)

    def repack() -> None:
        """And the collections behind it."""
        if not moved:
            home = world.remote("home")
            told = set_at(world, "home", version)
            for number, old in enumerate(told.data):
                found = home.get(old)
                assert found is not None
                moved[old] = "p/" + "cd" * 12 + f"/{number + 1:08}"
                home.put(moved[old], found.data)
            for each in (version, one.resolve("m/v1").version):
                old_set = set_at(world, "home", each)
                new = RemoteSet(
                    bytes(16), sorted(moved.get(p, p) for p in old_set.data), old_set.meta, [], old_set.inputs
                )
                home.put(set_key(each), encode_remote(new))
            for old in moved:
                home.delete(old)

    monkeypatch.setattr(copied_packs.PackCopier, "_fetch", fetch)
    result = bare.push(to="far")
    assert moved
    assert result.conflicts == []
    assert world.tags("far") == world.tags("home")
    assert world.is_whole("reader", "far")


@pytest.mark.parametrize("at", ["home", "nas"])
def test_a_promotion_while_a_remote_is_repacked(world: World, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Sets that were read before it, and packs that go after it, must not be what names at the new home lead to."""
    one = world.store("one", "nas")
    world.opened["one"] = one
    kept = noise(MIB // 8, 2)
    world.commit(one, "m/v1", big=noise(MIB, 1), kept=kept)
    world.commit(one, "m/v2", kept=kept)
    one.push()
    one.push(to="nas")
    one.remove_at_remote("m/v1", remote="home")
    one.push(to="nas")
    real = Swapper.swap
    promoted: list[bool] = []

    def swap(self: Swapper, versions: Iterable[Digest]) -> Swapped:
        if not promoted:
            with Store.open(one.path) as other:
                promoted.append(other.promote("nas").changed)
        return real(self, versions)

    monkeypatch.setattr(Swapper, "swap", swap)
    with one.remote_repack(at) as job:
        assert job.run(job.plan()).sets == 1
    assert promoted == [True]
    for name in ("nas", "home"):
        assert one.check_at_remote(name, data=True).is_sound
        assert world.tags(name)["m/v2"] == one.resolve("m/v2").version
    assert one.push(to="home").conflicts == []
    assert world.is_whole("reader", "nas")


# --- repair at a mirror


@pytest.mark.parametrize("damage", [flip_one, cut_off, Path.unlink])
def test_sets_of_a_mirror_are_mended(world: World, one: Store, damage: Callable[[Path], None]) -> None:
    """It is no home, and would stay damaged: nothing there could be read, collected or promoted."""
    for tag in ("m/v1", "m/v2"):
        damage(file_of(world, "nas", set_key(one.resolve(tag).version)))
    assert not one.check_at_remote("nas").is_sound
    names = world.tags("nas")
    done = one.repair_at_remote("nas")
    assert done.is_sound, (done.remaining, done.notes)
    assert world.tags("nas") == names
    assert world.claim("nas") == (world.id("home"), 0)
    assert world.is_whole("reader", "nas")


@pytest.mark.parametrize("key", ["tags/m/v1", "aliases/m/production"])
@pytest.mark.parametrize("damage", [flip_one, cut_off])
def test_a_damaged_name_at_a_mirror_stops_no_other(
    world: World, one: Store, key: str, damage: Callable[[Path], None]
) -> None:
    """One flipped bit, and a mirror would get nothing any more: not even `push` could mend it."""
    file = file_of(world, "nas", key)
    damage(file.with_name(file.name + "@"))
    world.commit(one, "m/v3")
    one.push()
    result = one.push(to="nas", anew=True)
    name = key.partition("/")[2]
    assert result.written == ["m/v3"]
    assert [each.name for each in result.conflicts] == [name]
    assert "artstore remote settle" in result.conflicts[0].why
    one.settle_mirror("nas", [name])
    assert one.push(to="nas").conflicts == []
    assert world.tags("nas") == world.tags("home")
    assert one.check_at_remote("nas").is_sound


@pytest.mark.parametrize("to", ["home", "nas"])
@pytest.mark.parametrize("damaged", ["home", "nas"])
def test_a_damaged_mark_is_said_anew(world: World, one: Store, to: str, damaged: str) -> None:
    """Nobody could write names for ever, for one flipped bit."""
    if damaged == "home":
        one.promote("nas")
        one.promote("home")
    file = file_of(world, damaged, MIRROR_KEY)
    flip(file if file.exists() else file.with_name(file.name + "@"), 40)
    world.commit(one, "m/v3")
    with pytest.raises(Corrupt, match="mirror-of"):
        one.push()
    one.promote(to)
    one.push()
    assert world.claim(to) is not None
    other = "nas" if to == "home" else "home"
    assert one.push(to=other).conflicts == []
    assert world.tags("nas") == world.tags("home")
    assert one.mirrors() == [other]


# --- where data is, when home moves on


def test_what_was_evicted_is_read_at_the_new_home(world: World, one: Store) -> None:
    """It was evicted since home had it, and home is lost: a mirror has it, too."""
    assert one.evict(["m/v1", "m/v2"]).packs
    world.down("home")
    one.promote("nas", lost=True)
    one.remove_remote("home")
    assert one.open("m/v2", "weights").read() == noise(2 * MIB)
    assert one.push(anew=True).conflicts == []


def test_a_mirror_counts_for_what_its_own_names_lead_to(world: World, one: Store) -> None:
    """Eviction would go by what home has, and the mirror lack it."""
    world.commit(one, "m/v3")
    one.push()
    told = one.evict(["m/v3"], source="nas")
    assert (told.packs, [*told.kept.values()]) == (0, ["no name at the remote leads to it: `artstore push` it"])
    assert one.evict(["m/v3"]).packs == 1


def test_what_is_damaged_here_comes_from_a_mirror_while_home_is_down(world: World, one: Store) -> None:
    """A store would stay damaged for as long as home is away."""
    packs = sorted(Path(one.path, "packs").rglob("*.pack"), key=lambda path: path.stat().st_size)
    flip(packs[-1], packs[-1].stat().st_size // 2)
    world.down("home")
    one.repair(one.check(data=True))
    told = one.repair_from_remotes()
    assert told.hurt == []
    assert told.objects
    assert one.check(data=True).is_sound


def test_a_mirror_collects_what_its_own_names_do_not_need(world: World, one: Store) -> None:
    """Home has moved on, and the mirror is behind: what its names still lead to would go."""
    world.commit(one, "m/v3")
    one.push()
    one.remove_at_remote("m/v1", remote="home")
    plan = one.remote_gc_plan("nas")
    assert (plan.step.begun, plan.step.deleting) == ([], [])
    one.remote_gc("nas")
    assert one.check_at_remote("nas", data=True).is_sound, "it is behind, and not damaged"
    keys = {key for tag in ("m/v1", "m/v2") for key in all_keys(set_at(world, "nas", one.resolve(tag).version))}
    assert all(FolderRemote(world.place("nas")).head(key) is not None for key in keys)
    one.push(to="nas")
    one.promote("nas")
    assert one.check_at_remote("nas", data=True).is_sound
    assert one.check_at_remote("home", data=True).is_sound


def test_a_clone_of_a_mirror_says_where_names_are_decided(world: World, one: Store) -> None:
    """It would take the mirror for its home, and write there what nobody else sees."""
    clone = world.clone("clone", "nas")
    world.commit(clone, "m/v9")
    with pytest.raises(Conflict, match="is a mirror of"):
        clone.push()
    clone.add_remote("home", world.place("home"))
    assert clone.push().written == ["m/v9"]

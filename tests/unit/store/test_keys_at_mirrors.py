"""Keys of an encrypted store change while its mirrors are away, refuse, or become home."""

from __future__ import annotations

import pytest

from artstore import Store, limits, wiring
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import NotPermitted, RemoteError, UsageError
from artstore.format.remote import GC_KEY, RING_KEY, GcState, changed_state, decode_remote, encode_remote
from artstore.format.ring import decode_ring
from artstore.model import Written
from artstore.testing.sealing import PASSPHRASE, unlocked
from tests.machines import noise
from tests.worlds import World


@pytest.fixture
def one(world: World, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An encrypted store that has pushed m/v1 to its home and to nas."""
    monkeypatch.setenv("ARTSTORE_PASSPHRASE", PASSPHRASE.decode())
    wiring.init(str(world.path / "one"), unlocked=unlocked())
    store = world.stack.enter_context(Store.open(world.path / "one"))
    world.made.append(store)
    world.opened["one"] = store
    store.add_remote("home", world.place("home"))
    store.add_mirror("nas", world.place("nas"))
    world.commit(store, "m/v1", weights=noise(400_000))
    store.push()
    store.push(to="nas")
    return store


def serial(world: World, name: str) -> int:
    found = FolderRemote(world.place(name)).get(RING_KEY)
    assert found is not None
    return decode_ring(found.data).serial


def test_a_mirror_that_was_away_gets_the_new_keys(world: World, one: Store) -> None:
    """What is copied there afterwards is sealed by a key that its own keyring wouldn't have."""
    world.down("nas")
    assert one.rotate_keys().unreached == ("nas",)
    world.up("nas")
    assert serial(world, "nas") < serial(world, "home")
    world.commit(one, "m/v2")
    one.push()
    one.push(to="nas")
    assert serial(world, "nas") == serial(world, "home")
    world.down("home")
    assert world.is_whole("clone", "nas")


def test_a_mirror_with_old_keys_becomes_home(world: World, one: Store) -> None:
    """Home is lost before the mirror heard of the new keys: who opens it next has to bring them."""
    world.down("nas")
    one.rotate_keys()
    world.up("nas")
    world.down("home")
    one.promote("nas", lost=True)
    world.commit(one, "m/v2")
    assert one.push().written == ["m/v2"]
    assert world.is_whole("clone", "nas")
    assert one.rotate_keys().unreached == ("home",)
    world.up("home")
    one.push(to="home")
    assert serial(world, "home") == serial(world, "nas")
    assert world.tags("home") == world.tags("nas")


def test_a_mirror_that_refuses_undoes_no_change(world: World, one: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was made at home, and would be told as if it had failed; done again, there would be two."""
    swap = FolderRemote.swap

    def refused(self: FolderRemote, key: str, data: bytes, etag: str) -> Written | None:
        if self.url.endswith("/nas"):
            raise NotPermitted("can't write there")
        return swap(self, key, data, etag)

    with monkeypatch.context() as patch:
        patch.setattr(FolderRemote, "swap", refused)
        done = one.add_key("another", label="bob")
    assert done.unreached == ("nas",)
    assert [key.label for key in one.list_keys()] == ["test", "bob"]
    assert serial(world, "home") == 2


def test_no_home_no_change(world: World, one: Store) -> None:
    """A mirror that takes it alone would have keys of its own."""
    world.down("home")
    with pytest.raises(RemoteError):
        one.rotate_keys()
    assert serial(world, "nas") == 1
    assert len(one.list_keys()) == 1


def test_keys_change_while_a_remote_is_held(world: World, one: Store) -> None:
    """They are no names; who has to take away a passphrase can't wait for half a day."""
    for name in ("home", "nas"):
        found = world.remote(name).get(GC_KEY)
        assert found is not None
        state = changed_state(decode_remote(GcState, found.data), exclusive=True, holder="eve")
        world.remote(name).put(GC_KEY, encode_remote(state))
    assert one.rotate_keys().unreached == ()
    assert serial(world, "home") == serial(world, "nas") == 2


def apart(world: World, one: Store) -> Store:
    """A machine that knows the old home only, which isn't home any more for `one`."""
    two = world.clone("two", "home")
    world.down("home")
    one.promote("nas", lost=True)
    return two


def test_a_mirror_whose_keys_were_changed_apart(world: World, one: Store) -> None:
    """Nothing would be told of any mirror, or read from one whose keys this store has."""
    two = apart(world, one)
    one.rotate_keys()
    world.up("home")
    for label in ("a", "b", "c"):
        two.add_key(label, label=label)
    assert serial(world, "home") > serial(world, "nas")
    (status,) = one.mirror_status()
    assert (status.name, status.error) == ("home", None)
    assert one.fetch(source="home").conflicts == []
    one.push(to="home")
    assert serial(world, "home") > serial(world, "nas")
    one.push()
    assert serial(world, "home") == serial(world, "nas")


def test_a_mirror_whose_keys_were_begun_apart(world: World, one: Store) -> None:
    """The same; what can't be joined is said of the one that it is."""
    two = apart(world, one)
    one.rotate_keys()
    world.up("home")
    two.rotate_keys()
    two.rotate_keys()
    (status,) = one.mirror_status()
    assert "in two places" in (status.error or "")


def test_too_many_passphrases_in_two_places(world: World, one: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase that was added would be told as refused."""
    monkeypatch.setattr(limits, "KEY_SLOTS_MAX", 5)
    two = apart(world, one)
    assert one.add_key("a", label="a").unreached == ("home",), "it is down"
    world.up("home")
    for label in "bcde":
        two.add_key(label, label=label)
    assert one.add_key("f", label="f").unreached == ("home",)
    assert len(one.list_keys()) == 3
    with pytest.raises(UsageError, match="there are 7 now"):
        one.push(to="home")
    two.remove_key(two.list_keys()[-1].id)
    assert one.push(to="home").conflicts == []
    assert serial(world, "home") > serial(world, "nas")

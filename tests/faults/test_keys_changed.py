"""A passphrase is changed, or the keys are, while another machine pushes: real processes, each with its own store."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from artstore import Store, limits
from artstore.errors import ArtstoreError, NotPermitted, RemoteError
from artstore.format import keyring
from artstore.format.keyring import Unlocked, unlock
from artstore.format.remote import RING_KEY
from artstore.format.ring import Ring, decode_ring, encode_ring
from artstore.model import RemotePlace
from artstore.store.sealed import Keychain, SealedRemote
from artstore.testing.sealing import CHEAP
from artstore.wiring import reaching

OLD, NEW = "open sesame", "open barley"
KINDS = ["folder", pytest.param("ceph", marks=pytest.mark.long)]
RATE = 2_000_000
SIZE = 3_000_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases that cost nothing."""
    for function in (keyring.new_ring, keyring.add_slot):
        defaults = function.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "cost", CHEAP)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, remote_place: Callable[[str], RemotePlace]) -> RemotePlace:
    return remote_place(request.param)


@pytest.fixture
def owner(place: RemotePlace, tmp_path: Path) -> Generator[Store]:
    """The machine that changes keys; what it has is at the remote."""
    with Store.init(tmp_path / "owner", encrypt=OLD) as store:
        store.add_remote("origin", place)
        store.commit(filled(tmp_path / "m", 1), tag="m/v1")
        store.push()
        yield store


@pytest.fixture
def pusher(owner: Store, place: RemotePlace, tmp_path: Path) -> Path:
    """Another machine with the same passphrase, which has something to push."""
    clone, _ = Store.clone(place, tmp_path / "pusher", passphrase=OLD)
    with clone:
        clone.commit(filled(tmp_path / "m", 2, SIZE), tag="m/v2")
    return tmp_path / "pusher"


def filled(folder: Path, seed: int, size: int = 50_000) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "weights").write_bytes(random.Random(seed).randbytes(size))
    return folder


def command(path: Path, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "artstore", "--store", str(path), *words]


def environment(passphrase: str) -> dict[str, str]:
    return {**os.environ, "ARTSTORE_PASSPHRASE": passphrase}


def artstore(path: Path, passphrase: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of another machine."""
    made = command(path, *words)
    return subprocess.run(made, env=environment(passphrase), capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def pushing(path: Path, place: RemotePlace) -> Generator[subprocess.Popen[str]]:
    """A push that is under way in here, and goes on behind it; it has to end well."""
    words = command(path, "push", "--limit-rate", str(RATE))
    with subprocess.Popen(words, env=environment(OLD), stderr=subprocess.PIPE, text=True) as process:
        try:
            remote = reaching.open_remote(place)
            end = time.monotonic() + 30
            while not list(remote.list("pins/")):
                assert process.poll() is None, "it ended before it began"
                assert time.monotonic() < end
                time.sleep(0.01)
            remote.close()
            yield process
        except BaseException:
            process.kill()
            raise
        _, told = process.communicate(timeout=60)
        assert process.returncode == 0, told


def change_passphrase(owner: Store, path: Path) -> None:
    """A new one is added, and by it the old one removed."""
    (old,) = owner.list_keys()
    owner.add_key(NEW, label="new")
    with Store.open(path, passphrase=NEW) as opened:
        opened.remove_key(old.id)


def test_a_passphrase_changed_while_another_machine_pushes(
    owner: Store, pusher: Path, place: RemotePlace, tmp_path: Path
) -> None:
    """What it pushes would be lost with the old passphrase, or the old passphrase open what comes afterwards."""
    stolen = owner.context.keychain
    assert stolen is not None
    known = stolen.unlocked  # what who has the old passphrase may have copied
    with pushing(pusher, place) as process:
        change_passphrase(owner, tmp_path / "owner")
        assert process.poll() is None, "the push was to be under way"
    told = artstore(pusher, OLD, "push")
    assert told.returncode == NotPermitted.exit_code, "the next one is told"
    assert "was removed" in told.stderr
    before = keys_at(place)
    with Store.open(pusher, passphrase=NEW) as opened:
        opened.fetch()
        opened.commit(filled(tmp_path / "m", 3), tag="m/v3")
        opened.push()
    clone, _ = Store.clone(place, tmp_path / "clone", full=True, passphrase=NEW)
    with clone:
        assert {tag.name for tag in clone.tags()} == {"m/v1", "m/v2", "m/v3"}
        assert clone.check(data=True).is_sound
        assert clone.check_at_remote(data=True).is_sound
    with pytest.raises(NotPermitted):
        Store.clone(place, tmp_path / "other", passphrase=OLD)
    assert opened_by(known, place, keys_at(place) - before) == (0, len(keys_at(place) - before))
    assert opened_by(known, place, {key for key in before if key.startswith("p/")})[0] > 0, "what it could copy"


def keys_at(place: RemotePlace) -> set[str]:
    """Names of all objects there."""
    remote = reaching.open_remote(place)
    found = {each.key for each in remote.list("") if not each.key.startswith(("keys/", "format", "check/"))}
    remote.close()
    return found


def opened_by(known: Unlocked, place: RemotePlace, keys: set[str]) -> tuple[int, int]:
    """How many of these objects open by keys that were copied before, and how many don't."""
    bare = reaching.open_remote(place)
    there = bare.get(RING_KEY)
    assert there is not None
    with pytest.raises(NotPermitted):
        unlock(decode_ring(there.data), OLD.encode())
    remote = SealedRemote(bare, Keychain(known, keep=lambda _data, _before: True, load=lambda: encode_ring(known.ring)))
    names = [each.key for each in remote.list("tags/")]
    assert len(names) == 3, "their key never changes"
    opened = refused = 0
    for key in [key for key in keys if not key.startswith("tags/")] + ["tags/m/v3"] * any(
        "tags/" in key for key in keys
    ):
        try:
            opened += remote.get(key) is not None
        except ArtstoreError:
            refused += 1
    remote.close()
    return opened, refused


@pytest.mark.long
def test_keys_rotated_while_another_machine_pushes(
    owner: Store, pusher: Path, place: RemotePlace, tmp_path: Path
) -> None:
    """Its push would end in talk of damage, once it meets what is sealed by the new key."""
    with pushing(pusher, place) as process:
        owner.rotate_keys()
        owner.commit(filled(tmp_path / "own", 7), tag="m/v7")
        owner.set_alias("m/production", "m/v7")
        owner.push()
        owner.remote_gc()  # what the push looks at again is sealed by the new key
        assert process.poll() is None, "the push was to be under way"
    assert artstore(pusher, OLD, "pull").returncode == 0
    assert artstore(pusher, OLD, "check", "--data").returncode == 0
    clone, _ = Store.clone(place, tmp_path / "clone", full=True, passphrase=OLD)
    with clone:
        assert {tag.name for tag in clone.tags()} == {"m/v1", "m/v2", "m/v7"}
        assert clone.check(data=True).is_sound


@pytest.mark.long
def test_two_machines_change_keys_while_a_third_pushes(
    owner: Store, pusher: Path, place: RemotePlace, tmp_path: Path
) -> None:
    """One of two new passphrases would open nothing, though both machines were told otherwise."""
    other, _ = Store.clone(place, tmp_path / "other", passphrase=OLD)
    other.close()

    def add(name: str) -> str:
        file = tmp_path / f"{name}.key"
        file.write_text(f"{name}'s own\n")
        done = artstore(tmp_path / name, OLD, "key", "add", "--label", name, "--new-passphrase-file", str(file))
        return done.stderr if done.returncode else ""

    with pushing(pusher, place), ThreadPoolExecutor(2) as pool:
        assert list(pool.map(add, ("owner", "other"))) == ["", ""]
    for name in ("owner", "other"):
        clone, _ = Store.clone(place, tmp_path / f"clone-{name}", full=True, passphrase=f"{name}'s own")
        with clone:
            assert {tag.name for tag in clone.tags()} == {"m/v1", "m/v2"}
            assert clone.check(data=True).is_sound
            assert {"other", "owner"} <= {key.label for key in clone.list_keys()}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, RemotePlace]:
    return {name: RemotePlace(url=f"file://{tmp_path / name}") for name in ("lost", "nas")}


@pytest.fixture
def mirrored(places: dict[str, RemotePlace], tmp_path: Path) -> Generator[Store]:
    """A store whose home has a mirror; both have m/v1."""
    with Store.init(tmp_path / "owner", encrypt=OLD) as store:
        store.add_remote("lost", places["lost"])
        store.add_mirror("nas", places["nas"])
        store.commit(filled(tmp_path / "m", 1), tag="m/v1")
        store.push()
        store.push(to="nas")
        yield store


@pytest.mark.parametrize("rotates", [False, True])
def test_keys_changed_at_two_homes(
    mirrored: Store, places: dict[str, RemotePlace], tmp_path: Path, rotates: bool
) -> None:
    """After a promotion that another machine didn't hear of, neither could write to the other's remote again; or the
    keyring there, with the only key of what lies there, would be replaced.
    """
    other, _ = Store.clone(places["lost"], tmp_path / "other", full=True, passphrase=OLD)
    os.rename(tmp_path / "lost", tmp_path / "away")
    mirrored.promote("nas", lost=True)
    mirrored.add_key("here", label="here")
    if rotates:
        mirrored.rotate_keys()
    mirrored.commit(filled(tmp_path / "m", 2), tag="m/v2")
    mirrored.push()
    os.rename(tmp_path / "away", tmp_path / "lost")
    with other:
        other.add_key("there", label="there")
        other.commit(filled(tmp_path / "m", 3), tag="m/v3")
        other.push()
        assert [each.name for each in mirrored.push(to="lost").conflicts] == ["m/v3"]
        mirrored.push()
        other.add_remote("nas", places["nas"])
        other.promote("nas")
        other.push(["m/v3"])
    mirrored.fetch()
    mirrored.push(to="lost")
    secrets = [OLD, "here"] + ([] if rotates else ["there"])
    for name, place in places.items():
        for secret in secrets:
            clone, _ = Store.clone(place, tmp_path / f"{name} {secret}", full=True, passphrase=secret)
            with clone:
                assert {tag.name for tag in clone.tags()} == {"m/v1", "m/v2", "m/v3"}
                assert clone.check(data=True).is_sound
                assert clone.check_at_remote(data=True).is_sound
        if rotates:
            with pytest.raises(NotPermitted):
                Store.clone(place, tmp_path / f"{name} there", passphrase="there")


def kept(path: Path) -> Ring:
    return decode_ring((path / "keyring").read_bytes())


def test_a_mirror_that_missed_two_changes_of_the_passphrase(
    mirrored: Store, places: dict[str, RemotePlace], tmp_path: Path
) -> None:
    """Nobody would have a passphrase that both know: the owner could never write there again, nor make it home."""
    change_passphrase(mirrored, tmp_path / "owner")
    os.rename(tmp_path / "nas", tmp_path / "away")
    with Store.open(tmp_path / "owner", passphrase=NEW) as owner:
        (old,) = owner.list_keys()
        owner.add_key("newest", label="newest")
    with Store.open(tmp_path / "owner", passphrase="newest") as owner:
        owner.remove_key(old.id)
        os.rename(tmp_path / "away", tmp_path / "nas")
        os.rename(tmp_path / "lost", tmp_path / "gone")
        owner.promote("nas", lost=True)
        owner.commit(filled(tmp_path / "m", 2), tag="m/v2")
        assert "m/v2" in owner.push().written
    clone, _ = Store.clone(places["nas"], tmp_path / "clone", full=True, passphrase="newest")
    with clone:
        assert clone.check(data=True).is_sound


@pytest.mark.parametrize("rotations", [1, 2])
def test_a_passphrase_that_only_the_other_home_knows(mirrored: Store, tmp_path: Path, rotations: int) -> None:
    """The keyring kept here has the only key of what was committed here: in the place of it another one would be kept;
    or something be sealed by a key that is kept nowhere here.
    """
    other, _ = Store.clone(mirrored.remotes()["lost"], tmp_path / "other", full=True, passphrase=OLD)
    with other:
        other.add_mirror("nas", mirrored.remotes()["nas"])
        os.rename(tmp_path / "lost", tmp_path / "away")
        mirrored.promote("nas", lost=True)
        mirrored.rotate_keys()
        mirrored.add_key("bob", label="bob")
        mirrored.add_key("more", label="more")
        os.rename(tmp_path / "away", tmp_path / "lost")
        os.rename(tmp_path / "nas", tmp_path / "nas-away")
        for _ in range(rotations):
            other.rotate_keys()
        other.commit(filled(tmp_path / "m", 2), tag="m/v2")
    os.rename(tmp_path / "nas-away", tmp_path / "nas")
    os.rename(tmp_path / "lost", tmp_path / "away")
    before = kept(tmp_path / "other")
    with Store.open(tmp_path / "other", passphrase="bob") as opened:
        assert opened.open("m/v1", "weights").read(), "what both homes have can be read"
        with pytest.raises(ArtstoreError, match="in two places"):
            opened.commit(filled(tmp_path / "m", 3), tag="m/v3")
    assert kept(tmp_path / "other") == before
    with Store.open(tmp_path / "other", passphrase=OLD) as opened:
        assert opened.open("m/v2", "weights").read() == (filled(tmp_path / "m", 2) / "weights").read_bytes()
        assert opened.check(data=True).is_sound


def test_a_clone_that_broke_off_and_a_disk_that_is_not_there(
    mirrored: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would make another remote in the empty place, and begin keys there."""

    def fails(*_: object, **__: object) -> None:
        raise RemoteError("the network went away")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "fetch", fails)
        with pytest.raises(RemoteError):
            Store.clone(mirrored.remotes()["nas"], tmp_path / "clone", passphrase=OLD)
    os.rename(tmp_path / "nas", tmp_path / "away")
    with Store.open(tmp_path / "clone", passphrase=OLD) as clone:
        for act in (clone.push, clone.fetch, clone.rotate_keys):
            with pytest.raises(RemoteError, match="not the remote that this store knows"):
                act()
        os.rename(tmp_path / "away", tmp_path / "nas")
        assert clone.fetch().conflicts == []
        (place,) = clone.remotes().values()
        assert place.mirror_of == mirrored.remotes()["lost"].id


def test_a_keyring_far_ahead_is_not_opened(mirrored: Store, tmp_path: Path) -> None:
    """Who was removed, and may write the bucket and open the store, would have it keep one behind whose serial nobody
    changes keys.
    """
    bob = mirrored.add_key("bob", label="bob").id
    assert bob is not None
    known = unlock(kept(tmp_path / "owner"), b"bob")
    mirrored.remove_key(bob)
    ahead = replace(known, ring=structs.replace(known.ring, serial=known.ring.serial + limits.KEYRING_STEPS_MAX + 9))
    forged = keyring.rotate(ahead, random=os.urandom)
    (tmp_path / "lost" / "keys" / "ring").write_bytes(encode_ring(forged.ring))
    before = kept(tmp_path / "owner")
    with pytest.raises(NotPermitted, match="wrong"):
        Store.open(tmp_path / "owner", passphrase="bob")
    assert kept(tmp_path / "owner") == before

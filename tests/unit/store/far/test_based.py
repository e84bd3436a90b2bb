"""`commit --base` on a version that isn't all here: it is a push, since nobody else holds what is left of it [I11]."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from artstore import Store
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import Conflict, NotFound, RemoteError
from artstore.format.remote import RemoteSet, decode_remote, set_key
from tests.encrypting import as_seen_by

from .conftest import MIB, Lab, files_of, noise


@pytest.fixture
def clone(lab: Lab) -> Store:
    """A machine with the names of a version alone."""
    origin = lab.origin()
    lab.write(weights=noise(10 * MIB), config=b"{}")
    origin.commit(lab.folder, tag="m/v1")
    origin.push()
    return lab.clone()


@pytest.fixture
def card(lab: Lab) -> Path:
    """What is added."""
    path = lab.path / "card"
    path.write_bytes(noise(200_000, 5))
    return path


def alone(lab: Lab, name: str) -> Store:
    """A machine that has pulled one version and nothing else."""
    store = Store.init(lab.path / f"alone-{name.replace('/', '-')}")
    lab.opened.append(store)
    store.add_remote("origin", lab.place)
    store.pull([name])
    return store


def is_whole(lab: Lab, name: str, **added: bytes) -> bool:
    """Does the remote have all of a version, by its own set?"""
    store = alone(lab, name)
    assert store.check(data=True).is_sound
    lab.remote.rename(lab.path / "away")
    store = lab.reopen(store)
    store.checkout(name, lab.path / "out")
    found = files_of(lab.path / "out")
    (lab.path / "away").rename(lab.remote)
    shutil.rmtree(lab.path / "out")
    return found == {**files_of(lab.folder), **added}


def set_of(lab: Lab, store: Store, version: bytes) -> RemoteSet:
    """What a version's set says at the remote."""
    found = as_seen_by(store, FolderRemote(lab.place)).get(set_key(version))
    assert found is not None
    return decode_remote(RemoteSet, found.data)


def test_it_is_pushed_with_what_it_is_based_on(lab: Lab, clone: Store, card: Path) -> None:
    """The new version's set would lack the packs that only the old one names: gone with that one."""
    made = clone.edit("m/v1", add=[("card", card)])
    assert made.tag == "m/v2"
    assert made.version is not None
    assert is_whole(lab, "m/v2", card=card.read_bytes())
    told = set_of(lab, clone, made.version)
    assert len(told.data) == 2
    assert clone.remote_stats().received_bytes < MIB, "nothing of the weights came"
    again = clone.edit("m/v2", add=[("more", card)])
    assert again.tag == "m/v3"
    assert is_whole(lab, "m/v3", card=card.read_bytes(), more=card.read_bytes())
    assert clone.check().is_sound


def test_what_is_all_here_is_no_push(lab: Lab, clone: Store, card: Path) -> None:
    """Work in a train would end."""
    clone.pull()
    lab.remote.rename(lab.path / "away")
    clone = lab.reopen(clone)
    assert clone.edit("m/v1", add=[("card", card)]).tag == "m/v2"


def test_without_home_it_is_refused(lab: Lab, clone: Store, card: Path) -> None:
    """It would be told that it is saved, and be nowhere."""
    lab.remote.rename(lab.path / "away")
    clone = lab.reopen(clone)
    with pytest.raises(RemoteError):
        clone.edit("m/v1", add=[("card", card)])
    assert len(clone.tags()) == 1
    (lab.path / "away").rename(lab.remote)
    clone = lab.reopen(clone)
    clone.remove_remote("origin")
    with pytest.raises(RemoteError, match="isn't here") as caught:
        clone.edit("m/v1", add=[("card", card)])
    assert "pull" in (caught.value.hint or "")
    assert len(clone.tags()) == 1


def test_a_name_that_is_taken_there(lab: Lab, clone: Store, card: Path) -> None:
    """Two machines would go on with different versions under one name."""
    other = lab.clone("other")
    other.edit("m/v1", add=[("theirs", card)], tag="m/best")
    with pytest.raises(Conflict, match="was not made"):
        clone.edit("m/v1", add=[("ours", card)], tag="m/best")
    assert [tag.name for tag in clone.tags()] == ["m/v1"]
    assert clone.check().is_sound


def test_what_it_is_based_on_is_gone(lab: Lab, clone: Store, card: Path) -> None:
    """Half a version would get a name."""
    shutil.rmtree(lab.remote / "p")
    with pytest.raises((NotFound, RemoteError)):
        clone.edit("m/v1", add=[("card", card)])
    assert [tag.name for tag in clone.tags()] == ["m/v1"]
    assert not (lab.remote / "tags" / "m" / "v2@").exists()


def test_a_dry_run_needs_no_home(lab: Lab, clone: Store, card: Path) -> None:
    """It stores nothing."""
    from artstore import CommitOptions

    lab.remote.rename(lab.path / "away")
    clone = lab.reopen(clone)
    assert clone.edit("m/v1", add=[("card", card)], options=CommitOptions(dry_run=True)).version is None


def test_what_is_lost_since_is_not_named_again(lab: Lab, clone: Store, card: Path) -> None:
    """Its own part was evicted here and is gone there: a set that names the base's part alone would look whole."""
    made = clone.edit("m/v1", add=[("card", card)])
    assert made.version is not None
    told = lab.remote / set_key(made.version)
    own = set(set_of(lab, clone, made.version).data)
    assert clone.resolve("m/v1").version is not None
    base = set_of(lab, clone, clone.resolve("m/v1").version)
    assert clone.evict().packs == 1
    (new,) = own - set(base.data)
    (lab.remote / new).unlink()
    before = told.read_bytes()
    with pytest.raises(NotFound, match="a part of it isn't here"):
        clone.push(anew=True)
    assert told.read_bytes() == before

"""A move of an alias that is killed between its home and here: it is made once, and the next pull brings it."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore import Store
from artstore.adapters.remote_folder import FolderRemote
from artstore.format.remote import RemoteAlias, decode_remote
from artstore.model import RemotePlace
from tests.encrypting import as_seen_by
from tests.faults.test_push_killed import artstore, fill

POINTS = ["remote.written", "remote.renamed", "index.before_commit", "index.after_commit", "refslog.fsynced"]
ALIAS = "m/production"


def home_of(store: Store, place: RemotePlace) -> RemoteAlias:
    """Where the alias stands there."""
    found = as_seen_by(store, FolderRemote(place)).get(f"aliases/{ALIAS}")
    assert found is not None
    return decode_remote(RemoteAlias, found.data)


@pytest.mark.parametrize("point", POINTS)
def test_a_move_killed_at(tmp_path: Path, point: str) -> None:
    """At each step: both sides stand at something that was said, and after a pull at the same."""
    place, path, folder = RemotePlace(url=f"file://{tmp_path / 'remote'}"), tmp_path / "store", tmp_path / "folder"
    fill(folder, 0)
    with Store.init(path) as store:
        store.add_remote("origin", place)
        store.commit(folder, tag="m/v0")
        store.set_alias(ALIAS, "v0")
        store.push()
    for count in range(1, 40):
        fill(folder, count)
        with Store.open(path) as store:
            store.commit(folder, tag=f"m/v{count}")
            before = store.resolve(ALIAS).version
            wanted = store.resolve(f"m/v{count}").version
        ended = artstore(path, "alias", "set", ALIAS, f"v{count}", point=f"{point}:{count}")
        there = home_of(store, place)
        assert there.version in (before, wanted)
        with Store.open(path) as store:
            here = store.resolve(ALIAS).version
            assert here == before or here == there.version, "first there, then here"
            assert store.check().is_sound
            assert not store.pull().conflicts
            assert store.resolve(ALIAS).version == there.version
            assert next((move.seq, move.target) for move in store.alias_log(ALIAS)) == (there.seq, there.version)
            store.set_alias(ALIAS, f"v{count}")
            assert home_of(store, place).seq == count + 1, "made once"
            assert not store.push().conflicts
        if ended == 0:
            assert count > 1, "the point was never reached"
            break
    clone, _ = Store.clone(place, tmp_path / "clone")
    with clone:
        assert clone.check(data=True).is_sound
        clone.checkout(ALIAS, tmp_path / "out")


@pytest.mark.parametrize("point", ["index.before_commit", "index.after_commit", "refslog.fsynced"])
@pytest.mark.parametrize("pushed", [False, True])
def test_a_removal_killed_at(tmp_path: Path, point: str, pushed: bool) -> None:
    """What is removed can be brought back for seven days, wherever it was killed."""
    folder = tmp_path / "folder"
    fill(folder, 0)
    for count in range(1, 20):
        path = tmp_path / f"store-{count}"
        with Store.init(path) as store:
            if pushed:
                store.add_remote("origin", RemotePlace(url=f"file://{tmp_path}/remote-{count}"))
            store.commit(folder, tag="m/v1")
            version = store.set_alias(ALIAS, "v1").target
            if pushed:
                store.push()
        ended = artstore(path, "alias", "rm", ALIAS, "--yes", point=f"{point}:{count}")
        with Store.open(path) as store:
            if not any(alias.name == ALIAS for alias in store.aliases()):
                store.gc_undo()
            assert store.resolve(ALIAS).version == version
        if ended == 0:
            assert count > 1, "the point was never reached"
            break

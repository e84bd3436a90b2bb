"""A push that is killed while it renumbers: the next one completes, each version has one number, and is found by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore import Store
from artstore.adapters.remote_folder import FolderRemote
from artstore.format.remote import RemoteTag, decode_remote
from artstore.model import RemotePlace
from tests.encrypting import as_seen_by
from tests.faults.test_push_killed import artstore, fill

POINTS = ["remote.written", "remote.renamed", "index.before_commit", "index.after_commit", "refslog.fsynced"]


def numbers_of(store: Store, place: RemotePlace, version: bytes) -> list[str]:
    """The names of a version there."""
    remote = as_seen_by(store, FolderRemote(place))
    found = {each.key: remote.get(each.key) for each in remote.list("tags/")}
    return [
        key.removeprefix("tags/")
        for key, tag in found.items()
        if tag is not None and decode_remote(RemoteTag, tag.data).version == version
    ]


@pytest.mark.parametrize("after", ["push", "pull", "rebuild"])
@pytest.mark.parametrize("point", POINTS)
def test_a_push_that_renumbers_killed_at(tmp_path: Path, point: str, after: str) -> None:
    """At each step, whatever is done next: nothing is without a name, and by no push gets a second number."""
    place, folder = RemotePlace(url=f"file://{tmp_path / 'remote'}"), tmp_path / "folder"
    with Store.init(tmp_path / "first") as store:
        store.add_remote("origin", place)
        fill(folder, 0)
        store.commit(folder, artifact="m")
        store.push()
    count = 0
    for count in range(1, 60):
        path = tmp_path / f"store-{count}"
        fill(folder, count)
        with Store.init(path) as store:
            store.add_remote("origin", place)
            store.commit(folder, artifact="m")
            version = store.resolve("m/v1").version
        ended = artstore(path, "push", point=f"{point}:{count}")
        with Store.open(path) as store:
            assert store.check().is_sound
            (tag,) = store.tags()
            assert tag.version == version
            assert numbers_of(store, place, version) in ([], [f"m/v{count + 1}"])
            if after == "pull":
                store.pull()
        if after == "rebuild":
            Store.rebuild_index(path)
        with Store.open(path) as store:
            had = [each.name for each in store.tags() if each.version == version]
            result = store.push()
            if after == "rebuild" and had == ["m/v1"]:  # that it was provisional is lost: it is told, as it is
                assert [each.name for each in result.conflicts] == ["m/v1"]
                if not numbers_of(store, place, version):
                    store.tag(f"m/v{count + 1}", "m/v1")
                    store.push()
                store.pull()
                store.remove("m/v1")
            else:
                assert not result.conflicts
            (tag,) = [each for each in store.tags() if each.version == version]
            assert (tag.name, tag.version) == (f"m/v{count + 1}", version)
            assert numbers_of(store, place, version) == [tag.name]
            assert store.check().is_sound
        if ended == 0:
            assert count > 1, "the point was never reached"
            break
    clone, came = Store.clone(place, tmp_path / "clone", full=True)
    with clone:
        assert not came.conflicts
        assert clone.check(data=True).is_sound
        assert sorted(each.name for each in clone.tags()) == sorted(f"m/v{n}" for n in range(1, count + 2))

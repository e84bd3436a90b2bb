"""`artstore mount URL`: what a remote has as folders, on a machine without a store."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore import RemotePlace, Store
from artstore.store.remote.watch import RemoteWatch
from artstore.wiring import reaching

from .conftest import Mounted

MIB = 1 << 20
Place = Callable[[str], RemotePlace]


@pytest.fixture(params=["folder", "moto"])
def place(request: pytest.FixtureRequest, remote_place: Place, unmounted: Mounted) -> RemotePlace:
    """A remote that the mount's commands can reach."""
    found = remote_place(request.param)
    unmounted.env.update({name: value for name, value in os.environ.items() if name.startswith("AWS_")})
    unmounted.env["XDG_CACHE_HOME"] = str(unmounted.path.parent / "caches")
    unmounted.env["ARTSTORE_HOME"] = str(unmounted.path.parent / "no-store")
    if found.endpoint is not None:
        unmounted.env["AWS_ENDPOINT_URL"] = found.endpoint
    return found


def noise(seed: int, size: int = 3 * MIB) -> bytes:
    """Bytes that can't be compressed."""
    return random.Random(seed).randbytes(size)


@pytest.fixture
def origin(tmp_path: Path, place: RemotePlace) -> Store:
    """Another machine, which has pushed m/v1."""
    store = Store.init(tmp_path / "origin")
    store.add_remote("origin", place)
    commit(store, tmp_path, 1)
    store.set_alias("m/production", "m/v1")
    store.push()
    return store


def commit(store: Store, tmp_path: Path, number: int) -> None:
    """A version with a file of its own."""
    folder = tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    (folder / "weights").write_bytes(noise(number))
    store.commit(folder, tag=f"m/v{number}")


def test_a_remote_is_mounted_without_a_store(
    place: RemotePlace, origin: Store, unmounted: Mounted, tmp_path: Path
) -> None:
    """Somebody who wants to look into a bucket would have to make a store first, and to keep it up to date."""
    told = unmounted.mount_url(place.url, "--follow", "1s")
    weights = unmounted.path / "versions" / "m" / "v1" / "weights"
    before = unmounted.status()["remote_requests"]
    assert before["received_bytes"] < MIB, "nothing was read yet"
    assert weights.read_bytes() == noise(1)
    assert unmounted.status()["remote_requests"]["received_bytes"] >= 3 * MIB
    assert not (unmounted.path.parent / "no-store").exists()
    assert Path(told["store"]).is_relative_to(unmounted.path.parent / "caches")
    commit(origin, tmp_path, 2)
    origin.push()
    origin.set_alias("m/production", "m/v2")
    second = unmounted.path / "aliases" / "m" / "production" / "weights"
    assert unmounted.within(10, lambda: second.exists() and second.read_bytes() == noise(2)), unmounted.log()
    remote = unmounted.status()["remote"]
    assert remote["url"].startswith(place.url)
    assert remote["error"] is None
    assert "artstore_mount_remote_requests_total " in (unmounted.path / ".artstore" / "metrics").read_text()
    unmounted.umount()
    unmounted.mount_url(place.url)  # what was read is still there
    assert weights.read_bytes() == noise(1)
    assert unmounted.status()["remote_requests"]["received_bytes"] < MIB


def test_without_the_network_what_was_read_is_served(remote_place: Place, unmounted: Mounted, tmp_path: Path) -> None:
    """An outage of the bucket would be one of everybody who serves a model from it."""
    folder = remote_place("folder")
    unmounted.env["XDG_CACHE_HOME"] = str(unmounted.path.parent / "caches")
    with Store.init(tmp_path / "origin") as origin:
        origin.add_remote("origin", folder)
        for number in (1, 2):
            commit(origin, tmp_path, number)
        origin.push()
    unmounted.mount_url(folder.url, "--follow", "1s")
    versions = unmounted.path / "versions" / "m"
    assert (versions / "v1" / "weights").read_bytes() == noise(1)
    there = Path(folder.url.removeprefix("file://"))
    there.rename(there.with_name("unplugged"))
    assert unmounted.within(10, lambda: unmounted.status()["remote"]["error"])
    with (versions / "v1" / "weights").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert file.read() == noise(1)
    with pytest.raises(OSError, match="Input/output"):
        (versions / "v2" / "weights").read_bytes()
    assert unmounted.within(2, lambda: ["v2" in each["name"] for each in unmounted.status()["broken"]][:1] == [True])
    unmounted.umount()
    told = unmounted.run("mount", folder.url, unmounted.path)
    assert "what was there is mounted" in told.err
    assert (versions / "v1" / "weights").read_bytes() == noise(1)
    there.with_name("unplugged").rename(there)
    assert (versions / "v2" / "weights").read_bytes() == noise(2)


def test_what_makes_no_sense(remote_place: Place, unmounted: Mounted) -> None:
    """A mistyped URL would be made into a folder, a bucket without versions mounted as if it had none."""
    folder = remote_place("folder")
    unmounted.env["XDG_CACHE_HOME"] = str(unmounted.path.parent / "caches")
    assert "nothing was pushed" in unmounted.run("mount", folder.url, unmounted.path, code=3).err
    assert not list((unmounted.path.parent / "caches").rglob("*"))
    assert "unexpected extra argument" in unmounted.run("mount", folder.url, unmounted.path, "more", code=2).err
    assert "there is none" in unmounted.run("mount", unmounted.path, "--endpoint", "http://x", code=2).err
    assert (
        "no remote" in unmounted.run("--store", unmounted.store, "mount", unmounted.path, "--follow", "5s", code=3).err
    )
    assert "no URL" in unmounted.run("mount", "ftp://x/y", unmounted.path, code=2).err


@pytest.mark.parametrize("kind", ["folder", "moto"])
def test_an_idle_look_is_one_request(remote_place: Place, tmp_path: Path, kind: str) -> None:
    """A thousand machines which look every ten seconds would be most of the bill."""
    place = remote_place(kind)
    with Store.init(tmp_path / "origin") as store:
        store.add_remote("origin", place)
        commit(store, tmp_path, 1)
        remote = reaching.open_remote(place)
        watch = RemoteWatch(remote)
        assert watch.changed(), "the first look"
        assert not watch.changed(), "nothing was ever pushed"
        store.push()
        assert watch.changed()
        before = remote.stats.requests, remote.stats.lists, remote.stats.received_bytes
        for _ in range(5):
            assert not watch.changed()
        assert (remote.stats.requests, remote.stats.lists, remote.stats.received_bytes) == (
            before[0] + 5,
            before[1],
            before[2],
        )
        store.set_alias("m/production", "m/v1")
        store.push()
        assert watch.changed()
        watch.close()

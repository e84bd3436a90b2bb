"""Reading what isn't here while networks, services and disks fail: it ends well or is told; a second try ends well."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from artstore import Store
from artstore.errors import ArtstoreError, Corrupt, NoSpace, RemoteError
from artstore.model import RemotePlace
from artstore.testing.fault_proxy import Fault, FaultProxy
from artstore.wiring import reaching
from tests.machines import noise
from tests.remotes import address, bucket_of, client_of

Place = Callable[[str], RemotePlace]
MIB = 1 << 20
LASTING = [Fault.EXPIRED_TOKEN, Fault.FLIPPED_REPLY]  # the others go by when they are asked again


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is versioned: a file of several requests, and small ones."""
    made = tmp_path / "folder"
    made.mkdir()
    (made / "weights").write_bytes(noise(20 * MIB))
    for number in range(10):
        (made / f"part{number}").write_bytes(noise(30_000, number + 1))
    return made


@pytest.fixture
def origin(tmp_path: Path, folder: Path) -> Iterator[Store]:
    """The store where m/v1 was made."""
    with Store.init(tmp_path / "origin") as store:
        store.commit(folder, tag="m/v1")
        yield store


@pytest.fixture
def place(remote_place: Place, origin: Store) -> RemotePlace:
    """A bucket that has it."""
    there = remote_place("moto")
    origin.add_remote("origin", there)
    origin.push()
    return there


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Broken:
    """What befalls every `each`-th request as long as `fault` is set."""

    def __init__(self, each: int = 1) -> None:
        self.fault: Fault | None = None
        self._each = each
        self._seen = 0
        self._lock = threading.Lock()

    def __call__(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self._seen += self.fault is not None
            return self.fault if self._seen % self._each == 0 else None


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.FLIPPED_REQUEST])
def test_a_checkout_through_each_fault(place: RemotePlace, tmp_path: Path, folder: Path, fault: Fault) -> None:
    """A file would hold other bytes than were committed, or the folder could never be completed."""
    broken = Broken(each=2)
    with FaultProxy(address(place.endpoint), broken) as proxy:
        clone, _ = Store.clone(replace(place, endpoint=proxy.url), tmp_path / "clone")
        with clone:
            broken.fault = fault
            told: ArtstoreError | None = None
            try:
                clone.checkout("m/v1", tmp_path / "out")
            except ArtstoreError as error:
                told = error
            if told is not None:
                assert fault in LASTING, told
                assert place.url in str(told), "which remote"
            broken.fault = None
            clone.checkout("m/v1", tmp_path / "out")
    assert len(proxy.done) >= 2
    assert contents(tmp_path / "out") == contents(folder)


def test_the_network_goes_and_comes_back(
    place: RemotePlace, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that reads on would have to be started again, or read what isn't there as zeros."""
    monkeypatch.setattr("artstore.limits.REMOTE_ATTEMPTS_MAX", 2)
    broken = Broken()
    with FaultProxy(address(place.endpoint), broken) as proxy:
        clone, _ = Store.clone(replace(place, endpoint=proxy.url), tmp_path / "clone")
        with clone, clone.open("m/v1", "weights") as file:
            assert file.read(1000) == noise(20 * MIB)[:1000]
            broken.fault = Fault.RESET_REPLY
            file.seek(18 * MIB)
            with pytest.raises(RemoteError, match="doesn't answer"):
                file.read(MIB)
            file.seek(500)
            assert file.read(100) == noise(20 * MIB)[500:600], "what came before is still here"
            broken.fault = None
            file.seek(18 * MIB)
            assert file.read(MIB) == noise(20 * MIB)[18 * MIB : 19 * MIB]
            clone.checkout("m/v1", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)


# --- damage at the remote


def damage(place: RemotePlace, key: str, change: Callable[[bytes], bytes]) -> None:
    """Have other bytes lie at a remote."""
    client = client_of(place)
    where = {"Bucket": bucket_of(place), "Key": f"some/prefix/{key}"}
    client.put_object(**where, Body=change(client.get_object(**where)["Body"].read()))
    client.close()


def flipped(data: bytes) -> bytes:
    """A bit in the middle."""
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


def cut(data: bytes) -> bytes:
    """The second half is gone."""
    return data[: len(data) // 2]


def pack_of(place: RemotePlace) -> str:
    """The only data pack there."""
    remote = reaching.open_remote(place)
    (found,) = remote.list("p/")
    remote.close()
    return found.key


def reads(store: Store, path: Path, offset: int) -> bool:
    """Can this part of a file be read? If so, it is right."""
    with store.open("m/v1", path.name) as file:
        file.seek(offset)
        try:
            data = file.read(512 * 1024)
        except Corrupt:
            return False
    assert data == path.read_bytes()[offset : offset + 512 * 1024]
    return True


@pytest.mark.parametrize("change", [flipped, cut])
def test_a_pack_that_is_damaged_there(
    place: RemotePlace, origin: Store, tmp_path: Path, folder: Path, change: Callable[[bytes], bytes]
) -> None:
    """Nobody would know which object of a bucket to look at, or how to get the version whole again."""
    key = pack_of(place)
    damage(place, key, change)
    clone, _ = Store.clone(place, tmp_path / "clone")
    with clone:
        with pytest.raises(Corrupt) as caught:
            clone.checkout("m/v1", tmp_path / "out")
        told = str(caught.value)
        assert caught.value.digest is not None
        assert caught.value.digest.hex() in told
        assert f"{place.url}/{key}" in told
        assert "`artstore repair --remote NAME --data`" in told
        unread = [size for size in range(0, 20 * MIB, 512 * 1024) if not reads(clone, folder / "weights", size)]
        assert unread, "none of it is made up"
        assert len(unread) <= (2 if change is flipped else 21), "what isn't damaged is read"
        assert [path.name for path in folder.glob("part*") if reads(clone, path, 0)]
        # What the message says:
        done = origin.repair_at_remote(data=True)
        assert (done.is_sound, done.replaced, done.packs) == (True, [key], 1)
        clone.checkout("m/v1", tmp_path / "out")
        assert contents(tmp_path / "out") == contents(folder)
    fresh, _ = Store.clone(place, tmp_path / "fresh", full=True)
    with fresh:
        assert fresh.check(data=True).is_sound


# --- full disks


def fill_up(disk: Path, spare: int) -> Path:
    """Leave so many bytes of a disk free; the file that takes the rest."""
    filler = disk / "filler"
    space = os.statvfs(disk)
    filler.write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - spare)))
    return filler


def test_pull_to_a_full_disk(place: RemotePlace, origin: Store, small_disk: Path, tmp_path: Path, folder: Path) -> None:
    """A version would be there by name and not by its bytes, or the disk stay full of what failed."""
    (folder / "more").write_bytes(noise(12 * MIB, 99))
    origin.commit(folder, tag="m/v2")
    origin.push()
    clone, _ = Store.clone(place, small_disk / "clone")
    with clone:
        with pytest.raises(NoSpace) as caught:
            clone.pull()
        assert caught.value.exit_code == 9
        assert clone.check(data=True).is_sound
        assert not list((small_disk / "clone" / "tmp").iterdir())
        clone.checkout("m/v2", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)


@pytest.mark.parametrize("spare", [0, 4096, 60_000])
def test_fetch_to_a_full_disk(
    place: RemotePlace, origin: Store, small_disk: Path, tmp_path: Path, folder: Path, spare: int
) -> None:
    """The names of a clone would lead nowhere."""
    clone, _ = Store.clone(place, small_disk / "clone")
    for number in range(3000):
        (folder / f"n{number}").write_bytes(b"%d" % number)
    origin.commit(folder, tag="m/v2")
    origin.push()
    with clone:
        filler = fill_up(small_disk, spare)
        with pytest.raises(NoSpace):
            clone.fetch()
        assert [tag.name for tag in clone.tags()] == ["m/v1"]
        filler.unlink()
        assert clone.fetch().written == ["m/v2"]
        assert clone.check(data=True).is_sound
        clone.checkout("m/v2", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)


@pytest.mark.parametrize("before", [True, False])
def test_reading_with_a_full_disk(
    place: RemotePlace, small_disk: Path, tmp_path: Path, folder: Path, before: bool
) -> None:
    """What was fetched can be handed over, kept or not; `before`: it is full before anything was read."""
    clone, _ = Store.clone(place, small_disk / "clone")
    with clone:
        if not before:
            clone.open("m/v1", "part1").read()
        filler = fill_up(small_disk, 0)
        try:
            clone.checkout("m/v1", tmp_path / "out")
        except NoSpace:
            assert before, "where its packs lie has to be noted once"
        filler.unlink()
        clone.checkout("m/v1", tmp_path / "out")
        assert contents(tmp_path / "out") == contents(folder)
        assert clone.check(data=True).is_sound


def test_a_checkout_to_a_full_disk(place: RemotePlace, small_disk: Path, tmp_path: Path, folder: Path) -> None:
    """It would be cut short without a word, or begin anew."""
    clone, _ = Store.clone(place, tmp_path / "clone")
    with clone:
        filler = fill_up(small_disk, 10 * MIB)
        with pytest.raises(NoSpace):
            clone.checkout("m/v1", small_disk / "out")
        filler.unlink()
        clone.checkout("m/v1", small_disk / "out")
        assert contents(small_disk / "out") == contents(folder)

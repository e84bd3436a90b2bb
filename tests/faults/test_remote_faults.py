"""A network and a service that fail in each of their ways, between a store and a real S3 service or its double."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from artstore import Store
from artstore.errors import ArtstoreError, NotPermitted, RemoteError
from artstore.model import RemotePlace
from artstore.testing.fault_proxy import Fault, FaultProxy
from artstore.wiring import reaching
from tests.remotes import address

Place = Callable[[str], RemotePlace]
MIB = 1 << 20
OTHERS = {Fault.FLIPPED_REQUEST, Fault.EXPIRED_TOKEN}  # moto takes the one, and the other doesn't go by


class Dice:
    """Lets a share of all requests fail, the same ones in each run as far as threads allow."""

    def __init__(self, faults: list[Fault], share: float, seed: int = 1) -> None:
        self._faults = faults
        self._share = share
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def __call__(self, method: str, path: str) -> Fault | None:
        with self._lock:
            return self._random.choice(self._faults) if self._random.random() < self._share else None


def fill(folder: Path, seed: int) -> Path:
    """Files that are new, beside some that stay."""
    folder.mkdir(exist_ok=True)
    (folder / "stays").write_bytes(random.Random(1).randbytes(MIB))
    (folder / "new").write_bytes(random.Random(seed).randbytes(300_000))
    return folder


def push_through(tmp_path: Path, place: RemotePlace, choose: Callable[[str, str], Fault | None]) -> tuple[int, int]:
    """Push some versions through a proxy that fails; then without it; a clone has all. Faults done, pushes failed."""
    failed = 0
    folder = tmp_path / "folder"
    with FaultProxy(address(place.endpoint), choose) as proxy, Store.init(tmp_path / "store") as store:
        store.add_remote("good", place)
        reaching.put_remote(store.path, "bad", replace(place, endpoint=proxy.url), known=False)
        for turn in range(6):
            store.commit(fill(folder, turn), tag=f"m/v{turn}")
            store.set_alias("m/production", f"m/v{turn}", local=True)
            try:
                store.push(to="bad")
            except ArtstoreError:
                failed += 1
        result = store.push(to="good", anew=True)
        assert not result.conflicts
        clone, pulled = Store.clone(place, tmp_path / "clone", full=True)
        with clone:
            assert not pulled.conflicts
            assert clone.check(data=True).is_sound
            assert {tag.name: tag.version for tag in clone.tags()} == {tag.name: tag.version for tag in store.tags()}
            assert clone.alias_log("m/production") == store.alias_log("m/production")
            clone.checkout("m/production", tmp_path / "out")
        assert (tmp_path / "out" / "new").read_bytes() == (folder / "new").read_bytes()
        return len(proxy.done), failed


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in OTHERS])
def test_each_way_to_fail(tmp_path: Path, remote_place: Place, fault: Fault) -> None:
    """One request in eight fails so: what was pushed is there, what wasn't was told, nothing is damaged."""
    done, failed = push_through(tmp_path, remote_place("moto"), Dice([fault], 0.12))
    assert done > 5
    if fault is not Fault.FLIPPED_REPLY:
        assert failed == 0, "it is asked again"


def test_all_ways_to_fail_before_a_real_service(tmp_path: Path, remote_place: Place) -> None:
    """Bits that are flipped in what is sent too: the service checks its signature."""
    done, _ = push_through(tmp_path, remote_place("ceph"), Dice(list(Fault), 0.1))
    assert done > 5


def test_what_passes_is_counted(remote_place: Place) -> None:
    """A measurement from outside must tell what the requests themselves tell."""
    place = remote_place("moto")
    with FaultProxy(address(place.endpoint), lambda method, path: None) as proxy:
        remote = reaching.open_remote(replace(place, endpoint=proxy.url))
        remote.put("a", b"x" * 70_000)
        assert remote.get_range("a", 10, 50_000) == b"x" * 50_000
        assert (proxy.requests, proxy.moved_bytes) == (remote.stats.requests, 120_000)
        remote.close()


def test_the_network_is_gone(tmp_path: Path, remote_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the whole of a push: it ends with what can't be reached, and nothing here is lost."""
    monkeypatch.setattr("artstore.limits.REMOTE_ATTEMPTS_MAX", 2)
    place = remote_place("moto")
    with Store.init(tmp_path / "store") as store:
        store.add_remote("origin", place)
        store.commit(fill(tmp_path / "folder", 1), tag="m/v1")
        with FaultProxy(address(place.endpoint), lambda method, path: Fault.RESET_REPLY) as proxy:
            reaching.put_remote(store.path, "bad", replace(place, endpoint=proxy.url), known=False)
            with pytest.raises(RemoteError, match="can't read"):
                store.push(to="bad")
        assert store.push().written == ["m/v1"]


def test_credentials_revoked_midway(tmp_path: Path, remote_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The push ends with what AWS's tools read; with new credentials it goes on where it ended."""
    place = remote_place("ceph")
    with Store.init(tmp_path / "store") as store:
        store.add_remote("origin", place)
        store.commit(fill(tmp_path / "folder", 1), tag="m/v1")
        store.push()
        store.commit(fill(tmp_path / "folder", 2), tag="m/v2")
        with monkeypatch.context() as revoked:
            revoked.setenv("AWS_SECRET_ACCESS_KEY", "revoked")
            with pytest.raises(NotPermitted, match="SignatureDoesNotMatch"):
                store.push()
        assert store.push().written == ["m/v2"]


def test_many_machines_and_a_real_service(tmp_path: Path, remote_place: Place) -> None:
    """Eight push to one bucket at once; of a name that all want, one gets it; then a clone is whole."""
    place = remote_place("ceph")

    def work(number: int) -> tuple[list[str], list[str]]:
        with Store.init(tmp_path / f"s{number}") as store:
            store.add_remote("origin", place)
            for turn in range(2):
                store.commit(fill(tmp_path / f"f{number}", 10 * number + turn), tag=f"m/{number}-{turn}")
            store.commit(fill(tmp_path / f"f{number}", 1000 + number), tag="m/first")
            result = store.push()
            return result.written, [conflict.name for conflict in result.conflicts]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    written = [name for names, _ in results for name in names]
    assert written.count("m/first") == 1
    assert sorted(name for _, names in results for name in names) == ["m/first"] * 7
    clone, pulled = Store.clone(place, tmp_path / "clone", full=True)
    with clone:
        assert not pulled.conflicts
        assert {tag.name for tag in clone.tags()} == set(written)
        assert len(written) == 17
        assert clone.check(data=True).is_sound

"""A service that refuses from some moment on: credentials, tokens, a bucket, a clock. Nothing here is lost by it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from artstore import Store
from artstore.errors import ArtstoreError, NotFound, NotPermitted, RemoteError
from artstore.model import RemotePlace
from artstore.testing import ceph
from artstore.testing.fault_proxy import Fault, FaultProxy, From
from tests.machines import noise
from tests.remotes import Landlord, address, bucket_of, new_bucket, policy

Place = Callable[[str], RemotePlace]
MIB = 1 << 20
VERSIONS = 4


def is_pack_put(method: str, path: str) -> bool:
    """Is a pack sent?"""
    return method == "PUT" and "/p/" in path


def is_pack_get(method: str, path: str) -> bool:
    """Is a part of a pack asked for?"""
    return method == "GET" and "/p/" in path


def is_pack_head(method: str, path: str) -> bool:
    """Is a pack looked at? Such answers have no body that would say why it is refused."""
    return method == "HEAD" and "/p/" in path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is versioned."""
    made = tmp_path / "folder"
    made.mkdir()
    return made


@pytest.fixture
def store(tmp_path: Path, folder: Path) -> Iterator[Store]:
    """Versions of a folder, each with a pack of its own."""
    with Store.init(tmp_path / "store") as made:
        for number in range(VERSIONS):
            (folder / f"f{number}").write_bytes(noise(MIB, number))
            made.commit(folder, tag=f"m/v{number}")
        made.set_alias("m/production", f"m/v{VERSIONS - 1}")
        yield made


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def is_whole(place: RemotePlace, path: Path, folder: Path) -> bool:
    """Has the remote all of what was committed?"""
    clone, result = Store.clone(place, path / "whole", full=True)
    with clone:
        clone.checkout("m/production", path / "whole-out")
        sound = clone.check(data=True).is_sound
    return sound and not result.conflicts and contents(path / "whole-out") == contents(folder)


def test_a_user_suspended_during_a_push(landlord: Landlord, store: Store, tmp_path: Path, folder: Path) -> None:
    """A name at the remote would lead to half a version, or what was sent be sent again."""
    place = landlord.let_in("writer", policy("writer", landlord.place))
    with Store.init(tmp_path / "first") as first:
        first.add_remote("origin", landlord.place)
    choose = From(3, is_pack_put, act=landlord.user("writer").suspend)
    with FaultProxy(address(place.endpoint), choose) as proxy:
        store.add_remote("origin", replace(place, endpoint=proxy.url))
        with pytest.raises(NotPermitted, match="UserSuspended") as caught:
            store.push()
        assert choose.happened
        assert "ask who runs the service" in str(caught.value)
        assert landlord.listed("tags/") == landlord.listed("aliases/") == []
        assert store.check(data=True).is_sound
        landlord.user("writer").enable()
        result = store.push()
    assert len(result.written) == VERSIONS + 1
    assert is_whole(landlord.place, tmp_path, folder)


def test_a_user_suspended_during_a_checkout(landlord: Landlord, store: Store, tmp_path: Path, folder: Path) -> None:
    """The folder would be half there and look whole, or could not be completed."""
    store.add_remote("origin", landlord.place)
    store.push()
    place = landlord.let_in("reader", policy("reader", landlord.place))
    choose = From(2, is_pack_get, act=landlord.user("reader").suspend)
    with FaultProxy(address(place.endpoint), choose) as proxy:
        clone, _ = Store.clone(replace(place, endpoint=proxy.url), tmp_path / "clone")
        with clone:
            with pytest.raises(NotPermitted, match="UserSuspended"):
                clone.checkout("m/production", tmp_path / "out")
            assert choose.happened
            landlord.user("reader").enable()
            clone.checkout("m/production", tmp_path / "out")
            assert contents(tmp_path / "out") == contents(folder)
            assert clone.check(data=True).is_sound


@pytest.mark.parametrize("moment", [is_pack_put, is_pack_head])
def test_a_token_that_expires_during_a_push(
    remote_place: Place, store: Store, tmp_path: Path, folder: Path, moment: Callable[[str, str], bool]
) -> None:
    """It would be tried again for minutes, or told as a bad request; who signs in again must go on."""
    place = remote_place("moto")
    choose = From(2, moment, fault=Fault.EXPIRED_TOKEN)
    with FaultProxy(address(place.endpoint), choose) as proxy:
        store.add_remote("origin", replace(place, endpoint=proxy.url))
        with pytest.raises(NotPermitted, match="ExpiredToken") as caught:
            store.push()
        assert "sign in again" in str(caught.value)
        store.remove_remote("origin")
    store.add_remote("origin", place)
    assert len(store.push().written) == VERSIONS + 1
    assert is_whole(place, tmp_path, folder)


def test_a_token_that_expires_during_a_checkout(
    remote_place: Place, store: Store, tmp_path: Path, folder: Path
) -> None:
    """The same, of one who reads."""
    place = remote_place("moto")
    store.add_remote("origin", place)
    store.push()
    choose = From(2, is_pack_get, fault=Fault.EXPIRED_TOKEN)
    with FaultProxy(address(place.endpoint), choose) as proxy:
        clone, _ = Store.clone(replace(place, endpoint=proxy.url), tmp_path / "clone")
        with clone:
            with pytest.raises(NotPermitted, match="sign in again"):
                clone.checkout("m/production", tmp_path / "out")
            clone.remove_remote("origin")
            clone.add_remote("origin", place)
        with Store.open(tmp_path / "clone") as again:  # a process that signed in later
            again.checkout("m/production", tmp_path / "out")
        assert contents(tmp_path / "out") == contents(folder)


def test_a_bucket_deleted_during_a_push(
    remote_place: Place, ceph_folder: Path, store: Store, tmp_path: Path, folder: Path
) -> None:
    """The push would take what it knows of the old bucket for what a new one has."""
    place = remote_place("ceph")
    bucket = bucket_of(place)
    choose = From(3, is_pack_put, act=lambda: ceph.remove_bucket(ceph_folder, bucket))
    with FaultProxy(address(place.endpoint), choose) as proxy:
        store.add_remote("origin", replace(place, endpoint=proxy.url))
        with pytest.raises(NotFound, match=bucket) as caught:
            store.push()
        assert choose.happened
        assert "create the bucket" in str(caught.value)
        with pytest.raises(NotFound, match=bucket):
            store.push()
    assert store.check(data=True).is_sound
    store.remove_remote("origin")
    new = new_bucket(place.endpoint or "")
    store.add_remote("origin", new)
    assert len(store.push().written) == VERSIONS + 1
    assert is_whole(new, tmp_path, folder)


def test_a_bucket_deleted_before_a_read(
    remote_place: Place, ceph_folder: Path, store: Store, tmp_path: Path, folder: Path
) -> None:
    """A clone would say that a file isn't there, or that it is damaged; and stay so when another bucket has it all."""
    place = remote_place("ceph")
    store.add_remote("origin", place)
    store.push()
    clone, _ = Store.clone(place, tmp_path / "clone")
    with clone:
        assert clone.open("m/v0", "f0").read(100) == noise(MIB, 0)[:100]
        ceph.remove_bucket(ceph_folder, bucket_of(place))
        for name in ("f1", "f2"):
            with pytest.raises(RemoteError, match=bucket_of(place)) as caught:
                clone.open("m/production", name).read()
            assert "`artstore remote list`" in str(caught.value)
        assert [tag.name for tag in clone.tags()] == [f"m/v{number}" for number in range(VERSIONS)]
        assert clone.check(data=True).is_sound
        clone.remove_remote("origin")
        with pytest.raises(ArtstoreError, match="was removed from this store"):
            clone.checkout("m/production", tmp_path / "out")
        store.remove_remote("origin")
        new = new_bucket(place.endpoint or "")
        store.add_remote("origin", new)
        store.push()
        clone.add_remote("origin", new)
        clone.fetch()
        clone.checkout("m/production", tmp_path / "out")
        assert contents(tmp_path / "out") == contents(folder)


# --- clocks

CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *at) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, at);
    if (!failed && clock == CLOCK_REALTIME) at->tv_sec += atol(getenv("CLOCK_AHEAD_S"));
    return failed;
}
"""


def run_ahead(folder: Path, seconds: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose clock goes wrong by so much."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("NOT TESTED WITH A WRONG CLOCK: there is no C compiler")
    (folder / "clock.c").write_text(CLOCK)
    library = folder / "clock.so"
    build = [compiler, "-shared", "-fPIC", "-o", str(library), str(folder / "clock.c"), "-ldl"]
    subprocess.run(build, check=True)
    return subprocess.run(
        [sys.executable, "-m", "artstore", *words],
        env={**os.environ, "LD_PRELOAD": str(library), "CLOCK_AHEAD_S": str(seconds)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("years", [-3, 3])
def test_a_clock_that_is_years_off(remote_place: Place, store: Store, tmp_path: Path, folder: Path, years: int) -> None:
    """S3 refuses what was signed at another time: it must be told as that, not as a secret that is wrong."""
    place = remote_place("ceph")
    store.add_remote("origin", place)
    told = run_ahead(tmp_path, years * 365 * 86400, "--store", str(store.path), "push")
    assert told.returncode == 4, told.stderr
    assert "RequestTimeTooSkewed" in told.stderr
    assert "set this machine's clock" in told.stderr
    assert len(store.push().written) == VERSIONS + 1
    clone, _ = Store.clone(place, tmp_path / "clone")
    clone.close()
    words = ("--store", str(clone.path), "checkout", "m/production", str(tmp_path / "out"))
    told = run_ahead(tmp_path, years * 365 * 86400, *words)
    assert told.returncode == 4, told.stderr
    assert "set this machine's clock" in told.stderr
    assert is_whole(place, tmp_path, folder)


def test_a_clock_that_is_minutes_off(remote_place: Place, store: Store, tmp_path: Path, folder: Path) -> None:
    """Nobody's clock is right: whatever the service lets pass has to work."""
    place = remote_place("ceph")
    store.add_remote("origin", place)
    told = run_ahead(tmp_path, 10 * 60, "--store", str(store.path), "push")
    assert told.returncode == 0, told.stderr
    assert is_whole(place, tmp_path, folder)

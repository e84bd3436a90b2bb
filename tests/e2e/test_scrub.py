"""`check --remote` and `repair`, as a user types them; on a real service where that makes a difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from artstore.cli import documents
from artstore.model import RemotePlace
from artstore.testing.damage import flip
from tests.machines import noise
from tests.remotes import bucket_of, client_of

if TYPE_CHECKING:
    from tests.e2e.conftest import Run

MIB = 1 << 20


@pytest.fixture
def folder(home: Path) -> Path:
    made = home / "model"
    made.mkdir()
    (made / "weights").write_bytes(noise(2 * MIB))
    (made / "config").write_bytes(b"{}")
    return made


@pytest.mark.plain("a segment may hold several objects")
def test_a_bucket_is_read_through_and_mended(
    run: Run, home: Path, folder: Path, remote_place: Callable[[str], RemotePlace]
) -> None:
    """On a real service: a flipped bit and a lost pack are found, told by path, mended, and a clone has it all."""
    place = remote_place("ceph")
    run("init")
    run("remote", "add", "origin", place.url, "--endpoint", place.endpoint or "")
    run("commit", folder, "--tag", "m/v1")
    run("push")
    (folder / "weights").write_bytes(noise(2 * MIB, 2))
    run("commit", folder, "--tag", "m/v2")
    run("push")
    told = run("check", "--remote", "origin").out
    assert "origin: sound · 2 names, 2 versions, 4 packs" in told
    client, bucket = client_of(place), bucket_of(place)
    client.put_object(Bucket=bucket, Key="some/prefix/theirs.txt", Body=b"not ours")
    listed = client.list_objects_v2(Bucket=bucket, Prefix="some/prefix/p/")["Contents"]
    first, second = (each["Key"] for each in sorted(listed, key=lambda each: -each["Size"])[:2])
    data = bytearray(client.get_object(Bucket=bucket, Key=first)["Body"].read())
    data[MIB] ^= 1
    client.put_object(Bucket=bucket, Key=first, Body=bytes(data))
    client.delete_object(Bucket=bucket, Key=second)
    found = run("check", "--remote", "origin", "--data", code=6)
    assert "pack-missing:" in found.out
    assert "does not match its id" in found.out
    assert ":weights" in found.out
    assert "origin: 2 problems" in found.out
    assert "1 object isn't artstore's, and is left alone" in found.out
    assert "next: artstore repair --remote origin" in found.err
    plan = run("repair", "--remote", "origin", "--dry-run", "--json", code=6).document
    assert (plan["done"], len(plan["found"]), plan["packs"] > 0) == (False, 2, True)
    assert "all is well now" in run("repair", "--remote", "origin").out
    assert "nothing to repair" in run("repair", "--remote", "origin").out
    assert "origin: sound" in run("check", "--remote", "origin", "--data", "--limit-rate", "100M").out
    store = home / "clone"
    run("--store", store, "clone", place.url, "--endpoint", place.endpoint or "", "--full")
    run("--store", store, "check", "--data")
    run("--store", store, "checkout", "m/v2", home / "out")
    assert (home / "out" / "weights").read_bytes() == noise(2 * MIB, 2)
    assert client.get_object(Bucket=bucket, Key="some/prefix/theirs.txt")["Body"].read() == b"not ours"
    client.close()


@pytest.mark.plain("a segment may hold several objects")
def test_a_store_is_mended_from_its_remote(run: Run, home: Path, folder: Path) -> None:
    """One command for who is told of damage; and no data is lost by it."""
    run("init", home / "store")
    store = ("--store", home / "store")
    run(*store, "remote", "add", "origin", f"file://{home}/remote")
    run(*store, "commit", folder, "--tag", "m/v1")
    run(*store, "push")
    assert "nothing to repair" in run(*store, "repair").out
    pack = max((home / "store" / "packs").rglob("*.pack"), key=lambda path: path.stat().st_size)
    flip(pack, MIB)
    plan = run(*store, "repair", "-n", code=6)
    assert "m/v1:weights" in plan.out
    assert "nothing was done" in plan.out
    told = run(*store, "repair")
    assert "1 of 1 lost object came from remotes" in told.out
    assert "all is well now" in told.out
    run(*store, "check", "--data")


@pytest.mark.plain("a segment may hold several objects")
def test_what_can_not_be_had_is_listed(run: Run, home: Path, folder: Path) -> None:
    """What is lost, where it was looked for, and what to do: else people give up a model that somebody has."""
    run("init")
    run("remote", "add", "origin", f"file://{home}/remote")
    run("commit", folder, "--tag", "m/v1")
    run("push")
    run("--store", home / "bare", "clone", f"file://{home}/remote")
    pack = max((home / "remote" / "p").rglob("*"), key=lambda path: path.stat().st_size)
    flip(pack, MIB)
    bare = ("--store", home / "bare")
    run(*bare, "check", "--remote", "origin", "--data", code=6)
    told = run(*bare, "repair", "--remote", "origin", code=6).out
    assert "1 object can't be had" in told
    assert f"file://{home}/remote" in told
    assert "m/v1:weights" in told
    key = pack.relative_to(home / "remote")
    assert f"next: artstore repair --remote origin --pack {key}, from a store that has these" in told
    assert "all is well now" in run("repair", "--remote", "origin", "--pack", str(key)).out
    assert "origin: sound" in run(*bare, "check", "--remote", "origin").out


@pytest.mark.plain("a segment may hold several objects")
def test_json_is_as_documented(run: Run, home: Path, folder: Path) -> None:
    """The other documents of check and repair."""
    run("init")
    run("remote", "add", "origin", f"file://{home}/remote")
    run("commit", folder, "--tag", "m/v1")
    run("push")
    out = run("check", "--remote", "origin", "--data", "--max-duration", "1s", "--json").out
    assert msgspec.json.decode(out, type=documents.FarCheckDocument).sound
    pack = max((home / "remote" / "p").rglob("*"), key=lambda path: path.stat().st_size)
    flip(pack, MIB)
    out = run("check", "--remote", "origin", "--data", "--restart", "--json", code=6).out
    document = msgspec.json.decode(out, type=documents.FarCheckDocument)
    assert [(item.path, item.refs) for item in document.problems[0].hurt] == [("weights", ["m/v1"])]
    assert run("check", "--remote", "origin", "-q", code=6).lines == [document.problems[0].key]
    out = run("repair", "--remote", "origin", "--json").out
    assert msgspec.json.decode(out, type=documents.FarRepairDocument).replaced == [document.problems[0].key]


def test_what_makes_no_sense(run: Run, home: Path, folder: Path) -> None:
    """A slip would repair something here instead of there."""
    run("init")
    for more in (["--repair"], ["--rebuild-index"], ["--max-duration", "3s"]):
        assert "--" in run("check", "--remote", "origin", *more, code=2).err
    assert "go with --remote" in run("repair", "--data", code=2).err
    assert "--limit-rate goes with --remote" in run("check", "--limit-rate", "1M", code=2).err
    run("check", "--remote", "origin", code=3)
    run("repair", "--remote", "origin", code=3)

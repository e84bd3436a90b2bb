"""`fetch`, `clone`, `prefetch`, `evict` and the settings of the cache, as a user types them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Run

MIB = 1 << 20


@pytest.fixture
def clone(run: Run, home: Path) -> str:
    """The path of a clone of a remote with a version of 5 MiB."""
    folder = home / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(random.Random(1).randbytes(5 * MIB))
    (folder / "config").write_text("{}")
    run("commit", str(folder), "--tag", "m/v1")
    run("alias", "set", "m/production", "m/v1")
    run("remote", "add", "origin", f"file://{home}/remote")
    run("push")
    path = str(home / "clone")
    told = run("--store", path, "clone", f"file://{home}/remote", "--json").document
    assert told["received_bytes"] < MIB
    return path


def test_data_comes_when_it_is_read(run: Run, home: Path, clone: str) -> None:
    """A clone of 100 GB would take hours before the first look."""
    assert "config" in run("--store", clone, "ls", "m/production").out
    assert "1 version not all here" in run("--store", clone, "status").out
    assert run("--store", clone, "cat", "m/v1:config").out == "{}"
    run("--store", clone, "checkout", "m/production", str(home / "out"))
    assert (home / "out" / "weights").read_bytes() == (home / "model" / "weights").read_bytes()
    (home / "remote").rename(home / "away")
    run("--store", clone, "checkout", "m/production", str(home / "again"))
    assert (home / "again" / "weights").read_bytes() == (home / "model" / "weights").read_bytes()


def test_without_the_remote_it_says_what_is_missing(run: Run, home: Path, clone: str) -> None:
    """A stack trace, or half a file that looks whole."""
    (home / "remote").rename(home / "away")
    failed = run("--store", clone, "checkout", "m/v1", str(home / "out"), code=7)
    assert "isn't here" in failed.err
    assert "is its disk mounted" in failed.err
    assert not (home / "out" / "weights").exists()
    assert run("--store", clone, "log", "m").code == 0


def test_prefetch_and_evict(run: Run, home: Path, clone: str) -> None:
    """Before a journey, and when the disk is full."""
    assert "fetched" in run("--store", clone, "prefetch", "m/v1:config").out
    assert "fetched" in run("--store", clone, "prefetch", "m/v1").out
    assert "all here" in run("--store", clone, "prefetch", "m/production").out
    (home / "remote").rename(home / "away")
    assert run("--store", clone, "cat", "m/v1:config").out == "{}"
    (home / "away").rename(home / "remote")
    assert "of the cache freed" in run("--store", clone, "evict", "--all").out
    assert "freed" in run("evict", "m/v1").out, "where it was made"
    assert run("check").code == 0
    assert run("cat", "m/v1:config").out == "{}"
    assert "say --all" in run("evict", code=2).err
    run("config", "set", "local.keep", "all")
    assert "local.keep" in run("evict", "--all", code=2).err


def test_more_than_the_cache_holds(run: Run, clone: str) -> None:
    """It would push itself out again while it comes, for hours."""
    run("--store", clone, "config", "set", "cache.size", "1MiB")
    failed = run("--store", clone, "prefetch", "m/v1", code=9)
    assert "cache.size" in failed.err
    assert "0 B of at most" in run("--store", clone, "status").out
    assert run("--store", clone, "config", "get", "cache.size").out == "1048576\n"


def test_fetch_and_pull(run: Run, home: Path, clone: str) -> None:
    """What is new there is known; with pull it is all here."""
    (home / "model" / "config").write_text('{"new": 1}')
    run("commit", str(home / "model"), "--tag", "m/v2")
    run("alias", "set", "m/production", "m/v2")
    run("push")
    assert "m/v2 is here now" in run("--store", clone, "fetch").out
    assert run("--store", clone, "cat", "m/production:config").out == '{"new": 1}'
    assert "nothing to fetch" in run("--store", clone, "fetch").out
    run("--store", clone, "pull")
    (home / "remote").rename(home / "away")
    run("--store", clone, "check", "--data")
    run("--store", clone, "checkout", "m/v1", str(home / "out"))
    assert run("--store", clone, "rollback", "m/production", code=7).code == 7
    assert run("--store", clone, "rollback", "m/production", "--local").code == 0

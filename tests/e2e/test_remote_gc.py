"""`gc --remote`, as a user types it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.machines import noise

if TYPE_CHECKING:
    from tests.e2e.conftest import Run

DAY = 86400


@pytest.fixture
def remote(run: Run, home: Path) -> Path:
    """Where a remote lies that holds a version of 3 MB, and one whose name was removed two days ago."""
    folder = home / "model"
    folder.mkdir()
    run("init")
    run("remote", "add", "origin", f"file://{home}/remote")
    for number in (1, 2):
        (folder / "weights").write_bytes(noise(3_000_000, number))
        run("commit", str(folder), "--tag", f"m/v{number}")
    run("push")
    run("rm", "m/v1", "--remote", "origin", "--yes")
    for path in (home / "remote").rglob("*"):
        os.utime(path, (time.time() - 2 * DAY, time.time() - 2 * DAY))
    return home / "remote"


def test_it_tells_what_goes_and_when(run: Run, remote: Path) -> None:
    """Nobody would know what is lost, or why the bill stays as it is."""
    before = (remote / "gc" / "state").read_bytes()
    told = run("gc", "--remote", "origin", "-n").out
    assert "origin: 1 version with names, which stay; 1 version without" in told
    assert "to be listed: 3.0" in told
    assert "deleted by a run that begins 1 day after the next one" in told
    assert "requests" in told
    assert "add --yes" in run("gc", "--remote", "origin", code=2).err
    assert (remote / "gc" / "state").read_bytes() == before
    assert "listed: 3.0" in run("gc", "--remote", "origin", "--yes").out
    second = run("gc", "--remote", "origin", "--yes", "--json").document
    assert (second["done"], second["versions"], second["unnamed"], second["deleted"]["packs"]) == (True, 1, 1, 0)
    assert second["waiting"]["bytes"] > 3_000_000
    assert second["next"] is not None
    assert f"until {second['next']}" in run("gc", "--remote", "origin", "-n").out


def test_the_grace_is_told(run: Run, remote: Path) -> None:
    """Nobody would know why a bucket doesn't shrink, or since when garbage goes sooner."""
    run("gc", "--remote", "origin", "--grace", "6h")
    assert "garbage waits 6 h, 1 day until that is over" in run("remote", "list", "--ask").out
    (item,) = run("remote", "list", "--ask", "--json").document["remotes"]
    assert (item["grace_s"], item["grace_before_s"], item["held"]) == (21600, 86400, None)


def test_what_makes_no_sense(run: Run, remote: Path) -> None:
    """A slip would free something here instead of there."""
    for more in (
        ["--now", "--repack"],
        ["--repack", "--grace", "12h"],
        ["--grace", "12h", "-n"],
        ["--undo"],
        ["--keep-last", "3"],
        ["m", "--keep-last", "3"],
    ):
        assert "--remote goes with" in run("gc", "--remote", "origin", *more, code=2).err
    assert "go with --remote" in run("gc", "--repack", code=2).err
    assert "10min is the least" in run("gc", "--remote", "origin", "--grace", "9min", code=2).err
    assert "there are origin" in run("gc", "--remote", "nowhere", code=3).err


def test_what_is_mostly_dead_is_rewritten(run: Run, remote: Path, home: Path) -> None:
    """Nobody would know what it costs before it begins."""
    folder = home / "other"
    folder.mkdir()
    for name, size in (("big", 3_000_000), ("kept", 300_000)):
        (folder / name).write_bytes(noise(size, len(name)))
    run("commit", str(folder), "--tag", "o/v1")
    (folder / "big").unlink()
    run("commit", str(folder), "--tag", "o/v2")
    run("push")
    assert "there is nothing to be rewritten" in run("gc", "--remote", "origin", "--repack").out
    run("rm", "o/v1", "--remote", "origin", "--yes")
    before = (remote / "sets").stat().st_mtime_ns
    told = run("gc", "--remote", "origin", "--repack", "-n").out
    assert "to be rewritten: 3.3" in told
    assert "(1 mostly dead, 0 small)" in told
    assert "to be written in their place: 30" in told
    assert "to be fetched: 0 B; 1 set to be replaced" in told
    assert "about " in told
    assert "add --yes" in run("gc", "--remote", "origin", "--repack", code=2).err
    assert (remote / "sets").stat().st_mtime_ns == before
    document = run("gc", "--remote", "origin", "--repack", "--yes", "--json").document
    assert (document["done"], document["old"]["packs"], document["new"]["packs"], document["sets"]) == (True, 1, 1, 1)
    assert "there is nothing to be rewritten" in run("gc", "--remote", "origin", "--repack", "--yes").out
    run("--store", str(home / "clone"), "clone", f"file://{remote}", "--full")
    run("--store", str(home / "clone"), "checkout", "o/v2", str(home / "out"))
    assert (home / "out" / "kept").read_bytes() == (folder / "kept").read_bytes()


def test_how_long_garbage_waits(run: Run, remote: Path) -> None:
    """Who can't wait for a day would delete by hand; who has weeks to think would lose what he wants back."""
    assert "waits for 2 days; until now 1 day" in run("gc", "--remote", "origin", "--grace", "2d").out
    told = run("gc", "--remote", "origin", "--grace", "12h").out
    assert "begins 2 days after the next one" in told
    document = run("gc", "--remote", "origin", "--grace", "6h", "--json").document
    assert (document["before_s"], document["grace_s"], document["in_force_s"]) == (12 * 3600, 6 * 3600, 2 * DAY)


@pytest.mark.plain("reads and changes what lies there")
def test_the_remote_is_held(run: Run, remote: Path, home: Path) -> None:
    """Who is refused would not know by whom, since when, and what to do."""
    from artstore.adapters.remote_folder import FolderRemote
    from artstore.format.remote import changed_state
    from artstore.model import RemotePlace
    from artstore.store.remote.gc_state import read_state, swap_state

    told = run("gc", "--remote", "origin", "--now", "-n").out
    assert "would go" in told
    assert "names can't be written there for 12 h" in told
    there = FolderRemote(RemotePlace(url=f"file://{remote}"))
    state, how = read_state(there)
    assert swap_state(there, changed_state(state, exclusive=True, holder="anna on gpu7"), how.etag)
    (home / "model" / "weights").write_bytes(noise(1000, 9))
    run("commit", str(home / "model"), "--tag", "m/v9")
    run("alias", "set", "m/production", "m/v9", "--local")
    for words in (["push"], ["rm", "m/v2", "--remote", "origin", "--yes"], ["gc", "--remote", "origin", "--yes"]):
        err = run(*words, code=8).err
        assert "held by anna on gpu7 since 20" in err
        assert "gc --remote NAME --now" in err
    for words in (["gc", "--remote", "origin", "--repack", "--yes"], ["gc", "--remote", "origin", "--grace", "12h"]):
        assert "held by anna on gpu7" in run(*words, code=8).err
    assert "held by anna on gpu7 since 20" in run("status", "--remote").out
    (item,) = run("remote", "list", "--ask", "--json").document["remotes"]
    assert (item["grace_s"], item["grace_before_s"], item["held"][:12]) == (86400, None, "anna on gpu7")
    assert "held by anna on gpu7" in run("remote", "list", "--ask").out
    assert run("status", "--json").document["remote"]["held"] is None, "it wasn't asked"

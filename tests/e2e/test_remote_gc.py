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


def test_what_makes_no_sense(run: Run, remote: Path) -> None:
    """A slip would free something here instead of there."""
    for more in (["--now"], ["--undo"], ["--keep-last", "3"], ["m", "--keep-last", "3"]):
        assert "--remote goes with" in run("gc", "--remote", "origin", *more, code=2).err
    assert "there are origin" in run("gc", "--remote", "nowhere", code=3).err

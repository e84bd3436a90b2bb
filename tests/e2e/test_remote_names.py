"""Names that are decided at the home remote, as a user meets them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artstore.model import RemotePlace

if TYPE_CHECKING:
    from tests.e2e.conftest import Run

Place = Callable[[str], RemotePlace]


def add(run: Run, place: RemotePlace, *store: str | Path) -> None:
    """Make a place the home."""
    run(*store, "remote", "add", "origin", place.url, *(["--endpoint", place.endpoint] if place.endpoint else []))


@pytest.mark.parametrize("kind", ["folder", "ceph"])
def test_rm_at_a_remote(run: Run, two_versions: Path, home: Path, remote_place: Place, kind: str) -> None:
    """What was published by mistake goes from there; here it stays, and nobody gets it again under that name."""
    place = remote_place(kind)
    add(run, place)
    run("alias", "set", "llama/production", "v2")
    run("push")
    assert "asks first" in run("rm", "llama/v1", "--remote", "origin", code=2).err
    told = run("rm", "llama/v1", "llama/production", "--remote", "origin", "-y").lines
    assert told == ["removed llama/v1 at origin", "removed llama/production at origin"]
    assert run("list", "-q").lines == ["llama/production", "llama/v1", "llama/v2"]
    again = run("rm", "llama/v1", "--remote", "origin", "-y", "--json").document
    assert (again["removed"], again["already"], again["remote"]) == ([], ["llama/v1"], "origin")
    assert "llama/v1 was removed at origin already" in run("rm", "llama/v1", "--remote", "origin", "-y").out
    assert "there is no llama/v9 at" in run("rm", "llama/v9", "--remote", "origin", "-y", code=3).err
    assert "never used again" in run("push", "llama/v1", code=5).err
    other = ("--store", home / "other")
    run(*other, "init")
    add(run, place, *other)
    run(*other, "pull")
    assert run(*other, "list", "-q").lines == ["llama/v2"]

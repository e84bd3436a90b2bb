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


@pytest.mark.parametrize("kind", ["folder", "ceph"])
def test_aliases_move_at_home(run: Run, two_versions: Path, home: Path, remote_place: Place, kind: str) -> None:
    """Two machines that deploy: each sees what the other one said, and what was said alone is settled and told."""
    place = remote_place(kind)
    add(run, place)
    run("alias", "set", "llama/production", "v1")
    run("push")
    other = ("--store", home / "other")
    run(*other, "init")
    add(run, place, *other)
    run(*other, "pull")
    assert run(*other, "alias", "set", "llama/production", "v2").lines == ["production: v1 → v2"]
    assert "not at llama/v1" in run("alias", "set", "llama/production", "v1", "--if", "v1", code=5).err
    assert run("rollback", "llama/production").lines == ["production: v2 → v1"]
    assert "nothing to send" in run("push").out
    run("alias", "set", "llama/production", "v2", "--local")
    assert "llama/production is moved there, too" in run("pull").out
    run(*other, "pull")
    run("alias", "set", "llama/production", "v1", "--local")
    run(*other, "alias", "rm", "llama/production", "-y")
    told = run("push", "--json", code=5)
    (conflict,) = told.document["conflicts"]
    assert conflict["name"] == "llama/production"
    assert "home wins" in conflict["why"]
    assert run("alias", "list").lines == []


def test_without_home(run: Run, two_versions: Path, home: Path) -> None:
    """Nothing moves, exit 7, and the way out is named; --local takes it."""
    run("remote", "add", "nas", f"file://{home}/nas")
    run("alias", "set", "llama/production", "v1")
    run("push")
    (home / "nas").rename(home / "unplugged")
    for words in (
        ("alias", "set", "llama/production", "v2"),
        ("rollback", "llama/production"),
        ("alias", "rm", "llama/production", "-y"),
    ):
        told = run(*words, code=7).err
        assert "llama/production is not moved" in told
        assert "--local" in told
    moved = run("alias", "set", "llama/production", "v2", "--local")
    assert moved.lines == ["production: v1 → v2"]
    assert "here only" in moved.err
    assert "here only" in run("rollback", "llama/production", "--local").err
    assert "here only" in run("alias", "rm", "llama/production", "-y", "--local").err
    assert "here only" in run("alias", "set", "llama/production", "v2", "--local").err
    assert "here only" not in run("alias", "set", "llama/mine", "v2").err, "nobody else knows it"
    (home / "unplugged").rename(home / "nas")
    assert run("pull", "--json").document["swapped"] == ["llama/production"]
    assert "here only" not in run("alias", "set", "llama/production", "v1").err


@pytest.mark.parametrize("kind", ["folder", "ceph"])
def test_two_number_at_once(run: Run, model: Path, home: Path, remote_place: Place, kind: str) -> None:
    """Two people commit on one day: who pushes second is told his number, and his scripts never run on the other's."""
    place = remote_place(kind)
    other = ("--store", home / "other")
    add(run, place)
    run(*other, "init")
    add(run, place, *other)
    run("commit", model)
    run("push")
    (model / "config.json").write_text("{}")
    run(*other, "commit", model)
    version = run(*other, "resolve", "llama/v1").out.strip()
    mount = home / "mnt"
    for name in (f"ids/{version}", "versions/llama/v1"):
        (mount / name).mkdir(parents=True)
    told = run(*other, "path", "llama", "--mount", mount)
    assert told.out.strip() == str(mount / "ids" / version), "the name may be another one tomorrow"
    pushed = run(*other, "push")
    assert pushed.lines[0] == "llama/v1 is llama/v2 now: llama/v1 is another version at origin"
    assert pushed.lines[1] == "llama/v2 is there now"
    assert run(*other, "push", "--json").document["renumbered"] == []
    error = run(*other, "checkout", "llama/v1", home / "out", code=5).err
    assert "llama/v1 was renumbered to llama/v2" in error
    assert "artstore tag --dismiss llama/v1" in error
    assert "--dismiss llama/v1` lets it come" in run(*other, "pull", code=5).err
    run(*other, "tag", "--dismiss", "llama/v1", "llama/v2", code=2)
    assert "was not renumbered" in run(*other, "tag", "--dismiss", "llama/v2", code=3).err
    freed = run(*other, "tag", "--dismiss", "llama/v1", "--json").document
    assert (freed["tag"], freed["version"], freed["dismissed"]) == ("llama/v2", version, "llama/v1")
    assert "llama/v1 is here now" in run(*other, "pull").out
    run("pull")
    assert run("list").out == run(*other, "list").out
    (model / "config.json").write_text("[]")
    run("commit", model)
    run("push")
    (model / "config.json").write_text("1")
    run(*other, "commit", model)
    (renumbered,) = run(*other, "push", "--json").document["renumbered"]
    assert (renumbered["old"], renumbered["new"]) == ("llama/v3", "llama/v4")
    assert run(*other, "tag", "--dismiss", "llama/v3").lines == ["llama/v3 is free here; what it named stays llama/v4"]
    (model / "config.json").write_text("2")
    run(*other, "commit", model, "--tag", "llama/v1-x")
    run("commit", model, "--tag", "llama/v1-x", "-m", "another one")
    run("push")
    assert "left alone" in run(*other, "push", code=5).err, "a name that was said is never changed"

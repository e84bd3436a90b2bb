"""A second region, as a user sets it up, loses the first one, and gets it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Run


@pytest.fixture
def folder(run: Run, home: Path, tmp_path: Path) -> Path:
    """Pushed as m/v1 to origin, with the mirror eu."""
    made = tmp_path / "folder"
    made.mkdir()
    (made / "weights").write_bytes(b"1" * 100_000)
    run("remote", "add", "origin", f"file://{home}/origin")
    run("remote", "add", "eu", f"file://{home}/eu", "--mirror")
    run("commit", made, "--tag", "m/v1")
    run("alias", "set", "m/production", "v1")
    return made


def roles(run: Run, *words: str) -> dict[str, str]:
    items = run("remote", "list", *words, "--json").document["remotes"]
    return {item["name"]: "home" if item["home"] else "mirror" if item["mirror"] else "other" for item in items}


def test_push_goes_to_mirrors_too(run: Run, home: Path, folder: Path) -> None:
    """Nobody remembers to push twice."""
    told = run("push", "--json").document
    assert sorted(told["written"]) == ["m/production", "m/v1"]
    (mirror,) = told["mirrors"]
    assert (mirror["name"], sorted(mirror["written"]), mirror["error"]) == ("eu", ["m/production", "m/v1"], None)
    assert "has all" in run("remote", "list", "--ask").out
    run("commit", folder, "--tag", "m/v2")
    assert run("push", "--to", "origin", "--json").document["mirrors"] == []
    assert "1 name behind" in run("remote", "list", "--ask").out
    assert "1 name behind" in run("status").out
    assert "1 name behind" in run("status", "--remote").out
    (status,) = run("status", "--json").document["mirrors"]
    assert (status["behind"], status["conflicts"]) == (["m/v2"], None)
    assert run("push", "m/v2", "--to", "eu", "--to", "origin").code == 0
    assert run("status", "--remote", "--json").document["mirrors"][0]["behind"] == []
    assert "no remote 'us'" in run("push", "--to", "us", code=3).err
    assert "m/v9" in run("push", "m/v9", code=3).err


def test_a_mirror_is_down(run: Run, home: Path, folder: Path) -> None:
    """The push to home stands; the script hears of the rest, and the next push does it."""
    (home / "eu").rename(home / "away")
    told = run("push", "--json", code=7)
    assert sorted(told.document["written"]) == ["m/production", "m/v1"]
    assert told.document["mirrors"][0]["error"]
    assert "eu is behind, and the next push catches it up" in told.err
    assert "is empty" in run("remote", "list", "--ask").out
    (home / "away").rename(home / "eu")
    assert run("push").code == 0
    assert "has all" in run("remote", "list", "--ask").out


def test_home_is_down_and_mirrors_are_asked(run: Run, home: Path, folder: Path) -> None:
    """Whoever is to decide on a promotion hears of home alone, not whether the mirror answers."""
    run("push")
    (home / "origin").rename(home / "away")
    told = run("remote", "list", "--ask", "--json", code=7)
    origin, eu = told.document["remotes"]
    assert "is empty" in origin["error"]
    assert eu["error"].startswith("it answers; home can't be asked")
    assert eu["behind"] is None
    (home / "eu").rename(home / "eu-away")
    assert "is empty" in run("remote", "list", "--ask", "--json", code=7).document["remotes"][1]["error"]
    assert run("remote", "list").code == 0


def test_a_clone_of_a_mirror_says_so(run: Run, home: Path, folder: Path) -> None:
    """Its user would find out at his first push."""
    run("push")
    run("--store", home / "late", "clone", f"file://{home}/eu")
    assert "a mirror: names are written at its home" in run("--store", home / "late", "status").out
    assert run("--store", home / "late", "status", "--json").document["remote"]["mirror"] is True
    assert run("status", "--json").document["remote"]["mirror"] is False


def test_home_is_lost_and_comes_back(run: Run, home: Path, folder: Path) -> None:
    """Step by step, as docs/remote.md says it."""
    run("push")
    (home / "origin").rename(home / "away")
    assert "--yes" in run("remote", "promote", "eu", code=2).err
    assert "--lost" in run("remote", "promote", "eu", "--yes", code=7).err
    told = run("remote", "promote", "eu", "--yes", "--lost", "--json").document
    assert (told["epoch"], told["changed"], told["conflicts"]) == (1, True, [])
    assert roles(run) == {"eu": "home", "origin": "mirror"}
    run("commit", folder, "--tag", "m/v2")
    run("push", code=7)
    assert run("alias", "set", "m/production", "v2").code == 0
    (home / "away").rename(home / "origin")
    assert run("--store", home / "late", "clone", f"file://{home}/origin").code == 0
    run("--store", home / "late", "alias", "set", "m/production", "v1", "--if", "v1")
    run("--store", home / "late", "commit", folder, "--tag", "m/late")
    run("--store", home / "late", "push")
    pushed = run("push", "--json", code=5)
    (mirror,) = pushed.document["mirrors"]
    assert [each["name"] for each in mirror["conflicts"]] == ["m/late"]
    assert "m/late at origin was left alone" in pushed.err
    late = run("--store", home / "late", "push", "--all", code=5).err
    assert f"mirror of file://{home}/eu" in late
    assert f"artstore remote add NAME file://{home}/eu" in late
    assert run("fetch", "m/late", "--from", "origin").code == 0
    assert run("push").code == 0
    assert "has all" in run("remote", "list", "--ask").out
    told = run("remote", "promote", "origin", "--yes", "--json").document
    assert (told["epoch"], told["conflicts"]) == (2, [])
    assert roles(run) == {"origin": "home", "eu": "mirror"}


def test_what_is_not_wanted_gives_way(run: Run, home: Path, folder: Path) -> None:
    """A conflict that nobody can end is told by each push for ever."""
    run("push")
    run("--store", home / "late", "clone", f"file://{home}/origin")
    (home / "origin").rename(home / "away")
    run("remote", "promote", "eu", "--yes", "--lost")
    (home / "away").rename(home / "origin")
    run("--store", home / "late", "commit", folder, "--tag", "m/late")
    run("--store", home / "late", "push")
    run("push", code=5)
    assert "--yes" in run("remote", "settle", "origin", "m/late", code=2).err
    assert "no mirror" in run("remote", "settle", "eu", "m/late", "--yes", code=2).err
    told = run("remote", "settle", "origin", "m/late", "--yes", "--json").document["mirror"]
    assert told["written"] == ["m/late"]
    assert run("push").code == 0

"""Tags, aliases, rollback and removal, as a user does it."""

from __future__ import annotations

import os
import pty
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artstore.cli import main

if TYPE_CHECKING:
    from tests.e2e.conftest import Run


def test_alias_moves_and_rolls_back_with_a_history(run: Run, two_versions: Path) -> None:
    """The shortest way out of a bad deployment is one command that says what it did."""
    assert run("alias", "set", "llama/production", "v1").lines == ["production: v1"]
    assert run("alias", "set", "llama/production", "v2", "--reason", "better").lines == ["production: v1 → v2"]
    checked = run("rollback", "llama/production", "--check", "--json").document
    assert (checked["from"], checked["to"], checked["moved"], checked["complete"]) == (
        "llama/v2",
        "llama/v1",
        False,
        True,
    )
    assert run("rollback", "llama/production").lines == ["production: v2 → v1"]
    assert run("resolve", "llama/production").out == run("resolve", "llama/v1").out
    assert run("resolve", "llama/production@{1}").out == run("resolve", "llama/v2").out
    moves = run("alias", "log", "llama/production", "--json").document["moves"]
    assert [move["seq"] for move in moves] == [3, 2, 1]
    assert [move["rollback"] for move in moves] == [True, False, False]
    assert moves[1]["reason"] == "better"
    assert "nothing before it" in run("rollback", "llama/production", code=5).err


def test_compare_and_swap_loses_with_exit_5(run: Run, two_versions: Path) -> None:
    """Of two people who promote at once, the second one hears of the first."""
    run("alias", "set", "llama/production", "v2")
    lost = run("alias", "set", "llama/production", "v2", "--if", "v1", "--json", code=5)
    assert '"code": "conflict"' in lost.err
    assert run("alias", "set", "llama/production", "v1", "--if", "v2", "--json").document["changed"] is True


def test_rollback_check_sees_a_missing_pack(run: Run, two_versions: Path, home: Path) -> None:
    """Rolling back to something that can't be read is worse than staying."""
    run("alias", "set", "llama/production", "v1")
    run("alias", "set", "llama/production", "v2")
    for pack in (home / "xdg" / "data" / "artstore" / "packs").rglob("*.pack"):
        pack.unlink()
    answer = run("rollback", "llama/production", "--check", "--json", code=6)
    assert answer.document["complete"] is False
    assert "missing" in answer.err


def test_tags_are_immutable(run: Run, two_versions: Path) -> None:
    """What a paper cites must mean the same for ever."""
    made = run("tag", "llama/best", "v1", "--json").document
    assert made["version"] == run("resolve", "llama/v1", "-q").out.strip()
    run("tag", "llama/best", "v1")
    assert "llama/v" in run("tag", "llama/best", "v2", code=5).err
    assert run("tag", "bad name", "v2", code=2).err.startswith("artstore: 'bad name'")
    assert "needs an artifact" in run("commit", two_versions, "--tag", "plain", code=2).err


def test_typos_in_names_are_answered_with_what_is_near(run: Run, two_versions: Path) -> None:
    """The commonest error should cost one look, not a search."""
    run("alias", "set", "llama/production", "v1")
    assert "did you mean llama/production" in run("show", "llama/prodction", code=3).err
    assert "did you mean" in run("cat", "llama:confg.json", code=3).err
    assert "commit" in run("comit", "x", code=2).err
    assert "--json" in run("log", "--jso", code=2).err


def test_short_ids_find_a_version_and_nothing_is_guessed(run: Run, two_versions: Path) -> None:
    """Eight digits find a version; an id that fits nothing is an error, not the nearest one."""
    whole = run("resolve", "llama/v1").out.strip()
    assert run("resolve", whole[:8]).out.strip() == whole
    assert "no tag" in run("resolve", "00000000", code=3).err


def test_list_filters_by_artifact_pattern_and_kind(run: Run, two_versions: Path) -> None:
    """A store holds hundreds of names; one looks for one's own."""
    run("commit", two_versions, "--artifact", "mistral")
    run("alias", "set", "llama/production", "v1")
    assert run("list", "llama", "-q").lines == ["llama/production", "llama/v1", "llama/v2"]
    assert run("list", "*/v1", "-q").lines == ["llama/v1", "mistral/v1"]
    assert run("list", "--aliases", "-q").lines == ["llama/production"]
    item = run("list", "--tags", "mistral", "--json").document["refs"][0]
    assert item["kind"] == "tag"
    assert item["bytes"] > 1_000_000
    assert run("alias", "list", "-q").lines == ["llama/production"]


def test_rm_asks_and_refuses_without_a_terminal(run: Run, two_versions: Path) -> None:
    """A cron job must not hang on a question, nor take silence for a yes."""
    refused = run("rm", "llama/v1", code=2)
    assert "--yes" in refused.err
    assert "llama/v1" in run("list", "-q").lines
    assert run("rm", "llama/v1", "--yes", "--json").document["removed"] == ["llama/v1"]
    assert run("list", "-q").lines == ["llama/v2"]
    assert "leads to llama/v2" in run("rm", "llama", "--yes", code=2).err


def test_what_an_alias_names_keeps_its_last_name(run: Run, two_versions: Path) -> None:
    """Removing the tag of what is in production must not be a slip of the hand."""
    run("alias", "set", "llama/production", "v1")
    assert "production" in run("rm", "llama/v1", "-y", code=5).err
    run("alias", "rm", "llama/production", "-y")
    assert "→ removed" in run("alias", "log", "llama/production").lines[0]
    run("rm", "llama/v1", "-y")


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", ["llama/v1", "llama/v2"]), (b"y\n", ["llama/v2"])])
def test_rm_on_a_terminal_does_what_it_is_told(
    run: Run,
    two_versions: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    answer: bytes,
    left: list[str],
) -> None:
    """With a person there, the question is asked and its answer counts."""
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "r") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        os.write(controller, answer)
        assert main(["rm", "llama/v1"]) == (0 if answer.startswith(b"y") else 130)
    os.close(controller)
    assert ("nothing was done" in capfd.readouterr().err) is answer.startswith(b"n")
    assert run("list", "-q").lines == left


def test_what_is_not_there_is_told_in_its_own_words(run: Run, model: Path) -> None:
    """An answer about something else sends people looking in the wrong place."""
    assert run("commit", model, "--artifact", "my model", code=2).err.startswith("artstore: 'my model' is no name")
    assert run("gc", "--now", "--dry-run", "--json").document["versions"] == [], (
        "a version was made before its name was read"
    )
    run("commit", model)
    assert "no aliases yet" in run("list", "--aliases").err
    assert "no version before it" in run("diff", "llama", code=3).err
    assert "is a folder" in run("cat", "llama:tokenizer", code=2).err
    assert "is a symbolic link" in run("cat", "llama:latest", code=2).err
    assert "--all-versions" in run("purge", "config.json", code=2).err
    assert "given twice" in run("commit", model, "--input", "a=llama", "--input", "a=llama", code=2).err

"""Committing, looking and getting back, as a user does it."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Run


def test_two_commits_of_a_folder_are_v1_and_v2(run: Run, model: Path) -> None:
    """Without names the folder's name is the artifact; the first commit makes the store."""
    first = run("commit", model)
    assert first.out.startswith("llama/v1 ")
    assert "stored" in first.out
    assert "next: artstore alias set llama/production v1" in first.err
    with (model / "model.safetensors").open("ab") as file:
        file.write(b"more")
    second = run("commit", model)
    assert second.out.startswith("llama/v2 ")
    assert " new (" in second.out
    assert "next: artstore diff llama/v1 llama/v2" in second.err


def test_unchanged_makes_no_version_and_says_so(run: Run, model: Path) -> None:
    """A job that commits every hour must not make a version every hour."""
    made = run("commit", model, "--json").document
    again = run("commit", model)
    assert "unchanged" in again.out
    assert run("commit", model, "--json").document["version"] == made["version"]
    assert run("list", "-q").lines == ["llama/v1"]


def test_new_metadata_makes_a_version_and_another_tag_names_the_same_one(run: Run, model: Path) -> None:
    """Metrics come after the weights; a second name needs no second copy."""
    first = run("commit", model, "--json").document
    second = run("commit", model, "--metric", "loss=0.5", "--label", "team=nlp", "--json").document
    assert second["ref"] == "llama/v2"
    assert second["new_bytes"] == 0
    assert second["parent"] == first["version"]
    tagged = run(
        "commit", model, "--metric", "loss=0.5", "--label", "team=nlp", "--tag", "llama/best", "--json"
    ).document
    assert tagged["version"] == second["version"]
    assert run("show", "llama/best", "--json").document["metrics"] == {"loss": 0.5}


def test_commit_reports_sizes_and_quiet_prints_the_id_alone(run: Run, model: Path) -> None:
    """A script reads sizes as integers from --json and the id from -q."""
    document = run("commit", model, "--json").document
    sizes = [path.lstat().st_size for path in model.rglob("*") if not path.is_dir()]
    assert document["bytes"] == sum(sizes)
    assert document["files"] == 5
    assert document["stored_bytes"] > 0
    quiet = run("commit", model, "-q", "--param", "a=1")
    assert len(quiet.out.strip()) == 64
    assert quiet.err == ""


def test_dry_run_stores_nothing(run: Run, model: Path) -> None:
    """Who only asks what would happen gets no version."""
    told = run("commit", model, "--dry-run", "--json").document
    assert told["version"] is None
    assert told["dry_run"] is True
    assert run("list", "-q").out == ""


def test_stdin_becomes_a_file(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tar c … | artstore commit -` needs a name for the file, and gives back every byte."""
    source = home / "piped"
    source.write_bytes(os.urandom(300_000))
    assert "--name" in run("commit", "-", "--artifact", "dump", code=2).err
    with source.open("rb") as file:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        run("commit", "-", "--name", "dump.tar", "--artifact", "dump")
    run("checkout", "dump:dump.tar", home / "back.tar")
    assert (home / "back.tar").read_bytes() == source.read_bytes()


def test_a_version_is_made_from_another_one_without_its_files(run: Run, two_versions: Path, home: Path) -> None:
    """--base adds and removes paths of a dataset that isn't on this disk."""
    extra = home / "part.bin"
    extra.write_bytes(b"part")
    run("commit", "--base", "llama/v2", "--add", f"data/part.bin={extra}", "--remove", "tokenizer")
    names = run("ls", "-R", "-q", "llama/v3").lines
    assert "data/part.bin" in names
    assert not [name for name in names if name.startswith("tokenizer")]
    assert "model.safetensors" in names


def test_ignored_paths_are_counted_and_explained(run: Run, model: Path) -> None:
    """What is left out is never left out silently."""
    (model / "__pycache__").mkdir()
    (model / "__pycache__" / "x.pyc").write_text("")
    (model / ".artignore").write_text("*.tmp\n!keep.tmp\n")
    (model / "a.tmp").write_text("")
    (model / "keep.tmp").write_text("")
    committed = run("commit", model)
    assert "2 paths ignored" in committed.err
    names = run("ls", "-q", "-R", "llama").lines
    assert "keep.tmp" in names
    assert "a.tmp" not in names
    told = run("check-ignore", "--root", model, model / "a.tmp", model / "__pycache__" / "x.pyc", "--json").document[
        "paths"
    ]
    assert [(item["ignored"], item["rule"]) for item in told] == [(True, "*.tmp"), (True, "__pycache__/")]
    assert told[0]["origin"].endswith(".artignore:1")
    assert run("check-ignore", "--root", model, model / "keep.tmp", "-q").out == ""


def test_ls_cat_show_and_log_tell_what_was_committed(run: Run, two_versions: Path) -> None:
    """Everything that is in a version can be seen without writing it anywhere."""
    listing = run("ls", "llama/v2").lines
    assert any(line.endswith("tokenizer/") for line in listing)
    assert any(line.endswith("latest -> model.safetensors") for line in listing)
    entries = {item["path"]: item for item in run("ls", "-R", "llama/v2", "--json").document["entries"]}
    assert entries["run.sh"]["kind"] == "exec"
    assert entries["latest"]["target"] == "model.safetensors"
    assert entries["tokenizer/vocab.txt"]["bytes"] == 4
    assert run("cat", "llama/v1:config.json").out == '{"layers": 2}\n'
    assert run("cat", "llama/v1:config.json", "llama:config.json").out == '{"layers": 2}\n{"layers": 3}\n'
    shown = run("show", "llama/v2", "--json").document
    assert shown["params"] == {"lr": 3e-4}
    assert shown["author"] == "Ada"
    assert shown["created"].endswith("Z")
    log = run("log", "llama", "--json").document["versions"]
    assert [item["tags"] for item in log] == [["llama/v2"], ["llama/v1"]]
    assert [item["message"] for item in log] == ["", "first"]
    assert run("log", "-n", "1", "-q").lines == [shown["version"]]
    assert "first" in run("log", "llama/v1").out


def test_diff_tells_added_modified_removed_and_renamed(run: Run, two_versions: Path) -> None:
    """A reviewer sees what a new version changes; a script gets exit 1 only if it asks."""
    (two_versions / "added.txt").unlink()
    (two_versions / "run.sh").rename(two_versions / "start.sh")
    run("commit", two_versions)
    changes = {item["path"]: item for item in run("diff", "llama/v1", "llama/v2", "--json").document["changes"]}
    assert {path: item["change"] for path, item in changes.items()} == {"added.txt": "added", "config.json": "modified"}
    since = {item["path"]: item for item in run("diff", "llama", "--json").document["changes"]}
    assert since["start.sh"]["change"] == "renamed"
    assert since["start.sh"]["source"] == "run.sh"
    assert since["added.txt"]["change"] == "removed"
    assert run("diff", "llama/v1", "llama/v2", "--exit-code", code=1).out.startswith("M config.json")
    assert run("diff", "llama/v1", "llama/v1", "--exit-code").out == ""
    assert run("diff", "llama/v1", "llama/v2", "tokenizer", "--exit-code").out == ""


def test_diff_with_a_folder_tells_what_a_commit_would_change(run: Run, two_versions: Path) -> None:
    """Before committing one looks; `./DIR` is the folder even if a revision has its name."""
    assert run("diff", "llama/v2", "./llama", "--exit-code").out == ""
    (two_versions / "config.json").write_text("{}")
    told = run("diff", "llama/v2", "./llama", "--exit-code", "-q", code=1)
    assert told.lines == ["config.json"]


def test_checkout_gives_back_every_byte_and_overwrites_nothing_unasked(
    run: Run, two_versions: Path, home: Path
) -> None:
    """The first thing anybody tries, and the one that must never destroy work."""
    target = home / "out"
    answer = run("checkout", "llama/v2", target, "--json").document
    assert answer["files"] == 6
    for path in two_versions.rglob("*"):
        back = target / path.relative_to(two_versions)
        assert back.is_symlink() == path.is_symlink()
        assert back.stat().st_mode == path.stat().st_mode
        if path.is_file():
            assert back.read_bytes() == path.read_bytes()
    assert run("checkout", "llama/v2", target, "--json").document["reused_files"] == 6
    (target / "config.json").write_text("mine")
    refused = run("checkout", "llama/v2", target, code=2)
    assert "--force" in refused.err
    assert (target / "config.json").read_text() == "mine"
    run("checkout", "llama/v2", target, "--force")
    assert (target / "config.json").read_text() == '{"layers": 3}\n'
    assert run("checkout", "-q", "llama/v1:tokenizer", home / "tok").out.strip() == str(home / "tok")
    assert (home / "tok" / "vocab.txt").read_text() == "a\nb\n"


def test_names_that_are_not_utf8_come_through(run: Run, home: Path) -> None:
    """Old datasets have Latin-1 names; they are data, not errors."""
    folder = os.fsencode(home / "old")
    os.mkdir(folder)
    with open(folder + b"/caf\xe9", "wb") as file:
        file.write(b"x")
    run("commit", home / "old")
    entry = run("ls", "old", "--json").document["entries"][0]
    assert (entry["path"], entry["raw"]) == ("caf\\xe9", "Y2Fm6Q==")
    run("checkout", "old", home / "back")
    assert os.listdir(os.fsencode(home / "back")) == [b"caf\xe9"]


def test_du_tells_what_each_version_takes_alone(run: Run, two_versions: Path) -> None:
    """What removing a version would free is what only it needs."""
    document = run("du", "--json").document
    assert {item["ref"] for item in document["versions"]} == {"llama/v1", "llama/v2"}
    for item in document["versions"]:
        assert 0 < item["exclusive_bytes"] < item["shared_bytes"]
    parts = sum(item["exclusive_bytes"] for item in document["versions"]) + document["versions"][0]["shared_bytes"]
    assert parts == document["stored_bytes"]
    alone = run("du", "llama/v1", "--json").document["versions"]
    assert alone == [item for item in document["versions"] if item["ref"] == "llama/v1"]


def test_path_stands_below_the_mount_and_never_guesses(run: Run, two_versions: Path, home: Path) -> None:
    """A program that gets a path can open it; without a mount it gets an error, not a dead path."""
    run("alias", "set", "llama/production", "v1")
    assert "checkout" in run("path", "llama/production", code=3).err
    mount = home / "mnt"
    assert "mounted" in run("path", "llama", "--mount", mount, code=3).err
    (mount / "versions" / "llama" / "v1").mkdir(parents=True)
    answer = run("path", "llama/production", "--mount", mount)
    assert answer.out.strip() == str(mount / "versions" / "llama" / "v1")


@pytest.mark.plain("what is stored is told without its seals")
def test_status_is_one_screen(run: Run, two_versions: Path, home: Path) -> None:
    """Where is my store, how big is it, is anything running?"""
    document = run("status", "--json").document
    assert document["store"] == str(home / "xdg" / "data" / "artstore")
    assert document["tags"] == 2
    assert document["newest"] == "llama/v2"
    assert document["remote"] is None
    packs = sum(path.stat().st_size for path in Path(document["store"]).rglob("*.pack"))
    assert document["stored_bytes"] == packs
    assert len(run("status").lines) < 25

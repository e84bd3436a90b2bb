"""Collection, undo, erasure, check and repair, as a user does it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Run


@pytest.fixture
def store(home: Path) -> Path:
    return home / "xdg" / "data" / "artstore"


def test_gc_tells_versions_and_paths_and_frees_nothing_unasked(run: Run, two_versions: Path, store: Path) -> None:
    """Nobody trusts a collector that doesn't say what it takes."""
    nothing = run("gc")
    assert nothing.lines == ["frees 0 B now"]
    run("rm", "llama/v2", "-y")
    young = run("gc", "--dry-run", "--json").document
    assert young["versions"] == []
    plan = run("gc", "--dry-run", "--now", "--json").document
    assert plan["done"] is False
    assert plan["versions"][0]["tags"] == ["llama/v2"]
    assert set(plan["versions"][0]["paths"]) == {"added.txt", "config.json"}
    before = sorted(store.rglob("*.pack"))
    told = run("gc", "--now")
    assert "--yes" in told.err
    assert "would go: llama/v2" in told.out
    assert sorted(store.rglob("*.pack")) == before
    done = run("gc", "--now", "--yes", "--json").document
    assert done["done"] is True
    assert done["freed_bytes"] > 0
    run("checkout", "llama/v1", store.parent / "out")


def test_gc_undo_brings_back_what_was_removed(run: Run, two_versions: Path) -> None:
    """Within seven days a mistake costs one command."""
    version = run("resolve", "llama/v2").out
    run("rm", "llama/v2", "-y")
    assert "next: artstore gc" in run("rm", "llama/v1", "-y").err
    run("gc", "--yes")
    back = run("gc", "--undo", "--json").document
    assert back["tags"] == ["llama/v1", "llama/v2"]
    assert run("resolve", "llama/v2").out == version


def test_retention_keeps_what_the_rules_say(run: Run, two_versions: Path) -> None:
    """Nightly versions must not fill the disk, and chosen names must not vanish with them."""
    run("tag", "llama/paper", "v1")
    run("commit", two_versions, "--param", "n=3")
    planned = run("gc", "--keep-last", "1", "--keep-tagged", "--dry-run", "--json").document
    assert planned["removed_tags"] == ["llama/v2"]
    assert len(run("list", "-q").lines) == 4
    run("gc", "--keep-last", "1", "--keep-tagged", "--yes")
    assert run("list", "-q").lines == ["llama/paper", "llama/v1", "llama/v3"]
    assert "duration" in run("gc", "--keep-within", "soon", code=2).err


def test_purge_erases_a_path_from_all_versions(run: Run, two_versions: Path, home: Path) -> None:
    """An erasure request must be carried out, everywhere, and leave the rest readable."""
    assert "--yes" in run("purge", "config.json", "--all-versions", code=2).err
    plan = run("purge", "config.json", "--all-versions", "--dry-run", "--json").document
    assert (plan["done"], len(plan["places"]), plan["chunks"]) == (False, 2, 2)
    assert run("cat", "llama/v1:config.json").out
    done = run("purge", "config.json", "--all-versions", "--yes", "--reason", "request 17", "--json").document
    assert done["done"] is True
    assert "purged" in run("cat", "llama/v1:config.json", code=6).err
    assert run("cat", "llama/v1:tokenizer/vocab.txt").out == "a\nb\n"
    run("check", "--data")


def test_check_names_what_is_hurt_and_repair_makes_room_for_it_again(run: Run, two_versions: Path, store: Path) -> None:
    """A flipped bit is found, named by path, taken out of use, and healed by the next commit."""
    sound = run("check", "--data", "--json").document
    assert (sound["sound"], sound["data"], sound["finished"]) == (True, True, True)
    pack = max(store.rglob("*.pack"), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.seek(pack.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0x40]))
    found = run("check", "--data", "--json", code=6).document
    hurt = {(ref, item["path"]) for problem in found["problems"] for item in problem["hurt"] for ref in item["refs"]}
    assert hurt == {("llama/v1", "model.safetensors"), ("llama/v2", "model.safetensors")}
    lines = run("check", "--data", code=6)
    assert "llama/v1:model.safetensors" in lines.out
    assert "next: artstore repair" in lines.err
    repaired = run("check", "--repair", "--json", code=6).document
    # What is sealed together is damaged together: the end of one chunk, and where the next one begins.
    assert 1 <= len(repaired["repair"]["lost"]) <= (2 if run("status", "--json").document["encrypted"] else 1)
    run("commit", two_versions, "--param", "again=1")
    run("check", "--data")
    run("cat", "llama/v1:model.safetensors", "-q")


def test_index_is_rebuilt_from_packs_and_log(run: Run, two_versions: Path, store: Path) -> None:
    """With the index gone, everything that was committed and named is still there [I8]."""
    run("alias", "set", "llama/production", "v1")
    before = run("list", "--json").out
    shutil.rmtree(store / "index.lmdb")
    assert "--rebuild-index" in run("list", code=6).err
    rebuilt = run("check", "--rebuild-index", "--json").document["rebuild"]
    assert (rebuilt["versions"], rebuilt["refs"]) == (2, 3)
    assert run("list", "--json").out == before


def test_doctor_says_what_is_missing_and_fails_only_for_problems(run: Run, model: Path, home: Path) -> None:
    """The first thing asked of somebody who reports a bug."""
    found = {item["name"]: item for item in run("doctor", "--json").document["findings"]}
    assert found["kernel"]["state"] == "ok"
    assert found["store"]["state"] == "absent"
    run("commit", model)
    assert {item["name"]: item for item in run("doctor", "--json").document["findings"]}["store"]["state"] == "ok"
    assert run("doctor", "--store", home / "nowhere", "-q", code=6).lines == ["store"]

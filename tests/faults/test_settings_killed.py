"""kill -9 while settings or the whole of refs.log are written anew: the old file or the new one, nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from artstore import limits
from artstore.adapters.disk import faultpoints
from artstore.adapters.store_folder import load_config
from artstore.testing.local_store import create, opened

SETTING = ("config", "set", "compression.level", "7")
REPAIR = ("check", "--repair")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with one version."""
    path, folder = tmp_path / "store", tmp_path / "m"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    create(path)
    with opened(path) as store:
        store.commit(folder)
    return path


def artstore(path: Path, *words: str, kill_at: str = "") -> int:
    return subprocess.run(
        [sys.executable, "-m", "artstore", "--store", str(path), *words],
        env={**os.environ, faultpoints.VARIABLE: kill_at},
        capture_output=True,
        check=False,
        timeout=60,
    ).returncode


def strangers(path: Path) -> list[str]:
    """What lies in the store's folder beside what belongs there."""
    own = {"config.toml", "config.toml.lock", "refs.log", "packs", "sessions", "tmp", "index.lmdb"}
    return sorted(found.name for found in path.iterdir() if found.name not in own)


def collected(path: Path) -> list[str]:
    """What a collection leaves of that, two days later."""
    for name in strangers(path):
        past = time.time() - limits.ABANDONED_NS / 1e9 - 60
        os.utime(path / name, (past, past))
    assert artstore(path, "gc", "--yes") == 0
    return strangers(path)


@pytest.mark.plain("counts files: an encrypted store has one more")
@pytest.mark.parametrize(("point", "level"), [("file.written", 3), ("file.renamed", 7)])
def test_config(path: Path, point: str, level: int) -> None:
    """A killed change of settings would leave a store without settings, or a file that nobody ever removes."""
    assert artstore(path, *SETTING, kill_at=point) == -signal.SIGKILL
    assert load_config(str(path)).level == level
    left = strangers(path)
    assert len(left) == (point == "file.written")
    assert artstore(path, "gc", "--yes") == 0
    assert strangers(path) == left, "it may be of a command that still runs"
    assert collected(path) == []
    assert artstore(path, *SETTING) == 0
    assert load_config(str(path)).level == 7


@pytest.mark.plain("counts files: an encrypted store has one more")
@pytest.mark.parametrize("point", ["file.written", "file.renamed"])
def test_rewritten_log(path: Path, point: str) -> None:
    """A killed repair of refs.log would lose the names it was to save, or leave its file for ever."""
    log = path / "refs.log"
    whole = log.read_bytes()
    log.write_bytes(whole[:8] + b"\0" * (len(whole) - 8))
    assert artstore(path, *REPAIR, kill_at=point) == -signal.SIGKILL
    left = strangers(path)
    assert left == (["refs.log.new"] if point == "file.written" else [])
    assert collected(path) == []
    assert artstore(path, *REPAIR) == 0
    assert artstore(path, "check") == 0
    with opened(path) as store:
        assert list(store.tags()) == ["m/v1"]
    assert artstore(path, "tag", "m/x", "m/v1") == 0

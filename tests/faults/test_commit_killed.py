"""kill -9 at each named point of a commit: what was reported stays, what was not is absent or whole [I10]."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from artstore.adapters.disk.faultpoints import POINTS, VARIABLE
from artstore.testing.local_store import create, files_of, opened

CHILD = """
import os, sys
from pathlib import Path

from artstore import limits
limits.PACK_BYTES_TARGET, limits.METAPACK_BYTES_TARGET = 300_000, 4_000  # several packs of each kind
limits.DIRECT_BLOCK_BYTES = 16_384
from artstore.testing.local_store import opened
with opened(Path(sys.argv[1])) as store:
    result = store.commit(Path(sys.argv[2]))
print(result.tag, flush=True)
"""
SEEN_AT_MOST = 6  # times that a point is tried; later ones repeat what earlier ones did


def fill(folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    for number in range(400):
        path = folder / f"d{number % 4}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randrange(0, 8000)))
    (folder / "big").write_bytes(rng.randbytes(600_000))


def run(store: Path, folder: Path, point: str | None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({VARIABLE: point} if point else {})}
    arguments = [sys.executable, "-c", CHILD, str(store), str(folder)]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    "point", [point for point in POINTS if not point.startswith(("store.", "remote.", "cache.", "pack.deleted"))]
)
def test_killed_at(tmp_path: Path, point: str) -> None:
    """A power cut during a commit would cost an earlier version, or leave a half one under a name."""
    folder = tmp_path / "folder"
    fill(folder, 1)
    store = tmp_path / "store"
    create(store)
    with opened(store) as first:
        first.commit(folder)
    before = files_of(folder)
    for count in range(1, SEEN_AT_MOST + 1):
        fill(folder, 100 * count)
        after = files_of(folder)
        ended = run(store, folder, f"{point}:{count}")
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        with opened(store) as again:
            tags = again.tags()
            assert again.content(tags["m/v1"]) == before
            newest = max(tags, key=lambda name: int(name.rpartition("v")[2]))
            if ended.stdout:
                assert ended.stdout.strip() == newest
            made = again.commit(folder)
            assert made.version is not None
            assert again.content(made.version) == after
            again.context.sessions.clean()
            assert not list((store / "tmp").iterdir())
        if ended.returncode == 0:
            assert count > 1 or point in ("refslog.cut", "file.written", "file.renamed"), "the point was never reached"
            return


def test_killed_at_random(tmp_path: Path) -> None:
    """A moment between the named points would be forgotten."""
    folder, store = tmp_path / "folder", tmp_path / "store"
    fill(folder, 1)
    create(store)
    with opened(store) as first:
        first.commit(folder)
    before, rng = files_of(folder), random.Random(7)
    for round_number in range(8):
        fill(folder, 200 + round_number)
        arguments = [sys.executable, "-c", CHILD, str(store), str(folder)]
        child = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        try:
            child.wait(timeout=rng.uniform(0.2, 0.5))
        except subprocess.TimeoutExpired:
            child.kill()
        child.communicate()
        with opened(store) as again:
            assert again.content(again.tags()["m/v1"]) == before
            made = again.commit(folder)
            assert made.version is not None
            assert again.content(made.version) == files_of(folder)

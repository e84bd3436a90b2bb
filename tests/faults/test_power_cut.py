"""A power cut: what the file system has not been told to keep is gone, at each durable step of a commit and after it.

The store lies on an ext4 file system in a file. When the process has died, that file is copied as it is: it holds what
went to the disk, and lacks what the kernel still kept in memory. The copy is what the machine finds afterwards.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

import artstore
from artstore.adapters.disk.faultpoints import POINTS, VARIABLE
from artstore.testing.local_store import create, files_of, opened

IMAGE_BYTES = 48 << 20
TIMES = (1, 2, 5)  # that a point is reached before the cut
NOT_OF_COMMITS = ("store.", "pack.deleted", "refslog.cut", "file.", "remote.")
CHILD = """
import os, sys
from pathlib import Path
from artstore import limits
limits.PACK_BYTES_TARGET, limits.METAPACK_BYTES_TARGET = 150_000, 4_000  # several packs of each kind
limits.DIRECT_BLOCK_BYTES = 16_384
if sys.argv[3] == "careless":
    os.fsync = os.fdatasync = lambda _: None
from artstore.testing.local_store import opened
with opened(Path(sys.argv[1])) as store:
    print(store.commit(Path(sys.argv[2])).tag, flush=True)
    os.kill(os.getpid(), 9)
"""


@contextmanager
def mounted(image: Path) -> Generator[Path]:
    """The file system in a file, with a store at its `store`."""
    place = image.with_suffix(".mounted")
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    try:
        yield place / "store"
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def fill(folder: Path, seed: int) -> None:
    """Files which fill some packs."""
    folder.mkdir(exist_ok=True)
    rng = Random(seed)
    for number in range(60):
        (folder / f"f{number}").write_bytes(rng.randbytes(rng.randrange(0, 8000)))
    (folder / "big").write_bytes(rng.randbytes(300_000))


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file system with a store that has one version, `m/v1`, of `fill(…, 0)`."""
    if os.getuid() != 0 or not os.path.exists("/dev/loop-control") or shutil.which("mkfs.ext4") is None:
        pytest.skip("needs root, loop devices and mkfs.ext4")
    folder = tmp_path_factory.mktemp("disk")
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    place = folder / "try"
    place.mkdir()
    if subprocess.run(["mount", "-o", "loop", str(image), str(place)], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount files")
    subprocess.run(["umount", str(place)], check=True)
    fill(folder / "first", 0)
    with mounted(image) as store:
        create(store)
        with opened(store) as first:
            first.commit(folder / "first")
    return image


def cut(disk: Path, folder: Path, point: str | None, *, careless: bool = False) -> tuple[Path, str]:
    """Commit, lose power; what the disk holds then, and the tag that was reported ("" if none)."""
    before, after = folder.parent / "before", folder.parent / "after"
    shutil.copyfile(disk, before)
    environment = {**os.environ, **({VARIABLE: point} if point else {})}
    with mounted(before) as store:
        words = [sys.executable, "-c", CHILD, str(store), str(folder), "careless" if careless else ""]
        ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)
        shutil.copyfile(before, after)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return after, ended.stdout.strip()


@pytest.mark.parametrize("point", [None, *(point for point in POINTS if not point.startswith(NOT_OF_COMMITS))])
def test_power_is_lost(disk: Path, tmp_path: Path, point: str | None) -> None:
    """Who was told that a version is stored would not find it after a power cut [I1, I2, I3, I10]."""
    folder = tmp_path / "folder"
    first = files_of(disk.parent / "first")
    for times in TIMES if point else (1,):
        fill(folder, times)
        after, told = cut(disk, folder, f"{point}:{times}" if point else None)
        assert told == "m/v2" or point
        with mounted(after) as path:
            with opened(path) as store:
                tags = store.tags()
                assert store.content(tags.pop("m/v1")) == first
                assert (tags.keys() == {"m/v2"}) or not told
                assert all(store.content(version) == files_of(folder) for version in tags.values())
                made = store.commit(folder)
                assert made.version is not None
                assert store.content(made.version) == files_of(folder)
            with artstore.Store.open(path) as again:
                report = again.check(data=True)
                assert report.is_sound, report.problems


def test_the_cut_is_real(disk: Path, tmp_path: Path) -> None:
    """If packs survived that nobody had asked the system to keep, the test above would prove nothing."""
    folder = tmp_path / "folder"
    fill(folder, 1)
    after, _ = cut(disk, folder, None, careless=True)
    with mounted(after) as path, artstore.Store.open(path) as store:
        assert not store.check(data=True).is_sound

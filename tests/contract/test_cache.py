"""What the cache of packs of remotes promises (artstore.ports.PackCache): never more than that bytes may be there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artstore.adapters.cache import FOLDER, FileCache
from artstore.errors import ArtstoreError
from artstore.ports import PackCache
from artstore.store.sealed import SealedCache
from artstore.testing.sealing import keychain

NAME, OTHER = bytes(16), bytes(15) + b"\1"
BLOCK = 4096


@pytest.fixture(params=["folder", "sealed"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> PackCache:
    folder = FileCache(str(tmp_path))
    return folder if request.param == "folder" else SealedCache(folder, keychain())


def test_what_was_kept_is_read(cache: PackCache) -> None:
    """It would be fetched again."""
    cache.write(NAME, 2 * BLOCK, b"x" * BLOCK)
    assert cache.read(NAME, 2 * BLOCK, BLOCK) == b"x" * BLOCK
    assert cache.read(NAME, 2 * BLOCK + 5, 7) == b"x" * 7
    assert cache.read(NAME, 2 * BLOCK, BLOCK + 1) is None, "nothing was kept behind"
    assert cache.read(OTHER, 0, 1) is None
    hole = cache.read(NAME, 0, BLOCK)
    assert hole is not None, "whoever reads checks"
    assert hole == bytes(BLOCK) or isinstance(cache, SealedCache)


def test_holes(cache: PackCache) -> None:
    """What is there would be fetched once more, or what isn't taken for there."""
    assert cache.holes(NAME, 0, 10 * BLOCK) == [(0, 10 * BLOCK)]
    cache.write(NAME, 2 * BLOCK, b"x" * BLOCK)
    cache.write(NAME, 5 * BLOCK, b"y" * BLOCK)
    found = cache.holes(NAME, 0, 10 * BLOCK)
    missing = {at for offset, size in found for at in range(offset // BLOCK, -(-(offset + size) // BLOCK))}
    assert not missing & {2, 5}
    assert missing >= {9}, "nothing is behind the end"
    if found != [(6 * BLOCK, 4 * BLOCK)]:  # a file system without sparse files has no holes to tell
        assert found == [(0, 2 * BLOCK), (3 * BLOCK, 2 * BLOCK), (6 * BLOCK, 4 * BLOCK)]
    assert cache.holes(NAME, 2 * BLOCK, BLOCK) == []


def test_what_is_kept_is_listed_by_what_it_takes(cache: PackCache) -> None:
    """A sparse file's length would count for gigabytes that nobody has."""
    cache.write(NAME, 1 << 30, b"x" * BLOCK)
    cache.write(OTHER, 0, b"y" * BLOCK)
    found = {pack.name: pack for pack in cache.list()}
    assert found.keys() == {NAME, OTHER}
    assert BLOCK <= found[NAME].size < 1 << 20
    cache.drop(NAME)
    cache.drop(NAME)
    assert [pack.name for pack in cache.list()] == [OTHER]
    assert cache.read(NAME, 1 << 30, 1) is None


def test_a_use_is_noted(tmp_path: Path) -> None:
    """What everybody reads would go first."""
    FileCache(str(tmp_path)).write(NAME, 0, b"x" * BLOCK)
    (path,) = Path(tmp_path, FOLDER).rglob("*.pack")
    os.utime(path, ns=(5, 5))
    cache = FileCache(str(tmp_path))  # another process
    assert [pack.used for pack in cache.list()] == [5]
    cache.read(NAME, 0, 1)
    assert [pack.used > 5 for pack in cache.list()] == [True]


def test_what_others_have_put_there(tmp_path: Path, cache: PackCache) -> None:
    """A stray file would end each look, or be taken for a pack."""
    cache.write(NAME, 0, b"x" * BLOCK)
    (tmp_path / FOLDER / "notes").write_text("mine")
    (tmp_path / FOLDER / "00" / "0.pack").write_text("mine")
    assert [pack.name for pack in cache.list()] == [NAME]


def test_a_folder_that_can_not_be_written(tmp_path: Path, cache: PackCache) -> None:
    """The error has to say where, and reading goes on."""
    (tmp_path / FOLDER).write_text("a file")
    with pytest.raises(ArtstoreError, match=FOLDER):
        cache.write(NAME, 0, b"x")
    assert cache.read(NAME, 0, 1) is None
    assert list(cache.list()) == []


def test_the_disk(tmp_path: Path, cache: PackCache) -> None:
    """Bounds are parts of it."""
    free, all_of_it = cache.disk()
    told = os.statvfs(tmp_path)
    assert 0 <= free <= all_of_it == told.f_blocks * told.f_frsize


def test_a_disk_that_fails_is_a_miss(cache: PackCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad sector below the cache would end a checkout that needs nothing of it."""
    cache.write(NAME, 0, b"x" * BLOCK)

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "lseek", fail)
    assert cache.holes(NAME, 0, 2 * BLOCK) == [(0, 2 * BLOCK)]


def test_a_folder_whose_maker_was_killed(tmp_path: Path) -> None:
    """Of a store that a group shares: nobody else could ever keep anything there."""
    for folder in (tmp_path / FOLDER, tmp_path / FOLDER / "00"):
        folder.mkdir(mode=0o700)
    FileCache(str(tmp_path), shared=True).write(NAME, 0, b"x")
    (path,) = (tmp_path / FOLDER).rglob("*.pack")
    assert path.stat().st_mode & 0o777 == 0o660
    path.unlink()
    (tmp_path / FOLDER / "00").rmdir()
    FileCache(str(tmp_path), shared=True).write(NAME, 0, b"x")
    assert {each.stat().st_mode & 0o7777 for each in (tmp_path / FOLDER, tmp_path / FOLDER / "00")} == {0o2770}

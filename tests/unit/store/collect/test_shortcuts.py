"""Collection forgets shortcuts that lead nowhere, and none that still saves reading."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artstore import limits
from artstore.format.statrows import Place, decode_head, encode
from artstore.model import Metadata
from artstore.store.collect.shortcuts import sweep_shortcuts
from artstore.store.commit import Naming, Said, commit
from artstore.store.context import Counters
from artstore.store.write import statcache

if TYPE_CHECKING:
    from artstore.format.statrows import Head
    from tests.unit.store.collect.conftest import Keeper


@pytest.fixture(autouse=True)
def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step ends somewhere in the middle."""
    monkeypatch.setattr(limits, "INDEX_BATCH", 2)
    monkeypatch.setattr(limits, "SWEEP_ROWS", 2)
    monkeypatch.setattr(statcache, "BLOCK_ROWS", 2)


@pytest.fixture
def keeper(keeper: Keeper) -> Keeper:
    """The stat cache trusts only what isn't young."""
    keeper.later(1)
    return keeper


def folder_of(path: Path, files: int) -> Path:
    """Files of a few bytes."""
    path.mkdir(parents=True)
    for number in range(files):
        (path / f"{number}").write_text(f"{path.name} {number}")
    return path


def store(keeper: Keeper, folder: Path, tag: str) -> int:
    """Commit a folder; return how many bytes had to be stored."""
    counters = Counters()
    commit(
        keeper.context,
        keeper.objects,
        os.fsencode(folder),
        naming=Naming(tag=tag),
        said=Said("", "me", Metadata(labels={"tag": tag})),
        counters=counters,
    )
    return counters.bytes_new


def rows(keeper: Keeper) -> dict[bytes, bytes]:
    """Heads and blocks by their keys."""
    with keeper.context.index.read() as reader:
        return dict(reader.stat_directories(b"", 1000))


def heads(keeper: Keeper) -> dict[bytes, Head]:
    """Heads by the paths of their directories."""
    found = [head for raw in rows(keeper).values() if (head := decode_head(raw)) is not None]
    return {head.place.path: head for head in found if head.place is not None}


def test_rows_of_a_folder_that_is_gone(keeper: Keeper, tmp_path: Path) -> None:
    """Whoever commits from temporary folders would see the index grow for ever."""
    stays, goes = folder_of(tmp_path / "stays", 5), folder_of(tmp_path / "goes" / "deep", 5)
    for number, folder in enumerate((stays, goes.parent), 1):
        store(keeper, folder, f"m/v{number}")
    assert len(heads(keeper)) == 3
    assert len(rows(keeper)) == 3 + 2 * 3
    shutil.rmtree(goes.parent)
    keeper.gc()
    assert heads(keeper).keys() == {os.fsencode(stays)}
    assert len(rows(keeper)) == 1 + 3
    assert store(keeper, stays, "m/v3") == 0


def test_another_folder_at_the_same_place(keeper: Keeper, tmp_path: Path) -> None:
    """A folder that is made anew at its place every day would leave rows behind every day."""
    folder = folder_of(tmp_path / "daily", 3)
    for day in range(3):
        store(keeper, folder, f"m/v{day + 1}")
        folder.rename(tmp_path / f"old{day}")  # or the same inode would come again
        folder_of(folder, 3)
    keeper.gc()
    assert len(rows(keeper)) == 0


def test_blocks_that_a_smaller_folder_left(keeper: Keeper, tmp_path: Path) -> None:
    """A folder that once had a million files would keep their rows when it has ten."""
    folder = folder_of(tmp_path / "shrinks", 9)
    store(keeper, folder, "m/v1")
    assert len(rows(keeper)) == 1 + 5
    for number in range(3, 9):
        (folder / f"{number}").unlink()
    store(keeper, folder, "m/v2")
    keeper.gc()
    assert len(rows(keeper)) == 1 + 2
    assert store(keeper, folder, "m/v3") == 0


def test_a_folder_on_a_device_that_is_not_mounted(keeper: Keeper, tmp_path: Path) -> None:
    """A dataset on a disk that is mounted now and then would be read anew each time; one never seen again stays."""
    folder = folder_of(tmp_path / "away", 3)
    store(keeper, folder, "m/v1")
    (key,) = [key for key, raw in rows(keeper).items() if decode_head(raw) is not None]
    head = decode_head(rows(keeper)[key])
    assert head is not None
    assert head.place is not None
    place = Place(head.place.path + b"/none", os.makedev(4000, 4000), head.place.inode)
    moved = type(head)(
        head.format, head.fingerprint, head.tree, head.size, head.files, head.blocks, place, head.written
    )
    with keeper.context.index.write() as writer:
        writer.put_stat_blocks(key, [encode(moved)])
    keeper.gc()
    assert len(rows(keeper)) == 3
    keeper.later(limits.STAT_UNSEEN_NS / (24 * 3600 * 1_000_000_000))
    keeper.gc()
    assert rows(keeper) == {}


def test_what_pages_need_of_packs_that_are_gone(keeper: Keeper, tmp_path: Path) -> None:
    """Each page of each version that was ever made would keep a row."""
    for number in range(4):
        store(keeper, folder_of(tmp_path / f"f{number}" / "deep", 3).parent, f"m/v{number}")
    keeper.remove("m/v1", "m/v2", "m/v3")
    keeper.gc(now=True)
    left = _page_rows(keeper)
    assert left == 2
    assert store(keeper, tmp_path / "f0", "m/v5") == 0
    keeper.remove("m/v0", "m/v5")
    keeper.later(1)
    keeper.gc(now=True)
    assert _page_rows(keeper) == 0


def _page_rows(keeper: Keeper) -> int:
    """Counted by walking over them one by one."""
    count, after = 0, b""
    while True:
        with keeper.context.index.write() as writer:
            found = writer.drop_void_page_packs(after, 1)
        if found is None:
            return count
        count, after = count + 1, found


def test_once_a_day(keeper: Keeper, tmp_path: Path) -> None:
    """Each `gc` would look at every folder that was ever committed."""
    folder = folder_of(tmp_path / "goes", 1)
    store(keeper, folder, "m/v1")
    sweep_shortcuts(keeper.context)
    shutil.rmtree(folder)
    sweep_shortcuts(keeper.context)
    assert len(rows(keeper)) == 2
    keeper.later(1)
    sweep_shortcuts(keeper.context)
    assert rows(keeper) == {}

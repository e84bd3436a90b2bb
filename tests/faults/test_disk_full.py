"""A full disk at any write: a clear error, nothing lost, nothing left over."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from artstore.errors import NoSpace
from artstore.testing.local_store import create, files_of, opened


def test_commit_on_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    """A commit that doesn't fit would damage the store, or fill the disk for good."""
    folder = tmp_path / "folder"
    folder.mkdir()
    rng = random.Random(1)
    (folder / "f").write_bytes(rng.randbytes(4 << 20))
    store = small_disk / "store"
    create(store)
    with opened(store) as open_store:
        first = open_store.commit(folder)
        before = files_of(folder)
        for size in (40 << 20, 30 << 20, 22 << 20):
            (folder / "f").write_bytes(rng.randbytes(size))
            with pytest.raises(NoSpace):
                open_store.commit(folder)
            assert not list((store / "tmp").iterdir())
        assert first.version is not None
        assert open_store.content(first.version) == before
        (folder / "f").write_bytes(b"small enough")
        second = open_store.commit(folder)
        assert second.version is not None
        assert open_store.content(second.version) == files_of(folder)
    with opened(store) as again:
        assert again.content(first.version) == before


@pytest.mark.parametrize("spare", [0, 4096, 20_000, 60_000, 120_000, 250_000])
def test_commit_with_little_room_left(small_disk: Path, tmp_path: Path, spare: int) -> None:
    """The write that hits the end of the disk may be the pack's, the index's or the log's: none may break the store."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "f").write_bytes(b"first")
    store = small_disk / "store"
    create(store)
    with opened(store) as open_store:
        first = open_store.commit(folder)
        filler = small_disk / "filler"
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        filler.write_bytes(bytes(max(0, free - spare)))
        for number in range(40):
            (folder / f"n{number}").write_bytes(random.Random(number).randbytes(3000))
        try:
            open_store.commit(folder)
        except NoSpace:
            assert open_store.tags().keys() == {"m/v1"}
        filler.unlink()
        assert first.version is not None
        assert open_store.content(first.version) == {b"f": b"first"}
        made = open_store.commit(folder)
        assert made.version is not None
        assert open_store.content(made.version) == files_of(folder)

"""A real store in a temporary folder, and a folder to commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.adapters.lmdb_index.index import LmdbIndex
from artstore.adapters.packs import FilePacks
from artstore.adapters.sessions import FileSessions
from artstore.format.ids import PLAIN
from artstore.store.context import Context
from artstore.testing.commit_bench import Bench, LaterClock
from artstore.testing.local_store import create


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty store and an empty folder."""
    store, folder = tmp_path / "store", tmp_path / "folder"
    folder.mkdir()
    path = str(store)
    create(store)
    index, packs = LmdbIndex(path, PLAIN), FilePacks(path)
    made = Bench(Context(path, index, packs, FileSessions(path), LaterClock(), PLAIN), folder)
    yield made
    made.objects.close()
    packs.close()
    index.close()

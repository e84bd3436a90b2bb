"""A real store in a temporary folder, and a folder to commit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from artstore.testing.commit_bench import Bench, LaterClock
from artstore.testing.local_store import create, opened


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty store and an empty folder."""
    store, folder = tmp_path / "store", tmp_path / "folder"
    folder.mkdir()
    create(store)
    with opened(store) as found:
        made = Bench(replace(found.context, clock=LaterClock()), folder)
        yield made
        made.objects.close()

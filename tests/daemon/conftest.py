"""Stores and daemons for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from artstore import Store
from tests.daemon.live import Live


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty one."""
    with Store.init(tmp_path / "store") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty one, to be watched."""
    made = tmp_path / "run"
    made.mkdir()
    return made


@pytest.fixture
def begin() -> Iterator[Callable[[Store], Live]]:
    """Start a daemon; it is ended with the test."""
    with ExitStack() as running:
        yield lambda store: running.enter_context(Live(store))

"""A daemon that is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore import Store
from tests.daemon.api.serving import Serving


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a daemon's socket, port and token lie."""
    made = tmp_path / "rt"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def serving(store: Store, place: Path) -> Iterator[Serving]:
    """One that answers on both."""
    with Serving(store, place) as running:
        yield running

"""A store that was pushed, and machines that clone it without its data."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from artstore import Store
from artstore.model import RemotePlace, RemoteStats

MIB = 1 << 20


@dataclass
class Lab:
    """Machines that share a remote in a folder."""

    path: Path
    opened: list[Store] = field(default_factory=list[Store])

    @property
    def remote(self) -> Path:
        """The remote's folder."""
        return self.path / "remote"

    @property
    def place(self) -> RemotePlace:
        """The remote."""
        return RemotePlace(url=f"file://{self.remote}")

    @property
    def folder(self) -> Path:
        """What is versioned."""
        return self.path / "folder"

    def origin(self) -> Store:
        """The machine where versions are made."""
        store = Store.init(self.path / "origin")
        self.opened.append(store)
        store.add_remote("origin", self.place)
        return store

    def clone(self, name: str = "clone") -> Store:
        """A machine with the names alone."""
        store, result = Store.clone(self.place, self.path / name)
        self.opened.append(store)
        assert not result.conflicts
        return store

    def reopen(self, store: Store) -> Store:
        """The same store in another process, as far as memory goes."""
        store.close()
        again = Store.open(store.path)
        self.opened.append(again)
        return again

    def write(self, **files: bytes) -> Path:
        """Files of the folder."""
        self.folder.mkdir(exist_ok=True)
        for name, data in files.items():
            (self.folder / name).write_bytes(data)
        return self.folder

    def is_same(self, store: Store, rev: str, into: str = "out") -> bool:
        """Whether a checkout is the folder."""
        store.checkout(rev, self.path / into)
        return files_of(self.path / into) == files_of(self.folder)

    def packs(self, kind: str = "p") -> list[Path]:
        """Packs, or other things, that lie there."""
        return sorted(path for path in (self.remote / kind).rglob("*") if path.is_file())


def files_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that can't be compressed."""
    return random.Random(seed).randbytes(size)


def since(store: Store, before: RemoteStats) -> RemoteStats:
    """What was asked of remotes since."""
    now = store.remote_stats()
    return RemoteStats(**{name: getattr(now, name) - getattr(before, name) for name in RemoteStats.__slots__})


def cached_bytes(store: Store) -> int:
    """What the cache takes."""
    return sum(path.stat().st_blocks * 512 for path in Path(store.path, "cache").rglob("*.pack"))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    for store in made.opened:
        store.close()

"""Stores of several machines that share one remote, a folder."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from artstore import Store, wiring
from artstore.adapters.remote_folder import FolderRemote
from artstore.format.ids import Ids
from artstore.model import RemotePlace
from artstore.ports import Remote
from artstore.store.sealed import SealedRemote
from tests.encrypting import as_seen_by

MIB = 1 << 20


@dataclass
class Machines:
    """Stores of several machines that share one remote."""

    path: Path
    place: RemotePlace
    opened: list[Store] = field(default_factory=list[Store])

    def new(self, name: str) -> Store:
        """A machine with an empty store."""
        store = Store.init(self.path / name)
        self.opened.append(store)
        store.add_remote("origin", self.place)
        return store

    def clone(self, name: str) -> Store:
        """A machine that clones, all data too."""
        store, result = Store.clone(self.place, self.path / name, full=True)
        self.opened.append(store)
        assert not result.conflicts
        return store

    def folder(self, name: str, **files: bytes) -> Path:
        """A folder of files."""
        path = self.path / f"folder-{name}"
        path.mkdir(exist_ok=True)
        for file, data in files.items():
            (path / file).write_bytes(data)
        return path

    @property
    def remote(self) -> Remote:
        """The remote itself, opened if it is encrypted."""
        inner = FolderRemote(self.place)
        return as_seen_by(self.opened[0], inner) if self.opened else inner

    def keys(self, prefix: str = "") -> list[str]:
        """What is there."""
        return [found.key for found in self.remote.list(prefix)]

    def file(self, key: str) -> Path:
        """Where an object lies."""
        remote = self.remote
        lies = remote.place(key) if isinstance(remote, SealedRemote) else key
        return Path(self.place.url.removeprefix("file://"), lies)


@contextmanager
def named_by(ids: Ids) -> Generator[None]:
    """All stores that are opened, made, cloned or rebuilt meanwhile name their content by these ids."""
    with patch.object(wiring, "PLAIN", ids):
        yield


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that can't be compressed."""
    return random.Random(seed).randbytes(size)


def commit(store: Store, folder: Path, tag: str) -> bytes:
    """A version of a folder; its id."""
    store.commit(folder, tag=tag)
    return store.resolve(tag).version


def same(store: Store, tag: str, folder: Path, into: Path) -> bool:
    """Does a checkout give the folder's files?"""
    store.checkout(tag, into)
    return {path.name: path.read_bytes() for path in into.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }

"""A real store with small packs and a clock that can be moved, and a folder to commit."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from artstore import limits
from artstore.adapters.clock import SystemClock
from artstore.errors import NotFound
from artstore.model import Digest, Metadata, PackRow, PackState
from artstore.store import refs
from artstore.store.collect import GcResult, UndoResult, gc, gc_plan, undo
from artstore.store.commit import Naming, Said, commit
from artstore.store.context import Context
from artstore.store.objects import Objects
from artstore.store.remove import Removal, remove
from artstore.testing.local_store import Opened, create, opened

DAY = 24 * 3600 * 1_000_000_000
Files = dict[str, bytes]


class MovableClock(SystemClock):
    """The time, some days later."""

    ahead = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead


@dataclass
class Keeper:
    """One store as its keeper uses it."""

    context: Context
    folder: Path
    clock: MovableClock
    objects: Objects = field(init=False)

    def __post_init__(self) -> None:
        self.objects = Objects(self.context)

    def later(self, days: float) -> None:
        """Let time pass."""
        self.clock.ahead += int(days * DAY)

    def commit(self, files: Files, tag: str, *, inputs: dict[str, str] | None = None) -> Digest:
        """A version of exactly these files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for path, data in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        said = Said("", "me", Metadata(inputs=inputs or {}))
        made = commit(self.context, self.objects, os.fsencode(self.folder), naming=Naming(tag=tag), said=said)
        assert made.version is not None
        return made.version

    def files(self, version: bytes) -> Files:
        """All files of a version, read anew from disk and verified."""
        fresh = Opened(self.context, Objects(self.context))
        return {os.fsdecode(path): data for path, data in fresh.content(version).items()}

    def remove(self, *names: str) -> Removal:
        return remove(self.context, self.objects, names, who="me", host="here")

    def gc(self, *, now: bool = False) -> GcResult:
        return gc(self.context, self.objects, gc_plan(self.context, self.objects, now=now), now=now)

    def undo(self) -> UndoResult:
        return undo(self.context, self.objects, who="me", host="here")

    def set_alias(self, name: str, version: Digest) -> None:
        with self.context.index.write() as writer:
            refs.set_alias(writer, name, version, who="me", host="here", now=self.clock.now_ns())

    def version_of(self, tag: str) -> Digest:
        with self.context.index.read() as reader:
            found = reader.tag(tag)
        if found is None:
            raise NotFound(tag)
        return Digest(found.version)

    def tags(self) -> list[str]:
        with self.context.index.read() as reader:
            return [tag.name for tag in reader.tags()]

    def packs(self, state: PackState | None = None) -> list[PackRow]:
        with self.context.index.read() as reader:
            return [row for row in reader.packs() if state is None or row.state is state]

    def pack_names(self) -> set[bytes]:
        """Packs on disk."""
        return {bytes(pack) for pack, _ in self.context.packs.list()}

    def pack_bytes(self) -> int:
        return sum(size for _, size in self.context.packs.list())

    def is_here(self, version: Digest) -> bool:
        with self.context.index.read() as reader:
            return reader.version_set(version) is not None


def noise(seed: int, size: int = 60_000) -> bytes:
    """Bytes that neither compress nor repeat."""
    return random.Random(seed).randbytes(size)


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    """An empty store whose packs hold about 300 kB."""
    monkeypatch.setattr(limits, "PACK_BYTES_TARGET", 300_000)
    monkeypatch.setattr(limits, "METAPACK_BYTES_TARGET", 4_000)
    create(tmp_path / "store")
    with opened(tmp_path / "store") as store:
        clock = MovableClock()
        made = Keeper(replace(store.context, clock=clock), tmp_path / "folder", clock)
        yield made
        made.objects.close()

"""What the tests of the services share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from artstore.adapters.lmdb_index.index import LmdbIndex
from artstore.errors import NotFound
from artstore.format.ids import PLAIN
from artstore.format.version import encode_version
from artstore.model import Digest, Metadata, ObjectKind, PackId, PackKind, TableEntry, Version
from artstore.store import refs
from artstore.store.objects import Objects
from artstore.testing.planted import Planter
from tests.worlds import World

SECOND = 1_000_000_000
START = 1_795_514_400 * SECOND  # 2026-11-24T10:00:00Z


@dataclass
class RefStore:
    """The index of a store with versions that consist of their document alone, and a clock that the test winds."""

    index: LmdbIndex
    documents: dict[Digest, Version] = field(default_factory=dict[Digest, Version])
    now: int = START
    packs: int = 0

    def version(self, message: str = "", *, parent: Digest | None = None, id: Digest | None = None) -> Digest:
        """A version that lies in a pack of its own; `id` forces one that a hash wouldn't give."""
        parents = [] if parent is None else [bytes(parent)]
        made = Version(bytes(32), parents, self.now, "me", message or str(self.packs), Metadata(), 0, 0)
        digest = id or encode_version(made, PLAIN)[0]
        self.documents[digest] = made
        self.packs += 1
        entry = TableEntry(digest, 0, 10, 10, 0, int(ObjectKind.VERSION))
        with self.index.write() as writer:
            pack = PackId(self.packs.to_bytes(16, "big"))
            number = writer.add_pack(pack, PackKind.META, size=100, created=self.now, table=[entry])
            writer.put_set(digest, [number])
        return digest

    def forget(self, version: Digest) -> None:
        """What collection does to a version."""
        with self.index.write() as writer:
            for number in writer.version_set(version) or ():
                writer.remove_pack(number)
            writer.remove_set(version)

    def load(self, version: Digest) -> Version:
        """A version's document."""
        if version not in self.documents:
            raise NotFound(f"no document {version.hex()}")
        return self.documents[version]

    def tag(self, name: str, version: Digest | None = None) -> Digest:
        """Make a tag, of a new version if none is given, a second after the last one."""
        version = version or self.version(name)
        self.now += SECOND
        with self.index.write() as writer:
            refs.set_tag(writer, name, version, now=self.now)
        return version

    def move(self, name: str, version: Digest) -> refs.Moved:
        """Move an alias forward, a second after the last move."""
        self.now += SECOND
        with self.index.write() as writer:
            return refs.set_alias(writer, name, version, who="me", host="here", now=self.now)

    def rollback(self, name: str, to: Digest | None = None) -> refs.Moved:
        """Roll an alias back."""
        self.now += SECOND
        with self.index.write() as writer:
            return refs.rollback(writer, name, to=to, who="me", host="here", now=self.now)

    def resolve(self, text: str, relative_to: str | None = None) -> refs.Resolved:
        """What a revision means."""
        with self.index.read() as reader:
            return refs.resolve(reader, refs.parse(reader, text), load_version=self.load, relative_to=relative_to)


@pytest.fixture
def ref_store(tmp_path: Path) -> Iterator[RefStore]:
    """An empty store's index."""
    index = LmdbIndex(str(tmp_path), PLAIN)
    yield RefStore(index)
    index.close()


@pytest.fixture
def planter(tmp_path: Path) -> Iterator[Planter]:
    """An empty store to which objects can be added."""
    planter = Planter(str(tmp_path / "store"))
    yield planter
    planter.close()


@pytest.fixture
def objects(planter: Planter) -> Iterator[Objects]:
    """Reads of that store."""
    objects = Objects(planter.context)
    yield objects
    objects.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Machines, a home and its mirrors."""
    with ExitStack() as stack:
        yield World(tmp_path, stack)

"""What every index promises of packs at remotes (artstore.ports.Index), run by the LMDB index and by its double."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.adapters.lmdb_index import LmdbIndex
from artstore.format.ids import PLAIN
from artstore.model import Digest, FarPack, Location, PackId, PackKind, TableEntry
from artstore.ports import Index, IndexWriter
from artstore.testing import MemoryIndex

REMOTE, OTHER = b"r" * 16, b"s" * 16


@pytest.fixture(params=["lmdb", "memory"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    made = MemoryIndex() if request.param == "memory" else LmdbIndex(str(tmp_path), PLAIN)
    yield made
    made.close()


def digest(number: int) -> Digest:
    return Digest(number.to_bytes(32, "big"))


def table(*ids: bytes) -> list[TableEntry]:
    return [TableEntry(Digest(id), 100 * i, 10 + i, 20 + i, i % 2, 0) for i, id in enumerate(ids)]


def test_where_a_chunk_lies_at_remotes_is_known(index: Index) -> None:
    """What isn't here would be asked for one by one, or taken for lost."""
    with index.write() as writer:
        first = writer.add_far_pack(REMOTE, "p/a/00000001", size=1000, table=table(digest(1), digest(2)))
        again = writer.add_far_pack(REMOTE, "p/a/00000001", size=1000, table=table(digest(1), digest(2)))
        second = writer.add_far_pack(OTHER, "p/a/00000001", size=2000, table=table(digest(2)))
        local = writer.add_pack(PackId(bytes(16)), PackKind.DATA, size=9, created=1, table=table(digest(3)))
    assert first == again
    assert len({first, second, local}) == 3, "a number means one pack"
    with index.read() as reader:
        one, two, none = reader.far_find_many([digest(1), digest(2), digest(9)])
        assert one == Location(first, 0, 10, 20, 0, 0)
        assert two is not None
        assert two.pack in (first, second)
        assert none is None
        assert {place.pack for place in reader.far_copies(digest(2))} == {first, second}
        assert reader.find(digest(1)) is None, "it isn't here"
        assert reader.far_find_many([digest(3)]) == [None]
        assert reader.far_pack(first) == FarPack(first, REMOTE, "p/a/00000001", 1000)
        assert reader.far_pack_at(OTHER, "p/a/00000001") == FarPack(second, OTHER, "p/a/00000001", 2000)
        assert reader.far_pack_at(OTHER, "p/b/00000001") is None
        assert reader.far_pack(local) is None
        assert reader.pack(first) is None


def test_a_pack_that_went_from_a_remote_is_not_found(index: Index) -> None:
    """Each read would ask for it first, for ever; and its rows would stay."""
    with index.write() as writer:
        first = writer.add_far_pack(REMOTE, "p/a/00000001", size=1000, table=table(digest(1), digest(2)))
        second = writer.add_far_pack(REMOTE, "p/a/00000002", size=1000, table=table(digest(2)))
        writer.remove_far_pack(first)
        assert writer.far_find_many([digest(1)]) == [None]
    with index.read() as reader:
        assert reader.far_pack(first) is None
        assert reader.far_pack_at(REMOTE, "p/a/00000001") is None
        assert [place.pack for place in reader.far_copies(digest(2))] == [second]
        found = reader.far_find_many([digest(2)])[0]
        assert found is not None
        assert found.pack == second
    with index.write() as writer:
        again = writer.add_far_pack(REMOTE, "p/a/00000001", size=1000, table=table(digest(1)))
        assert again != first, "a number is never given twice"
        far_rows(writer)
        assert far_rows(writer) == 2, "the others were forgotten"
        assert writer.far_find_many([digest(1)])[0] is not None


def far_rows(writer: IndexWriter) -> int:
    """How many rows were looked at, one by one."""
    count, after = 0, b""
    while (found := writer.drop_void_far(after, 1)) is not None:
        count, after = count + 1, found
    return count

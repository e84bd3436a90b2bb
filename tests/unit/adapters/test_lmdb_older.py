"""An index of a release that knew nothing of packs at remotes."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest

from artstore.adapters.lmdb_index import LmdbIndex, environment
from artstore.format.ids import PLAIN
from artstore.model import Digest, Location, PackId, PackKind, TableEntry

ONE = Digest(bytes(31) + b"\1")


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A store with such an index, which knows one object."""
    index = LmdbIndex(str(tmp_path), PLAIN)
    with index.write() as writer:
        writer.add_pack(PackId(bytes(16)), PackKind.DATA, size=9, created=1, table=[TableEntry(ONE, 0, 1, 2, 0, 0)])
    index.close()
    with lmdb.open(str(tmp_path / "index.lmdb"), max_dbs=20) as env, env.begin(write=True) as transaction:
        transaction.drop(env.open_db(b"far", txn=transaction, create=False))
    return tmp_path


def test_who_may_only_read_it_reads_it(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A colleague's store, after an upgrade: it would be told to be damaged."""

    def no(path: str, *, create: bool) -> bool:
        del path, create
        return False

    monkeypatch.setattr(environment, "_writable", no)
    index = LmdbIndex(str(older), PLAIN)
    with index.read() as reader:
        assert reader.find(ONE) == Location(1, 0, 1, 2, 0, 0)
        assert reader.far_find_many([ONE]) == [None]
        assert reader.far_copies(ONE) == []
        reader.read_all()
    index.close()


def test_who_may_write_has_what_is_missing(older: Path) -> None:
    """Nothing could be read from a remote."""
    index = LmdbIndex(str(older), PLAIN)
    with index.write() as writer:
        number = writer.add_far_pack(b"r" * 16, "p/a/1", size=9, table=[TableEntry(ONE, 0, 1, 2, 0, 0)])
        assert writer.far_find_many([ONE]) == [Location(number, 0, 1, 2, 0, 0)]
    index.close()

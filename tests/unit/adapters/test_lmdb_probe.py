"""An index that was cut off is told as damaged; without the probe it would end the process that opens it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artstore.adapters.lmdb_index import LmdbIndex
from artstore.adapters.lmdb_index.probe import require_readable, require_whole
from artstore.errors import Corrupt
from artstore.format.ids import PLAIN
from artstore.model import Digest, PackId, PackKind, TableEntry

PAGE = 4096


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an index with some rows."""
    index = LmdbIndex(str(tmp_path), PLAIN)
    for number in range(3):
        table = [TableEntry(Digest(os.urandom(32)), 0, 10, 10, 0, 0) for _ in range(500)]
        with index.write() as writer:
            writer.add_pack(PackId(os.urandom(16)), PackKind.DATA, size=100, created=number, table=table)
    index.close()
    return tmp_path / "index.lmdb"


def test_cut_anywhere(folder: Path) -> None:
    """Cut behind any page, the index opens or is Corrupt; this process lives on."""
    data = folder / "data.mdb"
    whole = data.read_bytes()
    refused = 0
    for size in (5000, *range(2 * PAGE, len(whole), 3 * PAGE)):
        data.write_bytes(whole[:size])
        try:
            index = LmdbIndex(str(folder.parent), PLAIN)
        except Corrupt:
            refused += 1
            continue
        with index.read() as reader:
            assert len(list(reader.packs())) == 3
        index.close()
    assert refused > 5


def test_pages_never_written(folder: Path) -> None:
    """Pages that nothing uses may be missing at the end: the index opens, and has its full length from then on."""
    data = folder / "data.mdb"
    raw = bytearray(data.read_bytes())
    for meta in (0, PAGE):  # three more pages in use than the file has
        last = int.from_bytes(raw[meta + 136 : meta + 144], "little")
        raw[meta + 136 : meta + 144] = (last + 3).to_bytes(8, "little")
    data.write_bytes(raw)
    index = LmdbIndex(str(folder.parent), PLAIN)
    with index.read() as reader:
        assert len(list(reader.packs())) == 3
    index.close()
    assert data.stat().st_size > len(raw)
    require_whole(str(folder))


def test_garbage(folder: Path) -> None:
    """Pages that lie are Corrupt too, whatever reading them does to who reads them."""
    data = folder / "data.mdb"
    whole = data.read_bytes()
    data.write_bytes(whole[: 2 * PAGE] + b"\xff" * (len(whole) - 2 * PAGE))
    with pytest.raises(Corrupt):
        require_readable(str(folder))

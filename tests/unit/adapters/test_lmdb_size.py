"""How much of the index's file is in use."""

from __future__ import annotations

from pathlib import Path

from artstore import wiring
from artstore.model import Digest, PackId, PackKind, TableEntry
from artstore.testing.sizes import index_used_bytes


def test_pages_in_use_grow_with_rows_and_shrink_without(tmp_path: Path) -> None:
    """Pages that were freed are part of the file, and would pass for what the rows take."""
    store = tmp_path / "store"
    wiring.init(str(store))
    empty = index_used_bytes(str(store))
    table = [TableEntry(Digest(number.to_bytes(32)), number * 144, 100, 100, 0, 0) for number in range(5000)]
    connection = wiring.connect(str(store))
    with connection.context.index.write() as writer:
        number = writer.add_pack(PackId(bytes(16)), PackKind.DATA, size=1_000_000, created=1, table=table)
    full = index_used_bytes(str(store))
    assert full - empty > 5000 * 52
    assert full <= (store / "index.lmdb" / "data.mdb").stat().st_size
    with connection.context.index.write() as writer:
        writer.remove_pack(number)
    assert index_used_bytes(str(store)) == empty
    connection.close()

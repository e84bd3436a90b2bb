"""How large parts of a store are, beyond what a file's size tells."""

from __future__ import annotations

from artstore.adapters.lmdb_index import LmdbIndex
from artstore.format.ids import PLAIN


def index_used_bytes(store: str) -> int:
    """Bytes of a store's index that hold rows: its file also has pages that are free. Errors as `wiring.connect`."""
    index = LmdbIndex(store, PLAIN)
    try:
        return index.used_bytes()
    finally:
        index.close()

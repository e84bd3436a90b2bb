"""The index over LMDB, and the log of refs that is written with it."""

from artstore.adapters.lmdb_index.index import LmdbIndex, rebuilding
from artstore.adapters.lmdb_index.reader import Reader
from artstore.adapters.lmdb_index.refs_log import RefsLog
from artstore.adapters.lmdb_index.writer import Writer

__all__ = ["LmdbIndex", "Reader", "RefsLog", "Writer", "rebuilding"]

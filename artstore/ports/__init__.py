"""What the store asks of the world, as Protocols. Adapters implement them; tests run one contract suite over each.

Nothing here does I/O. Errors: adapters translate foreign exceptions into `artstore.errors` once.
"""

from artstore.ports.buffers import Body, Buffer
from artstore.ports.index import Index, IndexReader, IndexWriter, RefsLog
from artstore.ports.packs import PackFiles, PackSink
from artstore.ports.processes import Clock, Session, Sessions
from artstore.ports.remotes import Pace, PackCache, Remote, RemotePool, Streamed

__all__ = [
    "Body",
    "Buffer",
    "Clock",
    "Index",
    "IndexReader",
    "IndexWriter",
    "Pace",
    "PackCache",
    "PackFiles",
    "PackSink",
    "RefsLog",
    "Remote",
    "RemotePool",
    "Session",
    "Sessions",
    "Streamed",
]

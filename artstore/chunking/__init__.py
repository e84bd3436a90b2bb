"""Where to cut a file into chunks: by content, and at the places that its format names.

Decides boundaries from bytes alone. Knows nothing of names, ids, packs or where bytes come from.
"""

from typing import Final

from artstore import limits
from artstore.chunking._gear import CHUNK_MAX, CHUNK_MIN, CHUNK_TARGET, cut
from artstore.chunking.hints import HEAD_BYTES, find_starts

__all__ = ["CHUNKER_ID", "CHUNK_MAX", "CHUNK_MIN", "CHUNK_TARGET", "HEAD_BYTES", "cut", "find_starts"]

CHUNKER_ID: Final = 1
"""Names the gear table, the sizes, the rule and the formats whose starts are known; a store keeps to one."""

assert (CHUNK_MIN, CHUNK_TARGET, CHUNK_MAX) == (
    limits.CHUNK_BYTES_MIN,
    limits.CHUNK_BYTES_TARGET,
    limits.CHUNK_BYTES_MAX,
)

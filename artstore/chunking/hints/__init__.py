"""Where a file's format says that its parts begin: format-aware starts.

Decides from a file's bytes alone, never from its name [I7]; knows no chunk. Each format has a module with one function,
`find(headers, starts)`, which adds what it finds. Headers are read, never the data between them, and only so much as
the limits allow: a file that lies about itself costs dedup, never correctness.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from artstore.chunking._gear import CHUNK_MIN
from artstore.chunking.hints import gguf, npy, parquet, safetensors, tar, zip_archive
from artstore.chunking.hints.headers import Headers, Starts, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_BYTES: Final = 512
"""How many first bytes of a file tell its format; `find_starts` given as many reads nothing of unknown files."""


def find_starts(read_at: Callable[[int, int], bytes], size: int, *, head: bytes = b"") -> array[int]:
    """The format-aware starts of a file of `size` bytes: ascending positions between 0 and `size`, often none.

    `read_at(offset, count)` returns bytes of the file, fewer than `count` only at its end; `head` are first bytes that
    the caller happens to have. The same bytes give the same starts, with any `head`. No content raises: what can't be
    read as its format gives the starts that were found until then. What `read_at` raises passes through.
    """
    if size < 2 * CHUNK_MIN:
        return array("Q")
    starts = Starts()
    try:
        headers = Headers(read_at, size, head)
        find = _parser_of(headers.read(0, HEAD_BYTES))
        if find is not None:
            find(headers, starts)
    except Unreadable:
        pass
    return _worthwhile(starts.found, size)


def _parser_of(head: bytes) -> Callable[[Headers, Starts], None] | None:
    if head.startswith(b"PK\x03\x04"):
        return zip_archive.find
    if head.startswith(npy.MAGIC):
        return npy.find
    if head.startswith(b"GGUF"):
        return gguf.find
    if head.startswith(parquet.MAGIC):
        return parquet.find
    if head[257:262] == b"ustar":
        return tar.find
    if head[8:9] == b"{":
        return safetensors.find
    return None


def _worthwhile(found: array[int], size: int) -> array[int]:
    """Sorted and without those that have another start, or the end, less than CHUNK_MIN after them.

    A cut at the first of two near starts keeps the kernel from cutting at the second, where the larger part begins; and
    a run of small parts would come out as chunks of little more than CHUNK_MIN.
    """
    kept = array("Q")
    following = size
    for start in sorted(found, reverse=True):
        if 0 < start < size:
            if following - start >= CHUNK_MIN:
                kept.append(start)
            following = start
    kept.reverse()
    return kept

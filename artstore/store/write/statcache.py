"""What lets an unchanged file go unread: one row per file, blocks of rows per directory, one head per directory.

A row is trusted only if neither of its times lies within RACY_NS of the moment the scan began, or after it (git's racy
rule). The head carries a hash over all names and rows, so that an unchanged directory is recognised by one look-up.
Losing these records costs reading, never correctness.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.ids import checksum
from artstore.format.statrows import FORMAT, ROW, Block, Head, decode_block, decode_head, encode

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from artstore.format.statrows import Place
    from artstore.model import Content
    from artstore.ports import IndexReader

Old = tuple[bytes, int, int, "Content"]
"""Of one file: row, kind, size, content."""

BLOCK_ROWS = 512
UNTRUSTED = b""
"""In place of a row or a fingerprint: equal to none."""


def directory_key(stat: os.stat_result, path: bytes, flavour: bytes) -> bytes:
    """The key of one directory; `flavour` names the options which change what its entries become."""
    return checksum(b"stat\0%d\0%d\0%s\0%s" % (stat.st_dev, stat.st_ino, flavour, path))[:16]


def row_of(stat: os.stat_result) -> bytes:
    """A file's row."""
    return ROW.pack(stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_mode)


def is_racy(stat: os.stat_result, since: int) -> bool:
    """Could the file be changed once more without its times telling? `since`: when the scan began, ns."""
    limit = since - limits.RACY_NS
    return stat.st_mtime_ns > limit or stat.st_ctime_ns > limit


def fingerprint(names: Sequence[bytes], rows: Sequence[bytes]) -> bytes:
    """A hash over a directory's names and rows."""
    return checksum(b"%d\0%s\0%s" % (len(names), b"\0".join(names), b"".join(rows)))


def head_of(reader: IndexReader, directory: bytes) -> Head | None:
    """What is known of a directory."""
    raw = next(reader.stat_blocks(directory), None)
    return None if raw is None else decode_head(raw)


def rows_of(reading: Callable[[], IndexReader], directory: bytes, blocks: int) -> Iterator[tuple[bytes, Old]]:
    """Names and what was known of a directory's files, in the order of names.

    `reading` gives a snapshot for each block: the walk over a large directory must not hold on to one.
    """
    for number in range(blocks):
        for raw in list(reading().stat_blocks(block_key(directory, number))):
            block = decode_block(raw)
            if block is None:
                return
            rows = (block.rows[at : at + ROW.size] for at in range(0, len(block.rows), ROW.size))
            values = zip(rows, block.kinds, block.sizes, block.contents, strict=True)
            yield from zip(block.names, values, strict=True)


def block_key(directory: bytes, number: int) -> bytes:
    """The key of one block of a directory's rows."""
    # Each block has a key of its own: a directory of a million files is written as it is read, never held.
    return checksum(directory + number.to_bytes(4, "big"))[:16]


class RowWriter:
    """Gathers the rows of one directory; `ready` holds the (key, record) pairs to be put into the index."""

    def __init__(self, directory: bytes, place: Place | None, ready: list[tuple[bytes, bytes]]) -> None:
        self._directory = directory
        self._place = place
        self._ready = ready
        self._blocks = 0
        self._clear()

    def _clear(self) -> None:
        self._names: list[bytes] = []
        self._rows: list[bytes] = []
        self._kinds: list[int] = []
        self._sizes: list[int] = []
        self._contents: list[Content] = []

    def add(self, name: bytes, row: bytes, kind: int, size: int, content: Content) -> None:
        """The next file in the order of names; leave out what can't be trusted."""
        self._names.append(name)
        self._rows.append(row)
        self._kinds.append(kind)
        self._sizes.append(size)
        self._contents.append(content)
        if len(self._names) >= BLOCK_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._names:
            block = Block(self._names, b"".join(self._rows), self._kinds, self._sizes, self._contents)
            self._ready.append((block_key(self._directory, self._blocks), encode(block)))
            self._blocks += 1
            self._clear()

    def finish(self, mark: bytes, tree: bytes, size: int, files: int) -> None:
        """Close the directory; `mark` is its fingerprint, UNTRUSTED if any of its entries can't be trusted."""
        self._flush()
        head = Head(FORMAT, mark, tree, size, files, self._blocks, self._place, time.time_ns())
        self._ready.append((self._directory, encode(head)))

"""The stat cache's records: what was known of a directory and its files when they were last read.

A cache: a record that can't be decoded is as good as none, and no id depends on these bytes.
"""

from __future__ import annotations

from struct import Struct
from typing import TypeVar

import msgspec

from artstore.model import Content

FORMAT = 1
ROW = Struct("<QQqqI")
"""One file: inode, size, mtime in ns, ctime in ns, mode."""


class Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a directory was: by this it is found out that it is there no more."""

    path: bytes
    device: int
    inode: int


class Head(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A directory: a hash over all its names and rows, the tree it became, and how many blocks of rows it has; where it
    was, and when this was written (ns).
    """

    format: int
    fingerprint: bytes
    tree: bytes
    size: int
    files: int
    blocks: int
    place: Place | None = None
    written: int = 0


class Block(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Rows of a directory, in the order of names."""

    names: list[bytes]
    rows: bytes
    kinds: list[int]
    sizes: list[int]
    contents: list[Content]


Record = TypeVar("Record", Head, Block)

_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(Head)
_block_decoder = msgspec.msgpack.Decoder(Block)


def encode(record: Head | Block) -> bytes:
    """The record's bytes."""
    return _encoder.encode(record)


def decode_head(raw: bytes) -> Head | None:
    """The head, or None if another release wrote it."""
    head = _decoded(_head_decoder, raw)
    return head if head is not None and head.format == FORMAT else None


def decode_block(raw: bytes) -> Block | None:
    """The block, or None if another release wrote it."""
    block = _decoded(_block_decoder, raw)
    return block if block is not None and len(block.rows) == ROW.size * len(block.names) else None


def _decoded(decoder: msgspec.msgpack.Decoder[Record], raw: bytes) -> Record | None:
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError:
        return None

"""How content is named: BLAKE3-256, plain for chunks, with a context of its own for each kind of page and document.

The contexts keep a user's file from passing for a page: equal bytes of two kinds have two ids. A new format of a page
or document keeps its context (its bytes begin with another format number).

A store may have an id key. Then each kind has a key of its own, derived from that, and ids are hashes under it: who has
ids, and a file of which he thinks that it lies there, learns nothing. The key never changes, since all ids would.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3

from artstore.errors import Corrupt
from artstore.model import Digest, ObjectKind

Buffer = bytes | bytearray | memoryview

CHUNK_CONTEXT: Final = "artstore 2026 chunk 1"  # of keyed ids alone: other tools know a plain one (b3sum)
TREE_PAGE_CONTEXT: Final = "artstore 2026 tree page 1"
RECIPE_PAGE_CONTEXT: Final = "artstore 2026 recipe page 1"
VERSION_CONTEXT: Final = "artstore 2026 version 1"
MOVE_CONTEXT: Final = "artstore 2026 move 1"
MARK_CONTEXT: Final = "artstore 2026 id key mark 1"
KEYED: Final = " keyed"
"""What a context ends in where a kind's key is derived under it: no plain hash has such a context."""

DIGEST_BYTES: Final = 32
KEY_BYTES: Final = 32
MARK_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of one store: of its key, or plain ones. Thread-safe; each method releases the GIL while it hashes."""

    key: bytes | None = field(default=None, repr=False)  # kept out of logs
    _chunk: blake3 = field(init=False, repr=False, compare=False)
    _tree_page: blake3 = field(init=False, repr=False, compare=False)
    _recipe_page: blake3 = field(init=False, repr=False, compare=False)
    _version: blake3 = field(init=False, repr=False, compare=False)
    _move: blake3 = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare a hasher for each kind."""
        assert self.key is None or len(self.key) == KEY_BYTES
        set_field = object.__setattr__  # the class is frozen
        set_field(self, "_chunk", blake3() if self.key is None else _prepared(self.key, CHUNK_CONTEXT))
        set_field(self, "_tree_page", _prepared(self.key, TREE_PAGE_CONTEXT))
        set_field(self, "_recipe_page", _prepared(self.key, RECIPE_PAGE_CONTEXT))
        set_field(self, "_version", _prepared(self.key, VERSION_CONTEXT))
        set_field(self, "_move", _prepared(self.key, MOVE_CONTEXT))

    @property
    def mark(self) -> bytes:
        """What tells these ids from those of another key, and nothing of the key itself; nothing for plain ids."""
        return b"" if self.key is None else blake3(self.key, derive_key_context=MARK_CONTEXT).digest(MARK_BYTES)

    def chunk(self, data: Buffer) -> Digest:
        """Id of a chunk."""
        if self.key is None:  # costs less than a copy, which small files notice
            return Digest(blake3(data).digest())
        return _hashed(self._chunk, data)

    def tree_page(self, data: Buffer) -> Digest:
        """Id of a tree page."""
        return _hashed(self._tree_page, data)

    def recipe_page(self, data: Buffer) -> Digest:
        """Id of a recipe page."""
        return _hashed(self._recipe_page, data)

    def version(self, data: Buffer) -> Digest:
        """Id of an encoded version."""
        return _hashed(self._version, data)

    def move(self, data: Buffer) -> Digest:
        """Id of an encoded move."""
        return _hashed(self._move, data)

    def of(self, kind: ObjectKind, data: Buffer) -> Digest:
        """Id of what a frame of this kind holds."""
        return _OF_KIND[kind](self, data)

    def verify(self, kind: ObjectKind, id: bytes, data: Buffer) -> None:
        """Corrupt unless `data` has this id [I5]."""
        if _OF_KIND[kind](self, data) != id:
            raise Corrupt(f"{_NAMES[kind]} {id.hex()} does not match its id", digest=id)


def checksum(data: Buffer) -> bytes:
    """32 bytes over what has no id: tables and log records, and keys of this machine alone. Plain in every store."""
    return blake3(data).digest()


def _prepared(key: bytes | None, context: str) -> blake3:
    if key is None:
        return blake3(derive_key_context=context)
    return blake3(key=blake3(key, derive_key_context=context + KEYED).digest())


def _hashed(prepared: blake3, data: Buffer) -> Digest:
    # A copy of a prepared hasher costs less than setting up the key again, and no more than a hasher without one.
    hasher = prepared.copy()
    hasher.update(data)
    return Digest(hasher.digest())


_OF_KIND: Final = {
    ObjectKind.CHUNK: Ids.chunk,
    ObjectKind.TREE_PAGE: Ids.tree_page,
    ObjectKind.RECIPE_PAGE: Ids.recipe_page,
    ObjectKind.VERSION: Ids.version,
}
_NAMES: Final = {
    ObjectKind.CHUNK: "chunk",
    ObjectKind.TREE_PAGE: "tree page",
    ObjectKind.RECIPE_PAGE: "recipe page",
    ObjectKind.VERSION: "version",
}
assert set(_OF_KIND) == set(_NAMES) == set(ObjectKind)

PLAIN: Final = Ids()
"""The ids of every store without a key."""

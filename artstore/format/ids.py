"""How content is named: BLAKE3-256, plain for chunks, with a context of its own for each kind of page and document.

The contexts keep a user's file from passing for a page: equal bytes of two kinds have two ids. A new format of a page
or document keeps its context (its bytes begin with another format number).
"""

from __future__ import annotations

from blake3 import blake3

from artstore.errors import Corrupt
from artstore.model import Digest, ObjectKind

Buffer = bytes | bytearray | memoryview

TREE_PAGE_CONTEXT = "artstore 2026 tree page 1"
RECIPE_PAGE_CONTEXT = "artstore 2026 recipe page 1"
VERSION_CONTEXT = "artstore 2026 version 1"
MOVE_CONTEXT = "artstore 2026 move 1"

DIGEST_BYTES = 32


def chunk_id(data: Buffer) -> Digest:
    """Id of a chunk: the plain hash of its bytes. Releases the GIL."""
    return Digest(blake3(data).digest())


def tree_page_id(data: Buffer) -> Digest:
    """Id of a tree page."""
    return _derived(_TREE_PAGE, data)


def recipe_page_id(data: Buffer) -> Digest:
    """Id of a recipe page."""
    return _derived(_RECIPE_PAGE, data)


def version_id(data: Buffer) -> Digest:
    """Id of an encoded version."""
    return _derived(_VERSION, data)


def move_id(data: Buffer) -> Digest:
    """Id of an encoded move."""
    return _derived(_MOVE, data)


def object_id(kind: ObjectKind, data: Buffer) -> Digest:
    """Id of what a frame of this kind holds."""
    return _OF_KIND[kind](data)


def verify_object(kind: ObjectKind, id: bytes, data: Buffer) -> None:
    """Corrupt unless `data` has this id [I5]."""
    if _OF_KIND[kind](data) != id:
        raise Corrupt(f"{_NAMES[kind]} {id.hex()} does not match its id", digest=id)


def checksum(data: Buffer) -> bytes:
    """32 bytes over what has no id: tables and log records."""
    return blake3(data).digest()


def _derived(template: blake3, data: Buffer) -> Digest:
    # A copy of a prepared hasher costs less than deriving the context's key again.
    hasher = template.copy()
    hasher.update(data)
    return Digest(hasher.digest())


_TREE_PAGE = blake3(derive_key_context=TREE_PAGE_CONTEXT)
_RECIPE_PAGE = blake3(derive_key_context=RECIPE_PAGE_CONTEXT)
_VERSION = blake3(derive_key_context=VERSION_CONTEXT)
_MOVE = blake3(derive_key_context=MOVE_CONTEXT)

_OF_KIND = {
    ObjectKind.CHUNK: chunk_id,
    ObjectKind.TREE_PAGE: tree_page_id,
    ObjectKind.RECIPE_PAGE: recipe_page_id,
    ObjectKind.VERSION: version_id,
}
_NAMES = {
    ObjectKind.CHUNK: "chunk",
    ObjectKind.TREE_PAGE: "tree page",
    ObjectKind.RECIPE_PAGE: "recipe page",
    ObjectKind.VERSION: "version",
}
assert set(_OF_KIND) == set(_NAMES) == set(ObjectKind)

"""The extended attributes of what a version holds: `user.artstore.id`, `.version`, `.bytes_stored`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.model import Form
from artstore.store.content import iter_content

if TYPE_CHECKING:
    from artstore.ports import Index
    from artstore.store.objects import Objects
    from artstore_fuse.nodes import Node

NAMESPACE: Final = b"user."
ID: Final = b"user.artstore.id"
VERSION: Final = b"user.artstore.version"
BYTES_STORED: Final = b"user.artstore.bytes_stored"
_FILES: Final = frozenset({Form.EMPTY, Form.CHUNK, Form.RECIPE})
_WITH_ID: Final = frozenset({Form.CHUNK, Form.RECIPE, Form.TREE})


def names(node: Node) -> list[bytes]:
    """Which ones there are: an empty file has no content to name, a folder no chunks of its own."""
    form = node.entry.content.form
    return [
        *([ID] if form in _WITH_ID else []),
        VERSION,
        *([BYTES_STORED] if form in _FILES else []),
    ]


def get(objects: Objects, index: Index, node: Node, name: bytes) -> bytes | None:
    """The value of one; None if it isn't there."""
    if name not in names(node):
        return None
    if name == VERSION:
        return node.top.version.hex().encode()
    if name == ID:
        return node.entry.content.value.hex().encode()
    return str(_stored(objects, index, node)).encode()


def _stored(objects: Objects, index: Index, node: Node) -> int:
    """What the distinct chunks of a file take in the packs, headers included.

    The ids of a great file would fill the memory: it is gone through several times, each for a part of the ids.
    """
    parts = 1 + node.entry.size // limits.MOUNT_STORED_BYTES
    return sum(_stored_part(objects, index, node, part, parts) for part in range(parts))


def _stored_part(objects: Objects, index: Index, node: Node, part: int, parts: int) -> int:
    """The same, of the chunks whose ids belong to one of so many parts."""
    content = iter_content(objects.load, node.entry.content, node.entry.size)
    chunks = (id for _, id, _ in content if int.from_bytes(id[:4], "big") % parts == part)
    seen: set[bytes] = set()
    size = 0
    while batch := list(islice(chunks, limits.MOUNT_LISTING_ENTRIES)):
        fresh = [id for id in dict.fromkeys(batch) if id not in seen]
        seen.update(fresh)
        with index.read() as reader:
            places = reader.find_many(fresh)
        size += sum(limits.FRAME_HEADER_BYTES + place.stored for place in places if place is not None)
    return size

"""What the kernel knows by number: each thing that was looked up, until the kernel forgets it.

A number follows from what a thing is and where it stands, so that it is the same each time while the mount lives; it
is never given to anything else as long as the kernel knows it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

    from artstore.model import Entry
    from artstore_fuse.names import Path

ROOT_INODE: Final = 1
_MASK: Final = (1 << 62) - 1
_RESERVED: Final = 1024


@dataclass(frozen=True, slots=True)
class Top:
    """A version where it stands: `name` is for people; `created` in ns."""

    version: bytes
    name: str
    created: int


class Node:
    """Something below a version. `parent` is None for the version's own folder."""

    __slots__ = ("count", "entry", "inode", "parent", "top")

    def __init__(self, inode: int, entry: Entry, parent: Node | None, top: Top) -> None:
        self.inode = inode
        self.entry = entry
        self.parent = parent
        self.top = top
        self.count = 0

    @property
    def key(self) -> Hashable:
        """What makes it the one that it is."""
        return tree_key(self.parent, self.entry, self.top)

    @property
    def path(self) -> bytes:
        """Its path within the version."""
        parts: list[bytes] = []
        node, above = self, self.parent
        while above is not None:
            parts.append(node.entry.name)
            node, above = above, above.parent
        return b"/".join(reversed(parts))


class PlaceNode:
    """Something outside of the versions: a folder of names, a link, a file that is made when it is opened (a Kind)."""

    __slots__ = ("count", "inode", "kind", "path")

    def __init__(self, inode: int, kind: int, path: Path) -> None:
        self.inode = inode
        self.kind = kind
        self.path = path
        self.count = 0

    @property
    def key(self) -> Hashable:
        """What makes it the one that it is."""
        return place_key(self.kind, self.path)


AnyNode = Node | PlaceNode


class Nodes:
    """All nodes that the kernel knows, by number, with how often it was told of each."""

    def __init__(self, root: PlaceNode) -> None:
        self._nodes: dict[int, AnyNode] = {ROOT_INODE: root}
        self._displaced: dict[Hashable, AnyNode] = {}  # whose number was another's when they got theirs
        root.count = 1

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, inode: int) -> AnyNode:
        """ESTALE for a number that the kernel can't have from us."""
        node = self._nodes.get(inode)
        if node is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return node

    def known(self, key: Hashable) -> AnyNode | None:
        """The node of this key, if the kernel knows it."""
        node = self._nodes.get(number_of(key))
        if node is not None and node.key == key:
            return node
        return self._displaced.get(key) if self._displaced else None

    def find(self, key: Hashable, make: Callable[[int], AnyNode]) -> AnyNode:
        """The node of this key, or one that `make` gives the number that is free for it; not yet remembered."""
        inode = number_of(key)
        node = self._nodes.get(inode)
        if self._displaced and key in self._displaced:
            return self._displaced[key]
        if node is not None and node.key == key:
            return node
        while inode in self._nodes:
            inode = _next(inode)
        return make(inode)

    def remember(self, node: AnyNode) -> None:
        """The kernel was told of it once more."""
        known = self._nodes.setdefault(node.inode, node)
        known.count += 1
        if known.count == 1 and known.inode != number_of(known.key):
            self._displaced[known.key] = known

    def forget(self, inode: int, count: int) -> None:
        """The kernel forgets so many times that it was told of it."""
        node = self._nodes.get(inode)
        if node is None or inode == ROOT_INODE:
            return
        node.count -= count
        if node.count <= 0:
            del self._nodes[inode]
            self._displaced.pop(node.key, None)


def tree_key(parent: Node | None, entry: Entry, top: Top) -> Hashable:
    """The key of what an entry names in a folder of a version, or of the version's own folder."""
    above = (top.name, top.version) if parent is None else parent.inode
    return (above, entry.name, entry.kind, entry.content.value)


def place_key(kind: int, path: Path) -> Hashable:
    """The key of something outside of the versions."""
    return (kind, path)


def number_of(key: Hashable) -> int:
    """The number that a key would have if no other key had it; salted anew in each mount, as all of Python's hashes."""
    return max(hash(key) & _MASK, _RESERVED)


def _next(inode: int) -> int:
    return max((inode + 1) & _MASK, _RESERVED)

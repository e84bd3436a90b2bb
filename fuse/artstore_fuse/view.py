"""A store as a read-only file system: plain functions over numbers, bytes and values, which have never heard of FUSE.

Decides what each number means and what may be kept for ever. Everything is called from one thread, but for `getxattr`.
Errors leave as ArtstoreError or OSError; `errnos` makes errnos of them.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from artstore import limits
from artstore.errors import Corrupt, Erased
from artstore.model import Kind
from artstore.store.read import root_entry
from artstore_fuse import xattrs
from artstore_fuse.attributes import Attributes, Ownership, Statistics
from artstore_fuse.files import OpenFile
from artstore_fuse.listing import Listing
from artstore_fuse.names import Folder, Link, VersionName
from artstore_fuse.nodes import ROOT_INODE, AnyNode, Node, Nodes, PlaceNode, Top, place_key, tree_key
from artstore_fuse.places import Places
from artstore_fuse.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from artstore import Store
    from artstore.model import Entry
    from artstore_fuse.chunks import Chunks

__all__ = ["ROOT_INODE", "Attributes", "Change", "Statistics", "View"]

_BLOCK_BYTES: Final = 4096
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """A name that came, went or moved in a folder that the kernel knows; `inode` is what it knew there, else 0."""

    parent_inode: int
    name: bytes
    inode: int


@dataclass(slots=True)
class _Opened:
    """A file of a version, and by how many handles it is open."""

    file: OpenFile
    inode: int
    count: int = 0


class View:
    """One store, as one mount shows it.

    `pattern` limits which names are seen. `virtual`: the files of `.artstore`, made anew each time one is opened.
    """

    def __init__(
        self,
        store: Store,
        *,
        chunks: Chunks,
        uid: int,
        gid: int,
        umask: int,
        pattern: str = "*",
        virtual: Mapping[bytes, Callable[[], bytes]] | None = None,
    ) -> None:
        self._objects = store.objects
        self._index = store.context.index
        self._chunks = chunks
        self._owner = Ownership(uid, gid, umask)
        self._places = Places(self._index, pattern, virtual or {})
        self._places.refresh()
        self._trees = Trees(store.objects)
        self._nodes = Nodes(PlaceNode(ROOT_INODE, Kind.DIR, ()))
        self._tops: dict[bytes, tuple[Entry, int]] = {}  # a version's own folder, and when it was made
        self._offered: AnyNode | None = None
        self._place_listings: dict[int, tuple[PlaceNode, Listing[bytes]]] = {}
        self._tree_listings: dict[int, tuple[Node, Listing[Entry]]] = {}
        self._files: dict[int, _Opened] = {}  # by inode
        self._handles: dict[int, _Opened | bytes] = {}
        self._last_handle = 0
        self._statistics: tuple[float, Statistics] | None = None

    # --- what is where

    def lookup(self, parent: int, name: bytes) -> Attributes:
        """What stands in a folder under this name, which the kernel then knows. ENOENT, ENOTDIR, ESTALE."""
        node = self._nodes.get(parent)
        found = self._in_place(node, name) if isinstance(node, PlaceNode) else self._in_tree(node, name)
        if found is None:
            _fail(errno.ENOENT)
        self._nodes.remember(found)
        return self._attributes(found)

    def forget(self, inode: int, count: int) -> None:
        """The kernel forgets what it was told `count` times."""
        self._nodes.forget(inode, count)

    def getattr(self, inode: int) -> Attributes:
        """What `stat` tells. ESTALE for what the kernel can't know, ENOENT for a name that went."""
        return self._attributes(self._nodes.get(inode))

    def readlink(self, inode: int) -> bytes:
        """Where a symbolic link leads. EINVAL for anything else."""
        node = self._nodes.get(inode)
        if isinstance(node, Node):
            if node.entry.kind != Kind.SYMLINK:
                _fail(errno.EINVAL)
            return node.entry.content.value
        place = self._places.find(node.path)
        if not isinstance(place, Link):
            _fail(errno.ENOENT if place is None else errno.EINVAL)
        return place.target

    def lacks_for_ever(self, inode: int) -> bool:
        """Whether a folder will never have a name that it doesn't have now."""
        return isinstance(self._nodes.get(inode), Node)

    def getxattr(self, inode: int, name: bytes) -> bytes:
        """An extended attribute; ENODATA for one that isn't there. Any thread may call this.

        EOPNOTSUPP for those of the system, such as ACLs: `ls -l` then asks once, and not for each file.
        """
        if not name.startswith(xattrs.NAMESPACE):
            _fail(errno.EOPNOTSUPP)
        node = self._nodes.get(inode)
        value = xattrs.get(self._objects, self._index, node, name) if isinstance(node, Node) else None
        if value is None:
            _fail(errno.ENODATA)
        return value

    def listxattr(self, inode: int) -> list[bytes]:
        """The names of the extended attributes."""
        node = self._nodes.get(inode)
        return xattrs.names(node) if isinstance(node, Node) else []

    def statfs(self) -> Statistics:
        """The size of the store's packs, not older than MOUNT_STATFS_S; nothing is free."""
        now = time.monotonic()
        if self._statistics is None or now - self._statistics[0] > limits.MOUNT_STATFS_S:
            with self._index.read() as reader:
                size = sum(row.size for row in reader.packs())
            told = Statistics(-(-size // _BLOCK_BYTES), 0, 0, limits.NAME_BYTES_MAX, _BLOCK_BYTES)
            self._statistics = (now, told)
        return self._statistics[1]

    def describe(self, inode: int) -> str:
        """What people call it: `TAG:PATH`, or the path in the mount."""
        node = self._nodes.get(inode)
        if isinstance(node, Node):
            return f"{node.top.name}:{_shown(node.path)}"
        return "/" + _shown(b"/".join(node.path))

    # --- folders

    def opendir(self, inode: int) -> int:
        """A handle to list a folder as it is now. ENOTDIR, ESTALE."""
        node = self._nodes.get(inode)
        if isinstance(node, PlaceNode):
            if node.kind != Kind.DIR:
                _fail(errno.ENOTDIR)
            names = self._places.names(node.path)
            self._place_listings[self._new_handle()] = (node, Listing(lambda: iter((names,))))
        else:
            if node.entry.kind != Kind.DIR:
                _fail(errno.ENOTDIR)
            self._require(node.top)
            root = node.entry.content.value
            self._tree_listings[self._new_handle()] = (node, Listing(lambda: self._trees.batches(root)))
        return self._last_handle

    def readdir(self, handle: int, offset: int) -> Iterator[tuple[bytes, Attributes, int]]:
        """(name, attributes, offset behind it) from an offset on, 0 or one that was given. `remember` what is taken."""
        if handle in self._tree_listings:
            return self._list_tree(*self._tree_listings[handle], offset)
        return self._list_place(*self._place_listings[handle], offset)

    def remember(self, inode: int) -> None:
        """The kernel took the entry that `readdir` gave last."""
        node = self._offered
        assert node is not None
        assert node.inode == inode
        self._nodes.remember(node)

    def releasedir(self, handle: int) -> None:
        """Nobody lists it any more."""
        self._tree_listings.pop(handle, None)
        self._place_listings.pop(handle, None)

    # --- files

    def open(self, inode: int) -> int:
        """A handle to read a file. ESTALE when its version is gone, EISDIR, ELOOP."""
        node = self._nodes.get(inode)
        kind = node.kind if isinstance(node, PlaceNode) else node.entry.kind
        if kind in (Kind.DIR, Kind.SYMLINK):
            _fail(errno.EISDIR if kind == Kind.DIR else errno.ELOOP)
        if isinstance(node, PlaceNode):
            render = self._places.find(node.path)
            assert callable(render)
            self._handles[self._new_handle()] = render()
            return self._last_handle
        self._require(node.top)
        opened = self._files.get(inode)
        if opened is None:
            file = OpenFile(self._objects, self._chunks, node.entry.content, node.entry.size)
            opened = self._files[inode] = _Opened(file, inode)
        opened.count += 1
        self._handles[self._new_handle()] = opened
        return self._last_handle

    def is_lasting(self, handle: int) -> bool:
        """Whether the kernel may keep what is read through a handle."""
        return isinstance(self._handles[handle], _Opened)

    def read(self, handle: int, offset: int, size: int) -> bytes | memoryview | Future[bytes | memoryview]:
        """Bytes of a file, fewer than `size` at its end only; a future where they must be fetched first.

        Either raises Corrupt or Erased, or OSError when the mount ends.
        """
        opened = self._handles[handle]
        if isinstance(opened, bytes):
            return opened[offset : offset + size]
        return opened.file.read(offset, size)

    def rest_of_random_miss(self, handle: int, offset: int, size: int) -> list[tuple[int, memoryview]]:
        """After the answer to a read: (offset, bytes) decoded for it besides, which a page cache may take."""
        opened = self._handles.get(handle)
        return opened.file.rest_of_random_miss(offset, size) if isinstance(opened, _Opened) else []

    def release(self, handle: int) -> None:
        """Nobody reads through this handle any more."""
        opened = self._handles.pop(handle)
        if isinstance(opened, bytes):
            return
        opened.count -= 1
        if not opened.count:
            del self._files[opened.inode]
            opened.file.close()

    # --- time

    def refresh(self) -> list[Change]:
        """Look for names that came, went or moved; cheap when there are none. What the kernel is to be told."""
        changes: list[Change] = []
        for path, name in self._places.refresh():
            parent = self._nodes.known(place_key(Kind.DIR, path)) if path else self._nodes.get(ROOT_INODE)
            if parent is not None:
                link = self._nodes.known(place_key(Kind.SYMLINK, (*path, name)))
                changes.append(Change(parent.inode, name, 0 if link is None else link.inode))
        return changes

    def close(self) -> None:
        """Let go of what is open."""
        for opened in self._files.values():
            opened.file.close()
        self._files.clear()
        self._handles.clear()
        self._tree_listings.clear()
        self._place_listings.clear()

    # --- nodes

    def _in_place(self, node: PlaceNode, name: bytes) -> AnyNode | None:
        if node.kind != Kind.DIR:
            _fail(errno.ENOTDIR)
        path = (*node.path, name)
        place = self._places.find(path)
        if place is None:
            return None
        if isinstance(place, VersionName):
            return self._top(path, place.version)
        kind = Kind.DIR if isinstance(place, Folder) else Kind.SYMLINK if isinstance(place, Link) else Kind.FILE
        return self._nodes.find(place_key(kind, path), lambda inode: PlaceNode(inode, kind, path))

    def _top(self, path: tuple[bytes, ...], version: bytes) -> Node | None:
        """A version's own folder; None if it was collected since its name was looked at."""
        known = self._tops.get(version)
        if known is None:
            try:
                document = self._objects.version(version)
                known = (root_entry(self._objects, document.tree), document.created)
            except (Corrupt, Erased):
                if not self._is_kept(version):
                    return None
                raise
            if len(self._tops) >= limits.MOUNT_TOPS_MAX:
                self._tops.clear()
            self._tops[version] = known
        entry, created = known
        return self._tree_node(None, entry, Top(version, b"/".join(path[1:]).decode(), created))

    def _in_tree(self, node: Node, name: bytes) -> Node | None:
        if node.entry.kind != Kind.DIR:
            _fail(errno.ENOTDIR)
        try:
            entry = self._trees.lookup(node.entry.content.value, name)
        except (Corrupt, Erased):
            self._require(node.top)
            raise
        return None if entry is None else self._tree_node(node, entry, node.top)

    def _tree_node(self, parent: Node | None, entry: Entry, top: Top) -> Node:
        found = self._nodes.find(tree_key(parent, entry, top), lambda inode: Node(inode, entry, parent, top))
        assert isinstance(found, Node)
        return found

    def _list_place(
        self, node: PlaceNode, listing: Listing[bytes], offset: int
    ) -> Iterator[tuple[bytes, Attributes, int]]:
        for name, following in listing.entries(offset):
            try:
                found = self._in_place(node, name)
            except (Corrupt, Erased) as error:  # who looks it up gets the error; the others stay within reach
                _log.warning("%s/%s is left out of its folder: %s", self.describe(node.inode), _shown(name), error)
                continue
            if found is not None:  # else it went meanwhile
                self._offered = found
                yield name, self._attributes(found), following

    def _list_tree(self, node: Node, listing: Listing[Entry], offset: int) -> Iterator[tuple[bytes, Attributes, int]]:
        top, owner = node.top, self._owner
        modes = [owner.mode(kind) for kind in Kind]
        try:
            for entry, following in listing.entries(offset):
                found = self._offered = self._tree_node(node, entry, top)
                size = 0 if entry.kind == Kind.DIR else entry.size
                mode = modes[entry.kind]
                told = Attributes(found.inode, mode, size, 1, top.created, owner.uid, owner.gid, True)
                yield entry.name, told, following
        except (Corrupt, Erased):
            self._require(top)
            raise

    def _attributes(self, node: AnyNode) -> Attributes:
        uid, gid = self._owner.uid, self._owner.gid
        if isinstance(node, Node):
            entry, created = node.entry, node.top.created
            size = 0 if entry.kind == Kind.DIR else entry.size
            lasting = node.parent is not None
            return Attributes(node.inode, self._owner.mode(entry.kind), size, 1, created, uid, gid, lasting)
        place = self._places.find(node.path)
        if place is None or isinstance(place, VersionName):
            _fail(errno.ENOENT)
        size = len(place.target) if isinstance(place, Link) else len(place()) if callable(place) else 0
        changed = self._places.time_of(place)
        return Attributes(node.inode, self._owner.mode(node.kind), size, 1, changed, uid, gid, False)

    def _require(self, top: Top) -> None:
        """ESTALE if a version was collected."""
        if not self._is_kept(top.version):
            _fail(errno.ESTALE)

    def _is_kept(self, version: bytes) -> bool:
        with self._index.read() as reader:
            return reader.version_set(version) is not None

    def _new_handle(self) -> int:
        self._last_handle += 1
        return self._last_handle


def _fail(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")

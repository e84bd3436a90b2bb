"""The values artstore speaks in: frozen, comparable, without behaviour that touches the world.

Structs marked *stored* are written with msgspec's MessagePack as arrays; the order of their fields is their format
(docs/format.md). Everything else is a view for callers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, NewType

import msgspec

Digest = NewType("Digest", bytes)
"""32 bytes: BLAKE3-256 of content, plain for chunks, with a derive-key context for pages and documents."""

PackId = NewType("PackId", bytes)
"""16 bytes: 12 random ones of the session, then a big-endian sequence number. Never used twice [I6]."""

Scalar = str | int | float | bool | None

# Keys of a version's `source`, there if files changed while they were read and were taken all the same.
CHANGED_WHILE_READ: Final = "changed_while_read"  # how many
CHANGED_PATHS: Final = "changed_paths"  # the first of them
AS_BEFORE_COUNT: Final = "as_before"  # files that were being written, and are as they were in the version before
AS_BEFORE_PATHS: Final = "as_before_paths"  # the first of them


class ObjectKind(IntEnum):
    """What a frame holds; the low four bits of its flags. It decides under which context its id is computed."""

    CHUNK = 0
    TREE_PAGE = 1
    RECIPE_PAGE = 2
    VERSION = 3


class PackKind(IntEnum):
    """What a pack holds."""

    DATA = 0  # chunks
    META = 1  # pages and documents


class PackState(IntEnum):
    """Where a pack of this machine stands in collection."""

    LIVE = 0
    CONDEMNED = 1  # nothing needs it; a commit that reuses it revives it
    DELETING = 2  # invisible to look-ups; unlinked when no older session runs


class Kind(IntEnum):
    """What a tree entry is."""

    FILE = 0
    EXEC = 1
    SYMLINK = 2
    DIR = 3


class Form(IntEnum):
    """How an entry's content is given."""

    EMPTY = 0  # value b""
    CHUNK = 1  # value: chunk id
    RECIPE = 2  # value: id of the recipe's root page
    SYMLINK = 3  # value: target
    TREE = 4  # value: id of the directory's root page


class Content(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. Where an entry's bytes are found."""

    form: int
    value: bytes


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. One name in a directory.

    `size`: a file's bytes, a symlink's target length, all bytes below a directory. `files`: 1, or for a directory the
    files and symlinks below it: with it a page can be rewritten, and summed, without descending.
    """

    name: bytes
    kind: int
    size: int
    content: Content
    files: int


class TreeBranch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. One child of an inner tree page; the counts are of all entries below it.

    `files`: files and symlinks below, those in sub-directories included; `size`: their bytes.
    """

    first: bytes
    child: bytes
    entries: int
    size: int
    files: int


class ChunkRef(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. One chunk of a file."""

    id: bytes
    raw: int


class RecipeBranch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. One child of an inner recipe page."""

    child: bytes
    size: int
    chunks: int


class Metadata(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. What people and tools say of a version. Values are JSON scalars; metrics are finite numbers.

    `inputs`: name → version id in hex.
    """

    params: dict[str, Scalar] = {}
    metrics: dict[str, int | float] = {}
    inputs: dict[str, str] = {}
    source: dict[str, Scalar] = {}
    environment: dict[str, Scalar] = {}
    labels: dict[str, Scalar] = {}


class Version(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. An immutable commit. `created`: ns since 1970 UTC; `files`, `size` in bytes: of the whole tree."""

    tree: bytes
    parents: list[bytes]
    created: int
    author: str
    message: str
    metadata: Metadata
    files: int
    size: int


class Move(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. One entry of an alias's history; its id is the hash of its bytes, `previous` chains it.

    `source` is the version the alias named before (b"" at first), `target` the one after (b"" when the alias was
    removed). `rollback` tells a step back from a forward move.
    """

    alias: str
    seq: int
    source: bytes
    target: bytes
    time: int
    who: str
    host: str
    reason: str
    rollback: bool
    previous: bytes


class Tag(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. An immutable name of a version. `created` orders the tags of an artifact (ns)."""

    name: str
    version: bytes
    created: int


class Alias(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. A movable name: where it stands now, and the id of its last move."""

    name: str
    version: bytes
    seq: int
    move: bytes


class Location(msgspec.Struct, frozen=True, gc=False):
    """Where one copy of an object lies on this machine. `offset` is that of the frame's header in its pack.

    Not stored; a Struct since a look-up makes one for every chunk, and a frozen dataclass takes 0.6 µs more.
    """

    pack: int  # local pack number
    offset: int
    stored: int
    raw: int
    codec: int
    flags: int

    @property
    def kind(self) -> ObjectKind:
        return ObjectKind(self.flags & 0x0F)


@dataclass(frozen=True, slots=True)
class PackRow:
    """What the index knows of a pack."""

    number: int
    id: PackId
    kind: PackKind
    state: PackState
    size: int  # bytes of the file
    count: int  # frames
    created: int  # ns
    since: int = 0  # ns: when it was condemned or marked as deleting


class TableEntry(msgspec.Struct, frozen=True, gc=False):
    """One row of a pack's table; `offset` is the prefix sum, of the frame's header. A Struct as `Location` is."""

    id: Digest
    offset: int
    stored: int
    raw: int
    codec: int
    flags: int


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """Where a remote is, and how it is reached; no secrets. None: as the environment and the AWS files say.

    `addressing`: "path" or "virtual"; `ca`: a file of certificates; `id`: the remote's own, in hex, once reached;
    `single_writer`: it was found to let several writers of one name win. `mirror_of`: the id of the home that it is a
    mirror of, in hex, and `epoch`, the number of the promotion that made that one the home, as they were last seen.
    """

    url: str
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing: str | None = None
    ca: str | None = None
    id: str | None = None
    single_writer: bool = False
    mirror_of: str | None = None
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class FarPack:
    """A pack at a remote that may hold what isn't here. `number`: as in `Location.pack`, never that of a local one.

    `remote`: the remote's id; `key`: where it lies there; `size`: its bytes.
    """

    number: int
    remote: bytes
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class CachedPack:
    """What the cache keeps of a pack: bytes it takes on disk, and when it was last used (ns)."""

    name: bytes
    size: int
    used: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """A remote's object, or a part of it. `etag` changes with the object; `time`: the remote's clock, s since 1970."""

    data: bytes
    etag: str
    time: float


class Unchanged(Enum):
    """A remote's object is still as it was with the ETag that was told."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class Written:
    """What a remote said to a write: the new `etag`, and its clock, s since 1970."""

    etag: str
    time: float


@dataclass(frozen=True, slots=True)
class Listed:
    """An object that a remote has; `time`: when it was written, by the remote's clock, s since 1970."""

    key: str
    size: int
    time: float


@dataclass(slots=True)
class RemoteStats:
    """Requests that were sent, those repeated included, and bytes of bodies. Exact once no request runs."""

    gets: int = 0
    heads: int = 0
    puts: int = 0
    deletes: int = 0
    lists: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    repeated: int = 0
    refused: int = 0  # that a service asked to be sent later, or did not answer in time

    def add(self, other: RemoteStats) -> None:
        """Count another's, too."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def requests(self) -> int:
        return self.gets + self.heads + self.puts + self.deletes + self.lists

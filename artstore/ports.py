"""What the store asks of the world, as Protocols. Adapters implement them; tests run one contract suite over each.

Nothing here does I/O. Errors: adapters translate foreign exceptions into `artstore.errors` once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import IO, Protocol, Self

from artstore.format.reflog import LogDamage, LogRecord, Record
from artstore.model import (
    Alias,
    CachedPack,
    Digest,
    FarPack,
    Fetched,
    Listed,
    Location,
    Move,
    PackId,
    PackKind,
    PackRow,
    PackState,
    RemoteStats,
    TableEntry,
    Tag,
    Unchanged,
    Written,
)

Buffer = bytes | bytearray | memoryview
Body = bytes | IO[bytes]


class Pace(Protocol):
    """Lets bodies of requests pass, piece by piece. Thread-safe."""

    @property
    def piece_bytes(self) -> int:
        """In what pieces a body is to be sent or read now."""
        ...

    def passing(self, size: int) -> None:
        """Called before a piece is sent, or once it has come; returns when it may pass."""
        ...


class Clock(Protocol):
    """Wall-clock time, UTC."""

    def now_ns(self) -> int: ...


class PackSink(Protocol):
    """A pack being written, in STORE/tmp. Not thread-safe. Left open or aborted it leaves only a temporary file."""

    @property
    def id(self) -> PackId: ...
    @property
    def size(self) -> int:
        """Bytes appended so far."""
        ...

    def append(self, buffers: Sequence[Buffer]) -> int:
        """Append the buffers one after the other (writev); return the offset of the first. ENOSPC → NoSpace."""
        ...

    def flush(self) -> None:
        """Start writing dirty bytes out (fdatasync); may be called from another thread, so that sealing is quick."""
        ...

    def seal(self) -> None:
        """Make the pack durable under its final name: fsync, rename, fsync of the folder [I1]."""
        ...

    def abort(self) -> None:
        """Remove the temporary file."""
        ...


class PackFiles(Protocol):
    """STORE/packs. Thread-safe."""

    def create(self, pack: PackId) -> PackSink: ...
    def read(self, pack: PackId, offset: int, size: int) -> bytes:
        """Exactly `size` bytes; a missing file or a short read is Corrupt naming the pack."""
        ...

    def read_range(self, pack: PackId, offset: int, size: int, room: memoryview, *, once: bool) -> memoryview:
        """Exactly `size` bytes, somewhere in `room`; errors as `read`.

        `room` begins at a page, and is at least READ_ROOM_SPARE bytes longer than `size`. `once`: they are not wanted
        again soon, so that what isn't in the page cache needn't come there.
        """
        ...

    def read_into(self, pack: PackId, offset: int, buffers: Sequence[memoryview]) -> None:
        """Fill the buffers one after the other, at most READ_BUFFERS_MAX; errors as `read`."""
        ...

    def size(self, pack: PackId) -> int | None:
        """Bytes of the pack's file, or None when there is none."""
        ...

    def list(self) -> Iterator[tuple[PackId, int]]:
        """All sealed packs with their sizes, in no order; foreign file names are skipped."""
        ...

    def delete(self, pack: PackId) -> None:
        """Unlink; absent is fine (idempotent)."""
        ...


class RefsLog(Protocol):
    """STORE/refs.log, for check, repair and rebuilding: who changes refs goes through `IndexWriter`."""

    def size(self) -> int | None:
        """Bytes of the file, or None when there is none."""
        ...

    def records(self) -> Iterator[LogRecord | LogDamage]:
        """Every record in order, and what is damaged between them; nothing when there is no log. Corrupt if the file
        does not begin as a log does.
        """
        ...

    def rewrite(self, records: Iterable[Record]) -> tuple[int, int]:
        """Replace the whole log, durably; return the last sequence number and the end, for `set_log_end`."""
        ...


class IndexReader(Protocol):
    """One consistent snapshot of the index (an LMDB read transaction); keep it short."""

    def find(self, id: bytes) -> Location | None:
        """A copy in a pack that is not DELETING (LIVE preferred over CONDEMNED)."""
        ...

    def find_many(self, ids: Sequence[bytes]) -> list[Location | None]:
        """`find` for each id, in the order given; the fast way."""
        ...

    def copies(self, id: bytes) -> list[Location]:
        """Every copy, those in DELETING packs included."""
        ...

    def ids_with_prefix(self, prefix: bytes, odd_nibble: int | None, limit: int) -> list[tuple[Digest, Location]]:
        """Up to `limit` distinct ids which begin with `prefix`, and, if given, with that high nibble next."""
        ...

    def pack(self, number: int) -> PackRow | None: ...
    def pack_by_id(self, pack: PackId) -> PackRow | None: ...
    def packs(self) -> Iterator[PackRow]: ...
    def pack_contents(self, number: int) -> Iterator[tuple[Digest, Location]]:
        """Everything indexed in one pack (a scan of the index: for repair and repack, not for reads)."""
        ...

    def version_set(self, version: bytes) -> Sequence[int] | None:
        """Sorted pack numbers that the version's content lies in, documents included."""
        ...

    def versions(self) -> Iterator[Digest]:
        """Ids of all versions that have a set."""
        ...

    def page_packs(self, page: bytes) -> Sequence[int] | None:
        """Sorted numbers of all packs that a tree root or recipe root needs, itself included; None if not known or
        if any of these packs is missing or DELETING.
        """
        ...

    def tag(self, name: str) -> Tag | None: ...
    def alias(self, name: str) -> Alias | None: ...
    def tags(self, prefix: str = "") -> Iterator[Tag]:
        """In name order, those whose name begins with `prefix`."""
        ...

    def aliases(self, prefix: str = "") -> Iterator[Alias]: ...
    def move(self, id: bytes) -> Move | None: ...
    def moves(self, alias: str) -> Iterator[tuple[Digest, Move]]:
        """Newest first, by the chain of `previous`, also of an alias that was removed."""
        ...

    def stat_blocks(self, directory: bytes) -> Iterator[bytes]:
        """The stat cache's blocks of one directory (a 16-byte key), in order."""
        ...

    def stat_directories(self, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to `limit` keys behind `after`, in order, each with its first block (b"" if that is damaged)."""
        ...

    def journal(self, key: str) -> bytes | None: ...
    def journal_keys(self, prefix: str = "") -> Iterator[str]: ...
    def erased(self, id: bytes) -> bool:
        """Was this chunk purged?"""
        ...

    def far_find_many(self, ids: Sequence[bytes]) -> list[Location | None]:
        """A copy of each in a pack at a remote (`far_pack` of its number), in the order given; None: none is known."""
        ...

    def far_copies(self, id: bytes) -> list[Location]:
        """Every copy in packs at remotes that is known."""
        ...

    def far_pack(self, number: int) -> FarPack | None: ...
    def far_pack_at(self, remote: bytes, key: str) -> FarPack | None:
        """The same by where it lies."""
        ...

    @property
    def sequence(self) -> int:
        """Sequence number of the last record of refs.log that this snapshot knows."""
        ...

    def ref_records(self) -> Iterator[Record]:
        """What a log would say that leads to these refs: each tag, each alias's moves from the first one on (those of
        removed aliases too), each erasure.
        """
        ...


class IndexWriter(IndexReader, Protocol):
    """The one write transaction; sees its own changes. Durable when its context ends without an exception."""

    def add_pack(self, pack: PackId, kind: PackKind, *, size: int, created: int, table: Sequence[TableEntry]) -> int:
        """Name a durable pack and all its entries [I1]; return its local number. Idempotent by pack id."""
        ...

    def set_pack_state(self, number: int, state: PackState, since: int) -> None: ...
    def remove_pack(self, number: int) -> None:
        """Forget the pack and exactly its own entries (needs no file)."""
        ...

    def remove_object(self, id: bytes, number: int) -> None:
        """Forget one copy (quarantine)."""
        ...

    def put_set(self, version: bytes, packs: Iterable[int]) -> None: ...
    def remove_set(self, version: bytes) -> None: ...
    def put_page_packs(self, page: bytes, packs: Iterable[int]) -> None: ...
    def drop_void_page_packs(self, after: bytes, limit: int) -> bytes | None:
        """Of up to `limit` rows behind `after`, forget those that name a pack which is gone; tell the last one looked
        at, None at the end.
        """
        ...

    def drop_page_packs(self) -> None:
        """Forget all rows: they are only a shortcut."""
        ...

    def put_tag(self, tag: Tag) -> None:
        """Record in refs.log (fsynced), then here [I3]. Existing name → Conflict unless equal."""
        ...

    def remove_tag(self, name: str, *, time: int, who: str) -> None:
        """A tombstone in refs.log; unknown name → NotFound."""
        ...

    def put_move(self, move: Move) -> Alias:
        """Record in refs.log, then here; `move.seq` and `.previous` must continue the chain, else Conflict. A move
        with an empty target removes the alias.
        """
        ...

    def put_history(self, alias: str, moves: Sequence[Move]) -> Alias:
        """Let an alias have another history: all its moves, the oldest first. Recorded as `put_move` does, whose rules
        hold among them; the moves it had are no longer its own.
        """
        ...

    def put_erased(self, ids: Sequence[bytes], *, time: int, who: str, reason: str) -> None:
        """Record an erasure in refs.log, then here."""
        ...

    def restore(self, record: Record) -> None:
        """Take over a record that refs.log already holds, in the log's order; nothing is written to the log."""
        ...

    def set_log_end(self, sequence: int, end: int) -> None:
        """Say how far the index knows refs.log, after it was restored from it, or the log was written anew."""
        ...

    def put_stat_blocks(self, directory: bytes, blocks: Sequence[bytes]) -> None:
        """Replace all blocks of one directory."""
        ...

    def drop_stat_blocks(self) -> None: ...
    def put_journal(self, key: str, value: bytes | None) -> None:
        """None removes."""
        ...

    def add_far_pack(self, remote: bytes, key: str, *, size: int, table: Sequence[TableEntry]) -> int:
        """Note what a pack at a remote holds; return its number. Idempotent by where it lies."""
        ...

    def remove_far_pack(self, number: int) -> None:
        """It is gone: look-ups don't find it any more, `drop_void_far` removes its rows."""
        ...

    def drop_void_far(self, after: bytes, limit: int) -> bytes | None:
        """Of up to `limit` rows behind `after`, forget those of packs that were removed; as `drop_void_page_packs`."""
        ...


class Index(Protocol):
    """The LMDB index of one store. Thread-safe, reopened after fork; one environment per process and path."""

    @property
    def log(self) -> RefsLog: ...
    def read(self) -> AbstractContextManager[IndexReader]: ...
    def write(self, *, sync: bool = True) -> AbstractContextManager[IndexWriter]:
        """Waits for other writers. `sync=False` is only for what may be lost (the stat cache)."""
        ...

    def probe(self) -> None:
        """Read all of it where that can't hurt this process; Corrupt if it can't be read."""
        ...

    def close(self) -> None: ...


class Session(Protocol):
    """A running writer, known to other processes by a locked file in STORE/sessions while it lives."""

    @property
    def id(self) -> bytes:
        """12 random bytes: the first part of the pack ids it makes."""
        ...

    def next_pack_id(self) -> PackId: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Sessions(Protocol):
    """STORE/sessions."""

    def begin(self) -> Session:
        """Create and lock the session's file; its inode is checked after flock, since a clean-up may have raced."""
        ...

    def running(self) -> list[tuple[bytes, int]]:
        """(session id, start time ns) of sessions whose lock is held, this process's own included."""
        ...

    def clean(self) -> int:
        """Remove files of dead sessions and the temporary packs that belong to them; return how many files went."""
        ...


class PackCache(Protocol):
    """STORE/cache: parts of packs that remotes have. Thread-safe, and shared by processes without a lock.

    Nothing is made durable and nothing is believed: what `read` gives may be zeros, or what a crash left.
    """

    def read(self, name: bytes, offset: int, size: int) -> bytes | None:
        """`size` bytes, None where nothing was kept behind them. It counts as a use."""
        ...

    def holes(self, name: bytes, offset: int, size: int) -> list[tuple[int, int]]:
        """(offset, size) of what was not kept of a range, as far as the file system tells."""
        ...

    def write(self, name: bytes, offset: int, data: Buffer) -> None:
        """Keep a part of a pack. NoSpace."""
        ...

    def drop(self, name: bytes) -> None:
        """Forget a pack; absent is fine."""
        ...

    def list(self) -> Iterator[CachedPack]:
        """All packs of which something is kept, in no order."""
        ...

    def disk(self) -> tuple[int, int]:
        """Bytes that are free to this user on its disk, and all of that disk."""
        ...


class RemotePool(Protocol):
    """The remotes of a store, each opened when it is first needed. Thread-safe; usable after a fork."""

    def ids(self) -> Sequence[bytes]:
        """Ids of those that were reached once, the home first."""
        ...

    def open(self, id: bytes) -> Remote:
        """One of them. NotFound if the store has it no more."""
        ...

    def stats(self) -> Sequence[RemoteStats]:
        """Of each that is open."""
        ...

    def close(self) -> None:
        """Let go of their connections; they are opened again when they are needed."""
        ...


class Remote(Protocol):
    """A place that packs and refs are replicated to: objects by key. Thread-safe.

    A key is `/`-separated parts of `[A-Za-z0-9._-]`. A write is atomic and durable when it returns, and seen by every
    later request. Errors: RemoteError when it can't be reached or doesn't answer as it should, NotPermitted when it
    refuses this user, NotFound when there is no such bucket or folder, NoSpace.
    """

    @property
    def url(self) -> str:
        """What people call it."""
        ...

    @property
    def stats(self) -> RemoteStats: ...
    def get(self, key: str) -> Fetched | None:
        """A whole object; None if there is none."""
        ...

    def poll(self, key: str, etag: str) -> Fetched | Unchanged | None:
        """The same, unless it is still as it was with this `etag`: one request, and no body. It counts as a `get`."""
        ...

    def get_range(self, key: str, offset: int, size: int) -> bytes | None:
        """Exactly `size` bytes, at least one; None if there is no such object. RemoteError if it is shorter."""
        ...

    def head(self, key: str) -> Listed | None:
        """How large an object is; None if there is none."""
        ...

    def put(self, key: str, body: Body) -> Written:
        """Write an object, whatever was there. A file is read from its beginning to its end."""
        ...

    def create(self, key: str, data: bytes) -> Written | None:
        """Write an object that isn't there; None if there is one: of several who try at once one succeeds.

        No other writer may write the same bytes there: it is by them that one knows its own write again.
        """
        ...

    def swap(self, key: str, data: bytes, etag: str) -> Written | None:
        """Replace an object that is still as it was with this `etag`; None if it isn't, or is gone.

        As with `create`, no other writer may write the same bytes.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; absent is fine."""
        ...

    def list(self, prefix: str, *, after: str = "") -> Iterator[Listed]:
        """The objects whose key begins with `prefix` and comes after `after`, in the order of keys."""
        ...

    def close(self) -> None:
        """Let go of its connections."""
        ...

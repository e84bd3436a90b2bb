"""The index, and the log of refs that it is rebuilt from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from artstore.format.reflog import LogDamage, LogRecord, Record
from artstore.model import Alias, Digest, FarPack, Location, Move, PackId, PackKind, PackRow, PackState, TableEntry, Tag


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

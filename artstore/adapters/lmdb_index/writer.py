"""The one write transaction. It sees its own changes; what it says of refs goes to refs.log before it commits [I3]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from artstore import limits
from artstore.adapters.disk import faultpoints
from artstore.adapters.lmdb_index import rows
from artstore.adapters.lmdb_index.environment import META_LOG, META_NEXT_PACK, Databases, Transaction
from artstore.adapters.lmdb_index.reader import Reader
from artstore.adapters.lmdb_index.refs_log import RefsLog
from artstore.errors import Conflict, Corrupt, NotFound, UsageError
from artstore.format import reflog, undo
from artstore.format.ids import Ids
from artstore.format.reflog import Record
from artstore.format.version import encode_move
from artstore.model import Alias, FarPack, Move, PackId, PackKind, PackRow, PackState, TableEntry, Tag

_ID = rows.ID_BYTES


class Writer(Reader):
    """Implements `artstore.ports.IndexWriter`. `finish` stands right before the commit."""

    def __init__(self, transaction: Transaction, databases: Databases, log: RefsLog, ids: Ids) -> None:
        super().__init__(transaction, databases)
        self._log = log
        self._ids = ids
        self._log_start: int | None = None  # where this transaction's records go, once it has any
        self._sequence = 0
        self._records: list[bytes] = []

    def add_pack(self, pack: PackId, kind: PackKind, *, size: int, created: int, table: Sequence[TableEntry]) -> int:
        """Name a durable pack and all its entries; return its number."""
        known = self.pack_by_id(pack)
        if known is not None:
            return known.number
        number = self._next_pack()
        self._put_pack(PackRow(number, pack, kind, PackState.LIVE, size, len(table), created))
        self._put("pack_name", pack, rows.integer_value(pack, number))
        with self._cursor("chunk") as cursor:
            cursor.putmulti(rows.chunk_rows(number, table))
        return number

    def set_pack_state(self, number: int, state: PackState, since: int) -> None:
        """Condemn, delete or revive a pack."""
        row = self.pack(number)
        if row is None:
            raise NotFound(f"there is no pack {number}")
        self._put_pack(PackRow(number, row.id, row.kind, state, row.size, row.count, row.created, since))

    def remove_pack(self, number: int) -> None:
        """Forget the pack now, and exactly its own entries with one scan for all removed packs, at the end."""
        row = self.pack(number)
        if row is None:
            return
        key = rows.number_key(number)
        self._delete("pack", key)
        self._delete("pack_name", row.id)
        self._forget_state(key)
        self._gone.add(key)

    def remove_object(self, id: bytes, number: int) -> None:
        """Forget one copy."""
        self._delete("chunk", id + rows.number_key(number))

    def put_set(self, version: bytes, packs: Iterable[int]) -> None:
        """Record which packs a version's content lies in."""
        key = rows.LOCAL_PLACE + version
        self._put("set", key, rows.numbers_value(key, packs))

    def remove_set(self, version: bytes) -> None:
        """Forget a version."""
        self._delete("set", rows.LOCAL_PLACE + version)

    def put_page_packs(self, page: bytes, packs: Iterable[int]) -> None:
        """Record which packs a root needs."""
        key = rows.LOCAL_PLACE + page
        self._put("pagepacks", key, rows.numbers_value(key, packs))

    def drop_void_page_packs(self, after: bytes, limit: int) -> bytes | None:
        """Forget rows that name a pack which is gone; tell the last row looked at, None at the end."""
        void: list[bytes] = []
        looked = 0
        last: bytes | None = None
        for key, value in self._range_from("pagepacks", rows.LOCAL_PLACE + after):
            if key[:1] != rows.LOCAL_PLACE or looked == limit:
                break
            if key[1:] == after:
                continue
            try:
                numbers = rows.numbers("pagepacks", key, value)
                if any(self._state(rows.number_key(number)) is None for number in numbers):
                    void.append(key)
            except Corrupt:
                pass  # left to `check`
            looked, last = looked + 1, key[1:]
        for key in void:
            self._delete("pagepacks", key)
        return last

    def drop_page_packs(self) -> None:
        """Forget all of these rows."""
        self._drop("pagepacks")

    def put_tag(self, tag: Tag) -> None:
        """Make a tag; one that is there must be equal."""
        known = self._ref(tag.name)
        if known == tag:
            return
        if known is not None:
            kind = "a tag" if isinstance(known, Tag) else "an alias"
            raise Conflict(f"{tag.name} is already {kind}", hint="choose another name")
        self._record(reflog.TagSet(tag))
        self._put_ref(tag)

    def remove_tag(self, name: str, *, time: int, who: str) -> None:
        """Remove a tag; the log remembers."""
        if self.tag(name) is None:
            raise NotFound(f"there is no tag {name}", hint="see `artstore list`")
        self._record(reflog.TagRemoved(name, time, who))
        self._delete("ref", rows.ref_key(name))

    def put_move(self, move: Move) -> Alias:
        """Move an alias; the move must continue what is known of it."""
        known = self._ref(move.alias)
        if isinstance(known, Tag):
            raise Conflict(f"{move.alias} is a tag", hint="choose another name")
        _require_next(Alias(move.alias, b"", 0, b"") if known is None else known, move)
        self._record(reflog.Moved(move))
        return self._put_alias(move)

    def put_history(self, alias: str, moves: Sequence[Move]) -> Alias:
        """Let an alias have another history. In the log a first move begins it anew."""
        if self.tag(alias) is not None:
            raise Conflict(f"{alias} is a tag", hint="choose another name")
        now = Alias(alias, b"", 0, b"")
        for move in moves:
            _require_next(now, move)
            now = Alias(alias, move.target, move.seq, encode_move(move, self._ids).id)
        for move in moves:
            self._record(reflog.Moved(move))
            self._put_alias(move)
        return now

    def put_erased(self, ids: Sequence[bytes], *, time: int, who: str, reason: str) -> None:
        """Record that chunks were purged."""
        for start in range(0, len(ids), limits.ERASURE_IDS_MAX):
            self._record(reflog.Erasure(list(ids[start : start + limits.ERASURE_IDS_MAX]), time, who, reason))
        if ids:
            self._put_erased(ids, time, undo.ErasureNote(who, reason))

    def put_stat_blocks(self, directory: bytes, blocks: Sequence[bytes]) -> None:
        """Replace all blocks of one directory."""
        for key in [key for key, _ in self._range("file", directory)]:
            self._delete("file", key)
        for number, block in enumerate(blocks):
            key = directory + rows.number_key(number)
            self._put("file", key, rows.seal(key, block))

    def drop_stat_blocks(self) -> None:
        """Forget the stat cache."""
        self._drop("file")

    def put_journal(self, key: str, value: bytes | None) -> None:
        """Note something under a key; None removes it."""
        encoded = key.encode()
        if not 0 < len(encoded) <= rows.KEY_BYTES_MAX:
            raise UsageError(f"{key!r} is no key of the journal")
        if value is None:
            self._delete("journal", encoded)
        else:
            self._put("journal", encoded, rows.seal(encoded, value))

    def add_far_pack(self, remote: bytes, key: str, *, size: int, table: Sequence[TableEntry]) -> int:
        """Note what a pack at a remote holds; return its number."""
        known = self.far_pack_at(remote, key)
        if known is not None:
            return known.number
        pack = FarPack(self._next_pack(), remote, key, size)
        self.put_journal(rows.far_key(pack.number), rows.far_value(pack))
        self.put_journal(rows.far_name(remote, key), pack.number.to_bytes(4, "little"))
        with self._cursor("far") as cursor:
            cursor.putmulti(rows.chunk_rows(pack.number, table))
        self._far_known[pack.number] = True
        return pack.number

    def remove_far_pack(self, number: int) -> None:
        """Forget it; its rows are void from now on."""
        pack = self.far_pack(number)
        if pack is not None:
            self.put_journal(rows.far_key(number), None)
            self.put_journal(rows.far_name(pack.remote, pack.key), None)
            self._far_known[number] = False

    def drop_void_far(self, after: bytes, limit: int) -> bytes | None:
        """Forget rows of packs that were removed; tell the last row looked at, None at the end."""
        void: list[bytes] = []
        looked = 0
        last: bytes | None = None
        for key, _ in self._range_from("far", after):
            if key == after:
                continue
            if looked == limit:
                break
            number = rows.number_of(key)
            if self._far_known.setdefault(number, self.far_pack(number) is not None) is False:
                void.append(key)
            looked, last = looked + 1, key
        for key in void:
            self._delete("far", key)
        return last

    def restore(self, record: Record) -> None:
        """Take over a record that refs.log already holds, while the index is rebuilt; no order is enforced."""
        match record:
            case reflog.TagSet():
                self._put_ref(record.value)
            case reflog.TagRemoved():
                self._delete("ref", rows.ref_key(record.name))
            case reflog.Moved():
                self._put_alias(record.move)
            case reflog.Erasure():
                self._put_erased(record.ids, record.time, undo.ErasureNote(record.who, record.reason))

    def set_log_end(self, sequence: int, end: int) -> None:
        """Say how far the index knows refs.log, after it was restored from it or written anew."""
        assert self._log_start is None
        self._put("meta", META_LOG, rows.log_end_value(META_LOG, sequence, end))

    def finish(self) -> None:
        """Sweep out the entries of removed packs, then make the records of refs durable."""
        self._sweep()
        if self._log_start is not None:
            # I3: the log is durable before the index that names its records is.
            data = b"".join(self._records)
            self._put("meta", META_LOG, rows.log_end_value(META_LOG, self._sequence, self._log_start + len(data)))
            self._log.append(data, end=self._log_start)
        faultpoints.reach("index.before_commit")

    @property
    def sequence(self) -> int:
        """Sequence number of the last record, this transaction's own included."""
        return self._log_end()[0] if self._log_start is None else self._sequence

    def _record(self, record: Record) -> None:
        if self._log_start is None:
            sequence, end = self._log_end()
            self._log.cut(end, sequence)
            self._sequence, self._log_start = sequence, end
        self._records.append(reflog.encode_record(self._sequence + 1, record))
        self._sequence += 1

    def _next_pack(self) -> int:
        value = self._get("meta", META_NEXT_PACK)
        if value is None:
            raise rows.damaged("meta", META_NEXT_PACK)
        number = rows.integer("meta", META_NEXT_PACK, value)
        self._put("meta", META_NEXT_PACK, rows.integer_value(META_NEXT_PACK, number + 1))
        return number

    def _put_pack(self, row: PackRow) -> None:
        key = rows.number_key(row.number)
        self._put("pack", key, rows.pack_value(key, row))
        self._forget_state(key)

    def _forget_state(self, key: bytes) -> None:
        self._states.pop(key, None)
        self._live.pop(key, None)

    def _put_ref(self, ref: Tag | Alias) -> None:
        key = rows.ref_key(ref.name)
        self._put("ref", key, rows.ref_value(key, ref))

    def _put_alias(self, move: Move) -> Alias:
        document = encode_move(move, self._ids)
        self._put("move", document.id, rows.seal(document.id, document.data))
        alias = Alias(move.alias, move.target, move.seq, document.id)
        self._put_ref(alias)
        return alias

    def _put_erased(self, ids: Iterable[bytes], time: int, note: undo.ErasureNote) -> None:
        # The log holds it too, but may have to be written anew from here.
        self.put_journal(undo.erasure_key(time), undo.encode_erasure(note))
        for id in sorted(ids):
            self._put("erased", id, rows.time_value(id, time))

    def _sweep(self) -> None:
        """Delete the entries of removed packs, in batches, since deleting moves the cursor that scans."""
        start: bytes | None = b"" if self._gone else None
        while start is not None:
            batch: list[bytes] = []
            start = self._next_batch(start, batch)
            for key in batch:
                self._delete("chunk", key)

    def _next_batch(self, start: bytes, batch: list[bytes]) -> bytes | None:
        gone = self._gone
        with self._cursor("chunk") as cursor:
            if not (cursor.set_range(start) if start else cursor.first()):
                return None
            for key in cursor.iternext(keys=True, values=False):
                if key[_ID:] in gone:
                    batch.append(key)
                    if len(batch) >= limits.INDEX_BATCH:
                        return key
        return None

    def _put(self, name: str, key: bytes, value: bytes) -> None:
        self._transaction.put(key, value, db=self._database(name))

    def _delete(self, name: str, key: bytes) -> None:
        self._transaction.delete(key, db=self._database(name))

    def _drop(self, name: str) -> None:
        self._transaction.drop(self._database(name), delete=False)


def _require_next(now: Alias, move: Move) -> None:
    if (move.alias, move.seq, move.previous, move.source) != (now.name, now.seq + 1, now.move, now.version):
        raise Conflict(f"{move.alias} was moved by somebody else", hint=f"see `artstore alias log {move.alias}`")

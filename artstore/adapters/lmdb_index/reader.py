"""One snapshot of the index. Every value is checked against its own checksum: a wrong one is Corrupt, never data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from struct import error
from zlib import crc32

from artstore import limits
from artstore.adapters.lmdb_index import rows
from artstore.adapters.lmdb_index.environment import META_LOG, Cursor, Database, Databases, Transaction
from artstore.errors import Corrupt
from artstore.format import reflog, undo
from artstore.format.reflog import Record
from artstore.format.version import decode_move
from artstore.model import Alias, Digest, FarPack, Location, Move, PackId, PackRow, PackState, Tag

SORTED_FROM = 64  # of so many ids the look-up in key order saves more than sorting costs

_ID = rows.ID_BYTES


class Reader:
    """Implements `artstore.ports.IndexReader` over an open transaction."""

    def __init__(self, transaction: Transaction, databases: Databases) -> None:
        self._transaction = transaction
        self._databases = databases
        # By the number as it ends a key. Packs don't change within a transaction, but by its own writer.
        self._live: dict[bytes, int] = {}
        self._states: dict[bytes, PackState | None] = {}
        self._far_known: dict[int, bool] = {}
        self._gone: set[bytes] = set()  # packs removed by this transaction, whose rows are not swept yet

    def find(self, id: bytes) -> Location | None:
        """A copy in a pack that is not DELETING, a LIVE one if there is any."""
        return self._look_up([id])[0]

    def find_many(self, ids: Sequence[bytes]) -> list[Location | None]:
        """`find` for each id, in the order given."""
        if len(ids) < SORTED_FROM:
            return self._look_up(ids)
        wanted = sorted(set(ids))
        found = dict(zip(wanted, self._look_up(wanted), strict=True))
        return [found[id] for id in ids]

    def copies(self, id: bytes) -> list[Location]:
        """Every copy, those in DELETING packs included."""
        return [
            rows.location(key, value)
            for key, value in self._range("chunk", id)
            if len(key) == _ID + 4 and len(id) == _ID and key[_ID:] not in self._gone
        ]

    def ids_with_prefix(self, prefix: bytes, odd_nibble: int | None, limit: int) -> list[tuple[Digest, Location]]:
        """Up to `limit` distinct ids which begin with `prefix` and, if given, with that high nibble next."""
        start = prefix if odd_nibble is None else prefix + bytes([odd_nibble << 4])
        found: list[tuple[Digest, Location]] = []
        last = b""
        for key, _ in self._range_from("chunk", start):
            id = key[:_ID]
            odd = odd_nibble is not None and key[len(prefix)] >> 4 != odd_nibble
            if len(found) >= limit or not id.startswith(prefix) or odd:
                break
            if id == last:
                continue
            last = id
            place = self.find(id)
            if place is not None:
                found.append((Digest(id), place))
        return found

    def pack(self, number: int) -> PackRow | None:
        """What is known of a pack."""
        key = rows.number_key(number)
        value = self._get("pack", key)
        return None if value is None else rows.pack_row(key, value)

    def pack_by_id(self, pack: PackId) -> PackRow | None:
        """The same by the pack's id."""
        value = self._get("pack_name", pack)
        if value is None:
            return None
        number = rows.integer("pack_name", pack, value)
        row = self.pack(number)
        if row is None or row.id != pack:
            raise rows.damaged("pack_name", pack)
        return row

    def packs(self) -> Iterator[PackRow]:
        """Every pack, by number."""
        return (rows.pack_row(key, value) for key, value in self._range("pack"))

    def pack_contents(self, number: int) -> Iterator[tuple[Digest, Location]]:
        """Everything indexed in one pack: a scan of the index."""
        suffix = rows.number_key(number)
        if suffix in self._gone:
            return
        known = {key for key, _ in self._range("pack")} | self._gone
        for key, value in self._range("chunk"):
            if key[_ID:] == suffix:
                yield Digest(key[:_ID]), rows.location(key, value)
            elif key[_ID:] not in known:  # it may be one of ours, with a damaged number
                raise rows.damaged("chunk", key)

    def version_set(self, version: bytes) -> Sequence[int] | None:
        """Sorted pack numbers that the version's content lies in."""
        key = rows.LOCAL_PLACE + version
        value = self._get("set", key)
        return None if value is None else rows.numbers("set", key, value)

    def versions(self) -> Iterator[Digest]:
        """Ids of all versions that have a set."""
        return (Digest(key[1:]) for key, _ in self._range("set", rows.LOCAL_PLACE))

    def page_packs(self, page: bytes) -> Sequence[int] | None:
        """Sorted numbers of all packs that a root needs; None unless each of them is there to be read."""
        key = rows.LOCAL_PLACE + page
        value = self._get("pagepacks", key)
        if value is None:
            return None
        numbers = rows.numbers("pagepacks", key, value)
        states = [self._state(rows.number_key(number)) for number in numbers]
        return None if None in states or PackState.DELETING in states else numbers

    def tag(self, name: str) -> Tag | None:
        """The tag of that name."""
        found = self._ref(name)
        return found if isinstance(found, Tag) else None

    def alias(self, name: str) -> Alias | None:
        """The alias of that name, unless it was removed."""
        found = self._ref(name)
        return found if isinstance(found, Alias) and found.version else None

    def tags(self, prefix: str = "") -> Iterator[Tag]:
        """In name order, those whose name begins with `prefix`."""
        return (found for found in self._refs(prefix) if isinstance(found, Tag))

    def aliases(self, prefix: str = "") -> Iterator[Alias]:
        """The same of aliases."""
        return (found for found in self._refs(prefix) if isinstance(found, Alias) and found.version)

    def move(self, id: bytes) -> Move | None:
        """One move."""
        value = self._get("move", id)
        return None if value is None else decode_move(rows.unseal("move", id, value))

    def moves(self, alias: str) -> Iterator[tuple[Digest, Move]]:
        """Newest first, also of an alias that was removed."""
        found = self._ref(alias)
        return self._chain(alias, found.move if isinstance(found, Alias) else b"")

    def _chain(self, alias: str, id: bytes) -> Iterator[tuple[Digest, Move]]:
        last: int | None = None
        while id:
            move = self.move(id)
            if move is None:
                raise Corrupt(f"move {id.hex()} of {alias} is missing in the index", hint=rows.REBUILD)
            if last is not None and move.seq >= last:  # it would have no end
                raise Corrupt(f"the moves of {alias} in the index are no chain", hint=rows.REBUILD)
            last = move.seq
            yield Digest(id), move
            id = move.previous

    def stat_blocks(self, directory: bytes) -> Iterator[bytes]:
        """The stat cache's blocks of one directory. It ends at the first damaged one: a cache may miss, not lie."""
        for key, value in self._range("file", directory):
            try:
                block = rows.unseal("file", key, value)
            except Corrupt:
                return
            yield block

    def stat_directories(self, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to `limit` keys behind `after`, in order, each with its first block, b"" for a damaged one."""
        found: list[tuple[bytes, bytes]] = []
        for key, value in self._range_from("file", after + b"\xff" * 4 if after else b""):
            directory = key[:-4]
            if directory == after or (found and directory == found[-1][0]):
                continue
            if len(found) == limit:
                break
            try:
                found.append((directory, rows.unseal("file", key, value)))
            except Corrupt:
                found.append((directory, b""))
        return found

    def journal(self, key: str) -> bytes | None:
        """What was noted under a key."""
        encoded = key.encode()
        value = self._get("journal", encoded)
        return None if value is None else rows.unseal("journal", encoded, value)

    def journal_keys(self, prefix: str = "") -> Iterator[str]:
        """The keys that begin with `prefix`, in order."""
        return (key.decode() for key, _ in self._range("journal", prefix.encode()))

    def erased(self, id: bytes) -> bool:
        """Whether this chunk was purged."""
        value = self._get("erased", id)
        return value is not None and bool(rows.unseal("erased", id, value))

    def far_find_many(self, ids: Sequence[bytes]) -> list[Location | None]:
        """A copy of each in a pack at a remote."""
        if self._databases.far is None:
            return [None] * len(ids)
        wanted = sorted(set(ids))
        found: dict[bytes, Location | None] = {}
        with self._cursor("far") as cursor:
            for id in wanted:
                found[id] = self._far_copy(cursor, id)
        return [found[id] for id in ids]

    def far_copies(self, id: bytes) -> list[Location]:
        """Every copy in packs at remotes."""
        if self._databases.far is None:
            return []
        places = [rows.location(key, value) for key, value in self._range("far", id) if len(key) == _ID + 4]
        return [place for place in places if self.far_pack(place.pack) is not None]

    def far_pack(self, number: int) -> FarPack | None:
        """A pack at a remote."""
        value = self.journal(rows.far_key(number))
        return None if value is None else rows.far_pack(number, value)

    def far_pack_at(self, remote: bytes, key: str) -> FarPack | None:
        """The same by where it lies."""
        value = self.journal(rows.far_name(remote, key))
        return None if value is None else self.far_pack(int.from_bytes(value, "little"))

    def _far_copy(self, cursor: Cursor, id: bytes) -> Location | None:
        is_there = cursor.set_range(id)
        while is_there:
            key, value = cursor.item()
            if key[:_ID] != id:
                return None
            place = rows.location(key, value)
            known = self._far_known.get(place.pack)
            if known is None:
                known = self._far_known[place.pack] = self.far_pack(place.pack) is not None
            if known:
                return place
            is_there = cursor.next()
        return None

    def read_all(self) -> None:
        """Read every row and check it; Corrupt at the first damaged one, but for the stat cache."""
        for name in self._databases._fields:
            if self._databases.far is None and name == "far":
                continue
            for key, value in self._range(name):
                if name in ("chunk", "far"):
                    rows.location(key, value)
                elif name != "file":
                    rows.unseal(name, key, value)

    @property
    def sequence(self) -> int:
        """Sequence number of the last record of refs.log that this snapshot knows."""
        return self._log_end()[0]

    def ref_records(self) -> Iterator[Record]:
        """What a log would say that leads to this index: refs, moves and erasures, without what was removed since."""
        for tag in self.tags():
            yield reflog.TagSet(tag)
        for alias in self._refs(""):
            if isinstance(alias, Alias):
                yield from map(reflog.Moved, self._oldest_first(alias.name))
        yield from self._erasures()

    def _oldest_first(self, alias: str) -> Iterator[Move]:
        """Moves from the first one on. They are chained the other way: a long history is read twice, and not held."""
        marks: list[Digest] = []
        held: list[Move] = []
        for number, (id, move) in enumerate(self.moves(alias)):
            if number % limits.HISTORY_MOVES_HELD == 0:
                marks.append(id)
                held.clear()
            held.append(move)
        yield from reversed(held)
        for id in reversed(marks[:-1]):
            part = list(islice(self._chain(alias, id), limits.HISTORY_MOVES_HELD))
            yield from (move for _, move in reversed(part))

    def _erasures(self) -> Iterator[Record]:
        """What was purged, together what was purged together, as long as that isn't too much to hold."""
        held: dict[int, list[bytes]] = {}
        for number, (key, value) in enumerate(self._range("erased"), 1):
            held.setdefault(rows.time("erased", key, value), []).append(key)
            if number % limits.ERASURE_IDS_MAX == 0:
                yield from self._told(held)
                held.clear()
        yield from self._told(held)

    def _told(self, erased: dict[int, list[bytes]]) -> Iterator[Record]:
        for time, ids in sorted(erased.items()):
            data = self.journal(undo.erasure_key(time))
            note = undo.ErasureNote("", "") if data is None else undo.decode_erasure(data)
            yield reflog.Erasure(ids, time, note.who, note.reason)

    def _log_end(self) -> tuple[int, int]:
        value = self._get("meta", META_LOG)
        if value is None:
            raise rows.damaged("meta", META_LOG)
        return rows.log_end(META_LOG, value)

    def _look_up(self, ids: Sequence[bytes]) -> list[Location | None]:
        """`find` for each id. The hot path of a commit: 2 µs an id, a third of it in LMDB."""
        found: list[Location | None] = []
        add = found.append
        live = self._live.get
        unpack = rows.CHUNK_VALUE.unpack
        key = b""
        with self._cursor("chunk") as cursor:
            seek, item = cursor.set_range, cursor.item
            try:
                for id in ids:
                    if not seek(id):
                        add(None)
                        continue
                    key, value = item()
                    if key[:_ID] != id:
                        add(None)
                        continue
                    number = live(key[_ID:])
                    if number is None:
                        add(self._choose(cursor, id))
                        continue
                    offset, packed, check = unpack(value)
                    if crc32(value[:12], crc32(key)) != check:
                        raise rows.damaged("chunk", key)
                    add(
                        Location(
                            number,
                            offset,
                            packed & 0xFFFFFF,
                            packed >> 24 & 0xFFFFFF,
                            packed >> 48 & 0xFF,
                            packed >> 56,
                        )
                    )
            except error as wrong:
                raise rows.damaged("chunk", key) from wrong
        return found

    def _choose(self, cursor: Cursor, id: bytes) -> Location | None:
        """The best of an object's copies, the first of which the cursor is at."""
        best: Location | None = None
        while True:
            key, value = cursor.item()
            if key[:_ID] != id:
                return best
            state = self._state(key[_ID:])
            if state is None and key[_ID:] not in self._gone:
                raise Corrupt(f"the index names pack {rows.number_of(key)}, which it doesn't know", hint=rows.REBUILD)
            if state is PackState.LIVE:
                self._live[key[_ID:]] = rows.number_of(key)
                return rows.location(key, value)
            if state is PackState.CONDEMNED and best is None:
                best = rows.location(key, value)
            if not cursor.next():
                return best

    def _state(self, number: bytes) -> PackState | None:
        """A pack's state; None when there is no such pack."""
        if number not in self._states:
            value = self._get("pack", number)
            self._states[number] = None if value is None else rows.pack_row(number, value).state
        return self._states[number]

    def _ref(self, name: str) -> Tag | Alias | None:
        key = rows.ref_key(name)
        value = self._get("ref", key) if name and len(key) <= rows.KEY_BYTES_MAX else None
        return None if value is None else rows.ref(key, value)

    def _refs(self, prefix: str) -> Iterator[Tag | Alias]:
        return (rows.ref(key, value) for key, value in self._range("ref", rows.ref_key(prefix)))

    def _database(self, name: str) -> Database:
        handle: Database = getattr(self._databases, name)
        return handle

    def _cursor(self, name: str) -> Cursor:
        return self._transaction.cursor(self._database(name))

    def _get(self, name: str, key: bytes) -> bytes | None:
        return self._transaction.get(key, db=self._database(name)) if key else None

    def _range(self, name: str, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """The rows whose keys begin with `prefix`, in order."""
        for key, value in self._range_from(name, prefix):
            if not key.startswith(prefix):
                return
            yield key, value

    def _range_from(self, name: str, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        with self._cursor(name) as cursor:
            if cursor.set_range(start) if start else cursor.first():
                yield from cursor

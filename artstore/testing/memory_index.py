"""An index in memory. A write works on a copy which takes the place of the state when it ends well."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from artstore.errors import Conflict, Corrupt, NotFound, UsageError
from artstore.format import reflog, undo
from artstore.format.ids import PLAIN, Ids
from artstore.format.reflog import LogDamage, LogRecord, Record
from artstore.format.version import encode_move
from artstore.model import Alias, Digest, FarPack, Location, Move, PackId, PackKind, PackRow, PackState, TableEntry, Tag


@dataclass(slots=True)
class State:
    """All of an index; values are immutable, so that copying the dicts copies everything."""

    chunks: dict[bytes, tuple[Location, ...]] = field(default_factory=dict[bytes, tuple[Location, ...]])
    packs: dict[int, PackRow] = field(default_factory=dict[int, PackRow])
    sets: dict[bytes, tuple[int, ...]] = field(default_factory=dict[bytes, tuple[int, ...]])
    page_packs: dict[bytes, tuple[int, ...]] = field(default_factory=dict[bytes, tuple[int, ...]])
    refs: dict[str, Tag | Alias] = field(default_factory=dict[str, Tag | Alias])
    moves: dict[bytes, Move] = field(default_factory=dict[bytes, Move])
    blocks: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict[bytes, tuple[bytes, ...]])
    journal: dict[str, bytes] = field(default_factory=dict[str, bytes])
    erased: dict[bytes, int] = field(default_factory=dict[bytes, int])
    log: dict[int, Record] = field(default_factory=dict[int, Record])
    far: dict[bytes, tuple[Location, ...]] = field(default_factory=dict[bytes, tuple[Location, ...]])
    far_packs: dict[int, FarPack] = field(default_factory=dict[int, FarPack])
    next_pack: int = 1

    def copy(self) -> State:
        """A state of its own."""
        return replace(
            self,
            chunks=self.chunks.copy(),
            packs=self.packs.copy(),
            sets=self.sets.copy(),
            page_packs=self.page_packs.copy(),
            refs=self.refs.copy(),
            moves=self.moves.copy(),
            blocks=self.blocks.copy(),
            journal=self.journal.copy(),
            erased=self.erased.copy(),
            log=self.log.copy(),
            far=self.far.copy(),
            far_packs=self.far_packs.copy(),
        )


class MemoryIndex:
    """Implements `artstore.ports.Index`."""

    def __init__(self, ids: Ids = PLAIN) -> None:
        self._ids = ids
        self._state = State()
        self._lock = threading.Lock()
        self.log = MemoryLog(self._state.log)

    @contextmanager
    def read(self) -> Generator[MemoryReader, None, None]:
        """A snapshot."""
        yield MemoryReader(self._state)

    @contextmanager
    def write(self, *, sync: bool = True) -> Generator[MemoryWriter, None, None]:
        """The write transaction."""
        del sync
        with self._lock:
            state = self._state.copy()
            yield MemoryWriter(state, self._ids)
            self._state = state
            self.log.held = state.log

    def probe(self) -> None:
        """Nothing can be damaged."""

    def close(self) -> None:
        """Nothing is held."""


class MemoryLog:
    """Implements `artstore.ports.RefsLog`; `held` is what the last write left."""

    def __init__(self, held: dict[int, Record]) -> None:
        self.held = held

    def size(self) -> int | None:
        """Bytes that a file would have."""
        return reflog.FILE_HEADER_BYTES + sum(len(reflog.encode_record(*item)) for item in self.held.items())

    def records(self) -> Iterator[LogRecord | LogDamage]:
        """Every record, as in a file."""
        data = reflog.FILE_HEADER + b"".join(reflog.encode_record(*item) for item in sorted(self.held.items()))
        return reflog.scan_records(lambda offset, size: data[offset : offset + size], len(data))

    def rewrite(self, records: Iterable[Record]) -> tuple[int, int]:
        """Replace all records."""
        self.held = dict(enumerate(records, 1))
        return len(self.held), self.size() or 0


class MemoryReader:
    """Implements `artstore.ports.IndexReader`."""

    def __init__(self, state: State) -> None:
        self._state = state

    def find(self, id: bytes) -> Location | None:
        """The best copy that may be read."""
        best: Location | None = None
        for place in self._state.chunks.get(id, ()):
            row = self._state.packs.get(place.pack)
            if row is None:
                raise Corrupt(f"the index names pack {place.pack}, which it doesn't know")
            if row.state is PackState.LIVE:
                return place
            if row.state is PackState.CONDEMNED and best is None:
                best = place
        return best

    def find_many(self, ids: Sequence[bytes]) -> list[Location | None]:
        """`find` for each id."""
        return [self.find(id) for id in ids]

    def copies(self, id: bytes) -> list[Location]:
        """Every copy."""
        return list(self._state.chunks.get(id, ()))

    def ids_with_prefix(self, prefix: bytes, odd_nibble: int | None, limit: int) -> list[tuple[Digest, Location]]:
        """Up to `limit` distinct ids which begin so."""
        found: list[tuple[Digest, Location]] = []
        for id in sorted(self._state.chunks):
            odd = odd_nibble is not None and id[len(prefix) : len(prefix) + 1].hex()[:1] != f"{odd_nibble:x}"
            if id.startswith(prefix) and not odd and len(found) < limit:
                place = self.find(id)
                if place is not None:
                    found.append((Digest(id), place))
        return found

    def pack(self, number: int) -> PackRow | None:
        """What is known of a pack."""
        return self._state.packs.get(number)

    def pack_by_id(self, pack: PackId) -> PackRow | None:
        """The same by id."""
        return next((row for row in self._state.packs.values() if row.id == pack), None)

    def packs(self) -> Iterator[PackRow]:
        """Every pack, by number."""
        return (row for _, row in sorted(self._state.packs.items()))

    def pack_contents(self, number: int) -> Iterator[tuple[Digest, Location]]:
        """Everything in one pack."""
        for id, places in sorted(self._state.chunks.items()):
            yield from ((Digest(id), place) for place in places if place.pack == number)

    def version_set(self, version: bytes) -> Sequence[int] | None:
        """Sorted pack numbers of a version."""
        return self._state.sets.get(version)

    def versions(self) -> Iterator[Digest]:
        """Versions that have a set."""
        return (Digest(version) for version in sorted(self._state.sets))

    def page_packs(self, page: bytes) -> Sequence[int] | None:
        """Sorted numbers of the packs a root needs, if all can be read."""
        numbers = self._state.page_packs.get(page)
        rows = [self._state.packs.get(number) for number in numbers or ()]
        return None if any(row is None or row.state is PackState.DELETING for row in rows) else numbers

    def tag(self, name: str) -> Tag | None:
        """The tag of that name."""
        found = self._state.refs.get(name)
        return found if isinstance(found, Tag) else None

    def alias(self, name: str) -> Alias | None:
        """The alias of that name."""
        found = self._state.refs.get(name)
        return found if isinstance(found, Alias) and found.version else None

    def tags(self, prefix: str = "") -> Iterator[Tag]:
        """In name order."""
        return (found for _, found in self._refs(prefix) if isinstance(found, Tag))

    def aliases(self, prefix: str = "") -> Iterator[Alias]:
        """In name order."""
        return (found for _, found in self._refs(prefix) if isinstance(found, Alias) and found.version)

    def move(self, id: bytes) -> Move | None:
        """One move."""
        return self._state.moves.get(id)

    def moves(self, alias: str) -> Iterator[tuple[Digest, Move]]:
        """Newest first."""
        found = self._state.refs.get(alias)
        id = found.move if isinstance(found, Alias) else b""
        while id:
            move = self._state.moves[id]
            yield Digest(id), move
            id = move.previous

    def stat_blocks(self, directory: bytes) -> Iterator[bytes]:
        """Blocks of one directory."""
        return iter(self._state.blocks.get(directory, ()))

    def stat_directories(self, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Keys in order, with their first blocks."""
        found = sorted((key, blocks[0]) for key, blocks in self._state.blocks.items() if blocks and key > after)
        return found[:limit]

    def journal(self, key: str) -> bytes | None:
        """What was noted."""
        return self._state.journal.get(key)

    def journal_keys(self, prefix: str = "") -> Iterator[str]:
        """Keys in order."""
        return (key for key in sorted(self._state.journal) if key.startswith(prefix))

    def erased(self, id: bytes) -> bool:
        """Whether it was purged."""
        return id in self._state.erased

    def far_find_many(self, ids: Sequence[bytes]) -> list[Location | None]:
        """A copy of each at a remote."""
        known = self._state.far_packs
        return [next((place for place in self._state.far.get(id, ()) if place.pack in known), None) for id in ids]

    def far_copies(self, id: bytes) -> list[Location]:
        """Every copy at remotes."""
        return [place for place in self._state.far.get(id, ()) if place.pack in self._state.far_packs]

    def far_pack(self, number: int) -> FarPack | None:
        """A pack at a remote."""
        return self._state.far_packs.get(number)

    def far_pack_at(self, remote: bytes, key: str) -> FarPack | None:
        """The same by where it lies."""
        packs = self._state.far_packs.values()
        return next((pack for pack in packs if (pack.remote, pack.key) == (remote, key)), None)

    @property
    def sequence(self) -> int:
        """Of the last record."""
        return max(self._state.log, default=0)

    def ref_records(self) -> Iterator[Record]:
        """What a log would say that leads here."""
        for tag in self.tags():
            yield reflog.TagSet(tag)
        for name, found in self._refs(""):
            if isinstance(found, Alias):
                for _, move in reversed(list(self.moves(name))):
                    yield reflog.Moved(move)
        for id, time in sorted(self._state.erased.items()):
            data = self._state.journal.get(undo.erasure_key(time))
            note = undo.ErasureNote("", "") if data is None else undo.decode_erasure(data)
            yield reflog.Erasure([id], time, note.who, note.reason)

    def _refs(self, prefix: str) -> list[tuple[str, Tag | Alias]]:
        return sorted((name, found) for name, found in self._state.refs.items() if name.startswith(prefix))


class MemoryWriter(MemoryReader):
    """Implements `artstore.ports.IndexWriter`."""

    def __init__(self, state: State, ids: Ids) -> None:
        super().__init__(state)
        self._ids = ids

    def add_pack(self, pack: PackId, kind: PackKind, *, size: int, created: int, table: Sequence[TableEntry]) -> int:
        """Name a pack and its entries."""
        known = self.pack_by_id(pack)
        if known is not None:
            return known.number
        number, self._state.next_pack = self._state.next_pack, self._state.next_pack + 1
        self._state.packs[number] = PackRow(number, pack, kind, PackState.LIVE, size, len(table), created)
        for entry in table:
            place = Location(number, entry.offset, entry.stored, entry.raw, entry.codec, entry.flags)
            self._state.chunks[entry.id] = (*self._state.chunks.get(entry.id, ()), place)
        return number

    def set_pack_state(self, number: int, state: PackState, since: int) -> None:
        """Condemn, delete or revive."""
        row = self._state.packs.get(number)
        if row is None:
            raise NotFound(f"there is no pack {number}")
        self._state.packs[number] = replace(row, state=state, since=since)

    def remove_pack(self, number: int) -> None:
        """Forget a pack and its own entries."""
        if self._state.packs.pop(number, None) is not None:
            for id in list(self._state.chunks):
                self.remove_object(id, number)

    def remove_object(self, id: bytes, number: int) -> None:
        """Forget one copy."""
        rest = tuple(place for place in self._state.chunks.pop(id, ()) if place.pack != number)
        if rest:
            self._state.chunks[id] = rest

    def put_set(self, version: bytes, packs: Iterable[int]) -> None:
        """Record a version's packs."""
        self._state.sets[version] = tuple(sorted(set(packs)))

    def remove_set(self, version: bytes) -> None:
        """Forget a version."""
        self._state.sets.pop(version, None)

    def put_page_packs(self, page: bytes, packs: Iterable[int]) -> None:
        """Record a root's packs."""
        self._state.page_packs[page] = tuple(sorted(set(packs)))

    def drop_void_page_packs(self, after: bytes, limit: int) -> bytes | None:
        """Forget rows that name a pack which is gone."""
        looked = sorted(page for page in self._state.page_packs if page > after)[:limit]
        for page in looked:
            if not self._state.packs.keys() >= set(self._state.page_packs[page]):
                del self._state.page_packs[page]
        return looked[-1] if looked else None

    def drop_page_packs(self) -> None:
        """Forget them."""
        self._state.page_packs.clear()

    def put_tag(self, tag: Tag) -> None:
        """Make a tag."""
        known = self._state.refs.get(tag.name)
        if known == tag:
            return
        if known is not None:
            raise Conflict(f"{tag.name} is taken")
        self._record(reflog.TagSet(tag))
        self._state.refs[tag.name] = tag

    def remove_tag(self, name: str, *, time: int, who: str) -> None:
        """Remove a tag."""
        if self.tag(name) is None:
            raise NotFound(f"there is no tag {name}")
        self._record(reflog.TagRemoved(name, time, who))
        del self._state.refs[name]

    def put_move(self, move: Move) -> Alias:
        """Move an alias."""
        known = self._state.refs.get(move.alias)
        if isinstance(known, Tag):
            raise Conflict(f"{move.alias} is a tag")
        _require_next(Alias(move.alias, b"", 0, b"") if known is None else known, move)
        self._record(reflog.Moved(move))
        return self._put_alias(move)

    def put_history(self, alias: str, moves: Sequence[Move]) -> Alias:
        """Let an alias have another history."""
        if self.tag(alias) is not None:
            raise Conflict(f"{alias} is a tag")
        now = Alias(alias, b"", 0, b"")
        for move in moves:
            _require_next(now, move)
            now = Alias(alias, move.target, move.seq, encode_move(move, self._ids).id)
        for move in moves:
            self._record(reflog.Moved(move))
            self._put_alias(move)
        return now

    def put_erased(self, ids: Sequence[bytes], *, time: int, who: str, reason: str) -> None:
        """Record an erasure."""
        if ids:
            self._record(reflog.Erasure(list(ids), time, who, reason))
            self._put_erased(ids, time, undo.ErasureNote(who, reason))

    def put_stat_blocks(self, directory: bytes, blocks: Sequence[bytes]) -> None:
        """Replace a directory's blocks."""
        self._state.blocks[directory] = tuple(blocks)

    def drop_stat_blocks(self) -> None:
        """Forget them all."""
        self._state.blocks.clear()

    def put_journal(self, key: str, value: bytes | None) -> None:
        """Note something; None removes."""
        if not key:
            raise UsageError("'' is no key of the journal")
        if value is None:
            self._state.journal.pop(key, None)
        else:
            self._state.journal[key] = value

    def add_far_pack(self, remote: bytes, key: str, *, size: int, table: Sequence[TableEntry]) -> int:
        """Note what a pack at a remote holds."""
        known = self.far_pack_at(remote, key)
        if known is not None:
            return known.number
        number, self._state.next_pack = self._state.next_pack, self._state.next_pack + 1
        self._state.far_packs[number] = FarPack(number, remote, key, size)
        for entry in table:
            place = Location(number, entry.offset, entry.stored, entry.raw, entry.codec, entry.flags)
            self._state.far[entry.id] = (*self._state.far.get(entry.id, ()), place)
        return number

    def remove_far_pack(self, number: int) -> None:
        """Forget it."""
        self._state.far_packs.pop(number, None)

    def drop_void_far(self, after: bytes, limit: int) -> bytes | None:
        """Forget places in packs that were removed."""
        looked = sorted(id for id in self._state.far if id > after)[:limit]
        for id in looked:
            self._state.far[id] = tuple(place for place in self._state.far[id] if place.pack in self._state.far_packs)
        return looked[-1] if looked else None

    def restore(self, record: Record) -> None:
        """Take over a record of a log."""
        match record:
            case reflog.TagSet():
                self._state.refs[record.value.name] = record.value
            case reflog.TagRemoved():
                self._state.refs.pop(record.name, None)
            case reflog.Moved():
                self._put_alias(record.move)
            case reflog.Erasure():
                self._put_erased(record.ids, record.time, undo.ErasureNote(record.who, record.reason))
        self._state.log[self.sequence + 1] = record

    def set_log_end(self, sequence: int, end: int) -> None:
        """The records of a log that was written anew."""
        del end
        self._state.log = dict(enumerate(self.ref_records(), 1)) if sequence != self.sequence else self._state.log

    def _put_erased(self, ids: Iterable[bytes], time: int, note: undo.ErasureNote) -> None:
        self._state.erased.update(dict.fromkeys(ids, time))
        self.put_journal(undo.erasure_key(time), undo.encode_erasure(note))

    def _put_alias(self, move: Move) -> Alias:
        id = encode_move(move, self._ids).id
        self._state.moves[id] = move
        alias = Alias(move.alias, move.target, move.seq, id)
        self._state.refs[move.alias] = alias
        return alias

    def _record(self, record: Record) -> None:
        sequence = self.sequence + 1
        reflog.encode_record(sequence, record)  # refuses what may not be stored
        self._state.log[sequence] = record


def _require_next(now: Alias, move: Move) -> None:
    if (move.alias, move.seq, move.previous, move.source) != (now.name, now.seq + 1, now.move, now.version):
        raise Conflict(f"{move.alias} was moved by somebody else")

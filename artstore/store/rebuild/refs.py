"""Brings refs into a new index: from refs.log, or from the old index where the log is damaged and that can be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.reflog import Erasure, LogRecord, Moved, Record, TagRemoved, TagSet
from artstore.format.undo import RemovedRef
from artstore.format.version import encode_move
from artstore.model import Digest, Move
from artstore.store.check.refs import log_state
from artstore.store.collect.records import note_removed
from artstore.store.refs import log_records, reserve_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from artstore.model import Tag
    from artstore.ports import Index, IndexWriter, RefsLog

    OpenOld = Callable[[], Index | None]


@dataclass(slots=True)
class RefEntries:
    """What was entered: versions that refs lead to or led to, and chunks that were purged, with the last time."""

    targets: set[Digest] = field(default_factory=set[Digest])
    erased: dict[bytes, int] = field(default_factory=dict[bytes, int])
    notes: list[str] = field(default_factory=list[str])
    log_size: int | None = None


def enter_refs(index: Index, log: RefsLog, open_old: OpenOld, now: int) -> RefEntries:
    """Replay what happened. A damaged log is written anew, as far as it is known.

    `open_old` gives the index that is replaced, if it can be read from end to end.
    """
    entered = RefEntries()
    state = log_state(log)
    old = _old_refs(open_old)
    with index.write() as writer:
        if state.problem is None and old.sequence <= state.sequence:
            if state.torn_bytes:
                entered.notes.append(
                    f"refs.log ends in {state.torn_bytes} bytes of an unfinished record; it was left out"
                )
            _replay(writer, _sound_records(log), entered, now)
            writer.set_log_end(state.sequence, state.end)
        else:
            records = old.records or list(chained(_sound_records(log)))
            source = "the old index" if old.records else "what is left of it"
            problem = state.problem or "refs.log lacks its last records"
            entered.notes.append(f"{problem}; refs were taken from {source}")
            _replay(writer, records, entered, now)
            writer.set_log_end(*log.rewrite(records))
    entered.log_size = log.size()
    return entered


@dataclass(frozen=True, slots=True)
class _OldRefs:
    """What the old index says: bounded by the number of refs and moves."""

    sequence: int = 0
    records: list[Record] = field(default_factory=list[Record])


def _old_refs(open_old: OpenOld) -> _OldRefs:
    old = open_old()
    if old is None:
        return _OldRefs()
    try:
        with old.read() as reader:
            return _OldRefs(reader.sequence, list(log_records(reader)))
    except Corrupt:
        return _OldRefs()
    finally:
        old.close()


def chained(records: Iterable[Record]) -> Iterable[Record]:
    """The same records with whole histories: moves behind a lost one are made anew, as its successors.

    An alias whose chain is broken could neither be listed nor collected. Its ids change, its versions don't.
    """
    heads: dict[str, tuple[Digest, Move]] = {}
    for record in records:
        if isinstance(record, Moved):
            move = _continued(heads.get(record.move.alias), record.move)
            if move is None:
                continue
            heads[move.alias] = encode_move(move).id, move
            yield Moved(move)
        else:
            yield record


def _continued(head: tuple[Digest, Move] | None, move: Move) -> Move | None:
    """The move as the next one behind `head`; None for one that would lead from nothing to nothing."""
    id, last = head or (Digest(b""), None)
    seq, source = (1, b"") if last is None else (last.seq + 1, last.target)
    if (move.seq, move.previous, move.source) == (seq, id, source):
        return move
    if not source and not move.target:
        return None
    return Move(
        move.alias, seq, source, move.target, move.time, move.who, move.host, move.reason, move.rollback, previous=id
    )


def _sound_records(log: RefsLog) -> Iterable[Record]:
    try:
        for item in log.records():
            if isinstance(item, LogRecord):
                yield item.record
    except Corrupt:  # the file's first bytes, or it shrinks: `log_state` has told
        return


def _replay(writer: IndexWriter, records: Iterable[Record], entered: RefEntries, now: int) -> None:
    tags: dict[str, Tag] = {}
    removed: dict[str, Digest] = {}
    for record in records:
        writer.restore(record)
        match record:
            case TagSet():
                tags[record.value.name] = record.value
                removed.pop(record.value.name, None)
            case TagRemoved():
                tag = tags.pop(record.name, None)
                if tag is not None:
                    removed[tag.name] = Digest(tag.version)
                    _note(writer, RemovedRef(tag.name, False, tag.version, tag.created, record.time), entered, now)
            case Moved():
                move = record.move
                entered.targets.update(Digest(id) for id in (move.source, move.target) if id)
                if not move.target:
                    _note(writer, RemovedRef(move.alias, True, move.source, 0, move.time), entered, now)
            case Erasure():
                entered.erased.update(dict.fromkeys(record.ids, record.time))
    entered.targets.update(Digest(tag.version) for tag in tags.values())
    for name, version in removed.items():
        reserve_name(writer, name, version)


def _note(writer: IndexWriter, ref: RemovedRef, entered: RefEntries, now: int) -> None:
    """What was removed lately can still be brought back."""
    if ref.removed > now - limits.UNDO_NS:
        note_removed(writer, ref)
        entered.targets.add(Digest(ref.version))

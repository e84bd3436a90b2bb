"""Brings refs into a new index: from refs.log, or from the old index where the log is damaged and that can be read."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.reflog import Erasure, LogRecord, Moved, Record, TagRemoved, TagSet
from artstore.format.undo import RemovedRef
from artstore.format.version import encode_move
from artstore.model import Digest, Move
from artstore.revision import artifact_of
from artstore.store.check.refs import log_state
from artstore.store.collect.records import note_removed
from artstore.store.provisional import Renumbering, note_renumbered
from artstore.store.refs import log_records, reserve_name

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from artstore.format.ids import Ids
    from artstore.model import Tag
    from artstore.ports import Index, IndexReader, IndexWriter, RefsLog

    OpenOld = Callable[[], Index | None]


@dataclass(slots=True)
class RefEntries:
    """What was entered: versions that refs lead to or led to, and chunks that were purged, with the last time."""

    targets: set[Digest] = field(default_factory=set[Digest])
    erased: dict[bytes, int] = field(default_factory=dict[bytes, int])
    notes: list[str] = field(default_factory=list[str])
    log_size: int | None = None


def enter_refs(index: Index, log: RefsLog, open_old: OpenOld, ids: Ids, now: int) -> RefEntries:
    """Replay what happened. A damaged log is written anew, as far as it is known.

    `open_old` gives the index that is replaced, if it can be read from end to end.
    """
    entered = RefEntries()
    state = log_state(log, ids)
    with _old_refs(open_old) as old, index.write() as writer:
        if state.problem is None and old.sequence <= state.sequence:
            if state.torn_bytes:
                entered.notes.append(
                    f"refs.log ends in {state.torn_bytes} bytes of an unfinished record; it was left out"
                )
            _replay(writer, _sound_records(log), entered, now)
            writer.set_log_end(state.sequence, state.end)
        else:
            source = "what is left of it" if old.reader is None else "the old index"
            problem = state.problem or "refs.log lacks its last records"
            entered.notes.append(f"{problem}; refs were taken from {source}")
            _replay(writer, _all_that_is_known(old, log, ids), entered, now)
            writer.set_log_end(*log.rewrite(_all_that_is_known(old, log, ids)))
    entered.log_size = log.size()
    return entered


@dataclass(frozen=True, slots=True)
class _OldRefs:
    """How far the old index knows the log; and what tells its refs, if it has any and all of them can be read."""

    sequence: int = 0
    reader: IndexReader | None = None


@contextmanager
def _old_refs(open_old: OpenOld) -> Generator[_OldRefs]:
    old = open_old()
    if old is None:
        yield _OldRefs()
        return
    with ExitStack() as stack:
        stack.callback(old.close)
        try:
            reader = stack.enter_context(old.read())
            known = _OldRefs(reader.sequence, reader if sum(1 for _ in log_records(reader)) else None)
        except Corrupt:
            known = _OldRefs()
        yield known


def _all_that_is_known(old: _OldRefs, log: RefsLog, ids: Ids) -> Iterable[Record]:
    """Told anew each time: histories may be long."""
    return chained(_sound_records(log), ids) if old.reader is None else log_records(old.reader)


def chained(records: Iterable[Record], ids: Ids) -> Iterable[Record]:
    """The same records with whole histories: moves behind a lost one are made anew, as its successors.

    An alias whose chain is broken could neither be listed nor collected. Its ids change, its versions don't.
    """
    heads: dict[str, tuple[Digest, Move]] = {}
    for record in records:
        if isinstance(record, Moved):
            begins = record.move.seq == 1 and not record.move.previous  # a history, maybe in place of another
            move = _continued(None if begins else heads.get(record.move.alias), record.move)
            if move is None:
                continue
            heads[move.alias] = encode_move(move, ids).id, move
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
    """All of them in order, and what they leave to be remembered.

    A tag that was removed when another one of its version was made, at one time, was renumbered. Whether that was
    dismissed is told by nothing but a tag that has the name again: if there is none, it has to be dismissed once more.
    """
    tags: dict[str, Tag] = {}
    removed: dict[str, RemovedRef] = {}
    made: dict[tuple[str, bytes, int], str] = {}
    for record in records:
        writer.restore(record)
        match record:
            case TagSet():
                tags[record.value.name] = record.value
                removed.pop(record.value.name, None)
                made[artifact_of(record.value.name), record.value.version, record.value.created] = record.value.name
            case TagRemoved():
                tag = tags.pop(record.name, None)
                if tag is not None:
                    removed[tag.name] = RemovedRef(tag.name, False, tag.version, tag.created, record.time)
            case Moved():
                move = record.move
                entered.targets.update(Digest(id) for id in (move.source, move.target) if id)
                if not move.target:
                    _note(writer, RemovedRef(move.alias, True, move.source, 0, move.time), entered, now)
            case Erasure():
                entered.erased.update(dict.fromkeys(record.ids, record.time))
    entered.targets.update(Digest(tag.version) for tag in tags.values())
    for ref in removed.values():
        new = made.get((artifact_of(ref.name), ref.version, ref.removed))
        if new is not None and ref.removed:
            note_renumbered(writer, Renumbering(ref.name, new, Digest(ref.version)))
        else:
            reserve_name(writer, ref.name, Digest(ref.version))
            _note(writer, ref, entered, now)


def _note(writer: IndexWriter, ref: RemovedRef, entered: RefEntries, now: int) -> None:
    """What was removed lately can still be brought back."""
    if ref.removed > now - limits.UNDO_NS:
        note_removed(writer, ref)
        entered.targets.add(Digest(ref.version))

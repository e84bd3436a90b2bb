"""Brings index and refs.log together again: the log decides [I8], unless it is the one that is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.format.reflog import LogRecord, Record, TagRemoved
from artstore.store.check.refs import compare_log
from artstore.store.refs import log_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.format.ids import Ids
    from artstore.ports import Index, IndexWriter


def rewrite_log(index: Index) -> None:
    """Write refs.log anew from the index. What only the old log knew (who removed tags, and when) is gone."""
    with index.write() as writer:
        writer.set_log_end(*index.log.rewrite(log_records(writer)))


def restore_refs(index: Index, ids: Ids) -> int:
    """Bring the refs of the index to what refs.log tells; return how many differed. The log must be whole."""
    with index.write() as writer:
        found = compare_log(index.log, writer, ids)
        if found.differences:
            _replay(index, writer, set(found.known.tags) - set(found.log.state.tags))
        return len(found.differences)


def _replay(index: Index, writer: IndexWriter, surplus: set[str]) -> None:
    """All records again, in order; then without the tags that the log doesn't know."""
    for record in _records(index, writer.sequence):
        writer.restore(record)
    for name in sorted(surplus):
        writer.restore(TagRemoved(name, 0, ""))


def _records(index: Index, until: int) -> Iterator[Record]:
    for item in index.log.records():
        if isinstance(item, LogRecord) and item.seq <= until:
            yield item.record

"""What collection notes in the journal: refs that can come back, versions it has seen gone, packs it must look at.

| key | value |
|---|---|
| `removed/<time>/<name>` | a tag or alias that `rm` or retention removed |
| `gc/gone/<version>` | when collection first saw the version without a root |
| `gc/witness/<pack>` | sessions that ran after the pack was marked as DELETING |
| `gc/swept` | when shortcuts were looked through last (`shortcuts.py`) |
| `gc/suspects` | packs of which a part may be dead |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.format import undo
from artstore.format.undo import RemovedRef
from artstore.model import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from artstore.ports import IndexReader, IndexWriter

_REMOVED = "removed/"
_GONE = "gc/gone/"
_WITNESS = "gc/witness/"
_SUSPECTS = "gc/suspects"


def note_removed(writer: IndexWriter, ref: RemovedRef) -> None:
    """Remember a ref that is removed."""
    writer.put_journal(f"{_REMOVED}{ref.removed:020d}/{ref.name}", undo.encode_removed(ref))


def removed_refs(reader: IndexReader) -> Iterator[tuple[str, RemovedRef]]:
    """Keys and refs, in the order in which they were removed."""
    for key in reader.journal_keys(_REMOVED):
        data = reader.journal(key)
        if data is not None:
            yield key, undo.decode_removed(data)


def gone_since(reader: IndexReader) -> dict[Digest, int]:
    """When earlier runs first saw a version gone."""
    found: dict[Digest, int] = {}
    for key in reader.journal_keys(_GONE):
        data = reader.journal(key)
        if data is not None:
            found[Digest(bytes.fromhex(key.removeprefix(_GONE)))] = undo.decode_numbers(data)[0]
    return found


def put_gone(writer: IndexWriter, versions: Iterable[Digest], since: int | None) -> None:
    """Note since when versions are gone; None forgets them."""
    value = None if since is None else undo.encode_numbers([since])
    for version in versions:
        writer.put_journal(_GONE + version.hex(), value)


def witnesses(reader: IndexReader) -> dict[int, frozenset[bytes]]:
    """By pack number: the sessions that must end before it is unlinked."""
    found: dict[int, frozenset[bytes]] = {}
    for key in reader.journal_keys(_WITNESS):
        data = reader.journal(key)
        if data is not None:
            found[int(key.removeprefix(_WITNESS))] = frozenset(undo.decode_sessions(data))
    return found


def put_witnesses(writer: IndexWriter, packs: Iterable[int], sessions: frozenset[bytes] | None) -> None:
    """Note which sessions must end; None forgets them."""
    value = None if sessions is None else undo.encode_sessions(sorted(sessions))
    for number in packs:
        writer.put_journal(f"{_WITNESS}{number:010d}", value)


def suspects(reader: IndexReader) -> set[int]:
    """Packs of which a part may be dead."""
    data = reader.journal(_SUSPECTS)
    return set() if data is None else set(undo.decode_numbers(data))


def put_suspects(writer: IndexWriter, packs: Iterable[int]) -> None:
    """Replace them."""
    numbers = sorted(packs)
    writer.put_journal(_SUSPECTS, undo.encode_numbers(numbers) if numbers else None)

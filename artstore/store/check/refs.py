"""Checks refs: they lead to versions, their history is whole, and index and refs.log tell the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.format.reflog import FILE_HEADER_BYTES, Erasure, LogDamage, LogRecord, Moved, Record, TagRemoved, TagSet
from artstore.format.version import encode_move
from artstore.model import Digest
from artstore.store.check.report import ProblemKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from artstore.format.ids import Ids
    from artstore.model import Alias, Tag
    from artstore.ports import Index, IndexReader, RefsLog
    from artstore.store.check.report import Findings
    from artstore.store.context import Context


@dataclass(slots=True)
class RefState:
    """What records lead to: something for each name, whatever happened to it.

    `heads`: each alias's last move, which by its id tells all earlier ones; `broken`: aliases of which a record doesn't
    continue the one before. `erasures`: how many ids of purged chunks were told. `removed`: tags that were removed, and
    what they named.
    """

    ids: Ids
    tags: dict[str, Tag] = field(default_factory=dict[str, "Tag"])
    heads: dict[str, Digest] = field(default_factory=dict[str, Digest])
    broken: set[str] = field(default_factory=set[str])
    erasures: int = 0
    removed: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def apply(self, record: Record) -> None:
        """Take in the next record."""
        match record:
            case TagSet():
                self.tags[record.value.name] = record.value
                self.removed.pop(record.value.name, None)
            case TagRemoved():
                tag = self.tags.pop(record.name, None)
                if tag is not None:
                    self.removed[record.name] = tag.version
            case Moved():
                move = record.move
                if move.seq == 1 and not move.previous:  # of a history that takes the place of another
                    self.broken.discard(move.alias)
                elif move.previous != self.heads.get(move.alias, b""):
                    self.broken.add(move.alias)
                self.heads[move.alias] = encode_move(move, self.ids).id
            case Erasure():
                self.erasures += len(record.ids)

    def differences(self, other: RefState) -> list[str]:
        """Names of refs which the two tell differently."""
        names = {name for name in self.tags.keys() | other.tags.keys() if self.tags.get(name) != other.tags.get(name)}
        names |= {n for n in self.heads.keys() | other.heads.keys() if self.heads.get(n) != other.heads.get(n)}
        if self.broken != other.broken and not names:
            names.add("earlier moves of aliases")
        return sorted(names)


@dataclass(slots=True)
class LogState:
    """What refs.log says, up to record `sequence`, which ends at `end`.

    `torn_bytes`: behind the last sound record, as a crash leaves them; `lost_bytes`: damaged ones before it.
    """

    state: RefState
    sequence: int = 0
    end: int = FILE_HEADER_BYTES
    lost_bytes: int = 0
    torn_bytes: int = 0
    problem: str | None = None


def state_of(records: Iterable[Record], ids: Ids) -> RefState:
    """What records lead to."""
    state = RefState(ids)
    for record in records:
        state.apply(record)
    return state


def log_state(log: RefsLog, ids: Ids, until: int | None = None) -> LogState:
    """Read the log, up to the record with sequence number `until`. Tells damage, and raises NewerFormat."""
    found = LogState(RefState(ids))
    if log.size() is None:
        found.problem = "refs.log is missing"
        return found
    try:
        for item in log.records():
            if isinstance(item, LogDamage):
                if item.torn:
                    found.torn_bytes += item.end - item.offset
                else:
                    found.lost_bytes += item.end - item.offset
            elif until is None or item.seq <= until:
                found.state.apply(item.record)
                found.sequence, found.end = item.seq, item.end
    except Corrupt as error:
        found.problem = error.message
    if found.problem is None and found.lost_bytes:
        found.problem = f"{found.lost_bytes} bytes of refs.log are damaged"
    if found.problem is None and until is not None and found.sequence < until:
        found.problem = f"refs.log ends with record {found.sequence}, and the index knows {until}"
    return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """What log and index tell, and what of it differs: names of refs, and "purged chunks"."""

    log: LogState
    known: RefState
    differences: list[str]


def compare_log(log: RefsLog, reader: IndexReader, ids: Ids) -> Comparison:
    """Read both, the log as far as the snapshot knows it. Without differences if the log is damaged.

    The log is read after the snapshot was taken: it only grows.
    """
    until = reader.sequence
    known = state_of(reader.ref_records(), ids)
    found = log_state(log, ids, until=until)
    if found.problem is not None:
        return Comparison(found, known, [])
    different = found.state.differences(known)
    total = max(found.state.erasures, known.erasures)
    if not _tell_same_erasures(lambda: _records_of(log, until), reader.ref_records, total):
        different.append("purged chunks")
    return Comparison(found, known, different)


def check_refs(context: Context, findings: Findings) -> None:
    """Every ref leads to a version; every alias's moves are a chain; no ref is a folder of others."""
    with context.index.read() as reader:
        names = _check_tags(reader, findings) + _check_aliases(reader, context.ids, findings)
    findings.refs = len(names)
    # "/" sorts behind "-" and ".", so names are compared by their parts.
    parts = sorted(tuple(name.split("/")) for name in names)
    for shorter, longer in pairwise(parts):
        if longer[: len(shorter)] == shorter:
            what = (
                "twice: as a tag and as an alias"
                if longer == shorter
                else f"and a folder that holds {'/'.join(longer)}"
            )
            findings.add(ProblemKind.NAME, f"{'/'.join(shorter)} is a ref {what}")


def check_log(index: Index, ids: Ids, findings: Findings) -> None:
    """Index and refs.log tell the same."""
    with index.read() as reader:
        compared = compare_log(index.log, reader, ids)
    if compared.log.problem is not None:
        findings.add(ProblemKind.LOG, compared.log.problem)
        return
    different = compared.differences
    if different:
        more = f" and {len(different) - 5} more" if len(different) > 5 else ""
        findings.add(ProblemKind.REF, f"index and refs.log tell different things of {', '.join(different[:5])}{more}")


def names_of(reader: IndexReader) -> Iterator[tuple[bytes, str]]:
    """(version, ref) of all refs."""
    for tag in reader.tags():
        yield tag.version, tag.name
    for alias in reader.aliases():
        yield alias.version, alias.name


def _check_tags(reader: IndexReader, findings: Findings) -> list[str]:
    names: list[str] = []
    for tag in reader.tags():
        names.append(tag.name)
        _check_target(reader, "tag", tag.name, tag.version, findings)
    return names


def _check_aliases(reader: IndexReader, ids: Ids, findings: Findings) -> list[str]:
    names: list[str] = []
    for alias in reader.aliases():
        names.append(alias.name)
        _check_target(reader, "alias", alias.name, alias.version, findings)
        try:
            why = "" if _is_chain(reader, alias, ids) else f"the history of {alias.name} is broken"
        except (Corrupt, NewerFormat) as error:
            why = f"the history of {alias.name} is broken: {error.message}"
        if why:
            findings.add(ProblemKind.REF, why)
    return names


def _is_chain(reader: IndexReader, alias: Alias, ids: Ids) -> bool:
    """Whether an alias's moves lead from its first to where it is, each with the id and number that it should have."""
    seq = alias.seq
    for id, move in reader.moves(alias.name):
        is_last = seq == alias.seq
        if is_last and (id != alias.move or move.target != alias.version):
            return False
        if move.seq != seq or move.seq < 1 or id != encode_move(move, ids).id:
            return False
        seq -= 1
    return seq == 0 < alias.seq


def _records_of(log: RefsLog, until: int) -> Iterator[Record]:
    return (item.record for item in log.records() if isinstance(item, LogRecord) and item.seq <= until)


def _tell_same_erasures(one: Callable[[], Iterator[Record]], other: Callable[[], Iterator[Record]], total: int) -> bool:
    """Whether both tell the same ids, in any order and any number of times.

    Ids are held for one part of them at a time, so that a purge of any size needs little memory.
    """
    parts = -(-total // limits.CHECK_ERASED_IDS_HELD)
    return all(_erased(one(), part, parts) == _erased(other(), part, parts) for part in range(parts))


def _erased(records: Iterable[Record], part: int, parts: int) -> set[bytes]:
    return {
        id
        for record in records
        if isinstance(record, Erasure)
        for id in record.ids
        if int.from_bytes(id[:8], "little") % parts == part
    }


def _check_target(reader: IndexReader, kind: str, name: str, version: bytes, findings: Findings) -> None:
    if reader.version_set(version) is not None:
        return
    findings.add(ProblemKind.REF, f"the {kind} {name} names version {version.hex()}, which has no set", digest=version)
    findings.suspects.add(Digest(version))

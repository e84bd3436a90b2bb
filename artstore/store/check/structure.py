"""Checks what can be checked without reading data: files, tables, rows of the index, sets, documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.model import ObjectKind, PackKind, PackState
from artstore.store.check.frames import FrameReader, entry_of, read_tail
from artstore.store.check.report import ProblemKind
from artstore.store.check.survey import Surveyor
from artstore.store.lost import lost_records
from artstore.store.partial import is_partial

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from artstore.model import Digest, Location, PackRow, TableEntry
    from artstore.ports import IndexReader
    from artstore.store.check.report import Findings
    from artstore.store.context import Context, Counters
    from artstore.store.objects import Objects


def visible_packs(context: Context) -> list[PackRow]:
    """The packs that look-ups see, by number."""
    with context.index.read() as reader:
        return [row for row in reader.packs() if row.state is not PackState.DELETING]


def check_packs(context: Context, rows: Sequence[PackRow], findings: Findings, counters: Counters) -> None:
    """Every pack has its file, of its size, with a table that says what the index says."""
    frames = FrameReader(context.packs, context.ids)
    for row in rows:
        _check_pack(context, row, findings, frames)
        counters.files_done += 1
    with context.index.read() as reader:
        findings.leftovers = sum(1 for pack, _ in context.packs.list() if reader.pack_by_id(pack) is None)


def check_versions(context: Context, objects: Objects, rows: Sequence[PackRow], findings: Findings) -> None:
    """Every version has its document and a set of packs which are there, and which suffice as far as is known."""
    with context.index.read() as reader:
        versions = list(reader.versions())
        hurt_once = {version for record in lost_records(reader) for version in record.versions}
        findings.suspects |= hurt_once.intersection(versions)
    findings.versions = len(versions)
    visible = {row.number: row for row in rows}
    hurt = findings.damage.packs
    for version in versions:
        _check_version(context, objects, version, visible, findings)
        with context.index.read() as reader:
            packs = reader.version_set(version)
        if packs is None:  # collected meanwhile
            findings.suspects.discard(version)
        elif not hurt.isdisjoint(packs):
            findings.suspects.add(version)


def still_visible(context: Context, row: PackRow) -> bool:
    """Whether a pack hasn't been collected since."""
    with context.index.read() as reader:
        now = reader.pack(row.number)
    return now is not None and now.id == row.id and now.state is not PackState.DELETING


def note_damage(row: PackRow, bad: Sequence[TableEntry], findings: Findings, *, tell: bool) -> None:
    """Objects of a pack that can't be read, or whose headers are wrong."""
    findings.hurt_packs.add(row.number)
    findings.damage.bad.update((entry.id, row.number) for entry in bad)
    if not tell:
        return
    for entry in bad[: limits.CHECK_PACK_FRAMES_TOLD_MAX]:
        kind = ObjectKind(entry.flags & 0x0F).name.lower().replace("_", " ")
        message = f"{kind} {entry.id.hex()} is damaged in pack {row.id.hex()} at {entry.offset}"
        findings.add(ProblemKind.OBJECT_DAMAGED, message, row=row, digest=entry.id)
    if len(bad) > limits.CHECK_PACK_FRAMES_TOLD_MAX:
        more = len(bad) - limits.CHECK_PACK_FRAMES_TOLD_MAX
        findings.add(ProblemKind.OBJECT_DAMAGED, f"{more} more objects are damaged in pack {row.id.hex()}", row=row)


def _check_pack(context: Context, row: PackRow, findings: Findings, frames: FrameReader) -> None:
    size = context.packs.size(row.id)
    if size is None:
        if still_visible(context, row):
            findings.hurt_packs.add(row.number)
            findings.damage.lost.add(row.number)
            findings.add(ProblemKind.PACK_MISSING, f"pack {row.id.hex()} is missing", row=row)
        return
    findings.packs += 1
    findings.size += size
    findings.objects += row.count
    try:
        tail = read_tail(context.packs, row.id, size)
    except Corrupt as error:
        if still_visible(context, row):
            _check_without_table(context, row, findings, frames, error.message)
        return
    with context.index.read() as reader:
        wrong = _wrong_rows(reader, row, tail.entries)
    flaws: list[str] = []
    if (row.size, row.count, row.kind) != (size, len(tail.entries), tail.kind):
        flaws.append(f"it has {size} bytes and {len(tail.entries)} objects")
    if wrong:
        flaws.append(f"{wrong} of its objects are not where the index says")
    if flaws and still_visible(context, row):
        message = f"the index is wrong about pack {row.id.hex()}: {', '.join(flaws)}"
        findings.add(ProblemKind.ROWS, message, row=row)


def _check_without_table(context: Context, row: PackRow, findings: Findings, frames: FrameReader, message: str) -> None:
    """The table is lost: see at once which objects can be saved, going by the index."""
    with context.index.read() as reader:
        entries = [entry_of(id, place) for id, place in reader.pack_contents(row.number)]
    bad = [frame.entry for frame in frames.frames(row.id, entries) if frame.stored is None]
    lost = f"{len(bad)} of its {len(entries)} objects can't be read"
    findings.add(ProblemKind.PACK_DAMAGED, f"{message}; {lost}", row=row)
    note_damage(row, bad, findings, tell=False)


def _wrong_rows(reader: IndexReader, row: PackRow, entries: Sequence[TableEntry]) -> int:
    """How many objects of a table the index does not know to lie there."""
    ids = list(dict.fromkeys(entry.id for entry in entries))
    if len(ids) == len(entries):
        expected: Mapping[bytes, Collection[TableEntry]] = {entry.id: (entry,) for entry in entries}
    else:  # an object that was stored twice has one row
        grouped: dict[bytes, list[TableEntry]] = {}
        for entry in entries:
            grouped.setdefault(entry.id, []).append(entry)
        expected = grouped
    places = reader.find_many(ids)
    return sum(not _is_among(reader, id, place, row, expected[id]) for id, place in zip(ids, places, strict=True))


def _is_among(
    reader: IndexReader, id: Digest, place: Location | None, row: PackRow, expected: Collection[TableEntry]
) -> bool:
    if place is not None and place.pack != row.number:
        place = next((copy for copy in reader.copies(id) if copy.pack == row.number), None)
    return place is not None and entry_of(id, place) in expected


def _check_version(
    context: Context, objects: Objects, version: Digest, visible: Mapping[int, PackRow], findings: Findings
) -> None:
    with context.index.read() as reader:
        packs = reader.version_set(version)
        place = reader.find(version)
    if packs is None:
        return
    missing = [number for number in packs if number not in visible]
    if missing and _is_gone(context, version, missing):
        message = f"the set of version {version.hex()} names {len(missing)} packs that aren't there"
        findings.add(ProblemKind.SET, message, digest=version)
        findings.suspects.add(version)
    if place is None:
        findings.suspects.add(version)
        return
    try:
        tree = objects.version(version).tree
    except (Corrupt, NewerFormat):
        findings.suspects.add(version)
        return
    with context.index.read() as reader:
        needed = reader.page_packs(tree)
    if needed is not None and not {*needed, place.pack}.issubset(packs):
        check_set(context, objects, version, findings)


def check_set(context: Context, objects: Objects, version: Digest, findings: Findings) -> None:
    """Every object of the version lies in a pack of its set, though there may be copies in others."""
    with context.index.read() as reader:
        packs = reader.version_set(version)
    if packs is None:
        return
    survey = Surveyor(context.index, objects, prefer=frozenset(packs)).version(version)
    lacking = survey.packs.difference(packs)
    with context.index.read() as reader:
        if is_partial(reader, version):  # chunks that others keep here may go: the remote has them
            lacking = {number for number in lacking if (row := reader.pack(number)) and row.kind is PackKind.META}
    if lacking:
        message = f"the set of version {version.hex()} lacks {len(lacking)} packs that it needs"
        findings.add(ProblemKind.SET, message, digest=version)


def _is_gone(context: Context, version: Digest, missing: Sequence[int]) -> bool:
    """Whether packs of a set are missing now, and not only because the set has changed."""
    with context.index.read() as reader:
        packs = reader.version_set(version)
        rows = [reader.pack(number) for number in missing]
    if packs is None or not set(missing) & set(packs):
        return False
    return any(row is None or row.state is PackState.DELETING for row in rows)

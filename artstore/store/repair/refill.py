"""Brings back from remotes what a repair could not save here: chunks and pages of which no copy is left in this store.

What is lost, and whom it hurts, the journal tells (`artstore.store.lost`). The order is a commit's: a pack is durable
before it is named [I1], and in the transaction that names it the sets of the versions that need it do, too. Killed
anywhere, what came stays or falls to `gc`, and the next repair brings the rest.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, NotFound, NotPermitted, RemoteError
from artstore.format.codec import Encoder
from artstore.format.frame import header
from artstore.format.pack import encode_tail
from artstore.model import Digest, ObjectKind, PackKind, TableEntry
from artstore.store.check.refs import names_of
from artstore.store.check.report import Hurt
from artstore.store.check.survey import Surveyor
from artstore.store.lost import heal_sets, lost_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from artstore.ports import PackSink, Session
    from artstore.store.context import Context, Counters
    from artstore.store.far import FarSource
    from artstore.store.lost import LostRecord
    from artstore.store.objects import Objects


@dataclass(slots=True)
class RefillReport:
    """`wanted`: objects that were lost; `objects`, `bytes`: that came, into so many `packs`. `hurt`: what can't be read
    still; `asked`: the remotes, `trouble`: why some could not be.
    """

    wanted: int = 0
    objects: int = 0
    bytes: int = 0
    packs: int = 0
    hurt: list[Hurt] = field(default_factory=list[Hurt])
    asked: list[str] = field(default_factory=list[str])
    trouble: list[str] = field(default_factory=list[str])


def lost_here(context: Context) -> int:
    """How many objects were lost and not stored again."""
    with context.index.read() as reader:
        ids = {id for record in lost_records(reader) for id in record.ids}
        places = reader.find_many(sorted(ids))
        return sum(place is None for place in places)


def refill(context: Context, objects: Objects, counters: Counters) -> RefillReport:
    """Have what was lost here again, as far as remotes have it, each object verified [I5]. NoSpace."""
    report = RefillReport()
    with context.index.write() as writer:
        heal_sets(writer)
        records = list(lost_records(writer))
    report.wanted = len({id for record in records for id in record.ids})
    far = objects.fetcher.far()
    if far is not None and records:
        report.asked = _urls(far, report)
        with context.sessions.begin() as session:
            for record in records:
                filler = _Filler(context, session, report, counters)
                try:
                    for kind, id, data in _fetched(context, objects, far, record, report):
                        filler.add(kind, id, data)
                    filler.finish()
                finally:
                    filler.abort()
    objects.forget()
    report.hurt = list(_hurt(context, objects))
    return report


def _urls(far: FarSource, report: RefillReport) -> list[str]:
    found: list[str] = []
    for id in far.pool.ids():
        try:
            found.append(far.pool.open(id).url)
        except (RemoteError, NotFound, NotPermitted) as error:
            report.trouble.append(error.message)
    return found


def _fetched(
    context: Context, objects: Objects, far: FarSource, record: LostRecord, report: RefillReport
) -> Iterator[tuple[ObjectKind, bytes, bytes]]:
    """What remotes have of a record. Their sets of the versions that need it tell where it lies."""
    with context.index.read() as reader:
        places = reader.find_many(record.ids)
        left = {id for id, place in zip(record.ids, places, strict=True) if place is None and not reader.erased(id)}
    versions = iter(record.versions)
    while left and (batch := list(islice(versions, limits.FAR_RECENT_VERSIONS))):
        for version in batch:
            objects.fetcher.note_opened(version)
        by_kind: defaultdict[ObjectKind, list[bytes]] = defaultdict(list)
        try:
            for id, at in far.places.find(sorted(left)).items():
                by_kind[at.place.kind].append(id)
        except (RemoteError, NotFound, NotPermitted) as error:
            _tell(report, error.message)
            for id, at in far.places.known(sorted(left)).items():
                by_kind[at.place.kind].append(id)
        for kind, ids in by_kind.items():
            for id, data in _read(far, kind, ids, report):
                left.discard(id)
                yield kind, id, data


def _read(
    far: FarSource, kind: ObjectKind, ids: Sequence[bytes], report: RefillReport
) -> Iterator[tuple[bytes, bytes]]:
    """Objects, a few at once; where one of these is damaged, each alone."""
    for at in range(0, len(ids), limits.REFILL_IDS):
        part = ids[at : at + limits.REFILL_IDS]
        try:
            yield from far.many(kind, part).items()
        except Corrupt:
            for id in part:
                yield from _read_one(far, kind, id, report)
        except (RemoteError, NotPermitted) as error:
            _tell(report, error.message)


def _read_one(far: FarSource, kind: ObjectKind, id: bytes, report: RefillReport) -> Iterable[tuple[bytes, bytes]]:
    try:
        return far.many(kind, [id]).items()
    except (Corrupt, RemoteError, NotPermitted) as error:
        _tell(report, error.message)
        return ()


def _tell(report: RefillReport, message: str) -> None:
    if message not in report.trouble and len(report.trouble) < limits.CHECK_PACK_FRAMES_TOLD_MAX:
        report.trouble.append(message)


def _hurt(context: Context, objects: Objects) -> Iterator[Hurt]:
    """What can't be read still, of the versions that were hurt."""
    with context.index.read() as reader:
        versions = sorted({version for record in lost_records(reader) for version in record.versions})
        names: defaultdict[bytes, list[str]] = defaultdict(list)
        for version, name in names_of(reader):
            names[version].append(name)
    surveyor = Surveyor(context.index, objects)
    for version in versions:
        with context.index.read() as reader:
            if reader.version_set(version) is None:
                continue
        for path in surveyor.version(version).complaints:
            yield Hurt(version, path, tuple(names[version]))


class _Filler:
    """Packs of what comes, of each kind one that is being written."""

    def __init__(self, context: Context, session: Session, report: RefillReport, counters: Counters) -> None:
        self._context = context
        self._session = session
        self._report = report
        self._counters = counters
        self._encoder = Encoder(context.level)
        self._sinks: dict[PackKind, tuple[PackSink, list[TableEntry]]] = {}

    def add(self, kind: ObjectKind, id: bytes, data: bytes) -> None:
        """Take in an object."""
        pack_kind = PackKind.DATA if kind is ObjectKind.CHUNK else PackKind.META
        most = limits.PACK_BYTES_TARGET if pack_kind is PackKind.DATA else limits.METAPACK_BYTES_TARGET
        if pack_kind not in self._sinks:
            self._sinks[pack_kind] = self._context.packs.create(self._session.next_pack_id()), []
        sink, table = self._sinks[pack_kind]
        codec, stored = self._encoder.encode(data)
        offset = sink.append([header(id, len(stored), len(data), codec, kind), stored])
        table.append(TableEntry(Digest(id), offset, len(stored), len(data), codec, kind))
        self._report.objects += 1
        self._report.bytes += len(data)
        self._counters.bytes_done += len(data)
        if sink.size >= most or len(table) >= limits.PACK_ENTRIES_MAX:
            self._seal(pack_kind)

    def finish(self) -> None:
        """Seal what is left."""
        for kind in list(self._sinks):
            self._seal(kind)

    def abort(self) -> None:
        """Leave nothing behind of what wasn't sealed."""
        for sink, _ in self._sinks.values():
            sink.abort()
        self._sinks.clear()

    def _seal(self, kind: PackKind) -> None:
        sink, table = self._sinks[kind]
        sink.append([encode_tail(sink.id, kind, table)])
        sink.seal()  # I1
        del self._sinks[kind]
        with self._context.index.write() as writer:
            created = self._context.clock.now_ns()
            writer.add_pack(sink.id, kind, size=sink.size, created=created, table=table)
            heal_sets(writer)
        self._report.packs += 1

"""Brings a version, or a part of one, into the cache before anybody reads it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, NoSpace, NotFound, RemoteError
from artstore.format.codec import Decoder
from artstore.format.frame import open_frame
from artstore.model import Form, ObjectKind
from artstore.planning.runs import end_of, plan_runs
from artstore.store.content import iter_content
from artstore.store.far.source import Came
from artstore.store.read import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from artstore.model import Digest, FarPack
    from artstore.planning.runs import Run
    from artstore.ports import Index
    from artstore.store.context import Context, Counters
    from artstore.store.far.flights import Coming
    from artstore.store.far.source import FarSource
    from artstore.store.objects import Objects


@dataclass(frozen=True, slots=True)
class PrefetchResult:
    """Chunks that a version, or the part of it, consists of: how many there are, how many came, and their bytes."""

    chunks: int
    fetched: int
    fetched_bytes: int


def prefetch(
    context: Context, objects: Objects, far: FarSource, version: Digest, path: bytes, counters: Counters
) -> PrefetchResult:
    """Have all chunks below a path here, in packs or in the cache, each checked [I5].

    NoSpace, naming `cache.size`, and nothing is fetched, if the cache can't hold them; RemoteError; Corrupt for a chunk
    that no remote has, or that is damaged there.
    """
    objects.fetcher.note_opened(version)
    work = _Prefetch(context.index, far)
    chunks = 0
    for ids in _batches(objects, version, path):  # how much it is, before anything comes
        chunks += len(ids)
        work.measure(ids)
    counters.bytes_total = counters.bytes_done + work.needed_bytes
    if work.needed_bytes > far.kept.size_max:
        raise NoSpace(
            f"{work.needed_bytes} bytes would have to come, and the cache holds {far.kept.size_max}",
            hint="raise `cache.size` (`artstore config set cache.size 50G`), or name a path: REV:PATH",
        )
    with context.flow.seen(counters, work.needed_bytes) as land:
        for ids in _batches(objects, version, path):
            work.fetch(ids, land)
    return PrefetchResult(chunks, work.fetched, work.fetched_bytes)


def _batches(objects: Objects, version: Digest, path: bytes) -> Iterator[list[bytes]]:
    """The ids of all chunks, each once within a batch, in the order of paths."""
    ids = _chunks(objects, version, path)
    while batch := list(dict.fromkeys(islice(ids, limits.PREFETCH_IDS))):
        yield batch


def _chunks(objects: Objects, version: Digest, path: bytes) -> Iterator[bytes]:
    for _, entry in walk(objects, objects.version(version).tree, path):
        if entry.content.form in (Form.CHUNK, Form.RECIPE):
            yield from (id for _, id, _ in iter_content(objects.load, entry.content, entry.size))


class _Prefetch:
    """One prefetch."""

    def __init__(self, index: Index, far: FarSource) -> None:
        self.needed_bytes = 0
        self.fetched = 0
        self.fetched_bytes = 0
        self._index = index
        self._far = far
        self._decoder = Decoder()

    def measure(self, ids: list[bytes]) -> None:
        """Count what of these isn't in a pack here."""
        self.needed_bytes += sum(run.size for run, _ in self._runs(ids))

    def fetch(self, ids: list[bytes], land: Callable[[int], None]) -> None:
        """Have these here; `land` is told the bytes of each run that is."""
        waiting: deque[tuple[Run, Coming]] = deque()
        for run, pack in self._runs(ids):
            if self._is_kept(run, pack):
                land(run.size)
                continue
            waiting.append((run, self._far.bring(run, pack)))
            if len(waiting) >= limits.FAR_THREADS_MAX:
                land(self._land(*waiting.popleft()))
        while waiting:
            land(self._land(*waiting.popleft()))

    def _runs(self, ids: list[bytes]) -> Iterator[tuple[Run, FarPack]]:
        with self._index.read() as reader:
            places = reader.find_many(ids)
            wanted = [id for id, place in zip(ids, places, strict=True) if place is None and not reader.erased(id)]
        if not wanted:
            return
        far = self._far.find(wanted)
        lost = next((id for id in wanted if id not in far), None)
        if lost is not None:
            raise Corrupt(f"chunk {lost.hex()} is neither here nor at a remote", digest=lost)
        packs = {at.pack.number: at.pack for at in far.values()}
        runs = plan_runs(
            ((id, at.place) for id, at in far.items()),
            hole_bytes_max=limits.READ_HOLE_BYTES_MAX,
            run_bytes_max=limits.FAR_REQUEST_BYTES,
        )
        yield from ((run, packs[run.pack]) for run in runs)

    def _is_kept(self, run: Run, pack: FarPack) -> bool:
        data = self._far.kept.read(pack, run.offset, run.size)
        if data is None:
            return False
        view = memoryview(data)
        try:
            for id, place in run.objects:
                frame = view[place.offset - run.offset : end_of(place) - run.offset]
                open_frame(frame, self._decoder, self._far.ids, id=id, kind=ObjectKind.CHUNK)
        except Corrupt:
            return False
        return True

    def _land(self, run: Run, coming: Coming) -> int:
        try:
            came = Came({}, {})
            self._far.take(ObjectKind.CHUNK, run, coming, came)
            if came.damaged:  # another pack may have it by now
                self._far.many(ObjectKind.CHUNK, list(came.damaged))
        except NotFound:  # rewritten meanwhile: where its chunks are now is found one by one
            self._far.places.forget(coming.pack)
            self._far.many(ObjectKind.CHUNK, [id for id, _ in run.objects])
        except (RemoteError, Corrupt):  # another remote may have it
            if not self._far.places.has_several:
                raise
            self._far.many(ObjectKind.CHUNK, [id for id, _ in run.objects])
        self._far.kept.require_on()
        self.fetched += len(run.objects)
        self.fetched_bytes += run.size
        return run.size

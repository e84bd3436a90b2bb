"""The threads of one commit, and how they end: together, whatever happens in any of them.

scan, read, cut (the caller's thread) → hash, look up, encode (as many threads as cores) → append, assemble (one thread)
→ make durable, name in the index (one thread). Threads start with the first data: an unchanged folder needs none.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import ArtstoreError
from artstore.model import ObjectKind, PackKind
from artstore.store.write.assemble import Assembler
from artstore.store.write.batch import BufferPool
from artstore.store.write.channel import Channel, Closed, Turn
from artstore.store.write.packer import OpenPack, PackWriter, Sealer, name_pack
from artstore.store.write.pages import PageStore, numbers
from artstore.store.write.reading import Gatherer
from artstore.store.write.work import Compressor, Deduplicator, hash_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import Self

    from artstore.format.page import Emit
    from artstore.model import PackId
    from artstore.ports import IndexWriter, PackSink, Session
    from artstore.store.context import Context, Counters
    from artstore.store.write.assemble import TreeResult
    from artstore.store.write.batch import Batch

    Publish = Callable[[IndexWriter, set[int]], None]


def worker_count() -> int:
    """As many as there are cores for us."""
    return min(len(os.sched_getaffinity(0)), limits.WORKERS_MAX)


class Pipeline:
    """One commit's way to disk. A context: leaving it without `publish` removes what isn't in the index yet.

    With `store=False` (a dry run) chunks are hashed and looked up, and nothing is written.
    """

    def __init__(
        self, context: Context, session: Session, counters: Counters, *, store: bool = True, keep_top: bool = False
    ) -> None:
        self._context = context
        self._session = session
        self._counters = counters
        self._store = store
        self._sinks: dict[PackId, PackSink] = {}  # of packs that may have a temporary file
        self._data = PackWriter(self._new_sink, PackKind.DATA, counters)
        self._meta = PackWriter(self._new_sink, PackKind.META, counters)
        self._pages = PageStore(context, self._meta if store else None)
        self._pool = BufferPool()
        self._deduplicator = Deduplicator(context.index)
        self._assembler = Assembler(self._pages, self._pack_of, keep_top=keep_top)
        self._turn = Turn()
        self._inbox: Channel[Batch] = Channel(limits.BATCHES_MAX)
        self._outbox: Channel[Batch] = Channel(limits.BATCHES_MAX)
        self._on_the_way: Channel[int] = Channel(limits.BATCHES_ON_THE_WAY_MAX)
        self._sealer = Sealer(context, self._forget)
        self._workers: list[threading.Thread] = []
        self._others: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._suffixes: dict[bytes, int] = {}
        self.gatherer = Gatherer(self._lend, self._submit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        for thread in (*self._workers, *self._others):
            thread.join()
        self.gatherer.ahead.close()
        failure: ArtstoreError | None = None
        for sink in self._sinks.values():
            try:
                sink.abort()  # a sealed one has no temporary file any more
            except ArtstoreError as leftover:  # the next gc removes it; the other sinks have a right to be tried
                failure = failure or leftover
        if failure is not None:
            if error is None:
                raise failure
            error.add_note(f"and then: {failure}")  # why the commit failed matters more

    def finish_tree(self) -> TreeResult:
        """All has been gathered: wait until every chunk has its place, and give the tree."""
        self._checked(self.gatherer.flush)
        self._inbox.finish()
        for thread in self._workers:
            thread.join()
        self._outbox.finish()
        for thread in self._others[:1]:
            thread.join()
        self._raise_failure()
        result = self._assembler.result
        assert result is not None
        return result

    @contextmanager
    def collecting(self, packs: set[int | OpenPack]) -> Generator[Emit]:
        """Stores pages made behind the tree, and adds the packs they lie in to `packs`."""
        self._pages.collect_into(packs)
        yield self._pages.emit
        self._pages.collected()

    def publish(self, packs: frozenset[int | OpenPack], document: tuple[bytes, bytes] | None, publish: Publish) -> None:
        """Make all of it durable, in the order of the invariants; `publish` in the last transaction [I1, I2, I3].

        `document` is the encoded version (id, bytes). `publish` is given the numbers of all packs it needs.
        """
        needed: set[int | OpenPack] = set(packs)
        if document is not None:
            needed.add(self._pages.put_document(ObjectKind.VERSION, *document))
        self._checked(lambda: self._seal(self._data.close()))
        meta = self._meta.close()
        self._end_sealing()
        if meta is not None:
            meta.sink.seal()
        with self._context.index.write() as writer:
            if meta is not None:
                name_pack(self._context, writer, meta)
            self._pages.take_notes()(writer)
            publish(writer, numbers(needed))

    def keep_rows(self) -> None:
        """Nothing has changed: keep what the stat cache learned, what is queued already included."""
        self._end_sealing()
        with self._context.index.write(sync=False) as writer:
            self._pages.take_notes()(writer)

    def _end_sealing(self) -> None:
        self._sealer.finish()
        for thread in self._others:
            thread.join()
        self._raise_failure()

    # -- the caller's thread

    def _lend(self, batch: Batch) -> None:
        self._checked(lambda: self._pool.lend(batch))

    def _submit(self, batch: Batch) -> None:
        if not self._workers:
            if not batch.begins:
                self._take_in(batch)
                self._turn.done()
                return
            self._start(batch.sequence)
        self._checked(lambda: self._send(batch))

    def _send(self, batch: Batch) -> None:
        self._on_the_way.put(batch.sequence)
        self._inbox.put(batch)

    def _start(self, first: int) -> None:
        def start(name: str, run: Callable[[], None]) -> threading.Thread:
            thread = threading.Thread(target=self._guarded, args=(run,), name=f"artstore-{name}", daemon=True)
            thread.start()
            return thread

        self._others.append(start("write", lambda: self._write(first)))
        self._others.append(start("seal", self._sealer.run))
        for _ in range(worker_count()):
            self._workers.append(start("work", self._work))

    def _checked(self, act: Callable[[], None]) -> None:
        """Do what may find the pipeline closed; tell why it is."""
        try:
            act()
        except Closed:
            self._raise_failure()
            raise

    # -- the other threads

    def _work(self) -> None:
        compressor = Compressor(self._context.level, self._suffixes)
        while (batch := self._inbox.get()) is not None:
            hash_chunks(batch, self._context.ids)
            self._turn.wait(batch.sequence)
            self._deduplicator.resolve(batch)
            self._turn.done()
            if self._store:
                compressor.encode(batch)
            self._outbox.put(batch)

    def _write(self, following: int) -> None:
        early: dict[int, Batch] = {}  # bounded by those on the way
        while (arrived := self._outbox.get()) is not None:
            early[arrived.sequence] = arrived
            while (batch := early.pop(following, None)) is not None:
                following += 1
                self._place(batch)
                self._take_in(batch)
                self._on_the_way.get()
        assert not early

    def _take_in(self, batch: Batch) -> None:
        """What happened in the batch becomes pages; what is too much to be held goes to disk [I9]."""
        self._assembler.apply(batch)
        self._pool.take_back(batch)
        if not self._store:
            self._pages.take_notes()
            if len(self._deduplicator.pending) > limits.DRY_RUN_IDS_MAX:
                self._deduplicator.pending.clear()
        elif self._meta.is_full or self._pages.notes_are_many:
            self._rotate()

    def _place(self, batch: Batch) -> None:
        """Append the batch's new chunks; until they are in the index, `pending` tells where they are."""
        self._counters.bytes_new += sum(batch.ends[i] - batch.begins[i] for i in batch.fresh)
        pending, add = self._deduplicator.pending, self._data.add
        for i, (codec, data) in zip(batch.fresh, batch.encoded, strict=self._store):
            if self._data.is_full:
                self._seal(self._data.close())
            digest = batch.ids[i]
            pending[digest] = add(digest, ObjectKind.CHUNK, batch.ends[i] - batch.begins[i], codec, data)
        self._data.write()
        batch.encoded = []
        if self._data.pack is not None:
            self._sealer.flush(self._data.pack)

    def _rotate(self) -> None:
        """End the metadata pack, if there is one, with its notes: what its pages need goes first [I2]."""
        self._seal(self._data.close())
        meta, note = self._meta.close(), self._pages.take_notes()
        if meta is not None:
            meta.notes.append(note)
            self._seal(meta)
        elif self._others:
            self._sealer.note(note)
        else:
            self._sealer.note_now(note)

    def _seal(self, pack: OpenPack | None) -> None:
        if pack is None:
            return
        if self._others:
            self._sealer.seal(pack)
        else:
            self._sealer.seal_now(pack)

    def _pack_of(self, digest: bytes) -> OpenPack | int | None:
        pack = self._deduplicator.pending.get(digest)
        if pack is None and self._store:
            with self._context.index.read() as reader:
                location = reader.find(digest)
            assert location is not None  # it left `pending` because it is in the index
            return location.pack
        return pack

    def _forget(self, pack: OpenPack) -> None:
        """The index knows these by now."""
        if pack.kind is PackKind.DATA:
            pending = self._deduplicator.pending
            for entry in pack.table:
                pending.pop(entry.id, None)
        else:
            self._pages.forget(entry.id for entry in pack.table)
        self._sinks.pop(pack.sink.id, None)
        pack.table, pack.notes = [], []  # directories refer to the pack until the end

    def _new_sink(self) -> PackSink:
        sink = self._context.packs.create(self._session.next_pack_id())
        self._sinks[sink.id] = sink
        return sink

    # -- failure

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except Closed:
            pass  # another thread has failed, and has said why
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that started the commit
            if self._failure is None:
                self._failure = error
            self._close()

    def _close(self) -> None:
        for part in (self._inbox, self._outbox, self._on_the_way, self._turn, self._pool, self._sealer):
            part.close()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

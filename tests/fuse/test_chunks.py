"""Chunks in memory: one fetch and one decode for each, however many threads wait for it."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest

from artstore import limits
from artstore.errors import Corrupt
from artstore.model import ObjectKind, PackKind
from artstore.store.objects import Objects
from artstore.testing.damage import flip, pack_files
from artstore.testing.planted import Planter
from artstore_fuse.chunks import Chunks

WAIT_S = 30
CHUNK_BYTES = 50_000


@dataclass
class Spy:
    """Stands before the real fetcher: counts what is asked of it, and may hold it up."""

    many: Callable[[ObjectKind, Iterable[bytes]], dict[bytes, bytes]]
    fetched: Counter[bytes] = field(default_factory=Counter[bytes])
    began: Event = field(default_factory=Event)
    gate: Event = field(default_factory=Event)

    def __call__(self, kind: ObjectKind, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        ids = list(ids)
        self.began.set()
        assert self.gate.wait(WAIT_S)
        self.fetched.update(ids)
        return self.many(kind, ids)


@dataclass
class Bench:
    """A store with some chunks, and its spied fetcher."""

    planter: Planter
    chunks: dict[bytes, bytes]
    objects: Objects
    spy: Spy
    opened: list[Chunks] = field(default_factory=list[Chunks])

    @property
    def ids(self) -> list[bytes]:
        """Ids of the chunks, as they lie in their pack."""
        return list(self.chunks)

    def open(self, *, memory_bytes: int = 64 * limits.MIB, threads: int = 2) -> Chunks:
        """A cache that is closed when the test is over."""
        chunks = Chunks(self.objects, memory_bytes=memory_bytes, threads=threads)
        self.opened.append(chunks)
        return chunks

    def damage(self, id: bytes) -> None:
        """Change a byte of a chunk where it lies; the same again mends it."""
        (path,) = pack_files(self.planter.context, PackKind.DATA)[:1]
        flip(path, path.read_bytes().index(self.chunks[id][1000:1100]) + 100)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Sixteen chunks of 50,000 random bytes, so that they are stored as they are."""
    noise = random.Random(1)
    planter = Planter(str(tmp_path / "store"))
    chunks = {
        bytes(planter.put(ObjectKind.CHUNK, data)): data for data in (noise.randbytes(CHUNK_BYTES) for _ in range(16))
    }
    planter.flush()
    objects = Objects(planter.context)
    spy = Spy(objects.fetcher.many)
    spy.gate.set()
    monkeypatch.setattr(objects.fetcher, "many", spy)
    made = Bench(planter, chunks, objects, spy)
    yield made
    spy.gate.set()
    for each in made.opened:
        each.close()
    objects.close()
    planter.close()


def joined(*ids: bytes) -> Callable[[dict[bytes, bytes]], bytes]:
    """These chunks one behind the other."""
    return lambda found: b"".join(found[id] for id in ids)


def test_a_chunk_is_fetched_once_however_many_wait(bench: Bench) -> None:
    """Else sixteen loaders that start together would each decompress the same megabytes."""
    chunks = bench.open()
    bench.spy.gate.clear()
    waiting = [
        chunks.collect([bench.ids[i : i + 4], bench.ids[4:12]], joined(*bench.ids[i:12])) for i in (0, 4, 0, 4, 2)
    ]
    with ThreadPoolExecutor(8) as pool:
        loads = [pool.submit(chunks.load, bench.ids[i : i + 4]) for i in range(12)]
        assert bench.spy.began.wait(WAIT_S)
        bench.spy.gate.set()
        for i, load in enumerate(loads):
            assert load.result(WAIT_S) == list(bench.chunks.values())[i : i + 4]
    for i, future in zip((0, 4, 0, 4, 2), waiting, strict=True):
        assert future.result(WAIT_S) == joined(*bench.ids[i:12])(bench.chunks)
    assert set(bench.spy.fetched.values()) == {1}
    assert chunks.stats.decoded_bytes == CHUNK_BYTES * len(bench.spy.fetched)


def test_a_worker_gets_a_chunk_that_is_queued_behind_it(bench: Bench) -> None:
    """Else reading ahead and a random read that want one chunk would wait for each other for ever, and the reader."""
    chunks = bench.open(threads=1)
    begun, queued = Event(), Event()

    def ahead() -> list[bytes]:
        begun.set()
        assert queued.wait(WAIT_S)
        return chunks.load(bench.ids[:1])

    job = chunks.submit(ahead)
    assert job is not None
    assert begun.wait(WAIT_S)
    read = chunks.collect([bench.ids[:2]], joined(*bench.ids[:2]))
    queued.set()
    assert job.result(WAIT_S) == [bench.chunks[bench.ids[0]]]
    assert len(read.result(WAIT_S)) == 2 * CHUNK_BYTES
    assert set(bench.spy.fetched.values()) == {1}


def test_what_a_reader_waits_for_goes_before_what_is_fetched_ahead(bench: Bench) -> None:
    """Else a click in an editor would wait until a copy's megabytes are decoded."""
    chunks = bench.open(threads=1)
    order: list[str] = []
    begun, gate = Event(), Event()

    def hold() -> None:
        begun.set()
        assert gate.wait(WAIT_S)

    assert chunks.submit(hold) is not None
    assert begun.wait(WAIT_S)
    ahead = chunks.submit(lambda: order.append("ahead"))
    read = chunks.collect([bench.ids[:1]], lambda _: order.append("read"))
    gate.set()
    assert ahead is not None
    ahead.result(WAIT_S)
    read.result(WAIT_S)
    assert order == ["read", "ahead"]


def test_what_does_not_fit_into_the_queue_is_left_out(bench: Bench) -> None:
    """Else a slow disk would let the work that waits grow without end."""
    chunks = bench.open(threads=1)
    begun, gate = Event(), Event()

    def hold() -> None:
        begun.set()
        assert gate.wait(WAIT_S)

    assert chunks.submit(hold) is not None
    assert begun.wait(WAIT_S)
    jobs = [chunks.submit(lambda: None) for _ in range(limits.MOUNT_AHEAD_QUEUE_MAX)]
    assert None not in jobs
    assert chunks.submit(lambda: None) is None
    gate.set()
    for job in jobs:
        assert job is not None
        job.result(WAIT_S)
    assert chunks.submit(lambda: None) is not None


def test_the_cache_keeps_to_its_memory(bench: Bench) -> None:
    """Else a mount would grow until the machine has no memory left; what was used last is what stays."""
    chunks = bench.open(memory_bytes=8 * CHUNK_BYTES)
    for _ in range(3):
        for id in bench.ids:
            assert chunks.load([id, bench.ids[0]]) == [bench.chunks[id], bench.chunks[bench.ids[0]]]
            assert chunks.get(bench.ids[0]) is not None
    kept = [id for id in bench.ids if chunks.peek(id) is not None]
    assert 5 <= len(kept) <= 6  # of the memory, a quarter is for what is fetched ahead
    assert {bench.ids[0], bench.ids[-1]} <= set(kept)


def test_a_chunk_greater_than_the_cache_is_had_all_the_same(bench: Bench) -> None:
    """Else a mount with little memory could not be read at all."""
    chunks = bench.open(memory_bytes=CHUNK_BYTES // 2)
    for _ in range(2):
        assert chunks.load(bench.ids[:3]) == list(bench.chunks.values())[:3]
    assert [chunks.peek(id) for id in bench.ids] == [None] * 16


def test_hits_and_misses_are_counted(bench: Bench) -> None:
    """Else the status of a mount would not tell whether its memory is too small."""
    chunks = bench.open()
    assert chunks.find(bench.ids[:3]) == [None] * 3
    chunks.load(bench.ids[:2])
    found = chunks.find(bench.ids[:3])
    assert found == [bench.chunks[bench.ids[0]], bench.chunks[bench.ids[1]], None]
    assert (chunks.stats.hits, chunks.stats.misses) == (2, 4)


def test_a_damaged_chunk_fails_for_those_alone_who_need_it(bench: Bench) -> None:
    """Else one bad sector would take the readers of its neighbours with it, whole files that happen to lie near."""
    bad = bench.ids[5]
    bench.damage(bad)
    chunks = bench.open()
    bench.spy.gate.clear()
    futures: dict[int, Future[bytes]] = {
        i: chunks.collect([bench.ids[i : i + 4]], joined(*bench.ids[i : i + 4])) for i in (0, 4, 8)
    }
    beside = chunks.collect(
        [[bench.ids[4]], [bench.ids[6]]], joined(bench.ids[4], bench.ids[6])
    )  # joins the fetch of 4..8
    bench.spy.gate.set()
    assert len(beside.result(WAIT_S)) == 2 * CHUNK_BYTES
    assert len(futures[0].result(WAIT_S)) == len(futures[8].result(WAIT_S)) == 4 * CHUNK_BYTES
    with pytest.raises(Corrupt) as caught:
        futures[4].result(WAIT_S)
    assert caught.value.digest == bad
    assert caught.value.pack is not None
    with pytest.raises(Corrupt):
        chunks.load([bench.ids[0], bad])
    assert chunks.stats.failed == 2


def test_a_failure_is_not_remembered(bench: Bench) -> None:
    """Else a store that was repaired would have to be mounted again."""
    chunks = bench.open()
    bench.damage(bench.ids[3])
    with pytest.raises(Corrupt):
        chunks.load([bench.ids[3]])
    bench.damage(bench.ids[3])
    assert chunks.load([bench.ids[3]]) == [bench.chunks[bench.ids[3]]]


def test_closing_ends_who_waits(bench: Bench) -> None:
    """Else `artstore umount` would leave programs that hang for ever."""
    chunks = bench.open(threads=1)
    bench.spy.gate.clear()
    running = chunks.collect([bench.ids[:1]], joined(bench.ids[0]))
    assert bench.spy.began.wait(WAIT_S)
    queued = chunks.collect([bench.ids[:3]], joined(*bench.ids[:3]))
    job = chunks.submit(lambda: chunks.load(bench.ids[4:5]))
    assert job is not None
    closing = Thread(target=chunks.close)
    closing.start()
    with pytest.raises(OSError, match="being ended"):
        job.result(WAIT_S)
    bench.spy.gate.set()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    assert running.result(WAIT_S) == bench.chunks[bench.ids[0]]
    with pytest.raises(OSError, match="being ended"):
        queued.result(WAIT_S)
    with pytest.raises(OSError, match="being ended"):
        chunks.load(bench.ids[:1])
    assert chunks.submit(lambda: None) is None
    chunks.close()


def test_what_finishes_may_fail(bench: Bench) -> None:
    """Else a file that isn't what its recipe says would leave its reader waiting, and end a worker."""
    chunks = bench.open(threads=1)

    def refuse(found: dict[bytes, bytes]) -> bytes:
        raise Corrupt("not what the recipe says")

    with pytest.raises(Corrupt, match="not what the recipe says"):
        chunks.collect([bench.ids[:1]], refuse).result(WAIT_S)
    assert len(chunks.collect([bench.ids[:4]], joined(*bench.ids[:4])).result(WAIT_S)) == 4 * CHUNK_BYTES


def held(chunks: Chunks) -> Event:
    """The only worker is busy until this is set."""
    begun, gate = Event(), Event()

    def hold() -> None:
        begun.set()
        assert gate.wait(WAIT_S)

    assert chunks.submit(hold) is not None
    assert begun.wait(WAIT_S)
    return gate


def test_what_is_waited_for_by_now_takes_its_turn(bench: Bench) -> None:
    """Else a copy that has come to the end of what was fetched ahead would starve behind random readers."""
    chunks = bench.open(threads=1)
    gate = held(chunks)
    order: list[str] = []
    jobs = {name: chunks.submit(partial(order.append, name)) for name in ("a", "b", "c")}
    chunks.collect([bench.ids[:1]], lambda _: order.append("before"))
    waited = jobs["b"]
    assert waited is not None
    chunks.hurry([waited, Future()])
    chunks.collect([bench.ids[1:2]], lambda _: order.append("behind"))
    gate.set()
    for job in jobs.values():
        assert job is not None
        job.result(WAIT_S)
    assert order == ["before", "b", "behind", "a", "c"]
    chunks.hurry([waited])  # it is done


def test_closing_ends_a_job_in_a_hurry(bench: Bench) -> None:
    """Its reader waits like any other."""
    chunks = bench.open(threads=1)
    gate = held(chunks)
    jobs = [chunks.submit(lambda: None) for _ in range(3)]
    hurried, cancelled, queued = jobs
    assert hurried is not None
    assert cancelled is not None
    assert queued is not None
    chunks.hurry([hurried])
    cancelled.cancel()
    closing = Thread(target=chunks.close)
    closing.start()
    for job in (hurried, queued):
        with pytest.raises(OSError, match="being ended"):
            job.result(WAIT_S)
    assert cancelled.cancelled()
    gate.set()
    closing.join(WAIT_S)


def test_what_was_cancelled_is_not_done(bench: Bench) -> None:
    """Else files that were closed long ago would keep the disk busy, and new readers out of the queue."""
    chunks = bench.open(threads=1)
    gate = held(chunks)
    done: list[int] = []
    jobs = [chunks.submit(partial(done.append, n)) for n in range(limits.MOUNT_AHEAD_QUEUE_MAX)]
    assert chunks.submit(lambda: None) is None
    for job in jobs[1:]:
        assert job is not None
        assert job.cancel()
    last = chunks.submit(lambda: done.append(-1))
    assert last is not None
    gate.set()
    last.result(WAIT_S)
    assert done == [0, -1]


class Result:
    """What a job has made."""


def test_a_worker_keeps_nothing_of_what_it_did(bench: Bench) -> None:
    """Else each idle thread would hold megabytes that no budget knows of."""
    chunks = bench.open(threads=1)
    job = chunks.submit(Result)
    assert job is not None
    made = weakref.ref(job.result(WAIT_S))
    del job
    end = time.monotonic() + WAIT_S
    while made() is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert made() is None


def test_ctrl_c_leaves_nobody_waiting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a reader of a chunk that another thread was about to fetch would hang for ever."""

    def interrupted(kind: ObjectKind, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        return bench.spy(kind, ids)

    monkeypatch.setattr(bench.objects.fetcher, "many", interrupted)
    chunks = bench.open(threads=1)
    gate = held(chunks)
    other = chunks.collect([bench.ids[1:2]], joined(bench.ids[1]))
    with pytest.raises(KeyboardInterrupt):
        chunks.load(bench.ids[:2])
    gate.set()
    with pytest.raises(OSError, match="being ended"):
        other.result(WAIT_S)
    again = chunks.collect([bench.ids[:2]], joined(*bench.ids[:2]))
    assert len(again.result(WAIT_S)) == 2 * CHUNK_BYTES

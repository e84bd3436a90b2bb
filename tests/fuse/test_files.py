"""Open files: each byte is the one that was committed, whoever reads, in whatever order; or an error."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import Corrupt
from artstore.model import Content, Form, ObjectKind, PackKind
from artstore.store.objects import Objects
from artstore.store.read import entry_at
from artstore.testing.damage import flip, pack_files
from artstore.testing.local_store import create, opened
from artstore.testing.planted import Planter
from artstore_fuse.chunks import Chunks
from artstore_fuse.files import OpenFile

WAIT_S = 30
KIB, MIB = limits.KIB, limits.MIB


def settled(answer: bytes | memoryview | Future[bytes | memoryview]) -> bytes:
    """The bytes, when they are there."""
    return bytes(answer.result(WAIT_S) if isinstance(answer, Future) else answer)


def read_all(file: OpenFile, size: int, step: int) -> bytes:
    """The whole file, by one reader."""
    return b"".join(settled(file.read(at, step)) for at in range(0, size, step))


def text(size: int, seed: int) -> bytes:
    """Words: they are stored compressed."""
    noise = random.Random(seed)
    words = [noise.randbytes(3).hex().encode() for _ in range(4000)]
    parts: list[bytes] = []
    while size > 0:
        parts.append(b" ".join(noise.choices(words, k=20_000)))
        size -= len(parts[-1])
    return b"".join(parts)[: size if size < 0 else None]


@dataclass
class Bench:
    """A store, and what reads it."""

    planter: Planter
    objects: Objects
    chunks: Chunks
    files: list[OpenFile] = field(default_factory=list[OpenFile])

    def file(self, data: bytes) -> OpenFile:
        """A stored file, open."""
        content = self.planter.content(data)
        self.planter.flush()
        return self.open(content, len(data))

    def open(self, content: Content, size: int) -> OpenFile:
        """A file as an entry of a folder names it, truly or not."""
        self.files.append(OpenFile(self.objects, self.chunks, content, size))
        return self.files[-1]


def bench_at(path: Path, *, memory_bytes: int = 64 * MIB) -> Iterator[Bench]:
    """An empty store."""
    planter = Planter(str(path))
    objects = Objects(planter.context)
    bench = Bench(planter, objects, Chunks(objects, memory_bytes=memory_bytes, threads=2))
    yield bench
    for file in bench.files:
        file.close()
    assert bench.chunks.stretches.held_bytes == 0  # nothing stays of files that were closed
    bench.chunks.close()
    objects.close()
    planter.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty store, for one test."""
    yield from bench_at(tmp_path / "store")


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OpenFile, bytes]]:
    """A file of 5 MiB, half of it stored raw, in a mount with little memory; its bytes."""
    data = text(5 * MIB // 2, 1) + random.Random(2).randbytes(5 * MIB // 2 + 77)
    for bench in bench_at(tmp_path_factory.mktemp("files") / "store", memory_bytes=4 * MIB):
        yield bench.file(data), data


@given(reads=st.lists(st.tuples(st.integers(0, 5 * MIB + 200), st.integers(0, MIB)), min_size=1, max_size=8))
def test_any_read_gives_the_bytes_that_were_committed(
    lasting: tuple[OpenFile, bytes], reads: list[tuple[int, int]]
) -> None:
    """Else programs would compute with wrong numbers and nobody would know."""
    file, data = lasting
    answers = [(at, size, file.read(at, size)) for at, size in reads]
    for at, size, answer in answers:
        assert settled(answer) == data[at : at + size]
        for begin, piece in file.rest_of_random_miss(at, size):
            assert bytes(piece) == data[begin : begin + len(piece)]


@pytest.mark.parametrize("step", [4 * KIB, 100_000, 128 * KIB, MIB])
def test_a_sequential_reader_has_each_byte_decoded_once(bench: Bench, step: int) -> None:
    """Else a copy of a file would take twice the processor, wherever the edges of its reads lie."""
    data = text(9 * MIB + 12_345, 3)
    file = bench.file(data)
    assert read_all(file, len(data), step) == data
    assert len(data) <= bench.chunks.stats.decoded_bytes <= len(data) + 2 * limits.CHUNK_BYTES_MAX
    assert bench.chunks.stretches.held_bytes == 0  # what was read lies in the kernel's cache


def test_eight_readers_of_one_file(bench: Bench) -> None:
    """Else the workers of a data loader would disturb each other: some go straight on, others here and there."""
    data = text(6 * MIB, 4)
    file = bench.file(data)

    def read(seed: int) -> None:
        noise = random.Random(seed)
        if seed % 2:
            begin = seed * MIB // 2
            for at in range(begin, len(data), 128 * KIB):
                assert settled(file.read(at, 128 * KIB)) == data[at : at + 128 * KIB]
            return
        for _ in range(300):
            at, size = noise.randrange(len(data)), noise.choice([1, 4 * KIB, 64 * KIB, 300_000])
            assert settled(file.read(at, size)) == data[at : at + size]

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(read, seed) for seed in range(8)]:
            done.result(4 * WAIT_S)


@pytest.mark.parametrize("size", [0, 1, 4096, limits.CHUNK_BYTES_MIN, 200_000, 3 * MIB + 1])
def test_files_of_any_size(bench: Bench, size: int) -> None:
    """Else an empty file, or one of a single byte or chunk, could not be read."""
    data = text(size, 5)
    assert len(data) == size
    file = bench.file(data)
    assert settled(file.read(0, 2 * size + 1)) == data
    assert read_all(file, size + 1, 128 * KIB) == data
    assert settled(file.read(size, 4096)) == b""
    assert settled(file.read(size + 10 * MIB, 4096)) == b""
    if size:
        assert settled(file.read(size - 1, 4096)) == data[-1:]


def test_a_commit_reads_back(tmp_path: Path) -> None:
    """Else what was committed from a folder would not be what the mount shows."""
    folder = tmp_path / "folder"
    folder.mkdir()
    files = {b"weights.bin": random.Random(6).randbytes(3 * MIB), b"notes.txt": text(MIB, 7), b"empty": b""}
    for name, data in files.items():
        (folder / os.fsdecode(name)).write_bytes(data)
    create(tmp_path / "store")
    with opened(tmp_path / "store") as store:
        store.commit(folder)
        (id,) = store.tags().values()
        version = store.objects.version(id)
        chunks = Chunks(store.objects, memory_bytes=16 * MIB, threads=2)
        for name, data in files.items():
            entry = entry_at(store.objects, version.tree, name)
            file = OpenFile(store.objects, chunks, entry.content, entry.size)
            assert read_all(file, len(data), 128 * KIB) == data
            file.close()
        chunks.close()


def test_a_file_of_many_windows(bench: Bench) -> None:
    """Else files beyond the part of a recipe that is held at once would be read wrongly, at the seams at least."""
    noise = random.Random(8)
    pieces = [noise.randbytes(noise.randrange(20_000, 200_000)) for _ in range(40)]
    ids = [(bench.planter.put(ObjectKind.CHUNK, piece), len(piece)) for piece in pieces]
    order = [noise.randrange(40) for _ in range(1200)]
    content = bench.planter.content_of([ids[i] for i in order])
    bench.planter.flush()
    data = b"".join(pieces[i] for i in order)
    assert len(data) > 3 * limits.MOUNT_WINDOW_BYTES
    file = bench.open(content, len(data))
    seams = [k * limits.MOUNT_WINDOW_BYTES for k in range(1, 4)]
    for at in [*seams, *(noise.randrange(len(data)) for _ in range(50))]:
        begin = max(0, at - noise.randrange(MIB))
        assert settled(file.read(begin, MIB)) == data[begin : begin + MIB]
    assert read_all(file, len(data), MIB) == data


def test_tiny_chunks_are_read_too(bench: Bench) -> None:
    """Else a store written by another program, with far smaller chunks than ours, could not be mounted."""
    pieces = [bytes([i]) * (i % 7 + 1) for i in range(200)]
    ids = [(bench.planter.put(ObjectKind.CHUNK, piece), len(piece)) for piece in pieces]
    count = 2 * limits.MOUNT_WINDOW_CHUNKS_MAX + 100
    content = bench.planter.content_of([ids[i % 200] for i in range(count)])
    bench.planter.flush()
    data = b"".join(pieces[i % 200] for i in range(count))
    file = bench.open(content, len(data))
    assert read_all(file, len(data), 4096) == data
    assert settled(file.read(len(data) - 100, 100)) == data[-100:]


def test_the_rest_of_a_random_miss(bench: Bench) -> None:
    """Else each of the pages around a random read would have its chunk decoded again."""
    data = text(4 * MIB, 9)
    file = bench.file(data)
    at, size = 2 * MIB + 8192, 4096
    assert file.rest_of_random_miss(at, size) == []
    assert settled(file.read(at, size)) == data[at : at + size]
    pieces = file.rest_of_random_miss(at, size)
    assert pieces
    for begin, piece in pieces:
        assert begin % 4096 == 0
        assert len(piece) % 4096 == 0 or begin + len(piece) == len(data)
        assert begin + len(piece) <= at or begin >= at + size  # never what the kernel waits for
        assert bytes(piece) == data[begin : begin + len(piece)]
    assert file.rest_of_random_miss(at, size) == []
    settled(file.read(at, size))
    assert file.rest_of_random_miss(at, size) == []  # it was in memory: nothing was decoded


def test_a_sequential_reader_leaves_no_rest(bench: Bench) -> None:
    """Else all that is read would be written to the kernel twice, at half the speed."""
    data = text(3 * MIB, 10)
    file = bench.file(data)
    for at in range(0, len(data), 128 * KIB):
        settled(file.read(at, 128 * KIB))
        assert file.rest_of_random_miss(at, 128 * KIB) == []


def test_damage_fails_exactly_the_reads_that_touch_it(bench: Bench) -> None:
    """Else one bad sector would make a whole file unreadable, or hand out bytes that were not committed."""
    data = random.Random(11).randbytes(5 * MIB)
    file = bench.file(data)
    (pack,) = pack_files(bench.planter.context, PackKind.DATA)
    spot = 3 * MIB
    flip(pack, pack.read_bytes().index(data[spot : spot + 64]))
    bad: list[int] = []
    for at in range(0, len(data), 16 * KIB):
        try:
            assert settled(file.read(at, 16 * KIB)) == data[at : at + 16 * KIB]
        except Corrupt:
            bad.append(at)
    assert spot in bad
    assert len(bad) <= limits.CHUNK_BYTES_MAX // (16 * KIB) + 1
    assert bad == list(range(bad[0], bad[-1] + 1, 16 * KIB))


def test_a_whole_copy_elsewhere_is_used(bench: Bench) -> None:
    """Else damage would lose a file although the store has it twice."""
    data = random.Random(12).randbytes(3 * MIB)
    bench.file(data)
    file = bench.file(data)
    packs = pack_files(bench.planter.context, PackKind.DATA)
    assert len(packs) == 2
    for i, pack in enumerate(packs):
        flip(pack, pack.read_bytes().index(data[(i + 1) * MIB : (i + 1) * MIB + 64]))
    assert read_all(file, len(data), 128 * KIB) == data


@pytest.mark.parametrize("change", [-1, 1, 5 * MIB, 1 << 40])
@pytest.mark.parametrize("size", [100, 700_000])
def test_a_forged_size_is_refused(bench: Bench, size: int, change: int) -> None:
    """Else an entry that lies about its file would give zeros, somebody else's bytes, or take all memory."""
    data = text(size, 13)
    content = bench.planter.content(data)
    bench.planter.flush()
    file = bench.open(content, size + change)
    with pytest.raises(Corrupt):
        read_all(file, min(size + change, 8 * MIB), 128 * KIB)


def test_forged_chunk_sizes_are_refused(bench: Bench) -> None:
    """Else a recipe whose sizes are wrong would shift all bytes behind them."""
    noise = random.Random(14)
    pieces = [noise.randbytes(60_000) for _ in range(60)]
    ids = [bench.planter.put(ObjectKind.CHUNK, piece) for piece in pieces]
    sizes = [60_000] * 60
    sizes[50], sizes[51] = 59_000, 61_000  # their sum is right
    content = bench.planter.content_of(list(zip(ids, sizes, strict=True)))
    bench.planter.flush()
    data = b"".join(pieces)
    file = bench.open(content, len(data))
    good = 50 * 60_000
    assert read_all(file, good, 50_000) == data[:good]
    for at in range(good, good + 120_000, 20_000):
        with pytest.raises(Corrupt, match="another size"):
            settled(file.read(at, 20_000))
    assert settled(file.read(good + 120_000, MIB)) == data[good + 120_000 : good + 120_000 + MIB]


@pytest.mark.parametrize(
    "content", [Content(Form.EMPTY, b""), Content(Form.CHUNK, b"x" * 32), Content(Form.RECIPE, b"x" * 32)]
)
def test_content_that_is_not_there(bench: Bench, content: Content) -> None:
    """Else a lost chunk or recipe would look like a file that ends early."""
    file = bench.open(content, 5 * MIB)
    for at in (0, 3 * MIB):
        with pytest.raises(Corrupt):
            settled(file.read(at, 128 * KIB))


def test_many_files_that_are_open_and_not_read_keep_to_the_memory(bench: Bench) -> None:
    """Else a program that reads the head of each of a thousand files would take gigabytes of the mount's process."""
    data = random.Random(15).randbytes(3 * MIB)
    first = bench.file(data)
    content = bench.planter.content(data)
    files = [first, *(bench.open(content, len(data)) for _ in range(100))]
    for file in files:
        assert settled(file.read(0, 4096)) == data[:4096]
        assert bench.chunks.stretches.held_bytes <= 64 * MIB // limits.MOUNT_AHEAD_SHARE
    assert bench.chunks.stretches.held_bytes > 0
    for file in files:
        assert settled(file.read(MIB, MIB)) == data[MIB : 2 * MIB]


def test_closing_while_reading(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else `artstore umount --force` would leave programs that wait for ever for what nobody fetches."""
    data = text(8 * MIB, 16)
    content = bench.planter.content(data)
    bench.planter.flush()
    gate, begun = Event(), Event()

    def held_up(wrapped: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object) -> object:
            if ObjectKind.RECIPE_PAGE not in args:  # those are read by who asks
                begun.set()
                assert gate.wait(WAIT_S)
            return wrapped(*args)

        return run

    for name in ("many", "fill"):
        monkeypatch.setattr(bench.objects.fetcher, name, held_up(getattr(bench.objects.fetcher, name)))
    chunks = Chunks(bench.objects, memory_bytes=64 * MIB, threads=2)
    file = OpenFile(bench.objects, chunks, content, len(data))
    answers = [file.read(at, MIB) for at in range(0, 6 * MIB, MIB)]
    assert all(isinstance(answer, Future) for answer in answers)
    assert begun.wait(WAIT_S)
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(chunks.close)
        while chunks.submit(lambda: None) is not None:  # it is refused once closing has begun
            pass
        gate.set()
        closing.result(WAIT_S)
    ended: list[str] = []
    for at, answer in zip(range(0, 6 * MIB, MIB), answers, strict=True):
        try:
            assert settled(answer) == data[at : at + MIB]
        except OSError as error:
            ended.append(str(error))
    assert ended
    assert all("being ended" in each for each in ended)
    with pytest.raises(OSError, match="being ended"):
        settled(file.read(7 * MIB, MIB))
    file.close()


def test_a_reader_does_not_starve(tmp_path: Path) -> None:
    """What was fetched ahead of it is queued behind all others; once it waits for that, it is one of them."""
    planter = Planter(str(tmp_path / "store"))
    data = random.Random(7).randbytes(8 * MIB)
    content = planter.content(data)
    others = [planter.content(random.Random(8 + n).randbytes(100_000)) for n in range(40)]
    planter.flush()
    objects = Objects(planter.context)
    chunks = Chunks(objects, memory_bytes=64 * MIB, threads=1)
    file = OpenFile(objects, chunks, content, len(data))
    begun, gate = Event(), Event()

    def hold() -> None:
        begun.set()
        assert gate.wait(WAIT_S)

    assert chunks.submit(hold) is not None
    assert begun.wait(WAIT_S)
    answers = [file.read(at, MIB) for at in range(0, 3 * MIB, MIB)]  # the last one finds a stretch that is queued
    order: list[str] = []
    last = answers[-1]
    assert isinstance(last, Future)
    last.add_done_callback(lambda _: order.append("reader"))
    reads = [
        OpenFile(objects, chunks, other, 100_000).read(0, 100_000) if n else None for n, other in enumerate(others)
    ]
    id = planter.put(ObjectKind.CHUNK, b"behind")
    planter.flush()
    behind = chunks.collect([[id]], lambda _: order.append("behind"))
    gate.set()
    behind.result(WAIT_S)
    assert order == ["reader", "behind"]
    assert [settled(answer) for answer in answers] == [data[at : at + MIB] for at in range(0, 3 * MIB, MIB)]
    assert all(len(settled(answer)) == 100_000 for answer in reads if answer is not None)
    file.close()
    chunks.close()
    planter.close()


def test_a_stretch_that_is_given_up_while_it_is_waited_for(bench: Bench) -> None:
    """Whoever reads gets the bytes, however they come."""
    data = random.Random(9).randbytes(8 * MIB)
    file = bench.file(data)
    begun, gate = Event(), Event()

    def hold() -> None:
        begun.set()
        assert gate.wait(WAIT_S)

    assert bench.chunks.submit(hold) is not None
    assert begun.wait(WAIT_S)
    assert bench.chunks.submit(gate.wait) is not None
    answers = [file.read(at, MIB) for at in range(0, 3 * MIB, MIB)]
    file.close()
    gate.set()
    assert [settled(answer) for answer in answers] == [data[at : at + MIB] for at in range(0, 3 * MIB, MIB)]

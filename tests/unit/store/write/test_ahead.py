"""Files longer than a buffer, read while their beginning is cut."""

from __future__ import annotations

import errno
import os
import random
import threading
from pathlib import Path

import pytest

from artstore import limits
from artstore.chunking import cut
from artstore.errors import ArtstoreError
from artstore.store.content import iter_content
from artstore.store.read import entry_at
from artstore.store.write.reading import NO_STARTS
from artstore.testing.commit_bench import Bench


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that little data fills."""
    monkeypatch.setattr(limits, "BATCH_BYTES", limits.MIB)
    monkeypatch.setattr(limits, "COMMIT_AHEAD_BYTES_MIN", 1)


def chunks_of(bench: Bench, tree: bytes, name: bytes) -> list[tuple[int, bytes, int]]:
    entry = entry_at(bench.objects, tree, name)
    return list(iter_content(bench.objects.load, entry.content, entry.size))


@pytest.mark.parametrize("seed", range(8))
def test_a_long_file_is_cut_as_in_one_piece(bench: Bench, seed: int) -> None:
    """The same bytes would get other chunks, and be stored again, when they fall into buffers differently [I7]."""
    rng = random.Random(seed)
    bench.write("a", rng.randbytes(rng.randrange(limits.MIB)))  # so that the next file begins within a buffer
    data = rng.randbytes(rng.randrange(limits.MIB, 6 * limits.MIB)) + bytes(rng.choice([0, 700_000]))
    bench.write("long", data)
    ends = memoryview(cut(data, 0, len(data), NO_STARTS, base=0, final=True)).cast("Q").tolist()
    begins = [0, *ends[:-1]]
    of = bench.context.ids.chunk
    expected = [(begin, of(data[begin:end]), end - begin) for begin, end in zip(begins, ends, strict=True)]
    assert chunks_of(bench, bench.commit().tree, b"long") == expected


def test_a_file_that_shrinks_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of an earlier file would stand where this one ends."""
    path = bench.write("long", random.Random(1).randbytes(5 * limits.MIB))
    reads: list[int] = []
    real = os.preadv

    def shrinking(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if threading.current_thread().name == "artstore-read":
            reads.append(offset)
            if len(reads) == 2:
                os.truncate(path, offset + 1000)
        return real(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", shrinking)
    made = bench.commit()
    assert len(reads) >= 2
    assert bench.content(made.tree)[b"long"] == path.read_bytes()


def test_a_disk_that_fails_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit would hang, or take what it could read for the whole file."""
    path: Path = bench.write("long", random.Random(2).randbytes(5 * limits.MIB))
    real, before = os.preadv, set(threading.enumerate())

    def failing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if threading.current_thread().name == "artstore-read" and offset > 3 * limits.MIB:
            raise OSError(errno.EIO, "the disk is broken")
        return real(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", failing)
    with pytest.raises(ArtstoreError, match="long"):
        bench.commit()
    assert set(threading.enumerate()) == before
    monkeypatch.undo()
    assert bench.content(bench.commit().tree)[b"long"] == path.read_bytes()

"""Packs written past the page cache: the bytes are the same, wherever a block ends and whatever is refused."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from random import Random

import pytest

from artstore import limits
from artstore.adapters.disk import direct
from artstore.adapters.disk.direct import Blocks, BlockWriter

BLOCK = limits.DIRECT_BLOCK_BYTES


def written(path: Path, buffers: list[bytes], blocks: Blocks | None = None) -> BlockWriter:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        writer = BlockWriter(descriptor, blocks or Blocks())
        assert writer.append(buffers) == sum(map(len, buffers))
        writer.finish()
        return writer
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    "sizes",
    [
        (),
        (0,),
        (1,),
        (BLOCK - 1,),
        (BLOCK,),
        (BLOCK + 1,),
        (BLOCK - 1, 1),
        (BLOCK - 1, 2, 2 * BLOCK, 5),
        (3 * BLOCK + 7,),
    ],
)
def test_the_bytes_are_those_given(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """A chunk that lies across two blocks would be damaged in the pack."""
    buffers = [Random(size).randbytes(size) for size in sizes]
    written(tmp_path / "file", buffers)
    assert (tmp_path / "file").read_bytes() == b"".join(buffers)


def test_blocks_are_used_again_and_hold_nothing_of_before(tmp_path: Path) -> None:
    """A pack would end with bytes of the pack before."""
    blocks = Blocks()
    written(tmp_path / "first", [b"x" * BLOCK, b"y" * 100], blocks)
    written(tmp_path / "second", [b"z" * 50], blocks)
    assert (tmp_path / "second").read_bytes() == b"z" * 50


@pytest.mark.parametrize("at", ["flag", "write"])
def test_a_file_system_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Commits would fail on a disk that has no direct writes."""
    write, control = os.write, fcntl.fcntl

    def is_direct(descriptor: int) -> bool:
        return bool(control(descriptor, fcntl.F_GETFL) & os.O_DIRECT)

    def refusing_write(descriptor: int, data: memoryview) -> int:
        if is_direct(descriptor):
            raise OSError(errno.EINVAL, "refused")
        return write(descriptor, data)

    def refusing_flag(descriptor: int, command: int, value: int = 0) -> int:
        if command == fcntl.F_SETFL and value & os.O_DIRECT:
            raise OSError(errno.EINVAL, "refused")
        return control(descriptor, command, value)

    if at == "write":
        monkeypatch.setattr(os, "write", refusing_write)
    else:
        monkeypatch.setattr(fcntl, "fcntl", refusing_flag)
    data = Random(1).randbytes(2 * BLOCK + 5)
    writer = written(tmp_path / "file", [data])
    assert not writer.is_direct
    assert (tmp_path / "file").read_bytes() == data


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal within a write would leave a gap, or the rest at a place that direct writes refuse."""
    write = os.write
    taken = iter([BLOCK, 1000, 3])

    def short_write(descriptor: int, data: memoryview) -> int:
        return write(descriptor, bytes(data[: next(taken, len(data))]))

    def no_direct(descriptor: int, *, wanted: bool) -> None:
        assert descriptor >= 0, wanted

    monkeypatch.setattr(os, "write", short_write)
    monkeypatch.setattr(direct, "set_direct", no_direct)
    data = Random(2).randbytes(3 * BLOCK + 5)
    written(tmp_path / "file", [data])
    assert (tmp_path / "file").read_bytes() == data


def test_most_of_it_leaves_no_trace_in_the_page_cache(tmp_path: Path) -> None:
    """A commit of a model would push a training run's data out of memory."""
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        try:
            direct.set_direct(descriptor, wanted=True)
        except OSError:
            pytest.skip("this file system has no direct writes")
        direct.set_direct(descriptor, wanted=False)
        writer = BlockWriter(descriptor, Blocks())
        writer.append([b"x" * (BLOCK + 10)])
        writer.finish()
        if _is_on_a_disk(tmp_path):
            with pytest.raises(BlockingIOError):
                os.preadv(descriptor, [bytearray(100)], 0, os.RWF_NOWAIT)
        assert os.pread(descriptor, 10, BLOCK - 5) == b"x" * 10
    finally:
        os.close(descriptor)


def _is_on_a_disk(path: Path) -> bool:
    return os.major(path.stat().st_dev) != 0  # tmpfs, overlay and the like have no device of their own

"""A local folder as it is read: sorted directories, files opened without following anything, holes found.

It decides nothing about content; whoever walks with it keeps the bounds.
"""

from __future__ import annotations

import errno
import heapq
import os
import stat as stat_module
from typing import TYPE_CHECKING

from artstore import limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from tempfile import SpooledTemporaryFile

Named = tuple[bytes, os.stat_result]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
# NONBLOCK: a file that was swapped for a FIFO since it was listed must not hold us up.
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


def open_directory(name: bytes, parent: int | None, *, follow: bool = False) -> int:
    """A descriptor of a directory; a symlink is refused unless to follow."""
    return os.open(name, _DIRECTORY & ~os.O_NOFOLLOW if follow else _DIRECTORY, dir_fd=parent)


def open_file(name: bytes, parent: int, *, follow: bool = False) -> int:
    """A descriptor of a file; a symlink is refused unless to follow."""
    return os.open(name, _FILE & ~os.O_NOFOLLOW if follow else _FILE, dir_fd=parent)


def artignore(directory: int) -> bytes | None:
    """The text of the folder's own `.artignore`; OSError if it can't be read: its rules must not be passed over."""
    try:
        descriptor = open_file(b".artignore", directory, follow=True)
    except FileNotFoundError:
        return None
    try:
        if not stat_module.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limits.ARTIGNORE_BYTES_MAX)
    finally:
        os.close(descriptor)


def listing(descriptor: int) -> Iterator[list[Named]]:
    """A directory's entries with their stat, in the order of their names' bytes, in lists of bounded length.

    More than SCAN_NAMES_MAX names are sorted on disk. A name that vanishes meanwhile is left out.
    """
    runs: list[SpooledTemporaryFile[bytes]] = []
    names: list[bytes] = []
    encode = os.fsencode
    with os.scandir(descriptor) as entries:
        small: list[Named] = []
        for entry in entries:
            if len(small) < limits.BATCH_FILES_MAX and not names:
                try:
                    small.append((encode(entry.name), entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
                continue
            names.append(encode(entry.name))
            if len(names) >= limits.SCAN_NAMES_MAX:
                runs.append(_spill(names))
                names = []
    if not names and not runs:
        small.sort()
        yield small
        return
    names.extend(name for name, _ in small)
    del small
    names.sort()
    ordered = heapq.merge(*(_unspill(run) for run in runs), names) if runs else iter(names)
    yield from _with_stat(ordered, descriptor)


def _with_stat(names: Iterator[bytes], descriptor: int) -> Iterator[list[Named]]:
    batch: list[Named] = []
    for name in names:
        try:
            batch.append((name, os.stat(name, dir_fd=descriptor, follow_symlinks=False)))
        except FileNotFoundError:
            continue
        if len(batch) >= limits.BATCH_FILES_MAX:
            yield batch
            batch = []
    yield batch


def _spill(names: list[bytes]) -> SpooledTemporaryFile[bytes]:
    from tempfile import SpooledTemporaryFile

    names.sort()
    run = SpooledTemporaryFile(max_size=limits.MIB)  # noqa: SIM115 - lives as long as the listing
    for name in names:
        run.write(name + b"\0")  # the one byte besides "/" that no name holds
    run.seek(0)
    return run


def _unspill(run: SpooledTemporaryFile[bytes]) -> Iterator[bytes]:
    rest = b""
    with run:
        while block := run.read(limits.MIB):
            *whole, rest = (rest + block).split(b"\0")
            yield from whole


def same_file(before: os.stat_result, after: os.stat_result) -> bool:
    """Is what was read between these two still one file's content?"""
    return (
        before.st_size == after.st_size
        and before.st_mtime_ns == after.st_mtime_ns
        and before.st_ctime_ns == after.st_ctime_ns
        and before.st_ino == after.st_ino
        and stat_module.S_IFMT(before.st_mode) == stat_module.S_IFMT(after.st_mode)
    )


def is_sparse(stat: os.stat_result) -> bool:
    """May the file have holes worth finding?"""
    return stat.st_size >= 2 * limits.CHUNK_BYTES_MAX and stat.st_blocks * 512 < stat.st_size


def hole_end(descriptor: int, offset: int, size: int) -> int:
    """Where the hole at `offset` ends; `offset` itself if data lies there, or the file system doesn't tell."""
    try:
        return min(os.lseek(descriptor, offset, os.SEEK_DATA), size)
    except OSError as error:
        return size if error.errno == errno.ENXIO else offset


def data_end(descriptor: int, offset: int, size: int) -> int:
    """Where the data at `offset` ends: at the next hole, or at the file's end."""
    try:
        return min(os.lseek(descriptor, offset, os.SEEK_HOLE), size)
    except OSError:
        return size


def leads_out(target: bytes, depth: int) -> bool:
    """Does a symlink's target, seen from `depth` folders below the root, name something outside of it?

    An absolute target does: it would mean something else on each machine.
    """
    if target.startswith(b"/"):
        return True
    for part in target.split(b"/"):
        if part == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif part not in (b"", b"."):
            depth += 1
    return False

"""Forgets shortcuts that lead nowhere: packs needed by pages, where a pack is gone, chunks in packs that went from a
remote, and rows of folders that are gone.

Both cost nothing but room and time, so that they are looked through once a day, in steps: no transaction is long. A
folder whose device isn't mounted may come back: its rows are kept for a while.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from artstore import limits
from artstore.format import undo
from artstore.format.statrows import Head, decode_block, decode_head
from artstore.store.write.statcache import block_key

if TYPE_CHECKING:
    from collections.abc import Container

    from artstore.ports import IndexReader
    from artstore.store.context import Context

_SWEPT = "gc/swept"  # in the journal: when that was done last, ns
_MOUNTS = "/proc/self/mountinfo"


def sweep_shortcuts(context: Context) -> None:
    """Forget what leads nowhere, unless that was done within a day. Killed midway it is done again."""
    now = context.clock.now_ns()
    with context.index.read() as reader:
        noted = reader.journal(_SWEPT)
    if noted is not None and 0 <= now - undo.decode_numbers(noted)[0] < limits.SWEEP_EVERY_NS:
        return
    _sweep_pages(context)
    _sweep_far(context)
    _sweep_directories(context, now)
    with context.index.write() as writer:
        writer.put_journal(_SWEPT, undo.encode_numbers([now]))


def _sweep_pages(context: Context) -> None:
    after: bytes | None = b""
    while after is not None:
        with context.index.write() as writer:
            after = writer.drop_void_page_packs(after, limits.INDEX_BATCH)


def _sweep_far(context: Context) -> None:
    after: bytes | None = b""
    while after is not None:
        with context.index.write() as writer:
            after = writer.drop_void_far(after, limits.INDEX_BATCH)


def _sweep_directories(context: Context, now: int) -> None:
    mounted = _mounted_devices()
    after = b""
    while True:
        with context.index.read() as reader:
            found = reader.stat_directories(after, limits.SWEEP_ROWS)
            heads = {key: head for key, raw in found if (head := decode_head(raw)) is not None}
            rest = {key: _blocks_from(reader, key, head.blocks) for key, head in heads.items()}
        if not found:
            return
        after = found[-1][0]
        gone = {key for key, head in heads.items() if not _may_be_there(head, mounted, now)}
        foreign = {key for key, raw in found if key not in heads and decode_block(raw) is None}
        if gone or foreign or any(rest.values()):
            with context.index.write() as writer:
                for key, raw in found:
                    # A commit may have written it meanwhile.
                    if next(writer.stat_blocks(key), b"") != raw:
                        continue
                    if key in gone:
                        rest[key] += [block_key(key, number) for number in range(heads[key].blocks)]
                    for each in (*rest.get(key, ()), *((key,) if key in gone or key in foreign else ())):
                        writer.put_stat_blocks(each, [])


def _blocks_from(reader: IndexReader, directory: bytes, number: int) -> list[bytes]:
    """Keys of blocks that a directory had when it was larger."""
    found: list[bytes] = []
    while next(reader.stat_blocks(block_key(directory, number)), None) is not None:
        found.append(block_key(directory, number))
        number += 1
    return found


def _may_be_there(head: Head, mounted: Container[int], now: int) -> bool:
    if head.place is None:
        return False
    try:
        status = os.stat(head.place.path)
    except (FileNotFoundError, NotADirectoryError):
        if head.place.device in mounted:
            return False
    except OSError:  # another user's, or a server that doesn't answer
        pass
    else:
        if (status.st_dev, status.st_ino) == (head.place.device, head.place.inode):
            return True
        if head.place.device in mounted:
            return False
    return now - head.written < limits.STAT_UNSEEN_NS


def _mounted_devices() -> frozenset[int]:
    """Devices that this process can see; none if the system won't tell."""
    found: set[int] = set()
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                major, _, minor = line.split(" ")[2].partition(":")
                found.add(os.makedev(int(major), int(minor)))
    except (OSError, ValueError, IndexError):
        pass
    return frozenset(found)

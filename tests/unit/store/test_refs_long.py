"""Aliases with long histories and great erasures: told in order, and never held as a whole [I9]."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore import limits
from artstore.adapters.lmdb_index import LmdbIndex
from artstore.format.ids import PLAIN
from artstore.format.reflog import Erasure, LogRecord, Moved, Record
from artstore.format.version import encode_move
from artstore.model import Move
from artstore.store.repair.refs import rewrite_log

MOVES = 20_000
HELD_BYTES_MAX = 4 * limits.MIB  # all of these moves take more than 10 MiB


def history(alias: str, count: int) -> Iterator[Move]:
    """Moves between two versions, with reasons."""
    versions = (b"\1" * 32, b"\2" * 32)
    previous = b""
    for seq in range(1, count + 1):
        source = versions[seq % 2] if seq > 1 else b""
        reason = f"because of {seq} " + "x" * 100
        move = Move(alias, seq, source, versions[(seq + 1) % 2], seq, "me", "here", reason, False, previous)
        previous = encode_move(move, PLAIN).id
        yield move


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LmdbIndex]:
    """An empty index."""
    opened = LmdbIndex(str(tmp_path), PLAIN)
    yield opened
    opened.close()


def told(index: LmdbIndex) -> Iterator[Record]:
    with index.read() as reader:
        yield from reader.ref_records()


@pytest.mark.parametrize("count", [1, 1023, 1024, 1025, 2048, 2500])
def test_a_history_is_told_from_its_beginning(index: LmdbIndex, count: int) -> None:
    """A log written anew would hold a chain that starts in its middle: no alias could be restored from it."""
    assert limits.HISTORY_MOVES_HELD == 1024
    expected = [Moved(move) for alias in ("a/p", "b/q") for move in history(alias, count)]
    with index.write() as writer:
        for each in expected:
            writer.restore(each)
    assert list(told(index)) == expected


def test_a_long_history_is_never_held(index: LmdbIndex) -> None:
    """A repair of a store whose daemon moved an alias each minute for years would run out of memory."""
    with index.write() as writer:
        for move in history("a/p", MOVES):
            writer.restore(Moved(move))
    tracemalloc.start()
    try:
        rewrite_log(index)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < HELD_BYTES_MAX
    seen = [
        item.record.move.seq
        for item in index.log.records()
        if isinstance(item, LogRecord) and isinstance(item.record, Moved)
    ]
    assert seen == list(range(1, MOVES + 1))


def test_a_great_erasure_is_told_in_parts(index: LmdbIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log written anew would lack purged chunks, or need memory for all of them."""
    monkeypatch.setattr(limits, "ERASURE_IDS_MAX", 10)
    ids = [number.to_bytes(32, "big") for number in range(25)]
    with index.write() as writer:
        writer.put_erased(ids[::2], time=5, who="eve", reason="a")
        writer.put_erased(ids[1::2], time=6, who="adam", reason="b")
    records = [each for each in told(index) if isinstance(each, Erasure)]
    assert all(len(each.ids) <= 10 for each in records)
    assert sorted(id for each in records for id in each.ids if each.who == "eve") == ids[::2]
    assert sorted(id for each in records for id in each.ids if each.who == "adam") == ids[1::2]
    assert {(each.time, each.who, each.reason) for each in records} == {(5, "eve", "a"), (6, "adam", "b")}

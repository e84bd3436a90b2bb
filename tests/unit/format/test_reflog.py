"""The log of refs: written, read back, and read past damage."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import BadInput, Corrupt, NewerFormat
from artstore.format import reflog
from artstore.format.ids import checksum
from artstore.format.reflog import (
    FILE_HEADER,
    FILE_HEADER_BYTES,
    Erasure,
    LogDamage,
    LogRecord,
    Moved,
    Record,
    TagRemoved,
    TagSet,
    check_file_header,
    encode_record,
    scan_records,
)
from artstore.model import Move, Tag

ID = bytes(range(32))
RECORDS: list[Record] = [
    TagSet(Tag("m/v1", ID, 5)),
    Moved(Move("m/production", 1, b"", ID, 7, "ada", "host", "first", False, b"")),
    TagRemoved("m/v1", 9, "ada"),
    Erasure([ID, ID[::-1]], 11, "ada", "asked for"),
]
# Frozen: a log of these records in every release.
GOLDEN = (
    "aa414c01010000002d00000001000000000000009201920093a46d2f7631c420000102030405060708090a0b0c0d0e0f"
    "101112131415161718191a1b1c1d1e1f05c8a04e0c0abf007cb4e1a2a1565294774a0000000200000000000000920192"
    "029aac6d2f70726f64756374696f6e01c400c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b"
    "1c1d1e1f07a3616461a4686f7374a56669727374c2c400f09f3f0e3153046c0bfe43ac89064ef90e0000000300000000"
    "00000092019401a46d2f763109a3616461a644de5eb59dff376d5ccdfc4eebbfad580000000400000000000000920195"
    "0392c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fc4201f1e1d1c1b1a19181716"
    "1514131211100f0e0d0c0b0a090807060504030201000ba3616461a961736b656420666f729c735233988ef25631f800"
    "a1bf630647"
)


def log_of(records: Sequence[Record], first_seq: int = 1) -> bytes:
    """A log's bytes."""
    return FILE_HEADER + b"".join(encode_record(seq, record) for seq, record in enumerate(records, first_seq))


def scan(data: bytes) -> list[LogRecord | LogDamage]:
    """All that a log gives; reading outside of it is an error of ours."""

    def read_at(offset: int, size: int) -> bytes:
        assert 0 <= offset <= offset + size <= len(data)
        return data[offset : offset + size]

    return list(scan_records(read_at, len(data)))


def records_in(items: Sequence[LogRecord | LogDamage]) -> list[Record]:
    """The records among what a scan gave."""
    return [item.record for item in items if isinstance(item, LogRecord)]


def test_a_log_is_that_of_every_release() -> None:
    """No index could be rebuilt from a log of an earlier release."""
    assert log_of(RECORDS).hex() == GOLDEN


@given(st.lists(st.sampled_from(RECORDS), max_size=20), st.integers(1, 1 << 40))
def test_records_come_back(records: list[Record], first_seq: int) -> None:
    """Tags and histories would be lost with the index."""
    data = log_of(records, first_seq)
    read = scan(data)
    assert records_in(read) == records
    found = [item for item in read if isinstance(item, LogRecord)]
    assert [item.seq for item in found] == list(range(first_seq, first_seq + len(records)))
    assert [item.offset for item in found] + [len(data)] == [FILE_HEADER_BYTES] + [item.end for item in found]


def test_a_tail_that_was_torn_is_told_from_records() -> None:
    """After a crash the store would not open, or take half a record for a whole one."""
    whole = log_of(RECORDS)
    before_last = len(log_of(RECORDS[:-1]))
    for size in range(before_last + 1, len(whole)):
        read = scan(whole[:size])
        assert records_in(read) == RECORDS[:-1]
        assert read[-1] == LogDamage(before_last, size, torn=True)
        zeros = bytes(len(whole) - size + 40)  # as some file systems leave behind what was never written
        assert records_in(scan(whole[:size] + zeros)) == RECORDS[:-1]


def test_every_flipped_bit_is_noticed_and_costs_one_record() -> None:
    """A bit that flips on disk would move an alias elsewhere, or cost the history behind it."""
    data = log_of(RECORDS)
    spans = [(item.offset, item.end) for item in scan(data)]
    for bit in range(8 * FILE_HEADER_BYTES, 8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        hit = next(i for i, (offset, end) in enumerate(spans) if offset <= bit // 8 < end)
        read = scan(bytes(flipped))
        assert records_in(read) == [record for i, record in enumerate(RECORDS) if i != hit]
        assert LogDamage(*spans[hit], torn=hit == len(RECORDS) - 1) in read


def test_records_behind_long_damage_are_found() -> None:
    """A hole in the log would cost all history behind it."""
    tail = encode_record(9, RECORDS[0])
    for hole in (reflog.SEARCH_WINDOW_BYTES - 5, reflog.SEARCH_WINDOW_BYTES + 7):
        data = log_of(RECORDS[:1]) + b"\xff" * hole + tail
        read = scan(data)
        assert records_in(read) == [RECORDS[0], RECORDS[0]]
        assert [item.torn for item in read if isinstance(item, LogDamage)] == [False]


def test_sequence_numbers_only_rise() -> None:
    """A record that was copied to the end of the log would undo what came after it."""
    data = log_of(RECORDS) + encode_record(2, RECORDS[1])
    read = scan(data)
    assert records_in(read) == RECORDS
    assert isinstance(read[-1], LogDamage)


def test_a_record_of_a_later_release_asks_for_an_upgrade() -> None:
    """A user of an old release would cut off what a newer one wrote."""
    framed = (2).to_bytes(4, "little") + (5).to_bytes(8, "little") + b"\x92\x02"
    data = log_of(RECORDS) + framed + checksum(framed)[:16]
    with pytest.raises(NewerFormat):
        scan(data)


def test_a_sound_record_that_makes_no_sense_is_damage() -> None:
    """A malicious log could bring in refs that no command can name."""
    for payload in (b"\x92\x01\x92\x09\x01", b"\x92\x01\x94\x01\xa0\x01\xa1a"):
        framed = len(payload).to_bytes(4, "little") + (5).to_bytes(8, "little") + payload
        with pytest.raises(Corrupt):
            scan(FILE_HEADER + framed + checksum(framed)[:16])


@pytest.mark.parametrize(
    "record",
    [
        TagSet(Tag("", ID, 5)),
        TagSet(Tag("m/v1", ID[1:], 5)),
        TagSet(Tag("m/v1", ID, -5)),
        TagSet(Tag("m/" + "v" * limits.REF_BYTES_MAX, ID, 5)),
        TagRemoved("m/v1", 9, "a" * (limits.PERSON_BYTES_MAX + 1)),
        TagRemoved("m/v1", -9, "a"),
        Moved(Move("m/production", 2, b"", ID, 7, "ada", "host", "first", False, b"")),
        Erasure([], 11, "ada", ""),
        Erasure([ID[1:]], 11, "ada", ""),
        Erasure([ID], 11, "ada", "a" * (limits.MESSAGE_BYTES_MAX + 1)),
        Erasure([ID] * (limits.ERASURE_IDS_MAX + 1), 11, "ada", ""),
    ],
    ids=lambda record: type(record).__name__,
)
def test_unsound_records_are_not_written(record: Record) -> None:
    """The log would hold what no later reader accepts, and the index could not be rebuilt."""
    with pytest.raises(BadInput):
        encode_record(1, record)


def test_the_largest_erasure_is_one_record() -> None:
    """A big purge would fail at its end."""
    largest = Erasure([ID] * limits.ERASURE_IDS_MAX, 11, "ada", "a" * limits.MESSAGE_BYTES_MAX)
    assert records_in(scan(log_of([largest, RECORDS[0]]))) == [largest, RECORDS[0]]


def test_a_log_begins_as_one() -> None:
    """Another file, or a log of a newer release, would be cut off as damaged."""
    check_file_header(FILE_HEADER)
    for data in (b"", FILE_HEADER[:-1], b"x" + FILE_HEADER[1:], FILE_HEADER[:4] + bytes(4)):
        with pytest.raises(Corrupt):
            check_file_header(data)
    with pytest.raises(NewerFormat):
        check_file_header(FILE_HEADER[:4] + b"\2\0\0\0")

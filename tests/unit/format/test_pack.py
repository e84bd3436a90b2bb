"""Packs: their tables, trailers and what can be read of a damaged one."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.format.codec import Decoder, Encoder
from artstore.format.frame import header, open_frame
from artstore.format.ids import PLAIN, checksum
from artstore.format.pack import FORMAT, MAGIC, ReadAt, encode_table, encode_tail, parse_tail, scan_frames
from artstore.model import Digest, ObjectKind, PackId, PackKind, TableEntry

PACK_ID = PackId(bytes(range(16)))
CONTENTS = [b"first " * 30, bytes(range(200)), b"third " * 40]
GOLDEN_TAIL = (
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0500000900000100aa41500101000000"
    "0100000031000000000102030405060708090a0b0c0d0e0f7ace8d50f5a208b737b91f89e079fad6cd28586da2a9ce14"
    "e4126a47c0305376"
)


def reader(data: bytes) -> ReadAt:
    """A pack in memory; reading outside of it is an error of ours."""

    def read_at(offset: int, size: int) -> bytes:
        assert 0 <= offset <= offset + size <= len(data)
        return data[offset : offset + size]

    return read_at


def frames_of(contents: Iterable[bytes], kind: ObjectKind = ObjectKind.CHUNK) -> tuple[bytes, list[TableEntry]]:
    """Frames one behind the other, and what the table says of them."""
    frames = b""
    entries: list[TableEntry] = []
    for content in contents:
        codec, stored = Encoder().encode(content)
        id = PLAIN.of(kind, content)
        entries.append(TableEntry(id, len(frames), len(stored), len(content), codec, kind))
        frames += header(id, len(stored), len(content), codec, kind) + stored
    return frames, entries


def pack_of(contents: Iterable[bytes]) -> bytes:
    """A sealed data pack."""
    frames, entries = frames_of(contents)
    return frames + encode_tail(PACK_ID, PackKind.DATA, entries)


def read_pack(data: bytes) -> list[bytes]:
    """Every object of a pack, found through its table, checked as a reader does."""
    tail = parse_tail(len(data), reader(data))
    assert tail.id == PACK_ID
    return [
        open_frame(
            data[e.offset : e.offset + limits.FRAME_HEADER_BYTES + e.stored],
            Decoder(),
            PLAIN,
            id=e.id,
            kind=ObjectKind(e.flags & 15),
        )
        for e in tail.entries
    ]


def reseal(tail: bytes, table_bytes: int) -> bytes:
    """A tail whose checksum is made right again."""
    sealed = tail[: table_bytes + 32]
    return sealed + checksum(sealed)


def test_a_tail_is_that_of_every_release() -> None:
    """No pack of an earlier release could be read."""
    entry = TableEntry(Digest(bytes(range(32))), 0, 5, 9, 1, ObjectKind.CHUNK)
    tail = encode_tail(PACK_ID, PackKind.DATA, [entry])
    assert tail.hex() == GOLDEN_TAIL
    assert tail[:40] == bytes(range(32)) + bytes.fromhex("050000 090000 01 00")
    assert tail[40:72] == MAGIC + bytes.fromhex("0100 0000 01000000 31000000") + PACK_ID


def test_objects_of_a_pack_are_found_through_its_table() -> None:
    """Nothing could be read from a store after its index was lost."""
    assert read_pack(pack_of(CONTENTS)) == CONTENTS


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(1, 300_000)), min_size=1, max_size=50))
def test_tables_come_back(rows: list[tuple[bytes, int]]) -> None:
    """An object would be looked for at a wrong place."""
    entries: list[TableEntry] = []
    offset = 0
    for id, size in rows:
        entries.append(TableEntry(Digest(id), offset, size, size, 0, ObjectKind.TREE_PAGE))
        offset += limits.FRAME_HEADER_BYTES + size
    data = bytes(offset) + encode_tail(PACK_ID, PackKind.META, entries)
    assert parse_tail(len(data), reader(data)) == (PACK_ID, PackKind.META, entries)


def test_every_flipped_bit_of_a_pack_is_noticed() -> None:
    """A bit that flips on disk would change a user's data in silence."""
    data = pack_of(CONTENTS)
    for position in range(len(data)):
        for bit in (0, 3, 7):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            try:
                assert read_pack(bytes(flipped)) == CONTENTS, f"byte {position} gave wrong data"
            except (Corrupt, NewerFormat):
                continue
            assert position < len(data) - limits.TRAILER_BYTES - limits.TABLE_ENTRY_BYTES * len(CONTENTS)


def test_damage_to_a_trailer_is_not_taken_for_a_later_release() -> None:
    """Repair would leave a damaged pack alone, since it waits for an upgrade that mends nothing."""
    data = pack_of(CONTENTS)
    for bit in range(16):
        flipped = bytearray(data)
        flipped[len(data) - limits.TRAILER_BYTES + 4 + bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corrupt):
            parse_tail(len(flipped), reader(bytes(flipped)))


def test_every_cut_pack_is_refused() -> None:
    """A pack cut off by a full disk would pass for a whole one."""
    data = pack_of(CONTENTS)
    for size in range(len(data)):
        with pytest.raises(Corrupt):
            parse_tail(size, reader(data[:size]))


def test_a_pack_of_a_later_release_asks_for_an_upgrade() -> None:
    """A user of an old release would be told that the store is damaged."""
    frames, entries = frames_of(CONTENTS)
    tail = bytearray(encode_tail(PACK_ID, PackKind.DATA, entries))
    table_bytes = len(entries) * limits.TABLE_ENTRY_BYTES
    tail[table_bytes + 4] = FORMAT + 1
    data = frames + reseal(bytes(tail), table_bytes)
    with pytest.raises(NewerFormat):
        parse_tail(len(data), reader(data))


@pytest.mark.parametrize(
    ("position", "value"),
    [(4, 0), (6, 2), (8, 2), (8, 4), (-40 + 32, 0), (-40 + 35, 0), (-40 + 39, 1), (-40 + 39, 16), (-40 + 38, 9)],
    ids=["format", "kind", "count-", "count+", "stored", "raw", "page in data", "flags", "codec"],
)
def test_a_malicious_tail_is_refused(position: int, value: int) -> None:
    """A pack with a right checksum but impossible sizes would send the reader anywhere."""
    frames, entries = frames_of([b"abc", b"def", b"g"])
    tail = bytearray(encode_tail(PACK_ID, PackKind.DATA, entries))
    table_bytes = len(entries) * limits.TABLE_ENTRY_BYTES
    tail[table_bytes + position] = value
    data = frames + reseal(bytes(tail), table_bytes)
    with pytest.raises(Corrupt):
        parse_tail(len(data), reader(data))


def test_a_table_that_points_into_another_frame_is_refused() -> None:
    """Frames could overlap, so that one pack claims more objects than it holds."""
    frames, entries = frames_of([b"abc", b"def"])
    tail = bytearray(encode_tail(PACK_ID, PackKind.DATA, entries))
    tail[32] += 1
    data = frames + reseal(bytes(tail), 80)
    with pytest.raises(Corrupt, match="do not end where"):
        parse_tail(len(data), reader(data))


def test_no_pack_is_made_of_frames_with_holes() -> None:
    """A writer that lost count would seal a pack in which nothing can be found."""
    entries = frames_of([b"abc", b"def"])[1]
    holed = [entries[0], TableEntry(entries[1].id, 99, 3, 3, 0, 0)]
    with pytest.raises((AssertionError, Corrupt)):
        encode_tail(PACK_ID, PackKind.DATA, holed)
    assert len(encode_table(entries)) == 2 * limits.TABLE_ENTRY_BYTES


def test_a_pack_without_its_table_is_scanned() -> None:
    """Repair would lose every object of a pack whose end is gone."""
    frames, entries = frames_of(CONTENTS)
    assert list(scan_frames(reader(frames), len(frames))) == entries
    sealed = pack_of(CONTENTS)
    assert list(scan_frames(reader(sealed), len(sealed))) == entries


@pytest.mark.parametrize("damaged", range(3))
def test_a_scan_finds_what_stands_beside_damage(damaged: int) -> None:
    """One damaged header would cost all objects behind it."""
    frames, entries = frames_of(CONTENTS)
    for position in range(limits.FRAME_HEADER_BYTES):
        flipped = bytearray(frames)
        flipped[entries[damaged].offset + position] ^= 0x41
        found = list(scan_frames(reader(bytes(flipped)), len(flipped)))
        assert [e for e in entries if e is not entries[damaged]] == [e for e in found if e in entries]


def test_a_scan_finds_frames_in_pieces_larger_than_its_window() -> None:
    """Damage longer than what is read at once would hide all that follows."""
    frames, entries = frames_of(CONTENTS)
    for gap in (limits.MIB - 3, limits.MIB - 2, limits.MIB + 1, 3 * limits.MIB):
        data = bytes(gap) + frames
        found = [e.offset for e in scan_frames(reader(data), len(data))]
        assert found == [gap + e.offset for e in entries]


def test_a_frame_that_is_cut_off_is_not_reported() -> None:
    """Repair would try to read behind the end of the file."""
    frames, entries = frames_of(CONTENTS)
    assert list(scan_frames(reader(frames[:-1]), len(frames) - 1)) == entries[:-1]


@pytest.mark.parametrize("attack", ["nested frames", "nested short frames", "magic alone"])
def test_a_scan_of_a_malicious_pack_stays_linear(attack: str) -> None:
    """A pack of a few MiB could keep a rebuild of the index reading for days."""
    digest = Digest(bytes(32))
    data = {
        # 44 bytes apart, each reaching over thousands of others, to where no frame begins.
        "nested frames": header(digest, 199_999, 262_144, 1, ObjectKind.CHUNK) * 20_000,
        "nested short frames": header(digest, 999, 262_144, 1, ObjectKind.CHUNK) * 20_000,
        "magic alone": frame_magic() * 250_000,
    }[attack]
    asked = 0

    def read_at(offset: int, size: int) -> bytes:
        nonlocal asked
        asked += size
        return data[offset : offset + size]

    told = sum(limits.FRAME_HEADER_BYTES + entry.stored for entry in scan_frames(read_at, len(data)))
    assert told <= 3 * len(data)
    assert asked <= 3 * len(data)


def frame_magic() -> bytes:
    return header(Digest(bytes(32)), 1, 1, 0, ObjectKind.CHUNK)[:4]


def test_a_scan_finds_frames_within_one_whose_length_is_damaged() -> None:
    """A single length that became too great would hide every object that it reaches over."""
    frames, entries = frames_of([bytes([number]) * 3000 + bytes(range(256)) * 4 for number in range(40)])
    lying = header(entries[0].id, len(frames) - 100, 262_144, 1, ObjectKind.CHUNK)
    data = lying + frames[limits.FRAME_HEADER_BYTES :]
    assert entries[1:] == [e for e in scan_frames(reader(data), len(data)) if e in entries]

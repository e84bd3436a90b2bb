"""Objects in their frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.format.codec import RAW, ZSTD, Decoder, Encoder
from artstore.format.frame import MAGIC, header, open_frame, open_stored, parse_header
from artstore.format.ids import PLAIN
from artstore.model import Digest, ObjectKind, TableEntry

U24_MAX = 0xFFFFFF
ID = bytes(range(32))
GOLDEN = "aa414601000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0302010c0b0a0103"


def frame_of(kind: ObjectKind, data: bytes) -> bytes:
    """An object as it lies in a pack."""
    codec, stored = Encoder().encode(data)
    return header(PLAIN.of(kind, data), len(stored), len(data), codec, kind) + stored


def test_a_header_is_that_of_every_release() -> None:
    """No pack of an earlier release could be read."""
    data = header(ID, 0x010203, 0x0A0B0C, ZSTD, ObjectKind.VERSION)
    assert data.hex() == GOLDEN
    assert len(data) == limits.FRAME_HEADER_BYTES
    assert data == MAGIC + ID + bytes.fromhex("030201 0c0b0a 01 03")


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(1, U24_MAX),
    st.integers(1, U24_MAX),
    st.sampled_from(ObjectKind),
    st.integers(0, 1 << 40),
)
def test_headers_say_what_they_were_told(id: bytes, stored: int, raw: int, kind: ObjectKind, offset: int) -> None:
    """A pack could not be scanned without its table."""
    entry = parse_header(header(id, stored, raw, ZSTD, kind), offset=offset)
    assert entry == TableEntry(Digest(id), offset, stored, raw, ZSTD, kind)


@pytest.mark.parametrize("kind", ObjectKind)
def test_a_frame_gives_its_object(kind: ObjectKind) -> None:
    """Nothing could be read."""
    data = b"some content " * 20
    frame = frame_of(kind, data)
    assert open_frame(memoryview(frame), Decoder(), PLAIN, id=PLAIN.of(kind, data), kind=kind) == data


@pytest.mark.parametrize("data", [b"some content " * 9, bytes(range(40))], ids=["zstd", "raw"])
def test_every_flipped_bit_of_a_frame_is_noticed(data: bytes) -> None:
    """A bit that flips on disk would change a user's data in silence."""
    frame = frame_of(ObjectKind.CHUNK, data)
    id = PLAIN.of(ObjectKind.CHUNK, data)
    decoder = Decoder()
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            read = open_frame(flipped, decoder, PLAIN, id=id, kind=ObjectKind.CHUNK)
        except (Corrupt, NewerFormat):
            continue
        # Some bits of a zstd frame mean nothing; the object is what it was.
        assert read == data
        assert bit >= 8 * limits.FRAME_HEADER_BYTES


@pytest.mark.parametrize("cut", [-1, 1])
def test_a_frame_of_another_length_is_refused(cut: int) -> None:
    """A reader with a wrong length from the index would go unnoticed."""
    data = b"some content " * 9
    frame = frame_of(ObjectKind.CHUNK, data)
    frame = frame + b"x" if cut > 0 else frame[:cut]
    with pytest.raises(Corrupt):
        open_frame(frame, Decoder(), PLAIN, id=PLAIN.of(ObjectKind.CHUNK, data), kind=ObjectKind.CHUNK)


def test_another_object_than_asked_for_is_refused() -> None:
    """A wrong offset in the index would hand out another file's content."""
    with pytest.raises(Corrupt) as caught:
        open_frame(frame_of(ObjectKind.CHUNK, b"other"), Decoder(), PLAIN, id=ID, kind=ObjectKind.CHUNK)
    assert caught.value.digest == ID


def test_a_chunk_is_not_opened_as_a_page() -> None:
    """A chunk could be passed off as a directory by its flags."""
    data = b"some content " * 9
    frame = frame_of(ObjectKind.CHUNK, data)
    with pytest.raises(Corrupt):
        open_frame(frame, Decoder(), PLAIN, id=PLAIN.of(ObjectKind.CHUNK, data), kind=ObjectKind.TREE_PAGE)


def test_an_error_names_the_object() -> None:
    """The user could not be told which file is damaged."""
    with pytest.raises(Corrupt) as caught:
        open_stored(b"short", Decoder(), PLAIN, id=ID, kind=ObjectKind.CHUNK, codec=RAW, raw=99)
    assert caught.value.digest == ID
    assert ID.hex() in caught.value.message


@pytest.mark.parametrize(
    "fields",
    [
        bytes(3) + b"\5\0\0\1\0",
        b"\5\0\0" + bytes(3) + b"\1\0",
        b"\5\0\0\6\0\0\0\0",
        b"\5\0\0\5\0\0\1\4",
        b"\5\0\0\5\0\0\1\x10",
    ],
    ids=["no bytes stored", "no raw bytes", "raw of two sizes", "unknown kind", "unknown flag"],
)
def test_headers_that_no_release_writes_are_refused(fields: bytes) -> None:
    """A damaged or malicious pack would send the reader anywhere."""
    with pytest.raises(Corrupt):
        parse_header(MAGIC + ID + fields)


def test_a_frame_of_a_later_release_asks_for_an_upgrade() -> None:
    """A user of an old release would be told that the store is damaged."""
    with pytest.raises(NewerFormat):
        parse_header(MAGIC[:3] + b"\2" + ID + bytes(8))


@pytest.mark.parametrize("data", [b"", MAGIC, bytes(44)])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    """A hole in a pack would be read as an object."""
    with pytest.raises(Corrupt):
        parse_header(data)

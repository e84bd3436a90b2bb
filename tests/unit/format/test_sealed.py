"""Sealed objects: what was sealed opens, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import Corrupt, NewerFormat
from artstore.format.sealed import (
    HEADER_BYTES,
    SALT_BYTES,
    SEGMENT_BYTES,
    UNKNOWN_SIZE,
    Header,
    Segments,
    encode_header,
    open_object,
    parse_header,
    plain_size,
    seal_object,
    sealed_size,
    stretch_of,
)

KEY, OTHER_KEY, SALT, NAME = bytes(range(32)), bytes(32), bytes(range(16)), b"p/0/00000001"
STEP = SEGMENT_BYTES + 16
SIZES = (0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES, 100_000)


def sealed(data: bytes, *, name: bytes = NAME, key: bytes = KEY) -> bytes:
    return seal_object(data, epoch=1, epoch_key=key, salt=SALT, name=name)


def opened(data: bytes, *, name: bytes = NAME, key: bytes = KEY) -> bytes:
    return open_object(data, Segments(key, parse_header(data), name))


def refuses(data: bytes, *, name: bytes = NAME, key: bytes = KEY) -> bool:
    try:
        opened(data, name=name, key=key)
    except (Corrupt, NewerFormat):
        return True
    return False


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_opens(size: int) -> None:
    """A pack would be lost."""
    data = bytes(i % 251 for i in range(size))
    found = sealed(data)
    assert opened(found) == data
    assert len(found) == sealed_size(size)
    assert plain_size(len(found)) == size


def test_vectors() -> None:
    """Another release, or another program, could not open it. docs/format.md has these."""
    assert sealed(b"").hex() == (
        "aa41530101000000000102030405060708090a0b0c0d0e0f0000000000000000b46eabe770bd05e4da19a1d35c05d0e1"
    )
    assert sealed(b"hello").hex() == (
        "aa41530101000000000102030405060708090a0b0c0d0e0f050000000000000048a25fe569e1ac7ef3e8bef829ceac0449eb3aeef7"
    )


def test_each_flipped_bit_is_refused() -> None:
    """A changed byte would be handed to somebody."""
    whole = sealed(b"some bytes")
    for at in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[at // 8] ^= 1 << at % 8
        assert refuses(bytes(changed)), at


def test_segments_can_not_be_moved_about() -> None:
    """Parts of a pack would be left out, exchanged or repeated by who has the bucket."""
    data = bytes(range(256)) * (4 * SEGMENT_BYTES // 256)
    whole = sealed(data)
    head, parts = whole[:HEADER_BYTES], [whole[at : at + STEP] for at in range(HEADER_BYTES, len(whole), STEP)]
    assert len(parts) == 4
    for wrong in (parts[:-1], parts[:1], [], parts[::-1], [*parts[:3], parts[2]], [*parts, parts[-1]], parts[1:]):
        assert refuses(head + b"".join(wrong))
    for end in range(1, STEP, 997):
        assert refuses(whole[:-end])
    # Nor where its size isn't told beforehand.
    header = Header(1, SALT, UNKNOWN_SIZE)
    head = encode_header(header)
    body = bytes(Segments(KEY, header, NAME).seal(memoryview(data), first=0, ends=True))
    assert opened(head + body) == data
    for end in range(0, len(body), STEP):
        assert refuses(head + body[:end])


def test_an_object_can_not_stand_for_another() -> None:
    """A tag would be shown in the place of another one, or an old pack in that of a new one."""
    whole = sealed(b"x" * 100)
    assert refuses(whole, name=b"p/0/00000002")
    assert refuses(whole, key=OTHER_KEY)
    assert refuses(encode_header(Header(2, SALT, 100)) + whole[HEADER_BYTES:])


def test_what_is_no_sealed_object() -> None:
    """It would end in a traceback."""
    for data in (b"", b"x" * 31, b"x" * 100, bytes(100)):
        with pytest.raises(Corrupt, match="sealed"):
            parse_header(data)
    newer = b"\xaaAS\x02" + sealed(b"x")[4:]
    with pytest.raises(NewerFormat):
        parse_header(newer)
    with pytest.raises(Corrupt, match="number"):
        parse_header(encode_header(Header(0, SALT, 0)))


@given(st.integers(1, 5 * SEGMENT_BYTES), st.data())
def test_ranges(size: int, data: st.DataObject) -> None:
    """A chunk would be taken from another place."""
    offset = data.draw(st.integers(0, size - 1))
    count = data.draw(st.integers(1, size - offset))
    plain = bytes(i * 7 % 256 for i in range(size))
    whole = sealed(plain)
    stretch = stretch_of(offset, count, total=size)
    room = bytearray(stretch.segments * SEGMENT_BYTES)
    part = memoryview(whole)[stretch.offset : stretch.offset + stretch.size]
    segments = Segments(KEY, parse_header(whole), NAME)
    done = segments.open_into(part, memoryview(room), first=stretch.first, total=size)
    skip = offset - stretch.first * SEGMENT_BYTES
    assert bytes(room[skip : skip + count]) == plain[offset : offset + count]
    assert done >= skip + count
    assert stretch.size <= count + 2 * STEP


@given(st.integers(0, 10 * SEGMENT_BYTES))
def test_sizes(size: int) -> None:
    """A listing would tell other sizes than shards do."""
    assert plain_size(sealed_size(size)) == size
    assert plain_size(size) <= max(size - HEADER_BYTES, 0)


@given(st.lists(st.integers(0, 40_000), max_size=8))
def test_what_is_sealed_as_it_comes_is_the_same(sizes: list[int]) -> None:
    """A pack that was written in other pieces could not be read."""
    header = Header(1, SALT, UNKNOWN_SIZE)
    segments = Segments(KEY, header, NAME)
    data = b"".join(bytes([i % 256]) * size for i, size in enumerate(sizes))
    parts = list(_cut(data))
    body = b"".join(bytes(segments.seal(memoryview(part), first=first, ends=ends)) for first, part, ends in parts)
    assert opened(encode_header(header) + body) == data


def _cut(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """One segment at a time, the last one as such."""
    count = max(1, -(-len(data) // SEGMENT_BYTES))
    for number in range(count):
        part = data[number * SEGMENT_BYTES : (number + 1) * SEGMENT_BYTES]
        yield number, part, number == count - 1


def test_the_salt_is_whole() -> None:
    """Half of it would be used by two objects of a billion."""
    assert SALT_BYTES == 16

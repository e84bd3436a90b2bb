"""Packs taken apart while they come, whatever the pieces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import ArtstoreError, Corrupt
from artstore.format.codec import Encoder
from artstore.format.frame import MAGIC, header
from artstore.format.ids import PLAIN
from artstore.format.incoming import IncomingPack
from artstore.format.pack import PackTail, encode_tail, parse_tail
from artstore.model import Digest, ObjectKind, PackId, PackKind, TableEntry

PACK_ID = PackId(bytes(range(16)))


def pack_of(contents: list[bytes]) -> tuple[bytes, list[TableEntry]]:
    """A sealed data pack, and its table."""
    frames = b""
    entries: list[TableEntry] = []
    for content in contents:
        codec, stored = Encoder().encode(content)
        id = PLAIN.of(ObjectKind.CHUNK, content)
        entries.append(TableEntry(id, len(frames), len(stored), len(content), codec, ObjectKind.CHUNK))
        frames += header(id, len(stored), len(content), codec, ObjectKind.CHUNK) + stored
    return frames + encode_tail(PACK_ID, PackKind.DATA, entries), entries


def receive(data: bytes, cuts: list[int], *, size: int | None = None) -> tuple[list[TableEntry], PackTail]:
    """What was told of frames as they came in pieces that end at `cuts`, and of the end."""
    incoming = IncomingPack(len(data) if size is None else size)
    seen: list[TableEntry] = []
    waiting = b""
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        waiting += data[start:end]
        came = incoming.take(waiting)
        if came:
            last = came[-1]
            waiting = waiting[last.offset + limits.FRAME_HEADER_BYTES + last.stored - came[0].offset :]
        seen += came
    return seen, incoming.finish(waiting)


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=12), st.data())
def test_pieces_may_end_anywhere(contents: list[bytes], draws: st.DataObject) -> None:
    """A pack would be refused, or its table taken for a frame, by how the network cuts it."""
    data, entries = pack_of(contents)
    cuts = sorted(draws.draw(st.lists(st.integers(0, len(data)), max_size=20)))
    seen, tail = receive(data, cuts)
    assert seen == entries == tail.entries
    assert tail == parse_tail(len(data), lambda offset, size: data[offset : offset + size])


def test_a_table_that_begins_like_a_frame() -> None:
    """Where frames end would be a matter of chance: an id may be any bytes."""
    id = Digest(MAGIC + bytes(28))
    frame = header(id, 50, 50, 0, ObjectKind.CHUNK) + bytes(50)
    entries = [TableEntry(id, 0, 50, 50, 0, ObjectKind.CHUNK)]
    data = frame + encode_tail(PACK_ID, PackKind.DATA, entries)
    for cut in range(len(data)):
        assert receive(data, [cut]) == (entries, PackTail(PACK_ID, PackKind.DATA, entries))


def flips(data: bytes) -> Iterator[bytes]:
    """The pack with each of its bytes changed."""
    for at in range(len(data)):
        yield data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]


def test_each_flipped_byte_outside_of_the_objects_is_found() -> None:
    """What was damaged on its way would be entered as it came."""
    data, entries = pack_of([b"first " * 9, bytes(range(100)), b"third " * 9])
    stored = {
        at
        for entry in entries
        for at in range(
            entry.offset + limits.FRAME_HEADER_BYTES, entry.offset + limits.FRAME_HEADER_BYTES + entry.stored
        )
    }
    for at, flipped in enumerate(flips(data)):
        if at in stored:  # that the object isn't its id's the caller finds
            continue
        with pytest.raises(ArtstoreError):
            receive(flipped, [])


def test_what_is_cut_short_is_no_pack() -> None:
    """Half of a pack would be kept as if it were all."""
    data, _ = pack_of([b"one" * 20, b"two" * 20])
    for end in range(len(data)):
        with pytest.raises(Corrupt):
            receive(data[:end], [])
        with pytest.raises(Corrupt):
            receive(data[:end], [], size=len(data))
    with pytest.raises(Corrupt):
        receive(data + b"x", [])
    for size in (0, limits.TRAILER_BYTES, limits.PACK_BYTES_MAX + 1):
        with pytest.raises(Corrupt, match=str(size)):
            IncomingPack(size)


def test_frames_of_another_pack() -> None:
    """A table that is sound would vouch for frames that aren't its own."""
    data, entries = pack_of([b"one" * 20, b"two" * 20])
    other, _ = pack_of([b"one" * 20, b"six" * 20])
    end = entries[-1].offset + limits.FRAME_HEADER_BYTES + entries[-1].stored
    with pytest.raises(Corrupt, match="does not fit its frames"):
        receive(other[:end] + data[end:], [])

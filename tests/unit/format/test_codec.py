"""Encoded bytes of objects."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.format.codec import CODEC_RESERVED_MAX, RAW, ZSTD, Decoder, Encoder, check_codec

BOMB_BYTES = 64 << 20

payloads = st.one_of(
    st.binary(min_size=1, max_size=400),
    st.builds(bytes.__mul__, st.binary(min_size=1, max_size=40), st.integers(1, 3000)),
)


@given(payloads, st.sampled_from([1, 3, 19]))
def test_what_was_encoded_comes_back(data: bytes, level: int) -> None:
    """Stored content could not be read back."""
    encoder = Encoder(level)
    codec, stored = encoder.encode(data)
    assert len(stored) <= len(data)
    assert Decoder().decode(codec, stored, len(data)) == data
    assert Decoder().decode(ZSTD, encoder.zstd(data), len(data)) == data


def test_one_encoder_takes_objects_of_all_sizes() -> None:
    """The buffer that is used again would cut a big object short, or leak an old one into it."""
    noise = random.Random(4)
    encoder, decoder = Encoder(), Decoder()
    for size in (limits.CHUNK_BYTES_MAX, 1, limits.CHUNK_BYTES_MAX + 1, 3 << 20, 17, limits.CHUNK_BYTES_MAX):
        for data in (noise.randbytes(size), b"a" * size):
            assert decoder.decode(ZSTD, encoder.zstd(data), size) == data


def test_noise_is_stored_raw() -> None:
    """Models of random-looking weights would grow when they are stored."""
    data = random.Random(1).randbytes(70_000)
    assert Encoder().encode(memoryview(data)) == (RAW, data)


def test_buffers_are_encoded_in_place() -> None:
    """The pipeline could not pass slices of its read buffer."""
    data = b"weights " * 9000
    assert Encoder().zstd(memoryview(data)) == Encoder().zstd(bytearray(data)) == Encoder().zstd(data)


@pytest.mark.parametrize("declares", [False, True])
def test_a_bomb_is_refused(declares: bool) -> None:
    """A few bytes of a malicious pack would fill the memory."""
    bomb = zstandard.ZstdCompressor(write_content_size=declares).compress(b"\0" * BOMB_BYTES)
    with pytest.raises(Corrupt):
        Decoder().decode(ZSTD, bomb, limits.CHUNK_BYTES_MAX)


@pytest.mark.parametrize("raw_size", [0, 99, 101, limits.FRAME_RAW_BYTES_MAX + 1])
@pytest.mark.parametrize("codec", [RAW, ZSTD])
def test_another_size_than_declared_is_refused(codec: int, raw_size: int) -> None:
    """An object would be longer or shorter than what the index says of it."""
    data = bytes(range(100))
    stored = data if codec == RAW else Encoder().zstd(data)
    with pytest.raises(Corrupt):
        Decoder().decode(codec, stored, raw_size)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"no frame at all",
        Encoder().zstd(b"ab" * 50) + b"x",
        Encoder().zstd(b"ab" * 50) * 2,
        Encoder().zstd(b"ab" * 50)[:-1],
        b"\x50\x2a\x4d\x18\x04\0\0\0skip" + Encoder().zstd(b"ab" * 50),
    ],
    ids=["empty", "text", "more behind", "two frames", "cut", "skippable frame"],
)
def test_anything_but_one_whole_frame_is_refused(stored: bytes) -> None:
    """Bytes could hide in a pack beside the object that is read from it."""
    with pytest.raises(Corrupt):
        Decoder().decode(ZSTD, stored, 100)


def test_frames_of_other_writers_are_read() -> None:
    """An encoder that writes size and checksum into its frames would be locked out for no reason."""
    data = b"ab" * 50
    frame = zstandard.ZstdCompressor(write_content_size=True, write_checksum=True).compress(data)
    assert Decoder().decode(ZSTD, frame, len(data)) == data


@pytest.mark.parametrize("codec", range(2, CODEC_RESERVED_MAX + 1))
def test_codecs_of_later_releases_ask_for_an_upgrade(codec: int) -> None:
    """A user of an old release would be told that the store is damaged."""
    with pytest.raises(NewerFormat):
        Decoder().decode(codec, b"abc", 3)
    with pytest.raises(NewerFormat):
        check_codec(codec)


def test_codecs_of_no_release_are_damage() -> None:
    """Damage would be taken for something that an upgrade mends."""
    with pytest.raises(Corrupt):
        Decoder().decode(CODEC_RESERVED_MAX + 1, b"abc", 3)


def test_a_frame_that_asks_for_a_great_window_is_refused() -> None:
    """A few bytes of a malicious pack would take 128 MiB in each thread that reads."""
    data = b"abc" * 1000
    for log, is_read in ((24, True), (25, False), (27, False)):
        wide = zstandard.ZstdCompressionParameters(window_log=log, write_content_size=False, write_checksum=False)
        packer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
        stored = packer.compress(data) + packer.flush()
        assert zstandard.get_frame_parameters(stored).window_size == 1 << log
        if is_read:
            assert Decoder().decode(ZSTD, stored, len(data)) == data
        else:
            with pytest.raises(Corrupt, match="memory"):
                Decoder().decode(ZSTD, stored, len(data))


def test_the_greatest_object_at_the_greatest_level_is_read() -> None:
    """What was written at `compression.level` 22 could not be read again."""
    data = bytes(limits.FRAME_RAW_BYTES_MAX)
    assert Decoder().decode(ZSTD, Encoder(22).zstd(data), len(data)) == data


@given(st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=20))
def test_many_frames_are_unpacked_together(objects: list[bytes]) -> None:
    """A stretch of a file would have its chunks mixed up."""
    packed = [Encoder().zstd(data) for data in objects]
    offsets = list(accumulate((len(each) + 5 for each in packed), initial=3))
    data = memoryview(b"abc" + b"".join(each + b"-----" for each in packed))
    frames = [(offset, len(each), len(raw)) for offset, each, raw in zip(offsets, packed, objects, strict=False)]
    assert Decoder().unpack(data, frames) == objects


@pytest.mark.parametrize(
    ("offset", "longer", "raw"), [(0, 0, 99), (0, 0, 101), (0, -1, 100), (0, 1, 100), (1, -1, 100), (999, 0, 100)]
)
def test_frames_that_are_not_what_they_claim(offset: int, longer: int, raw: int) -> None:
    """Bytes of the next frame, or of nothing at all, would be taken for a chunk."""
    stored = Encoder().zstd(b"x" * 100)
    with pytest.raises(Corrupt):
        Decoder().unpack(memoryview(stored), [(offset, len(stored) + longer, raw)])


def test_a_bomb_among_many_frames_is_refused() -> None:
    """A forged pack would take all memory."""
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    with pytest.raises(Corrupt):
        Decoder().unpack(memoryview(bomb), [(0, len(bomb), 1000)])

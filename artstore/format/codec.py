"""How an object's bytes are stored: raw, or one zstd frame. Knows nothing of ids; bounded by the raw size declared.

| codec | meaning |
|---|---|
| 0 | raw |
| 1 | one zstd frame, any level, window of at most 16 MiB, no dictionary; content size and checksum are left out |
| 2..5 | reserved: byte planes of 2, 4, 8-byte elements; delta |
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import cast

import zstandard

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.format.ids import Buffer

_SEGMENT = Struct("=QQ")
_SIZE = Struct("=Q")
RAW = 0
ZSTD = 1
CODEC_RESERVED_MAX = 5  # what a later release may write


class Encoder:
    """Compresses objects. Not thread-safe: one per thread."""

    def __init__(self, level: int = 3) -> None:
        self._zstd = zstandard.ZstdCompressor(level=level, write_content_size=False, write_checksum=False)

    def zstd(self, data: Buffer) -> bytes:
        """One zstd frame, also where that saves nothing. Releases the GIL."""
        # `compress` allocates room for the worst case at each call, yet it alone lets two threads run at full speed:
        # with stream_reader into a buffer of our own, measured, two were slower than one. See adapters.allocator.
        return self._zstd.compress(data)

    def encode(self, data: Buffer) -> tuple[int, bytes]:
        """Codec and stored bytes, whichever is the shorter."""
        stored = self.zstd(data)
        return (ZSTD, stored) if len(stored) < len(data) else (RAW, bytes(data))


class Decoder:
    """Decompresses objects. Not thread-safe: one per thread."""

    def __init__(self) -> None:
        # A frame's own header asks for a window, 128 MiB by default, be the object ever so small.
        self._zstd = zstandard.ZstdDecompressor(max_window_size=limits.ZSTD_WINDOW_BYTES_MAX)

    def decode(self, codec: int, stored: Buffer, raw_size: int) -> bytes:
        """Exactly `raw_size` bytes. Never allocates more than that and a window; anything else is Corrupt. Releases the
        GIL.
        """
        if not 0 < raw_size <= limits.FRAME_RAW_BYTES_MAX:
            raise Corrupt(f"an object claims {raw_size} bytes")
        if codec == ZSTD:
            data = self._unpack(stored, raw_size)
        elif codec == RAW:
            data = bytes(stored)
        else:
            raise _unknown(codec)
        if len(data) != raw_size:
            raise Corrupt(f"an object has {len(data)} bytes instead of {raw_size}")
        return data

    def unpack(self, data: memoryview, frames: Sequence[tuple[int, int, int]]) -> list[memoryview]:
        """Zstd frames that lie in `data`, (offset, size, raw size) each, all in one call without the GIL.

        Corrupt if any of them is not what it claims to be; which one, `decode` tells. Never allocates more than the raw
        sizes say.
        """
        places = b"".join(_SEGMENT.pack(offset, size) for offset, size, _ in frames)
        sizes = b"".join(_SIZE.pack(raw) for _, _, raw in frames)
        try:
            found = self._zstd.multi_decompress_to_buffer(
                zstandard.BufferWithSegments(data, places), decompressed_sizes=sizes, threads=0
            )
        except (zstandard.ZstdError, ValueError) as error:  # ValueError: a frame reaches beyond `data`
            raise Corrupt(f"one of {len(frames)} objects can't be decompressed ({error})") from error
        # A segment is a buffer, whatever its declaration says.
        return [memoryview(cast("Buffer", found[i])) for i in range(len(found))]

    def _unpack(self, stored: Buffer, raw_size: int) -> bytes:
        try:
            # A size in the frame's own header would decide the allocation, whatever we ask for.
            declared = zstandard.frame_content_size(stored)
            if declared not in (-1, raw_size):
                raise Corrupt(f"an object of {raw_size} bytes declares {declared}")
            return self._zstd.decompress(stored, max_output_size=raw_size, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise Corrupt(f"an object of {raw_size} bytes can't be decompressed ({error})") from error


def check_codec(codec: int) -> None:
    """NewerFormat for a codec that is reserved, Corrupt for one that can't be."""
    if codec not in (RAW, ZSTD):
        raise _unknown(codec)


def _unknown(codec: int) -> Corrupt | NewerFormat:
    if codec <= CODEC_RESERVED_MAX:
        return NewerFormat(f"an object was encoded (codec {codec}) by a newer release of artstore", hint="upgrade it")
    return Corrupt(f"an object claims the unknown codec {codec}")

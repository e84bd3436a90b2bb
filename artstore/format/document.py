"""MessagePack as artstore writes it: arrays led by a format number, one encoding per value. Owner of msgspec here.

The first byte is a short array's header (0x90..0x9f), the second the format number (1..127): so a newer format is told
from damage before anything else is looked at, and every later format keeps these two bytes.

Canonical: shortest integers and lengths, sorted map keys, floats as float64, no unknown or missing fields. That is what
re-encoding the decoded value gives, and decoding compares.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from artstore.errors import BadInput, Corrupt, NewerFormat

T = TypeVar("T")

FORMAT = 1

_encoder = msgspec.msgpack.Encoder(order="deterministic")


class Codec(Generic[T]):
    """Encodes and decodes one type of document or page: a tuple whose first field is the format number.

    `name` is what messages call it; neither direction takes more than `bytes_max`. `format`: the latest that is known.
    """

    def __init__(self, shape: Any, *, name: str, bytes_max: int, format: int = FORMAT) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(shape)
        self.name = name
        self._bytes_max = bytes_max
        self._format = format

    def encode(self, value: T) -> bytes:
        """The value's bytes. BadInput for what MessagePack can't hold, or for too much of it."""
        try:
            data = _encoder.encode(value)
        except (OverflowError, UnicodeEncodeError) as error:
            raise BadInput(f"a {self.name} can't be written: {error}") from error
        if len(data) > self._bytes_max:
            raise BadInput(f"a {self.name} would have {len(data)} bytes, more than {self._bytes_max}")
        return data

    def decode(self, data: bytes) -> T:
        """The value of bytes that `encode` made; NewerFormat for those of a later release, Corrupt for any others."""
        self.check_format(data)
        try:
            value = self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Corrupt(f"a {self.name} can't be decoded: {error}") from error
        if _encoder.encode(value) != data:
            raise Corrupt(f"a {self.name} is not in canonical form")
        return value

    def check_format(self, data: bytes) -> None:
        """NewerFormat or Corrupt, unless the bytes begin as this format does and are not too many."""
        if len(data) < 2 or data[0] & 0xF0 != 0x90 or not 0 < data[1] < 0x80:
            raise Corrupt(f"a {self.name} has no format number")
        if data[1] > self._format:
            raise NewerFormat(f"a {self.name} was written by a newer release of artstore", hint="upgrade it")
        if len(data) > self._bytes_max:
            raise Corrupt(f"a {self.name} has {len(data)} bytes, more than {self._bytes_max}")

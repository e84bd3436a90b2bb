"""What the files of the corpora hold: bf16 weights, JSON lines, CSV, token arrays, media. Pure; knows no disk."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from artstore_bench.corpus._stream import QUANTILES_COUNT, Stream, normal_quantiles

VALUES_PER_BLOCK: Final = 1 << 21
_VOCABULARY: Final = 20_000
_LABELS: Final = ("positive", "negative", "neutral", "mixed")


def bf16_blocks(stream: Stream, count: int, deviation: float) -> Iterator[bytes]:
    """`count` normally distributed bf16 values, little endian, in blocks of at most 4 MiB."""
    table = _bf16_table(deviation)
    for start in range(0, count, VALUES_PER_BLOCK):
        yield table[stream.shorts(min(VALUES_PER_BLOCK, count - start))].tobytes()


def jsonl(stream: Stream, size: int) -> bytes:
    """JSON lines of labelled prose: at most `size` bytes, but at least one line."""
    lines: list[str] = []
    total, number = 0, stream.one(0, 1 << 30)
    while total < size:
        batch = min(200, 1 + (size - total) // 200)
        lengths = stream.between(8, 60, batch).tolist()
        words = _prose(stream, sum(lengths))
        labels, scores = stream.between(0, 4, batch).tolist(), stream.between(0, 1_000_000, batch).tolist()
        times = stream.between(1_600_000_000, 1_750_000_000, batch).tolist()
        at = 0
        for length, label, score, when in zip(lengths, labels, scores, times, strict=True):
            text = " ".join(words[at : at + length]).capitalize()
            name = (number * 2654435761) & 0xFFFF_FFFF_FFFF_FFFF
            line = (
                f'{{"id": "{name:016x}", "ts": {when}, "label": "{_LABELS[label]}", '
                f'"score": 0.{score:06d}, "text": "{text}."}}\n'
            )
            lines.append(line)
            total, number, at = total + len(line), number + 1, at + length
    return _whole_lines("".join(lines).encode(), size)


def csv(stream: Stream, size: int) -> bytes:
    """A table of sales under a header: at most `size` bytes, but at least the header."""
    lines = ["row,user,item,category,price,qty,lat,lon\n"]
    total, row = len(lines[0]), 0
    while total < size:
        batch = min(2000, 1 + (size - total) // 40)
        columns = zip(
            stream.between(0, 90_000, batch).tolist(),
            stream.between(0, 7_000, batch).tolist(),
            _prose(stream, batch),
            stream.between(50, 20_000, batch).tolist(),
            stream.between(1, 9, batch).tolist(),
            _degrees(stream, 52_00000, batch),
            _degrees(stream, 13_00000, batch),
            strict=True,
        )
        for user, item, category, cents, quantity, north, east in columns:
            line = (
                f"{row},u{user:05d},i{item:04d},{category},{cents // 100}.{cents % 100:02d},{quantity},"
                f"{north // 100_000}.{north % 100_000:05d},{east // 100_000}.{east % 100_000:05d}\n"
            )
            lines.append(line)
            total, row = total + len(line), row + 1
    return _whole_lines("".join(lines).encode(), size)


def tokens(stream: Stream, size: int) -> NDArray[np.int32]:
    """Token ids: 32-bit integers whose upper bytes are mostly zero; `size` bytes with the header of `npy`."""
    return _token_table()[stream.shorts(max(1, (size - _NPY_HEADER_BYTES) // 4))]


_NPY_HEADER_BYTES: Final = 128


def npy(values: NDArray[np.int32]) -> bytes:
    """A `.npy` file, format 1.0; written by hand since numpy may pad its header differently one day."""
    head = f"{{'descr': '<i4', 'fortran_order': False, 'shape': ({len(values)},), }}"
    padded = head.ljust(_NPY_HEADER_BYTES - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + values.tobytes()


def small_integers(stream: Stream, size: int) -> bytes:
    """16-bit integers around zero, as executables and sensor logs have them."""
    return _sensor_table()[stream.shorts(-(-size // 2))].tobytes()[:size]


def _prose(stream: Stream, count: int) -> list[str]:
    words = _words()
    return [words[rank] for rank in _zipf_ranks()[stream.shorts(count)].tolist()]


def _degrees(stream: Stream, middle: int, count: int) -> list[int]:
    spread = normal_quantiles()[stream.shorts(count)] * 30_000
    places: list[int] = (spread.astype(np.int64) + middle).tolist()
    return places


def _whole_lines(text: bytes, size: int) -> bytes:
    end = text.rfind(b"\n", 0, size) + 1
    return text[: end or text.index(b"\n") + 1]


@cache
def _bf16_table(deviation: float) -> NDArray[np.uint16]:
    values = (normal_quantiles() * deviation).astype(np.float32)
    return (values.view(np.uint32) >> 16).astype(np.uint16)


@cache
def _token_table() -> NDArray[np.int32]:
    return np.abs(normal_quantiles() * 3000).astype(np.int32)


@cache
def _sensor_table() -> NDArray[np.uint16]:
    return np.abs(normal_quantiles() * 40).astype(np.uint16)


@cache
def _zipf_ranks() -> NDArray[np.int64]:
    """Equally likely ranks, log-uniform over the vocabulary, scattered over it so that neighbours differ."""
    ranks = [int(_VOCABULARY ** (k / QUANTILES_COUNT)) - 1 for k in range(QUANTILES_COUNT)]
    return np.array([rank * 7919 % _VOCABULARY for rank in ranks])


@cache
def _words() -> list[str]:
    """Twenty thousand pronounceable words of one to four syllables."""
    stream = Stream("words")
    found: dict[str, None] = {}
    while len(found) < _VOCABULARY:
        draws = iter(stream.between(0, 1 << 30, 17).tolist())
        word = ""
        for _ in range(1 + next(draws) % 4):
            word += "bcdfghjklmnprstvwz"[next(draws) % 18] + "aeiou"[next(draws) % 5]
            if next(draws) % 10 < 3:
                word += "lmnrst"[next(draws) % 6]
        found[word] = None
    return sorted(found)

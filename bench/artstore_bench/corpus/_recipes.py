"""The corpora as streams of files: which trees, which names, what the second version shares with the first.

Pure: a corpus yields `Content`s in a fixed order, and the writer decides where they go. Scale 1.0 is the size that
is measured; a smaller scale keeps the structure for tests.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from artstore_bench.corpus import _contents as contents
from artstore_bench.corpus._stream import Stream, normal_quantiles

# Raised when a recipe makes other bytes: corpora cached under another number are made anew.
RECIPES_VERSION: Final = 1
MIB: Final = 1 << 20
GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Content:
    """One file of one tree; `blocks` can be consumed once."""

    tree: str
    path: str
    blocks: Iterator[bytes]


# ---- model: four shards of bf16 safetensors, and a fine-tuned second version whose content is shifted

_SHARDS: Final = 4
_LAYERS_PER_SHARD: Final = 3
_Tensor = tuple[str, tuple[int, ...]]


def model(scale: float) -> Iterator[Content]:
    """Version 2 changes a tenth of the bytes and puts a small new tensor near the start of each shard."""
    for version in ("v1", "v2"):
        for shard in range(_SHARDS):
            name = f"model-{shard + 1:05d}-of-{_SHARDS:05d}.safetensors"
            yield Content(version, name, _safetensors(_shard_tensors(shard, scale, version), version))


def _shard_tensors(shard: int, scale: float, version: str) -> list[_Tensor]:
    hidden = 16 * max(4, round(128 * math.sqrt(scale)))
    inner = 16 * max(10, round(344 * math.sqrt(scale)))
    first = shard * _LAYERS_PER_SHARD
    layers = [tensor for layer in range(first, first + _LAYERS_PER_SHARD) for tensor in _layer(layer, hidden, inner)]
    rest = int(GIB * scale) // _SHARDS - 2 * sum(math.prod(shape) for _, shape in layers)
    embedding = (f"model.embed.{shard}.weight", (max(16, rest // 2 // hidden), hidden))
    adapter = (f"adapter.{shard}.lora_A.weight", (max(5, round(64 * math.sqrt(scale))) + shard, 1999))
    return [embedding, *([adapter] if version == "v2" else []), *layers]


def _layer(layer: int, hidden: int, inner: int) -> list[_Tensor]:
    prefix = f"model.layers.{layer}."
    shapes: dict[str, tuple[int, ...]] = {
        "input_layernorm": (hidden,),
        "mlp.down_proj": (hidden, inner),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "post_attention_layernorm": (hidden,),
        "self_attn.k_proj": (hidden // 4, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.v_proj": (hidden // 4, hidden),
    }
    return [(f"{prefix}{name}.weight", shape) for name, shape in shapes.items()]


def _is_tuned(name: str) -> bool:
    if name == "model.layers.4.mlp.gate_proj.weight":
        return True
    return "self_attn" in name and int(name.split(".")[2]) % 3 == 1


def _safetensors(tensors: list[_Tensor], version: str) -> Iterator[bytes]:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in tensors:
        end = offset + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": (offset, end)}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name, shape in tensors:
        stream = Stream("weights", name, version if _is_tuned(name) else "v1")
        yield from contents.bf16_blocks(stream, math.prod(shape), 0.02 if len(shape) > 1 else 1.0)


# ---- dataset: mixed files; the second version edits, adds, removes and renames some

_FOLDERS: Final = ("text", "tables", "tokens", "images")
_SUFFIXES: Final = ("jsonl", "csv", "npy", "jpg")
_JSONL, _CSV, _NPY, _MEDIA = range(4)


def dataset(scale: float) -> Iterator[Content]:
    """Version 2: an insertion into 5 % of the files, 1 % removed, 2 % renamed, 2 % new."""
    count, total = max(40, round(2000 * scale)), int(GIB * scale)
    kinds = [_kind(draw) for draw in Stream("dataset", "kinds").between(0, 100, count).tolist()]
    spread = normal_quantiles()[Stream("dataset", "sizes").shorts(count)].tolist()
    shares = [min(12.0, max(0.05, math.exp(0.9 * z))) for z in spread]
    order = Stream("dataset", "order").order(count).tolist()
    edited, removed = set(order[: count // 20]), set(order[count // 20 : count * 6 // 100])
    renamed = set(order[count * 6 // 100 : count * 8 // 100])
    whole = sum(shares)
    for number, (kind, share) in enumerate(zip(kinds, shares, strict=True)):
        size = max(256, int(share / whole * total))
        path = _dataset_path(number, kind)
        first, second = _dataset_file(number, kind, size, edit=number in edited)
        yield Content("v1", path, iter([first]))
        if number not in removed:
            yield Content("v2", f"renamed/{path}" if number in renamed else path, iter([second]))
    for number in range(count, count + count // 50):
        kind = Stream("dataset", "new", number).one(0, 4)
        content, _ = _dataset_file(number, kind, total // count, edit=False)
        yield Content("v2", _dataset_path(number, kind), iter([content]))


def _kind(percent: int) -> int:
    """By number of files: 30 % text, 10 % tables, 20 % tokens, 40 % media."""
    if percent < 30:
        return _JSONL
    if percent < 40:
        return _CSV
    return _NPY if percent < 60 else _MEDIA


def _dataset_path(number: int, kind: int) -> str:
    return f"{_FOLDERS[kind]}/part{number % 20:02d}/f{number:05d}.{_SUFFIXES[kind]}"


def _dataset_file(number: int, kind: int, size: int, *, edit: bool) -> tuple[bytes, bytes]:
    """The file, and the same with an insertion in its middle third if it is edited."""
    stream, changes = Stream("dataset", "file", number), Stream("dataset", "edit", number)
    extra = min(size // 4, 256 + changes.one(200, 20_000))
    if kind == _NPY:
        values = contents.tokens(stream, size)
        if not edit:
            return (whole := contents.npy(values)), whole
        at = len(values) // 3 + changes.one(0, max(1, len(values) // 3))
        longer = np.concatenate([values[:at], contents.tokens(changes, extra + 128), values[at:]])
        return contents.npy(values), contents.npy(longer)
    make = {_JSONL: contents.jsonl, _CSV: contents.csv}.get(kind, Stream.bytes)
    data = make(stream, size)
    if not edit:
        return data, data
    at = len(data) // 3 + changes.one(0, max(1, len(data) // 3))
    if kind != _MEDIA:
        at = data.rfind(b"\n", 0, at) + 1
    return data, data[:at] + make(changes, extra) + data[at:]


# ---- small: very many files of 1-8 KiB


def small(scale: float) -> Iterator[Content]:
    """Half of them are text, half can't be compressed; 250 to a folder; there is no second version."""
    count = max(50, round(50_000 * scale))
    sizes = Stream("small", "sizes").between(1024, 8193, count).tolist()
    media = Stream("small", "media")
    text, at = b"", 0
    for number, size in enumerate(sizes):
        folder, odd = f"d{number // 250:03d}", number % 2
        if odd:
            yield Content("v1", f"{folder}/s{number:05d}.bin", iter([media.bytes(size)]))
            continue
        if len(text) - at < size:
            text, at = contents.jsonl(Stream("small", "text", number), 4 * MIB), 0
        yield Content("v1", f"{folder}/s{number:05d}.json", iter([text[at : at + size]]))
        at += size


# ---- edits: one big file of mixed content, and the same with twenty random edits


def edits(scale: float) -> Iterator[Content]:
    """Version 2 has twenty edits of 1 MiB at random places; about half insert, the others overwrite."""
    total, edit_bytes = int(2 * GIB * scale), max(4096, int(MIB * scale))
    segment_bytes = max(32 << 10, int(4 * MIB * min(1.0, scale * 16)))
    draws = Stream("edits", "places")
    # The span of `between` ends at 2^31: places are drawn in units of 16 bytes.
    places = sorted((draws.between(0, (total - 2 * edit_bytes) // 16, 20) * 16).tolist())
    inserts = draws.between(0, 2, 20).tolist()
    changes = [
        _Edit(place, Stream("edits", "new", number).bytes(edit_bytes), 0 if insert else edit_bytes)
        for number, (place, insert) in enumerate(zip(places, inserts, strict=True))
    ]
    yield Content("v1", "disk.img", _segments(total, segment_bytes))
    yield Content("v2", "disk.img", _spliced(_segments(total, segment_bytes), changes))


@dataclass(frozen=True, slots=True)
class _Edit:
    place: int
    new: bytes
    replaced_bytes: int


def _segments(total: int, segment_bytes: int) -> Iterator[bytes]:
    for number, start in enumerate(range(0, total, segment_bytes)):
        yield _segment(Stream("edits", "segment", number), min(segment_bytes, total - start))


def _segment(stream: Stream, size: int) -> bytes:
    kind = stream.one(0, 5)
    if kind == 0:
        return bytes(size)
    if kind == 1:
        return stream.bytes(size)
    if kind == 2:
        return contents.jsonl(stream, size).ljust(size, b"\n")[:size]
    if kind == 3:
        return contents.small_integers(stream, size)
    return b"".join(contents.bf16_blocks(stream, -(-size // 2), 0.02))[:size]


def _spliced(blocks: Iterator[bytes], changes: list[_Edit]) -> Iterator[bytes]:
    """The stream with the edits applied; an edit whose place an earlier one replaced comes right after that one."""
    pending = list(changes)
    position = skip = 0
    for block in blocks:
        rest = memoryview(block)
        while pending and pending[0].place <= position + len(rest):
            edit = pending.pop(0)
            kept = max(0, edit.place - position)
            skipped = min(skip, kept)
            yield bytes(rest[skipped:kept])
            yield edit.new
            rest, position = rest[kept:], position + kept
            skip = skip - skipped + edit.replaced_bytes
        skipped = min(skip, len(rest))
        skip -= skipped
        yield bytes(rest[skipped:])
        position += len(rest)


# ---- mount: long files of text and numbers, one that can't be compressed, and very many small ones in one folder


def mount(scale: float) -> Iterator[Content]:
    """A GiB in two files, half of one of media, 50,000 files of 4 KiB; there is no second version."""
    size, count = max(4 * MIB, int(GIB * scale)) // 2, max(50, round(50_000 * scale))
    for number in range(2):
        yield Content("v1", f"text-{number}.bin", _mixture(number, size))
    yield Content("v1", "raw.bin", (Stream("mount", "raw", start).bytes(MIB) for start in range(0, size, MIB)))
    for first in range(0, count, 1024):
        text = contents.jsonl(Stream("mount", "many", first), 5 * MIB)
        for number in range(first, min(first + 1024, count)):
            at = (number - first) * 4096
            yield Content("v1", f"many/f{number:05d}.json", iter([text[at : at + 4096]]))


def _mixture(number: int, size: int) -> Iterator[bytes]:
    """Lines of JSON, tables, token ids and small integers, 1 MiB of each in turn."""
    for place in range(size // MIB):
        stream, kind = Stream("mount", "text", number, place), place % 4
        if kind < 2:
            data = (contents.jsonl, contents.csv)[kind](stream, MIB).ljust(MIB, b"\n")
        else:
            data = contents.tokens(stream, MIB + 128).tobytes() if kind == 2 else contents.small_integers(stream, MIB)
        yield data[:MIB]


RECIPES: Final[Mapping[str, Callable[[float], Iterator[Content]]]] = {
    "model": model,
    "dataset": dataset,
    "small": small,
    "edits": edits,
    "mount": mount,
}

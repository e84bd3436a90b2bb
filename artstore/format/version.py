"""Documents of versions and moves: MessagePack `[1, [fields]]`, from bytes to values and back, checked both ways.

What a caller got wrong is BadInput when it is encoded; the same in stored bytes is Corrupt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from artstore import limits
from artstore.errors import BadInput, Corrupt
from artstore.format.document import FORMAT, Codec
from artstore.format.ids import DIGEST_BYTES, Ids
from artstore.model import Digest, Metadata, Move, Scalar, Version

_INT_MIN = -(1 << 63)
_INT_MAX = (1 << 64) - 1
_HEX_DIGITS = frozenset("0123456789abcdef")
_SCALARS: frozenset[type] = frozenset({str, int, float, bool, type(None)})
_NUMBERS: frozenset[type] = frozenset({int, float})


class Document(NamedTuple):
    """What is stored, and its id."""

    id: Digest
    data: bytes


def encode_version(version: Version, ids: Ids) -> Document:
    """A version's document. Decoded and compared before it is returned (STYLE 19)."""
    _require(_version_flaw(version))
    data = _VERSION.encode((FORMAT, version))
    assert decode_version(data) == version
    return Document(ids.version(data), data)


def decode_version(data: bytes) -> Version:
    """The version of a document."""
    version = _VERSION.decode(data)[1]
    _trust(_version_flaw(version))
    return version


def encode_move(move: Move, ids: Ids) -> Document:
    """A move's document. Decoded and compared before it is returned."""
    _require(move_flaw(move))
    data = _MOVE.encode((FORMAT, move))
    assert decode_move(data) == move
    return Document(ids.move(data), data)


def decode_move(data: bytes) -> Move:
    """The move of a document."""
    move = _MOVE.decode(data)[1]
    _trust(move_flaw(move))
    return move


def move_flaw(move: Move) -> str | None:
    """What is wrong with a move; None if nothing is."""
    ids = (move.source, move.target, move.previous)
    if any(len(id) not in (0, DIGEST_BYTES) for id in ids):
        return "a move names a version or move by an id of the wrong length"
    if not move.source and not move.target:
        return "a move leads from nothing to nothing"
    if move.seq < 1 or (move.seq == 1) != (not move.previous):
        return f"move {move.seq} of {move.alias!r} has the wrong predecessor"
    return (
        ref_name_flaw(move.alias)
        or time_flaw(move.time)
        or text_flaw("who", move.who, limits.PERSON_BYTES_MAX)
        or text_flaw("host", move.host, limits.PERSON_BYTES_MAX)
        or text_flaw("reason", move.reason, limits.MESSAGE_BYTES_MAX)
    )


def ref_name_flaw(name: str) -> str | None:
    """What is wrong with the length of a ref's name; its grammar is artstore.revision's."""
    return text_flaw("name of a ref", name, limits.REF_BYTES_MAX) if name else "a ref has no name"


def time_flaw(time: int) -> str | None:
    """What is wrong with a time in ns."""
    return None if 0 <= time <= limits.SIZE_MAX else f"{time} ns is no time after 1970"


def text_flaw(field: str, text: str, bytes_max: int) -> str | None:
    """What is wrong with a text."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return f"the {field} is not valid Unicode"
    return f"the {field} has {size} bytes, more than {bytes_max}" if size > bytes_max else None


def _version_flaw(version: Version) -> str | None:
    parents = version.parents
    if any(len(id) != DIGEST_BYTES for id in (version.tree, *parents)):
        return "a version names a tree or parent by an id of the wrong length"
    if len(parents) > limits.PARENTS_MAX or len(set(parents)) != len(parents):
        return f"a version has {len(parents)} parents, more than {limits.PARENTS_MAX} or the same one twice"
    if not (0 <= version.files <= limits.SIZE_MAX and 0 <= version.size <= limits.SIZE_MAX):
        return "a version counts files or bytes that can't be"
    return (
        time_flaw(version.created)
        or text_flaw("author", version.author, limits.PERSON_BYTES_MAX)
        or text_flaw("message", version.message, limits.MESSAGE_BYTES_MAX)
        or _metadata_flaw(version.metadata)
    )


def _metadata_flaw(metadata: Metadata) -> str | None:
    groups: Sequence[tuple[str, Mapping[str, Scalar]]] = (
        ("params", metadata.params),
        ("metrics", metadata.metrics),
        ("source", metadata.source),
        ("environment", metadata.environment),
        ("labels", metadata.labels),
    )
    if sum(len(values) for _, values in groups) > limits.METADATA_KEYS_MAX:
        return f"the metadata has more than {limits.METADATA_KEYS_MAX} keys"
    for name, values in groups:
        allowed = _NUMBERS if name == "metrics" else _SCALARS
        for key, value in values.items():
            flaw = _key_flaw(name, key) or _value_flaw(f"{name}.{key}", value, allowed)
            if flaw is not None:
                return flaw
    return _inputs_flaw(metadata.inputs)


def _inputs_flaw(inputs: Mapping[str, str]) -> str | None:
    if len(inputs) > limits.INPUTS_MAX:
        return f"a version has more than {limits.INPUTS_MAX} inputs"
    for key, value in inputs.items():
        flaw = _key_flaw("inputs", key)
        if flaw is not None:
            return flaw
        if len(value) != 2 * DIGEST_BYTES or not _HEX_DIGITS.issuperset(value):
            return f"inputs.{key} is no version id"
    return None


def _key_flaw(group: str, key: object) -> str | None:
    if not isinstance(key, str) or not key:
        return f"a key of {group} is no text, or empty"
    return text_flaw(f"key of {group}", key, limits.METADATA_KEY_BYTES_MAX)


def _value_flaw(place: str, value: object, allowed: frozenset[type]) -> str | None:
    # Exactly these types: a bool is an int to Python, numpy's float64 a float.
    if type(value) not in allowed:
        wanted = "a number" if allowed is _NUMBERS else "a text, number, boolean or null"
        return f"{place} is a {type(value).__name__}, not {wanted}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place} is {value}, not a finite number"
    if isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        return f"{place} does not fit into 64 bits"
    return text_flaw(place, value, limits.METADATA_VALUE_BYTES_MAX) if isinstance(value, str) else None


def _require(flaw: str | None) -> None:
    if flaw is not None:
        raise BadInput(flaw)


def _trust(flaw: str | None) -> None:
    if flaw is not None:
        raise Corrupt(flaw)


_VERSION: Codec[tuple[int, Version]] = Codec(tuple[int, Version], name="version", bytes_max=limits.DOCUMENT_BYTES_MAX)
_MOVE: Codec[tuple[int, Move]] = Codec(tuple[int, Move], name="move", bytes_max=limits.DOCUMENT_BYTES_MAX)

"""Documents of versions and moves."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.errors import BadInput, Corrupt, NewerFormat
from artstore.format.document import FORMAT, Codec
from artstore.format.ids import PLAIN
from artstore.format.version import decode_move, decode_version, encode_move, encode_version
from artstore.model import Metadata, Move, Version

ID = bytes(range(32))
OTHER = bytes(range(1, 33))
RAW_VERSION: Codec[tuple[int, Version]] = Codec(tuple[int, Version], name="version", bytes_max=1 << 30)
RAW_MOVE: Codec[tuple[int, Move]] = Codec(tuple[int, Move], name="move", bytes_max=1 << 30)
VERSION = Version(
    tree=ID,
    parents=[OTHER],
    created=1_790_000_000_000_000_000,
    author="Ada <ada@example.org>",
    message="First.",
    metadata=Metadata(
        params={"lr": 0.1, "epochs": 3, "amp": True, "note": None, "opt": "adam"},
        metrics={"loss": 0.25, "steps": 7},
        inputs={"data": ID.hex()},
        source={"git": "abc"},
        environment={"python": "3.11"},
        labels={"team": "vision"},
    ),
    files=12,
    size=1 << 40,
)
MOVE = Move("m/production", 2, ID, OTHER, 1_790_000_000_000_000_000, "ada", "host", "why", False, ID)
# Frozen: this version and this move have these ids in every release.
GOLDEN_VERSION = (
    "920198c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f91c4200102030405060708"
    "090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20cf18d75b8423f30000b5416461203c616461406578616d70"
    "6c652e6f72673ea646697273742e9685a3616d70c3a665706f63687303a26c72cb3fb999999999999aa46e6f7465c0a3"
    "6f7074a46164616d82a46c6f7373cb3fd0000000000000a573746570730781a464617461d94030303031303230333034"
    "303530363037303830393061306230633064306530663130313131323133313431353136313731383139316131623163"
    "31643165316681a3676974a361626381a6707974686f6ea4332e313181a47465616da6766973696f6e0ccf0000010000"
    "000000"
)
GOLDEN_VERSION_ID = "20a23e8caabd6cb62a40aa1fc9f643cef40f9d41e5d212b0ac9b7279c9ee3e98"
GOLDEN_MOVE = (
    "92019aac6d2f70726f64756374696f6e02c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c"
    "1d1e1fc4200102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20cf18d75b8423f30000a361"
    "6461a4686f7374a3776879c2c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)
GOLDEN_MOVE_ID = "cbc589407cc9917e9ed99681baf0bdaf22b91a87dd04899d63a021813717dbed"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
keys = texts.filter(bool)
integers = st.integers(-(1 << 63), (1 << 64) - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.dictionaries(keys, st.one_of(texts, integers, finite, st.booleans(), st.none()), max_size=4)
digests = st.binary(min_size=32, max_size=32)
versions = st.builds(
    Version,
    tree=digests,
    parents=st.lists(digests, unique=True, max_size=limits.PARENTS_MAX),
    created=st.integers(0, limits.SIZE_MAX),
    author=texts,
    message=texts,
    metadata=st.builds(
        Metadata,
        params=scalars,
        metrics=st.dictionaries(keys, integers | finite, max_size=4),
        inputs=st.dictionaries(keys, digests.map(bytes.hex), max_size=4),
        source=scalars,
        environment=scalars,
        labels=scalars,
    ),
    files=st.integers(0, limits.SIZE_MAX),
    size=st.integers(0, limits.SIZE_MAX),
)


def changed(**fields: Any) -> Version:
    """The version of this file with other fields, sound or not."""
    return msgspec.structs.replace(VERSION, **fields)


def described(**fields: Any) -> Version:
    """A version with this metadata, sound or not."""
    return changed(metadata=Metadata(**fields))


def test_versions_have_the_ids_of_every_release() -> None:
    """Every version in every store would get another id, and tags would lead nowhere."""
    id, data = encode_version(VERSION, PLAIN)
    assert data.hex() == GOLDEN_VERSION
    assert id.hex() == GOLDEN_VERSION_ID
    assert id == PLAIN.version(data)


def test_moves_have_the_ids_of_every_release() -> None:
    """The history of every alias would break."""
    id, data = encode_move(MOVE, PLAIN)
    assert data.hex() == GOLDEN_MOVE
    assert id.hex() == GOLDEN_MOVE_ID
    assert id == PLAIN.move(data)


@given(versions)
def test_versions_come_back(version: Version) -> None:
    """A parameter or message would be lost or changed."""
    id, data = encode_version(version, PLAIN)
    read = decode_version(data)
    assert read == version
    assert repr(read.metadata.params) == repr(dict(sorted(version.metadata.params.items())))
    assert encode_version(read, PLAIN).id == id


def test_the_order_of_parameters_changes_nothing() -> None:
    """The same commit of two programs would give two versions."""
    one, other = described(params={"a": 1, "b": 2}), described(params={"b": 2, "a": 1})
    assert encode_version(one, PLAIN) == encode_version(other, PLAIN)


def test_numbers_keep_their_type() -> None:
    """A learning rate of 1.0 would come back as the integer 1, and commit again as another version."""
    assert len({encode_version(described(params={"a": value}), PLAIN).id for value in (1, 1.0, True)}) == 3


UNSOUND_VERSIONS = {
    "tree": changed(tree=ID[1:]),
    "parent": changed(parents=[b""]),
    "parent twice": changed(parents=[ID, ID]),
    "parents": changed(parents=[bytes([i]) * 32 for i in range(limits.PARENTS_MAX + 1)]),
    "before 1970": changed(created=-1),
    "after 2262": changed(created=1 << 63),
    "author": changed(author="a" * (limits.PERSON_BYTES_MAX + 1)),
    "message": changed(message="ä" * (limits.MESSAGE_BYTES_MAX // 2 + 1)),
    "files": changed(files=-1),
    "size": changed(size=1 << 63),
    "nan": described(metrics={"loss": math.nan}),
    "infinite": described(metrics={"loss": math.inf}),
    "infinite parameter": described(params={"lr": -math.inf}),
    "empty key": described(labels={"": 1}),
    "long key": described(labels={"k" * (limits.METADATA_KEY_BYTES_MAX + 1): 1}),
    "long value": described(source={"k": "v" * (limits.METADATA_VALUE_BYTES_MAX + 1)}),
    "keys": described(params={str(i): i for i in range(limits.METADATA_KEYS_MAX)}, labels={"one": 1}),
    "inputs": described(inputs={str(i): ID.hex() for i in range(limits.INPUTS_MAX + 1)}),
    "input": described(inputs={"data": "m/v1"}),
    "input in capitals": described(inputs={"data": ID.hex().upper()}),
    "input without name": described(inputs={"": ID.hex()}),
}
# What a decoder meets as a wrong type, and what MessagePack can't hold at all.
UNSOUND_VALUES = {
    "numpy": described(metrics={"loss": np.float64(0.5)}),
    "boolean metric": described(metrics={"good": True}),
    "text metric": described(metrics={"loss": "0.5"}),
    "list": described(params={"layers": [1, 2]}),
    "bytes": described(params={"data": b"abc"}),
    "big": described(params={"seed": 1 << 64}),
    "small": described(params={"seed": -(1 << 63) - 1}),
    "key": described(params={1: 2}),
    "surrogate": described(params={"path": "\udcff"}),
    "surrogate key": described(params={"\udcff": 1}),
    "surrogate message": changed(message="\udcff"),
}


@pytest.mark.parametrize("version", UNSOUND_VERSIONS.values(), ids=UNSOUND_VERSIONS.keys())
def test_unsound_versions_are_refused_both_ways(version: Version) -> None:
    """A version could be written that no release shows, or read that breaks whoever shows it."""
    with pytest.raises(BadInput):
        encode_version(version, PLAIN)
    with pytest.raises(Corrupt):
        decode_version(RAW_VERSION.encode((FORMAT, version)))


@pytest.mark.parametrize("version", UNSOUND_VALUES.values(), ids=UNSOUND_VALUES.keys())
def test_values_of_other_types_are_bad_input(version: Version) -> None:
    """A metric of numpy would end in a traceback, or come back as something else."""
    with pytest.raises(BadInput):
        encode_version(version, PLAIN)


def test_an_error_names_the_parameter() -> None:
    """The user would have to search through thousands of metrics."""
    with pytest.raises(BadInput, match=r"metrics\.loss is a float64, not a number"):
        encode_version(UNSOUND_VALUES["numpy"], PLAIN)


def test_too_much_metadata_is_refused_both_ways() -> None:
    """A version could be written that is too big to be read."""
    version = described(params={f"{i}": "v" * limits.METADATA_VALUE_BYTES_MAX for i in range(65)})
    with pytest.raises(BadInput):
        encode_version(version, PLAIN)
    with pytest.raises(Corrupt):
        decode_version(RAW_VERSION.encode((FORMAT, version)))


@pytest.mark.parametrize(
    "group", [{"metrics": {"good": True}}, {"params": {"layers": [1]}}, {"inputs": {"data": 5}}], ids=str
)
def test_stored_values_of_other_types_are_damage(group: dict[str, Any]) -> None:
    """A list among the parameters would break whoever compares versions."""
    with pytest.raises(Corrupt):
        decode_version(RAW_VERSION.encode((FORMAT, described(**group))))


def test_documents_of_a_later_release_ask_for_an_upgrade() -> None:
    """A user of an old release would be told that the store is damaged."""
    for decode in (decode_version, decode_move):
        with pytest.raises(NewerFormat):
            decode(b"\x93\x02\x01\x01")


def test_a_version_is_no_move() -> None:
    """A document could be taken for another kind of document."""
    with pytest.raises(Corrupt):
        decode_move(encode_version(VERSION, PLAIN).data)
    with pytest.raises(Corrupt):
        decode_version(encode_move(MOVE, PLAIN).data)


@pytest.mark.parametrize(
    "move",
    [
        MOVE,
        Move("m/production", 1, b"", ID, 0, "", "", "", False, b""),
        Move("m/production", 7, ID, b"", 5, "ada", "host", "ärger\n", True, OTHER),
    ],
    ids=["move", "first", "removal"],
)
def test_moves_come_back(move: Move) -> None:
    """The history of an alias would be wrong."""
    assert decode_move(encode_move(move, PLAIN).data) == move


@pytest.mark.parametrize(
    "fields",
    [
        {"source": b"x"},
        {"target": ID[1:]},
        {"previous": ID + b"x"},
        {"source": b"", "target": b""},
        {"seq": 0},
        {"seq": 1},
        {"previous": b""},
        {"time": -1},
        {"alias": ""},
        {"alias": "a" * (limits.REF_BYTES_MAX + 1)},
        {"who": "a" * (limits.PERSON_BYTES_MAX + 1)},
        {"host": "a" * (limits.PERSON_BYTES_MAX + 1)},
        {"reason": "a" * (limits.MESSAGE_BYTES_MAX + 1)},
    ],
    ids="+".join,
)
def test_unsound_moves_are_refused_both_ways(fields: dict[str, Any]) -> None:
    """An alias could get a history in which the step before can't be found."""
    move = msgspec.structs.replace(MOVE, **fields)
    with pytest.raises(BadInput):
        encode_move(move, PLAIN)
    with pytest.raises(Corrupt):
        decode_move(RAW_MOVE.encode((FORMAT, move)))

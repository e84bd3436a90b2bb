"""Documents of a remote. docs/format.md, "Remote".

They are written as a store's are, MessagePack arrays behind a format number, in one form only; behind them stand the
first 16 bytes of their BLAKE3, since nothing else tells a bit that was flipped on the way. What is written under a
condition carries `write`, 16 random bytes: by them a writer whose reply was lost knows its own write again.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.document import FORMAT, Codec
from artstore.format.ids import DIGEST_BYTES, checksum
from artstore.format.version import time_flaw

FORMAT_KEY: Final = "format"
GC_KEY: Final = "gc/state"
MIRROR_KEY: Final = "mirror-of"
HINT_KEY: Final = "hint"
RING_KEY: Final = "keys/ring"
TAGS: Final = "tags/"
ALIASES: Final = "aliases/"
WRITE_BYTES: Final = 16
SEALED_FORMAT: Final = 2  # of `format`, if the remote is encrypted
_CHECK_BYTES: Final = 16
_PACK_KEY: Final = re.compile(r"[pmx]/[0-9a-f]{24}/[0-9]{8}")


class Stored(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of all of them."""


class RemoteFormat(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. What `format` says: a random id[16] that tells this remote from others, and the rule files are cut by."""

    id: bytes
    chunker: int

    @property
    def keys(self) -> bytes:
        """The fingerprint of the keys that it is encrypted with; b"": it isn't."""
        return b""


class SealedFormat(RemoteFormat, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. What `format` says if the remote is encrypted: the fingerprint[16] of its keys besides. Its format number
    is 2, so that releases that know no encryption refuse it.
    """

    fingerprint: bytes

    @property
    def keys(self) -> bytes:
        return self.fingerprint


class MirrorOf(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. Which remote decides names: `home`, its id[16], since promotion number `epoch`; `url`: what that one is
    called by who wrote this, for people alone. A remote that names itself was promoted; one without this decides, too.
    """

    write: bytes
    home: bytes
    epoch: int
    url: str


class CondemnedPack(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. A pack that collection has listed; `since`: the remote's time (s) when it was seen to be listed."""

    key: str
    since: int | None


class FormerGrace(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. The grace (s) that was lowered, by which packs are still judged; `since`: the remote's time (s) when it
    was seen to be lowered.
    """

    grace: int
    since: int | None


class GcState(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. What `gc/state` says. `grace`: s; `exclusive`: no ref may be written; `deletions`: how often packs
    went. `former`: a grace that was lowered lately; `holder`: who wants the remote for himself. While neither is said
    it is written in format 1, which every release reads, else in format 2.
    """

    write: bytes
    generation: int
    grace: int
    exclusive: bool
    deletions: int
    listed: list[CondemnedPack]
    deleting: list[str]
    former: FormerGrace | None = None
    holder: str = ""

    @property
    def grace_in_force(self) -> int:
        """Seconds that packs wait now."""
        return self.grace if self.former is None else max(self.grace, self.former.grace)


class _GcState1(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. The same in format 1."""

    write: bytes
    generation: int
    grace: int
    exclusive: bool
    deletions: int
    listed: list[CondemnedPack]
    deleting: list[str]


class RemoteSet(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. What a version's content lies in at a remote: keys of data packs, metadata packs, shards, each sorted;
    ids of its inputs.
    """

    write: bytes
    data: list[str]
    meta: list[str]
    shards: list[str]
    inputs: list[bytes]


class ShardPack(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored, in shards and, until one tells of it, in a store's journal. A pack at a remote: its key, its bytes, and
    its table as it stands in the pack.
    """

    key: str
    size: int
    table: bytes


class RemoteTag(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. A tag; an empty `version` is the tombstone of one that was removed."""

    write: bytes
    version: bytes
    created: int


class RemoteAlias(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. Where an alias stands, after how many moves, and the last one's id; no `version`: it was removed."""

    write: bytes
    version: bytes
    seq: int
    move: bytes


class Pin(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. Keys of packs that a running push writes or relies on."""

    keys: list[str]


class PackAt(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored, in a store's journal. Where a pack of its own lies at a remote; `shard`: which one tells of it, or ""."""

    key: str
    shard: str


class PackIn(Stored, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored, in a store's journal. Packs at a remote that together hold what a pack of the store's own holds."""

    places: list[PackAt]


T = TypeVar("T", bound=Stored)


def encode_remote(value: Stored) -> bytes:
    """The bytes of a document."""
    flaw = _flaw(value)
    assert flaw is None, flaw
    if isinstance(value, GcState):
        return _sealed(_encode_state(value))
    format = SEALED_FORMAT if isinstance(value, SealedFormat) else FORMAT
    return _sealed(_CODECS[type(value)].encode((format, value)))


def decode_remote(kind: type[T], data: bytes) -> T:
    """A document of this kind. NewerFormat if a later release wrote it, Corrupt if nobody did."""
    body = _unsealed(data, _CODECS[kind].name)
    value = _decode(kind, body)
    flaw = _flaw(value)
    if flaw is not None:
        raise Corrupt(f"a {_CODECS[kind].name} {flaw}", hint="the remote is damaged there")
    assert isinstance(value, kind)
    return value


def changed_state(state: GcState, **changes: object) -> GcState:
    """The same with other fields."""
    return msgspec.structs.replace(state, **changes)


def encode_shard(packs: list[ShardPack]) -> bytes:
    """The bytes of a shard: the tables of packs, in the order of their keys."""
    return _sealed(_SHARD.encode((FORMAT, packs)))


def decode_shard(data: bytes) -> list[ShardPack]:
    """The packs of a shard. Their tables are hints: what lies there is checked when it is read."""
    _, packs = _SHARD.decode(_unsealed(data, _SHARD.name))
    for pack in packs:
        if _pack_flaw(pack) is not None:
            raise Corrupt("a shard names what is no pack", hint="the remote is damaged there")
    return packs


def is_pack_key(key: str) -> bool:
    """Is this the key of a pack or shard?"""
    return _PACK_KEY.fullmatch(key) is not None


def set_key(version: bytes) -> str:
    """Where a version's set lies."""
    return f"sets/{version.hex()}"


def all_keys(told: RemoteSet) -> list[str]:
    """The packs and shards that a set names."""
    return [*told.data, *told.meta, *told.shards]


def move_key(move: bytes) -> str:
    """Where a move lies."""
    return f"moves/{move.hex()}"


def _decode(kind: type[Stored], body: bytes) -> Stored:
    if kind is GcState:
        return _decode_state(body)
    if kind is RemoteFormat and len(body) > 1 and body[1] >= SEALED_FORMAT:
        kind = SealedFormat
    return _CODECS[kind].decode(body)[1]


def _encode_state(state: GcState) -> bytes:
    if state.former is not None or state.holder:
        return _CODECS[GcState].encode((_STATE_FORMAT, state))
    first = _GcState1(
        state.write,
        state.generation,
        state.grace,
        state.exclusive,
        state.deletions,
        state.listed,
        state.deleting,
    )
    return _STATE1.encode((FORMAT, first))


def _decode_state(data: bytes) -> GcState:
    codec = _CODECS[GcState]
    codec.check_format(data)
    if data[1] == FORMAT:
        _, first = _STATE1.decode(data)
        return GcState(*(getattr(first, name) for name in first.__struct_fields__))
    state = codec.decode(data)[1]
    assert isinstance(state, GcState)
    if state.former is None and not state.holder:
        raise Corrupt(f"a {codec.name} is not in canonical form", hint="the remote is damaged there")
    return state


def _sealed(data: bytes) -> bytes:
    return data + checksum(data)[:_CHECK_BYTES]


def _unsealed(data: bytes, name: str) -> bytes:
    body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if len(data) <= _CHECK_BYTES or checksum(body)[:_CHECK_BYTES] != check:
        raise Corrupt(f"a {name} does not match its checksum", hint="the remote is damaged there")
    return body


def _flaw(value: Stored) -> str | None:
    """What is wrong with a document; None if nothing is."""
    match value:
        case SealedFormat() if len(value.fingerprint) != WRITE_BYTES:
            return "has no fingerprint of its keys"
        case RemoteFormat():
            return None if len(value.id) == WRITE_BYTES and value.chunker > 0 else "has no id or no chunker"
        case MirrorOf():
            return _mirror_flaw(value)
        case GcState():
            keys = [*(pack.key for pack in value.listed), *value.deleting]
            has_grace = value.grace > 0 and (value.former is None or value.former.grace > value.grace)
            return _keys_flaw(keys) or (None if has_grace else "has no grace")
        case RemoteSet():
            wrong = any(len(id) != DIGEST_BYTES for id in value.inputs)
            flaw = "names an input by an id of the wrong length" if wrong else None
            return flaw or _keys_flaw(value.data) or _keys_flaw(value.meta) or _keys_flaw(value.shards)
        case RemoteTag():
            return _id_flaw(value.version) or time_flaw(value.created)
        case RemoteAlias():
            return _id_flaw(value.version) or (None if value.move and value.seq > 0 else "has no move")
        case Pin():
            return _keys_flaw(value.keys)
        case PackAt():
            return _place_flaw(value)
        case PackIn():
            return next((flaw for at in value.places if (flaw := _place_flaw(at)) is not None), None)
        case ShardPack():
            return _pack_flaw(value)
        case _:
            return None


def _mirror_flaw(value: MirrorOf) -> str | None:
    if len(value.home) != WRITE_BYTES or value.epoch < 0:
        return "names no home, or no epoch"
    return None if len(value.url) <= limits.REMOTE_URL_CHARS_MAX else "has a URL that is none"


def _keys_flaw(keys: list[str]) -> str | None:
    wrong = next((key for key in keys if not is_pack_key(key)), None)
    return None if wrong is None else f"names {wrong!r}, which is no pack"


def _place_flaw(at: PackAt) -> str | None:
    return _keys_flaw([at.key, *([at.shard] if at.shard else [])])


def _pack_flaw(pack: ShardPack) -> str | None:
    wrong = len(pack.table) % limits.TABLE_ENTRY_BYTES or not pack.table
    return "has a table which is none" if wrong else _keys_flaw([pack.key])


def _id_flaw(id: bytes) -> str | None:
    return None if len(id) in (0, DIGEST_BYTES) else "names a version by an id of the wrong length"


_NAMES: Final[dict[type[Stored], str]] = {
    RemoteFormat: "remote's format",
    SealedFormat: "remote's format",
    GcState: "state of collection",
    MirrorOf: "mark of a mirror",
    RemoteSet: "set of a version",
    RemoteTag: "tag at a remote",
    RemoteAlias: "alias at a remote",
    Pin: "pin",
    PackAt: "place of a pack",
    PackIn: "note where a pack's objects lie",
    ShardPack: "note of a pack that was sent",
}
_STATE_FORMAT: Final = 2
_FORMATS: Final[dict[type[Stored], int]] = {GcState: _STATE_FORMAT, SealedFormat: SEALED_FORMAT}
_CODECS: Final[dict[type[Stored], Codec[tuple[int, Stored]]]] = {
    kind: Codec(
        tuple[int, kind],  # type: ignore[valid-type]  # each is one
        name=name,
        bytes_max=limits.REMOTE_DOCUMENT_BYTES_MAX,
        format=_FORMATS.get(kind, FORMAT),
    )
    for kind, name in _NAMES.items()
}
_STATE1: Final[Codec[tuple[int, _GcState1]]] = Codec(
    tuple[int, _GcState1], name=_NAMES[GcState], bytes_max=limits.REMOTE_DOCUMENT_BYTES_MAX
)
_SHARD: Final[Codec[tuple[int, list[ShardPack]]]] = Codec(
    tuple[int, list[ShardPack]], name="shard", bytes_max=limits.REMOTE_SHARD_BYTES_MAX
)

"""Documents of a remote: what it is. docs/format.md, "Remote".

They are written as a store's are: MessagePack arrays behind a format number, in one form only.
"""

from __future__ import annotations

from typing import Final

import msgspec

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.document import FORMAT, Codec

FORMAT_KEY: Final = "format"
_ID_BYTES: Final = 16


class RemoteFormat(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Stored. What `format` says: a random id[16] that tells this remote from others, and the rule files are cut by."""

    id: bytes
    chunker: int


_codec: Codec[tuple[int, RemoteFormat]] = Codec(
    tuple[int, RemoteFormat], name="remote's format", bytes_max=limits.DOCUMENT_BYTES_MAX
)


def encode_remote_format(value: RemoteFormat) -> bytes:
    """The bytes of `format`."""
    return _codec.encode((FORMAT, value))


def decode_remote_format(data: bytes) -> RemoteFormat:
    """What `format` says. NewerFormat if a later release wrote it, Corrupt if nobody did."""
    _, value = _codec.decode(data)
    if len(value.id) != _ID_BYTES or value.chunker < 1:
        raise Corrupt("a remote's format has no id or no chunker")
    return value

"""Which versions of followed aliases this machine serves: they stay here, whole, whatever the alias names.

A row `followed/<alias>` of the journal holds the version that is served and the one before, 32 bytes each, zeros for
none, and a note of whoever follows, which is nobody else's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore.errors import Corrupt
from artstore.format.ids import DIGEST_BYTES
from artstore.model import Digest

if TYPE_CHECKING:
    from artstore.ports import IndexReader, IndexWriter

_PREFIX = "followed/"
_NONE = bytes(DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class Followed:
    """What is served of an alias here. `current`: None if nothing is yet; `previous`: what was before that."""

    alias: str
    current: Digest | None
    previous: Digest | None
    note: bytes = b""


def followed(reader: IndexReader) -> dict[str, Followed]:
    """By alias, in their order. Corrupt."""
    found: dict[str, Followed] = {}
    for key in reader.journal_keys(_PREFIX):
        value = reader.journal(key)
        alias = key.removeprefix(_PREFIX)
        if value is not None:
            found[alias] = _decode(alias, value)
    return found


def followed_versions(reader: IndexReader) -> dict[Digest, str]:
    """The versions that are served, or were before those, and of which alias."""
    rows = followed(reader).values()
    return {version: row.alias for row in rows for version in (row.current, row.previous) if version}


def put_followed(writer: IndexWriter, row: Followed) -> None:
    """Note what is served."""
    value = (row.current or _NONE) + (row.previous or _NONE) + row.note
    writer.put_journal(_PREFIX + row.alias, value)


def drop_followed(writer: IndexWriter, alias: str) -> None:
    """The alias isn't followed any more."""
    writer.put_journal(_PREFIX + alias, None)


def _decode(alias: str, value: bytes) -> Followed:
    if len(value) < 2 * DIGEST_BYTES:
        raise Corrupt(f"what is noted of the followed alias {alias} is too short")
    current, previous = value[:DIGEST_BYTES], value[DIGEST_BYTES : 2 * DIGEST_BYTES]
    return Followed(
        alias,
        None if current == _NONE else Digest(current),
        None if previous == _NONE else Digest(previous),
        value[2 * DIGEST_BYTES :],
    )

"""Versions of which a part isn't here, and may be had from a remote.

A row `partial/<version id>` of the journal marks one; its value is the id of the remote that has it all, or nothing if
that isn't known, as after the index was rebuilt. Such a version's document, trees and recipes are here, and its set
names the packs that are; what its chunks lie in the remote's set tells.

A row `based/<version id>` marks a version that was made from such a one by `commit --base`: what isn't here of it is
what isn't here of that one, whose id is the value. It tells the push what to put into its set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.model import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.ports import IndexReader, IndexWriter

_PREFIX = "partial/"
_BASED = "based/"


def is_partial(reader: IndexReader, version: bytes) -> bool:
    """Whether a part of the version may be missing here."""
    return reader.journal(_PREFIX + version.hex()) is not None


def partial_versions(reader: IndexReader) -> Iterator[Digest]:
    """All of them, in the order of their ids."""
    return (Digest(bytes.fromhex(key.removeprefix(_PREFIX))) for key in reader.journal_keys(_PREFIX))


def mark_partial(writer: IndexWriter, version: bytes, remote: bytes) -> None:
    """Note that a part of the version is missing here, be it more than what it was made from lacks."""
    writer.put_journal(_PREFIX + version.hex(), remote)
    writer.put_journal(_BASED + version.hex(), None)


def remote_of(reader: IndexReader, version: bytes) -> bytes:
    """The remote that has all of a partial version; b"" if that isn't known, or it is whole."""
    return reader.journal(_PREFIX + version.hex()) or b""


def mark_based(writer: IndexWriter, version: bytes, base: bytes) -> None:
    """Note that a version holds all of `base` that it doesn't hold here; nothing if all of that is here."""
    if is_partial(writer, base):
        mark_partial(writer, version, remote_of(writer, base))
        writer.put_journal(_BASED + version.hex(), base)


def base_of(reader: IndexReader, version: bytes) -> Digest | None:
    """The version whose packs at the remote this one needs, too; None if it needs none."""
    found = reader.journal(_BASED + version.hex())
    return None if found is None else Digest(found)


def mark_whole(writer: IndexWriter, version: bytes) -> None:
    """All of it is here, or it is gone."""
    if is_partial(writer, version):
        writer.put_journal(_PREFIX + version.hex(), None)
        writer.put_journal(_BASED + version.hex(), None)

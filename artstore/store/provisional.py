"""Names that `commit` chose itself: provisional until they were pushed, and renumbered if another version was quicker.

Noted in every store, be it without a remote: a row costs a hundred bytes, a commit needs not know of remotes, and one
may be added later. What lost gets its next number in three steps, so that a crash between any two of them is mended:
`renumbering` reserves the new name here, the remote gets it, then one transaction gives it here and notes
`renumbered`. From then on the old name answers with the new one until that is dismissed: who remembers it doesn't get
another version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from artstore.errors import Conflict, Corrupt, NotFound
from artstore.format.ids import DIGEST_BYTES
from artstore.model import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.model import Tag
    from artstore.ports import IndexReader, IndexWriter

_PROVISIONAL: Final = "provisional/"
_RENUMBERING: Final = "renumbering/"
_RENUMBERED: Final = "renumbered/"
_REMOTE_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Renumbering:
    """A tag that gets, or got, another name since it lost its own."""

    old: str
    new: str
    version: Digest


# --- until it was pushed


def note_provisional(writer: IndexWriter, name: str, version: Digest) -> None:
    """Nobody but `commit` chose this name."""
    writer.put_journal(_PROVISIONAL + name, version)


def is_provisional(reader: IndexReader, tag: Tag) -> bool:
    """May this tag get another name still?"""
    return reader.journal(_PROVISIONAL + tag.name) == tag.version


def forget_provisional(writer: IndexWriter, name: str) -> None:
    """It stands at home as it is, it has another one, or it was removed."""
    writer.put_journal(_PROVISIONAL + name, None)
    writer.put_journal(_RENUMBERING + name, None)


def keep_name(writer: IndexWriter, name: str) -> None:
    """Somebody has said this name, or others may know it: it isn't given away, unless a push has begun to."""
    if writer.journal(_RENUMBERING + name) is None:
        writer.put_journal(_PROVISIONAL + name, None)


# --- while it gets another one


def reserve(writer: IndexWriter, remote_id: bytes, renumbering: Renumbering) -> None:
    """Keep the new name free here: it is about to be written at this remote."""
    writer.put_journal(
        _RENUMBERING + renumbering.old, bytes(renumbering.version) + remote_id + renumbering.new.encode()
    )


def reserved(reader: IndexReader) -> Iterator[tuple[bytes, Renumbering]]:
    """What is under way, or was when a push was killed, with the remote's id: next to nothing."""
    for key in reader.journal_keys(_RENUMBERING):
        value = reader.journal(key)
        if value is not None:
            remote_id, rest = value[DIGEST_BYTES:][:_REMOTE_BYTES], value[DIGEST_BYTES + _REMOTE_BYTES :]
            old = key.removeprefix(_RENUMBERING)
            yield remote_id, Renumbering(old, _text(rest, key), Digest(value[:DIGEST_BYTES]))


# --- afterwards


def note_renumbered(writer: IndexWriter, renumbering: Renumbering) -> None:
    """The old name answers with the new one."""
    writer.put_journal(_RENUMBERED + renumbering.old, bytes(renumbering.version) + renumbering.new.encode())


def renumbered(reader: IndexReader, name: str) -> Renumbering | None:
    """What became of a name that was lost, if it was and nobody has dismissed it."""
    key = _RENUMBERED + name
    value = reader.journal(key)
    if value is None:
        return None
    return Renumbering(name, _text(value[DIGEST_BYTES:], key), Digest(value[:DIGEST_BYTES]))


def all_renumbered(reader: IndexReader, prefix: str = "") -> Iterator[Renumbering]:
    """All of these, by the old name."""
    for key in reader.journal_keys(_RENUMBERED + prefix):
        found = renumbered(reader, key.removeprefix(_RENUMBERED))
        if found is not None:
            yield found


def refuse_renumbered(reader: IndexReader, name: str) -> None:
    """Conflict for a name that was lost, until that is dismissed."""
    found = renumbered(reader, name)
    if found is not None:
        raise Conflict(
            f"{name} was renumbered to {found.new} when it was pushed",
            hint=f"use {found.new}; `artstore tag --dismiss {name}` frees the old name for what it names there",
        )


def dismiss(writer: IndexWriter, name: str) -> Renumbering:
    """The old name is free from now on, for what others gave it to. NotFound if it wasn't renumbered."""
    found = renumbered(writer, name)
    if found is None:
        raise NotFound(f"{name} was not renumbered here", hint="`artstore list` shows the refs")
    writer.put_journal(_RENUMBERED + name, None)
    return found


# --- what names are taken by it


def check_not_taken(reader: IndexReader, name: str) -> None:
    """Conflict for a name that was lost, or is about to be given to what has lost its own."""
    refuse_renumbered(reader, name)
    for _, each in reserved(reader):
        if each.new == name:
            raise Conflict(
                f"a push is giving {name} to version {each.version.hex()[:8]}, which was {each.old}",
                hint="choose another name; if that push was killed, `artstore push` completes it",
            )


def taken(reader: IndexReader, prefix: str) -> Iterator[str]:
    """Such names, as far as they begin so."""
    yield from (each.old for each in all_renumbered(reader, prefix))
    yield from (each.new for _, each in reserved(reader) if each.new.startswith(prefix))


def _text(data: bytes, key: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Corrupt(f"the journal's row {key} is no name") from error

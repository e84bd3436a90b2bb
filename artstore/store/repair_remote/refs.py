"""Writes names and moves of a remote again that can't be read there, if this store knows for sure what they said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from artstore.errors import Corrupt
from artstore.format.remote import (
    ALIASES,
    TAGS,
    WRITE_BYTES,
    RemoteAlias,
    RemoteTag,
    encode_remote,
)
from artstore.format.version import encode_move
from artstore.store.check_remote.report import FarProblemKind
from artstore.store.remote.presence import look
from artstore.store.remote.transfer import ref_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from artstore.format.remote import Stored
    from artstore.ports import Remote
    from artstore.store.check_remote.report import Flaw
    from artstore.store.context import Context
    from artstore.store.repair_remote.report import RemoteRepairReport

_MOVES: Final = "moves/"
_WRITE_AT: Final = 5  # in a document: array, format, array, a text of bytes and its length
_CHECK_BYTES: Final = 16
_DIFFERING_MAX: Final = 4  # bytes: another version or move differs in nearly all of its 32


class RefRepair:
    """One repair of names. `rewrite`: the random part of what is written anew, 16 bytes."""

    def __init__(
        self,
        context: Context,
        remote: Remote,
        remote_id: bytes,
        report: RemoteRepairReport,
        now: Callable[[], float],
        rewrite: Callable[[], bytes],
    ) -> None:
        self._context = context
        self._remote = remote
        self._remote_id = remote_id
        self._report = report
        self._now = now
        self._rewrite = rewrite

    def histories(self, flaws: Iterable[Flaw]) -> None:
        """Put moves that are here where they are missing or damaged: their names say what they have to hold.

        One that lies behind another missing one is found by the next look.
        """
        for flaw in flaws:
            if flaw.kind is not FarProblemKind.HISTORY or not flaw.key.startswith(_MOVES):
                continue
            with self._context.index.read() as reader:
                move = reader.move(bytes.fromhex(flaw.key.removeprefix(_MOVES)))
            if move is None:
                continue
            document = encode_move(move, self._context.ids)
            if flaw.key != _MOVES + document.id.hex() or self._is_there(flaw.key, document.data):
                continue
            if self._report.done:
                self._remote.put(flaw.key, document.data)
            self._report.moves += 1

    def names(self, flaws: Iterable[Flaw]) -> None:
        """Write tags and aliases again. It takes no proof that what they lead to is there: they led there all the time,
        and collection does nothing while there is a name that it can't read.
        """
        for flaw in flaws:
            if flaw.kind is FarProblemKind.TAG:
                self._name(flaw.key, self._tag(flaw.key.removeprefix(TAGS)))
            elif flaw.kind is FarProblemKind.ALIAS:
                self._name(flaw.key, self._alias(flaw.key.removeprefix(ALIASES)))

    def _is_there(self, key: str, data: bytes) -> bool:
        try:
            found = self._remote.get(key)
        except Corrupt:  # of a sealed one nothing can be read
            return False
        return found is not None and found.data == data

    def _tag(self, name: str) -> RemoteTag | None:
        """A tag as it was written there; None if this store hasn't seen it there as it is here."""
        with self._context.index.read() as reader:
            tag = reader.tag(name)
            if tag is None or ref_at(reader, self._remote_id, name) != tag.version:
                return None
        return RemoteTag(self._rewrite(), tag.version, tag.created)

    def _alias(self, name: str) -> RemoteAlias | None:
        with self._context.index.read() as reader:
            seen = ref_at(reader, self._remote_id, name)
            move = None if seen is None else reader.move(seen)
        if seen is None or move is None or move.alias != name:
            return None
        return RemoteAlias(self._rewrite(), move.target, move.seq, seen)

    def _name(self, key: str, known: RemoteTag | RemoteAlias | None) -> None:
        if known is None:
            self._report.notes.append(f"{self._remote.url}/{key}: this store hasn't seen what it said")
            return
        try:
            found = self._remote.get(key)
        except Corrupt:  # of a sealed one nothing can be read
            found = None
        if found is None or not is_surely(found.data, known):
            self._report.notes.append(f"{self._remote.url}/{key}: it may have said something newer than what is here")
            return
        if self._report.done:
            look(self._remote, now=self._now)  # Busy if nobody may write there now
            if self._remote.swap(key, encode_remote(known), found.etag) is None:
                return  # somebody else has; the next look tells
        self._report.refs.append(key.partition("/")[2])


def is_surely(damaged: bytes, known: Stored) -> bool:
    """Did damaged bytes say this? All that isn't random in them is compared: what stands for another version, or for
    another move, differs in far more bytes than a damage that leaves the length as it was.
    """
    expected = encode_remote(known)
    if len(damaged) != len(expected):
        return False
    random = range(_WRITE_AT, _WRITE_AT + WRITE_BYTES)
    said = range(len(expected) - _CHECK_BYTES)
    return sum(damaged[at] != expected[at] for at in said if at not in random) <= _DIFFERING_MAX

"""Moves of an alias that were made here only: `--local`, of one whose moves are decided at a remote.

The journal holds from which move they started. At the next contact they are swapped in if the remote's alias still
stands there; else the remote's history takes the place of ours, and that is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from artstore.errors import Corrupt
from artstore.model import Digest, Move
from artstore.store.names import hold, shown
from artstore.store.remote.transfer import note_ref, ref_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore.model import Alias
    from artstore.ports import IndexReader, IndexWriter

_LOCAL: Final = "local-move/"


def local_names(reader: IndexReader, remote_id: bytes) -> list[str]:
    """Aliases that were moved here only."""
    prefix = f"{_LOCAL}{remote_id.hex()}/"
    return [key.removeprefix(prefix) for key in reader.journal_keys(prefix)]


def local_start(reader: IndexReader, remote_id: bytes, name: str) -> bytes | None:
    """The move behind which an alias was moved here only; None if it wasn't."""
    return reader.journal(f"{_LOCAL}{remote_id.hex()}/{name}")


def note_local(writer: IndexWriter, remote_id: bytes, name: str, start: bytes | None) -> None:
    """Note that; None: it stands as it does there."""
    writer.put_journal(f"{_LOCAL}{remote_id.hex()}/{name}", start)


def carry_local(writer: IndexWriter, *, source: bytes, target: bytes) -> None:
    """Another remote is home now: moves made here only wait for a contact with that one, from where they started."""
    for name in local_names(writer, source):
        if local_start(writer, target, name) is None:
            note_local(writer, target, name, local_start(writer, source, name))
        note_local(writer, source, name, None)


def overrule(writer: IndexWriter, remote_id: bytes, alias: Alias, chain: Sequence[tuple[bytes, Move]]) -> str | None:
    """Take the remote's history for ours, if ours went on otherwise, here only; what is to be told then.

    `alias`: as it stands there; `chain`: its moves that aren't here, oldest first.
    """
    last = next(iter(writer.moves(alias.name)), None)
    if local_start(writer, remote_id, alias.name) is None or last is None or not chain:
        return None
    if chain[0][1].previous == last[0]:
        return None
    ours = shown(writer, last[1].target, alias.name) if last[1].target else "nothing"
    if alias.version:
        hold(writer, Digest(alias.version))
    history = [*_until(writer, chain[0][1].previous), *(move for _, move in chain)]
    writer.put_history(alias.name, history)
    note_ref(writer, remote_id, alias.name, alias.move)
    note_local(writer, remote_id, alias.name, None)
    theirs = shown(writer, alias.version, alias.name) if alias.version else "nothing"
    return (
        f"it was moved here only, to {ours} (move {last[1].seq}), and there to {theirs} (move {alias.seq}): "
        f"home wins, it stands at {theirs} here, too"
    )


def gives_way(reader: IndexReader, remote_id: bytes, name: str) -> bool:
    """Was an alias made here and removed again, and never seen there? Then one that others made there may come."""
    last = next(iter(reader.moves(name)), None)
    return last is not None and not last[1].target and ref_at(reader, remote_id, name) is None


def _until(reader: IndexReader, id: bytes) -> list[Move]:
    """The moves that lead to this one, itself included, oldest first."""
    moves: list[Move] = []
    while id:
        move = reader.move(id)
        if move is None:
            raise Corrupt(f"move {id.hex()} is missing in the index")
        moves.append(move)
        id = move.previous
    return moves[::-1]

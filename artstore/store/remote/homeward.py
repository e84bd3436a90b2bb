"""Moves of aliases that are decided at the home remote: swapped in there, then made here.

If home is ahead its moves are taken over first, so that who decides sees where the alias stands. Killed between the two
swaps, the next pull brings the move here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Busy, Conflict, NotFound, NotPermitted
from artstore.format.remote import ALIASES, RemoteAlias, RemoteSet, set_key
from artstore.model import Alias, Digest
from artstore.store import aliases
from artstore.store.remote.documents import read_document, read_documents
from artstore.store.remote.local_moves import local_names, local_start, note_local
from artstore.store.remote.names import Conflicting, Wanted
from artstore.store.remote.pull import Puller, RemoteRefs
from artstore.store.remote.push import Pusher

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from artstore.ports import IndexReader, Remote
    from artstore.store.aliases import Moved, Planned, Planner
    from artstore.store.context import Context, Counters
    from artstore.store.objects import Objects
    from artstore.store.remote.push import PushResult


@dataclass(slots=True)
class Settled:
    """What became of moves that were made here only: aliases swapped in at home, those where home won, and those that
    were left, since they may be swapped in.
    """

    swapped: list[str] = field(default_factory=list[str])
    left: list[str] = field(default_factory=list[str])
    conflicts: list[Conflicting] = field(default_factory=list[Conflicting])


class Homeward:
    """Aliases of a store at its home."""

    def __init__(
        self, context: Context, objects: Objects, remote: Remote, remote_id: bytes, counters: Counters
    ) -> None:
        self._context = context
        self._objects = objects
        self._remote = remote
        self._remote_id = remote_id
        self._counters = counters

    def move(self, name: str, planner: Planner, *, back: bool = False) -> Moved:
        """Move an alias there, then here; `planner` decides anew each time others were quicker. `back`: a rollback.

        Conflict, beside those of the planner, if moves that were made here only have just lost.
        """
        for _ in range(limits.REMOTE_MOVES_MAX):
            known, lost = self._catch_up(name)
            if lost is not None:
                raise Conflict(f"{name}: {lost}", hint=f"look at `artstore alias log {name}`, then decide again")
            if back:
                self._bring_target(name)
            with self._context.index.read() as reader:
                planned = planner(reader)
                wanted = self._wanted(reader, name, known, planned)
            if wanted is None or not self._push(wanted).conflicts:
                self._enter(name, planned)
                return planned.moved
        raise Busy(f"{name} is moved by others all the time at {self._remote.url}", hint="try again later")

    def settle(self, *, leave: Container[str] = ()) -> Settled:
        """Swap in what was moved here only, where home stands as it did; elsewhere home wins, which is told.

        Where this user may not write, or nobody may now, it stays as it is and is told. `leave`: aliases that somebody
        else will swap in, together with other refs, and tell by `note_swapped`.
        """
        told = Settled()
        with self._context.index.read() as reader:
            names = local_names(reader, self._remote_id)
        for name in names:
            try:
                self._settle(name, told, leave=name in leave)
            except (NotPermitted, Busy) as error:
                told.conflicts.append(Conflicting(name, f"it was moved here only: {error.message}"))
        return told

    def note_swapped(self, names: Iterable[str]) -> None:
        """These stand at home as they do here."""
        for name in names:
            self._enter(name, None)

    def _settle(self, name: str, told: Settled, *, leave: bool) -> None:
        for _ in range(limits.REMOTE_MOVES_MAX):
            known, lost = self._catch_up(name)
            if lost is not None:
                told.conflicts.append(Conflicting(name, lost))
                return
            if leave:
                told.left.append(name)
                return
            with self._context.index.read() as reader:
                wanted = self._wanted(reader, name, known, None)
            if wanted is None or not self._push(wanted).conflicts:
                if wanted is not None:
                    told.swapped.append(name)
                self._enter(name, None)
                return
        raise Busy(f"{name} is moved by others all the time at {self._remote.url}")

    def _catch_up(self, name: str) -> tuple[bytes, str | None]:
        """Take over moves that home has and we haven't: the last one there, b"" if it doesn't know the alias; and why
        our own were lost by it, or go on otherwise.
        """
        found = read_document(self._remote, RemoteAlias, ALIASES + name)
        if found is None:
            return b"", None
        there = found[0]
        with self._context.index.write() as writer:
            if _has_move(writer, name, there):
                return there.move, None
            removed = writer.alias(name) is None and local_start(writer, self._remote_id, name) is None
            if removed:  # by `rm`, which loses nothing that home's history couldn't replace
                note_local(writer, self._remote_id, name, there.move)
        alias = Alias(name, there.version, there.seq, there.move)
        result = self._puller().pull(RemoteRefs((), (alias,)), whole=False)
        return there.move, result.conflicts[0].why if result.conflicts and not removed else None

    def _bring_target(self, name: str) -> None:
        """Fetch where a rollback leads to, if home has it and this store hasn't: it must not be passed over."""
        with self._context.index.read() as reader:
            moves = [move for _, move in islice(reader.moves(name), limits.ROLLBACK_MOVES_MAX)]
            targets = {Digest(id) for move in moves for id in (move.source, move.target) if id}
            missing = sorted(version for version in targets if reader.version_set(version) is None)
        if not missing:
            return
        sets = read_documents(self._remote, RemoteSet, map(set_key, missing))
        there = {version for version, found in zip(missing, sets, strict=True) if found is not None}
        with self._context.index.read() as reader:
            try:
                target = aliases.rollback_target(reader, name, elsewhere=there).target
            except (Conflict, NotFound):  # the planner tells
                return
            head = next(iter(reader.moves(name)))
        if target in there:  # pulled as if the alias stood there: its moves are all here
            self._puller().pull(RemoteRefs((), (Alias(name, target, head[1].seq, head[0]),)), whole=False)

    def _wanted(self, reader: IndexReader, name: str, known: bytes, planned: Planned | None) -> Wanted | None:
        """What is to be pushed, so that home stands as we do, or are about to; None if it does."""
        wanted = Wanted()
        move = None if planned is None or planned.move is None else (planned.move_id(self._context.ids), planned.move)
        wanted.add_move(reader, name, move, known)
        return None if wanted.ids[name] == known else wanted

    def _push(self, wanted: Wanted) -> PushResult:
        return Pusher(self._context, self._objects, self._remote, self._remote_id, self._counters).push(wanted)

    def _puller(self) -> Puller:
        return Puller(self._context, self._objects, self._remote, self._remote_id, self._counters)

    def _enter(self, name: str, planned: Planned | None) -> None:
        """What was swapped in there is made here."""
        with self._context.index.write() as writer:
            ids = self._context.ids
            if planned is not None and planned.move is not None and writer.move(planned.move_id(ids)) is None:
                try:
                    aliases.enter(writer, planned)
                except Conflict:  # moved here only at this very moment: the next contact decides, and tells
                    return
            note_local(writer, self._remote_id, name, None)


def _has_move(reader: IndexReader, name: str, there: RemoteAlias) -> bool:
    """Is the last move there one of ours?"""
    for id, move in reader.moves(name):
        if id == there.move:
            return True
        if move.seq <= there.seq:
            return False
    return False

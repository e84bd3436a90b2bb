"""`artstore.Store`: aliases whose moves are decided at its home remote."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from artstore._remotes import Remotes
from artstore.errors import NotFound, NotPermitted, RemoteError
from artstore.store import aliases

if TYPE_CHECKING:
    from artstore.store.aliases import Moved, Planner
    from artstore.store.remote.homeward import Homeward


class Names(Remotes):
    """What was pushed moves at home first, then here; what wasn't may get another name."""

    def is_moved_here_only(self, name: str) -> bool:
        """Has an alias moves that its home hasn't heard of, since they were made with `local`?"""
        from artstore.store.remote.local_moves import local_start

        home = self._home_of(name)
        with self.context.index.read() as reader:
            return home is not None and local_start(reader, home[1], name) is not None

    def may_be_renumbered(self, tag: str) -> bool:
        """Did `commit` choose this name, in a store that has a home, and was it not pushed yet?"""
        from artstore.store.provisional import is_provisional

        with self.context.index.read() as reader:
            found = reader.tag(tag)
            provisional = found is not None and is_provisional(reader, found)
        return provisional and bool(self.remotes())

    def _move(self, name: str, planner: Planner, *, local: bool, back: bool = False) -> Moved:
        home = self._home_of(name)
        if home is None:
            return super()._move(name, planner, local=local, back=back)
        remote, id = home
        if local:
            return self._move_here(name, planner, id)
        with self._reached(remote, name) as homeward:
            return homeward.move(name, planner, back=back)

    def _home_of(self, name: str) -> tuple[str, bytes] | None:
        """The home remote's name and id, if this alias was seen there; None: it is moved here only."""
        from artstore.store.remote.transfer import ref_at

        remote, place = next(iter(self.remotes().items()), (None, None))
        if remote is None or place is None or place.id is None:
            return None
        id = bytes.fromhex(place.id)
        with self.context.index.read() as reader:
            return None if ref_at(reader, id, name) is None else (remote, id)

    def _move_here(self, name: str, planner: Planner, id: bytes) -> Moved:
        """Move it here only; the journal keeps from where, for the next contact."""
        from artstore.store.remote.local_moves import local_start, note_local

        with self.context.index.write() as writer:
            last = next(iter(writer.moves(name)), None)
            planned = planner(writer)
            if planned.move is not None and last is not None and local_start(writer, id, name) is None:
                note_local(writer, id, name, last[0])
            return aliases.enter(writer, planned)

    @contextmanager
    def _reached(self, remote: str, name: str) -> Generator[Homeward]:
        """Home, to move an alias there. RemoteError that tells the way out if it can't be reached."""
        from artstore.store.context import Counters
        from artstore.store.remote.homeward import Homeward

        with ExitStack() as stack:
            try:
                there, id = stack.enter_context(self._opened(remote, reading=True))
            except (RemoteError, NotFound, NotPermitted) as error:
                raise RemoteError(
                    f"{name} is not moved: {error.message}", hint="try again, or move it here only with --local"
                ) from error
            try:
                yield Homeward(self.context, self.objects, there, id, Counters())
            except RemoteError as error:
                raise RemoteError(
                    f"{name}: {error.message}",
                    hint="try again: what has reached home counts; or move it here only with --local",
                    transient=error.transient,
                    retry_after_s=error.retry_after_s,
                ) from error

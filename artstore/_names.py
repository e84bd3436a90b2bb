"""`artstore.Store`: what is decided at its home remote: moves of aliases, and versions of which a part isn't here."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from artstore._mirrors import Mirrors
from artstore.errors import ArtstoreError, Conflict, NotFound, NotPermitted, RemoteError
from artstore.store import aliases
from artstore.store.partial import is_partial, remote_of

if TYPE_CHECKING:
    from artstore.model import Digest
    from artstore.store.aliases import Moved, Planner
    from artstore.store.commit import CommitResult
    from artstore.store.remote.homeward import Homeward


class Names(Mirrors):
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

    def _edit(self, base: Digest, making: Callable[[], CommitResult]) -> CommitResult:
        """A version of which a part isn't here is one only when home has it [I11]."""
        with self.context.index.read() as reader:
            elsewhere = remote_of(reader, base) if is_partial(reader, base) else None
        if elsewhere is None:
            return super()._edit(base, making)
        remote, place = next(iter(self.remotes().items()), (None, None))
        if remote is None or place is None or place.id != elsewhere.hex():
            raise RemoteError(
                f"a part of version {base.hex()[:8]} isn't here, and its remote is not this store's home",
                hint="`artstore pull` brings it here, then it is enough",
            )
        with self._opened(remote, reading=True):
            pass  # without home nothing is begun
        made = super()._edit(base, making)
        if made.tag is None or made.version is None or made.unchanged:
            return made
        return replace(made, tag=self._push_made(remote, made.tag, made.version))

    def _push_made(self, remote: str, tag: str, version: Digest) -> str:
        """Its name at home, which another one may have been quicker to take."""
        try:
            pushed = self.push([tag], to=remote)
        except ArtstoreError as error:
            self._unname(tag, version)
            raise RemoteError(
                f"{tag} was not made: a part of it isn't here, and pushing it failed: {error.message}",
                hint="try again, or `artstore pull` what it is based on",
            ) from error
        if pushed.conflicts:
            self._unname(tag, version)
            raise Conflict(f"{tag} was not made: {pushed.conflicts[0].why}", hint="choose another name")
        return next((each.new.name for each in pushed.renumbered if each.old == tag), tag)

    def _unname(self, tag: str, version: Digest) -> None:
        with self.context.index.read() as reader:
            row = reader.tag(tag)
        if row is not None and row.version == version:
            self.remove(tag)

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
                self._require_undisputed()
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

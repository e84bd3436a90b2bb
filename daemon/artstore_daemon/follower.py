"""What a follower does: looks, fetches, switches, tells. Each step may be taken twice; whatever goes wrong is told.

`to` is a symlink to a folder beside it, `.NAME.artstore/VERSION`: a version is written there whole, and then the link
is replaced in one step, so that whoever opens files through it sees one version or the other.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from artstore import limits
from artstore.errors import ArtstoreError, Conflict, NotFound
from artstore.model import Digest
from artstore.store.followed import Followed
from artstore_daemon.engine import NO_ROOM, told
from artstore_daemon.machine.following import FollowState, Phase

if TYPE_CHECKING:
    from artstore import Store
    from artstore.store.remote.watch import RemoteWatch
    from artstore_daemon.settings import FollowSpec

_log: Final = logging.getLogger(__name__)
_PREFIX_CHARS: Final = 16  # of a version's id: the name of its folder
_UNFINISHED: Final = ".unfinished"


class _Lasting(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a daemon that was killed has to know."""

    target: str | None = None
    bad: str | None = None
    phase: str = Phase.RESTING.value


class Follower:
    """The world of one follower. Its calls block, but for the hook."""

    def __init__(self, store: Store, spec: FollowSpec) -> None:
        self._store = store
        self._spec = spec
        self._watch: RemoteWatch | None = None

    # --- what lasts

    def remembered(self) -> FollowState:
        """As `remember` left it."""
        found = self._store.followed().get(self._spec.alias)
        if found is None:
            return FollowState()
        lasting = msgspec.json.decode(found.note, type=_Lasting) if found.note else _Lasting()
        if lasting.target is None and found.current is not None and not self._is_served(found.current.hex()):
            lasting = _Lasting(found.current.hex(), lasting.bad, Phase.RETURNING.value)
        return FollowState(
            current=None if found.current is None else found.current.hex(),
            previous=None if found.previous is None else found.previous.hex(),
            target=lasting.target,
            bad=lasting.bad,
            phase=Phase(lasting.phase),
        )

    def remember(self, state: FollowState) -> None:
        """Note what lasts of a state; the versions in it are kept here from now on."""
        note = msgspec.json.encode(_Lasting(state.target, state.bad, state.phase.value))
        current, previous = (
            None if id is None else Digest(bytes.fromhex(id)) for id in (state.current, state.previous)
        )
        self._store.put_followed(Followed(self._spec.alias, current, previous, note))

    def _is_served(self, version: str) -> bool:
        """Does the link lead there still? Somebody may have removed it, or named another place."""
        to = self._spec.to
        if to is None:
            return True
        _, home = _places(to)
        return os.path.isdir(to) and os.path.realpath(to) == os.path.join(
            os.path.realpath(home), version[:_PREFIX_CHARS]
        )

    @staticmethod
    def lasting(state: FollowState) -> FollowState:
        """The part of a state that lasts."""
        return replace(state, wanted=None, asked=False, failures=0, not_before=None, error=None, paused=False)

    # --- the steps: each gives what went wrong

    def look(self) -> tuple[str | None, str | None]:
        """What the alias names here, once the remote was asked; and why it couldn't be."""
        error = self._ask_remote()
        found = next((alias for alias in self._store.aliases(self._spec.alias) if alias.name == self._spec.alias), None)
        return (None if found is None or not found.version else found.version.hex()), error

    def _ask_remote(self) -> str | None:
        if not self._store.remotes():
            return None
        try:
            if self._watch is None:
                self._watch = self._store.watch_remote(self._spec.remote)
            if self._watch.changed():
                with suppress(NotFound):  # the remote is there, the alias isn't yet
                    self._store.fetch([self._spec.alias], source=self._spec.remote)
        except (ArtstoreError, OSError) as error:
            self.close()  # the next look fetches, whatever it finds
            return told(error)
        return None

    def fetch(self, version: str) -> str | None:
        """Have all of what the alias names here: a version that is served must not wait for a network."""
        try:
            if self._store.is_here(version):
                return None
            if self._store.disk_shortfall():
                return NO_ROOM
            self._store.pull([self._spec.alias], source=self._spec.remote)
            if self._store.is_here(version):
                return None
        except (ArtstoreError, OSError) as error:
            return told(error)
        return f"{self._spec.alias} has moved on while {version[:_PREFIX_CHARS]} was fetched"

    def switch(self, version: str) -> str | None:
        """Let the link lead to a version; without one it is the mount that shows it, by what was remembered."""
        to = self._spec.to
        try:
            if to is not None:
                self._check_out(version, to)
        except (ArtstoreError, OSError) as error:
            return told(error)
        try:
            self._clear(version)
        except (ArtstoreError, OSError) as error:  # it is served; what lies around is removed next time
            _log.warning("old versions beside %s are left there: %s", to, told(error))
        return None

    async def run_hook(self, old: str | None, new: str) -> str | None:
        """Run the command; what went wrong. Its children are ended with it when it takes too long."""
        command = self._spec.hook
        if command is None:
            return None
        environment = {
            **os.environ,
            "ARTSTORE_HOME": self._store.path,
            "ARTSTORE_ALIAS": self._spec.alias,
            "ARTSTORE_OLD": old or "",
            "ARTSTORE_NEW": new,
            "ARTSTORE_PATH": self._spec.to or "",
        }
        try:
            process = await trio.lowlevel.open_process(
                ["/bin/sh", "-c", command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return f"the hook can't be run: {error}"
        said = bytearray()
        try:
            with trio.move_on_after(limits.HOOK_S_MAX) as limit:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_drain, process, said)
                    await process.wait()
                    nursery.cancel_scope.deadline = trio.current_time() + 1  # children may hold its errors open
        finally:
            if process.returncode is None:
                _end(process)
                with trio.CancelScope(shield=True):
                    await process.wait()
        if limit.cancelled_caught:
            return f"the hook took more than {limits.HOOK_S_MAX:g} s and was ended"
        if process.returncode == 0:
            return None
        last = bytes(said).decode(errors="replace").strip().splitlines()[-1:]
        return f"the hook failed with code {process.returncode}" + (f": {last[0]}" if last else "")

    def close(self) -> None:
        """Let go of the remote."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    # --- files

    def _check_out(self, version: str, to: str) -> None:
        if os.path.lexists(to) and not os.path.islink(to):
            raise Conflict(f"{to} is no symlink any more", hint="move it away, or follow to another path")
        folder, home = _places(to)
        target = os.path.join(home, version[:_PREFIX_CHARS])
        os.makedirs(home, exist_ok=True)
        if not os.path.isdir(target):
            unfinished = target + _UNFINISHED
            self._store.checkout(version, unfinished, force=True)
            os.rename(unfinished, target)
            _make_durable(home)
        link = os.path.join(home, "link")
        with suppress(FileNotFoundError):
            os.unlink(link)
        os.symlink(os.path.relpath(target, folder), link)
        os.rename(link, to)
        _make_durable(folder)

    def _clear(self, version: str) -> None:
        """Remove what was checked out before the versions that are kept."""
        if self._spec.to is None:
            return
        _, home = _places(self._spec.to)
        found = self._store.followed().get(self._spec.alias)
        kept = {version} | {
            each.hex() for each in (found and (found.current, found.previous)) or () if each is not None
        }
        names = {each[:_PREFIX_CHARS] for each in kept}
        for entry in os.scandir(home):
            if entry.is_dir(follow_symlinks=False) and entry.name not in names:
                shutil.rmtree(entry.path, ignore_errors=True)


def _places(to: str) -> tuple[str, str]:
    """The folder in which the link lies, and the one in which its versions do."""
    folder, name = os.path.split(os.path.abspath(to))
    return folder, os.path.join(folder, f".{name}.artstore")


def _make_durable(folder: str) -> None:
    """What is remembered of a switch must not outlive the switch itself."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _drain(process: trio.Process, said: bytearray) -> None:
    """Read what it says, and keep the end of it."""
    assert process.stderr is not None
    async with process.stderr:
        async for piece in process.stderr:
            said += piece
            del said[: -limits.HOOK_SAID_BYTES]


def _end(process: trio.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)

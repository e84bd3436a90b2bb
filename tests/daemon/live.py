"""A daemon that runs on a thread of the test, with a real store, real folders, and the real clock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Self, TypeVar

import trio

from artstore import Store
from artstore.model import Kind
from artstore_daemon.daemon import Daemon, Happening
from artstore_daemon.settings import WatchSpec

T = TypeVar("T")
WAIT_S = 30.0
SETTLE_S = 0.3


def spec(artifact: str, folder: object, **more: object) -> WatchSpec:
    """A watch that is in a hurry."""
    given = {"settle_s": SETTLE_S, "every_s": 60.0, **more}
    return WatchSpec(artifact, str(folder), **given)  # type: ignore[arg-type]  # what tests say is right


def files(store: Store, revision: str) -> dict[str, bytes]:
    """All files of a version."""
    found: dict[str, bytes] = {}
    for path, entry in store.walk(revision):
        if entry.kind in (Kind.FILE, Kind.EXEC):
            with store.open(revision, path) as file:
                found[os.fsdecode(path)] = file.read()
    return found


def on_disk(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(store: Store) -> list[str]:
    """All tags, as they were made."""
    return [tag.name for tag in sorted(store.tags(), key=lambda tag: (tag.created, tag.name))]


class Live:
    """A running daemon: a context."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ready = Event()
        self._scope: trio.CancelScope | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._daemon: Daemon | None = None
        self._error: BaseException | None = None
        self._seen = 0
        self._thread = Thread(target=self._run, name="daemon of a test")

    @property
    def daemon(self) -> Daemon:
        assert self._daemon is not None
        return self._daemon

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        assert self._scope is not None
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "it doesn't end"
        if self._error is not None:
            raise self._error

    def call(self, work: Callable[[], T]) -> T:
        """Do something in the daemon's loop."""
        return trio.from_thread.run_sync(work, trio_token=self._token)

    def reload(self) -> None:
        """Have it look at the config."""
        self.call(self.daemon.reload)

    def wait_until(self, holds: Callable[[], object], what: str = "") -> None:
        """Until something is so."""
        until = time.monotonic() + WAIT_S
        while not self.call(holds):
            if time.monotonic() > until:
                raise AssertionError(f"waited in vain {what}: {self.said()}")
            time.sleep(0.02)

    def wait_for(self, kind: str, name: str | None = None) -> Happening:
        """The next thing of a kind that happens, since the last one that was waited for."""
        found: list[Happening] = []

        def look() -> bool:
            fitting = [each for each in self.daemon.happenings(self._seen) if each.kind == kind]
            found[:] = [each for each in fitting if name in (None, each.name)]
            return bool(found)

        self.wait_until(look, f"for {kind} {name or ''}")
        self._seen = found[0].number
        return found[0]

    def wait_quiet(self) -> None:
        """Until nothing is left to be done, as far as it knows."""
        self.wait_until(lambda: self.daemon.watchings and self.daemon.is_quiet, "for quiet")

    def said(self) -> list[str]:
        """All that has happened."""
        return [f"{each.kind} {each.name}: {each.text}" for each in self.daemon.happenings()]

    def _run(self) -> None:
        async def main() -> None:
            with trio.CancelScope() as self._scope:
                self._token = trio.lowlevel.current_trio_token()
                self._daemon = Daemon(self._store)
                self._ready.set()
                await self._daemon.run()

        try:
            trio.run(main)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self._error = error
        finally:
            self._ready.set()


Begin = Callable[[Store], Live]

"""The daemon of one store: its tasks, made and ended as its config says, and what has happened lately.

Knows nothing of how it is started, asked or watched over.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import trio

from artstore import limits
from artstore_daemon import settings
from artstore_daemon.clock import Clock, SystemClock
from artstore_daemon.engine import Committed, keep_last
from artstore_daemon.machine.folder import Outcome
from artstore_daemon.machine.following import FollowState
from artstore_daemon.machine.sending import Outcome as Sent
from artstore_daemon.settings import FollowSpec, WatchSpec
from artstore_daemon.tasks.following import Following
from artstore_daemon.tasks.sending import Sending
from artstore_daemon.tasks.watching import Watching
from artstore_daemon.watch.inotify import Notifier

if TYPE_CHECKING:
    from artstore import Store

_log: Final = logging.getLogger(__name__)
K = TypeVar("K")
S = TypeVar("S")
T = TypeVar("T", bound="Watching | Sending | Following")


@dataclass(frozen=True, slots=True)
class Happening:
    """Something worth telling. `number` grows by one; `time`: s since 1970; `kind`: `version`, `pushed`, `refused`,
    `switched`, `error`, `recovered`; `name`: the tag or alias it is about.
    """

    number: int
    time: float
    kind: str
    name: str
    text: str


@dataclass(slots=True)
class _Running(Generic[S, T]):
    spec: S
    task: T
    scope: trio.CancelScope


class Daemon:
    """Runs what a store's config asks for, until `run` is cancelled. Made within trio."""

    def __init__(self, store: Store, *, clock: Clock | None = None) -> None:
        self.store = store
        self.clock = clock or SystemClock()
        self.started = self.clock.time()
        self._watching: dict[str, _Running[WatchSpec, Watching]] = {}
        self._sending: dict[tuple[str, str], _Running[WatchSpec, Sending]] = {}
        self._following: dict[str, _Running[FollowSpec, Following]] = {}
        self._committing = trio.CapacityLimiter(1)
        self._pushing = trio.CapacityLimiter(1)
        self._fetching = trio.CapacityLimiter(1)
        self._notifier: Notifier | None = None
        self._happenings: deque[Happening] = deque(maxlen=limits.DAEMON_HAPPENINGS_KEPT)
        self._number = 0
        self._errors: dict[str, str] = {}
        self._told = trio.Event()
        self._reload = trio.Event()
        self._reconciled = trio.Event()

    # --- what others ask

    @property
    def watchings(self) -> list[Watching]:
        """In the order of the config."""
        return [each.task for each in self._watching.values()]

    @property
    def sendings(self) -> list[Sending]:
        """The same, and of each watch in the order of its remotes."""
        return [each.task for each in self._sending.values()]

    @property
    def followings(self) -> list[Following]:
        """In the order of the config."""
        return [each.task for each in self._following.values()]

    def happenings(self, after: int = 0) -> list[Happening]:
        """What has happened since the one of that number, as far as it is remembered."""
        return [each for each in self._happenings if each.number > after]

    async def wait_for_happening(self, after: int) -> list[Happening]:
        """The same, as soon as there is something."""
        while not (found := self.happenings(after)):
            await self._told.wait()
        return found

    def reload(self) -> None:
        """Look at the config again. From a trio task."""
        self._reload.set()

    async def reloaded(self) -> None:
        """The same; returns when it is as the config says."""
        done = self._reconciled
        self.reload()
        await done.wait()

    def commit_now(self, artifact: str | None = None) -> list[str]:
        """Commit a watched folder now, or all; and push what waits. The artifacts."""
        found = [each.task for name, each in self._watching.items() if artifact in (None, name)]
        for watching in found:
            watching.ask()
        for (name, _), running in self._sending.items():
            if artifact in (None, name):
                running.task.ask()
        return [watching.spec.artifact for watching in found]

    def follow_now(self, alias: str | None = None) -> list[str]:
        """Try again what failed of a follower, or of all. The aliases."""
        found = [each.task for name, each in self._following.items() if alias in (None, name)]
        for following in found:
            following.ask()
        return [following.spec.alias for following in found]

    @property
    def is_quiet(self) -> bool:
        """Is all that is known of committed, pushed and switched?"""
        return not (
            any(watching.is_pending for watching in self.watchings)
            or any(sending.state.waiting for sending in self.sendings)
        )

    # --- its life

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    self._reload = trio.Event()
                    done, self._reconciled = self._reconciled, trio.Event()
                    await self._reconcile(nursery)
                    done.set()
                    await self._reload.wait()
        finally:
            if self._notifier is not None:
                self._notifier.close()

    async def _reconcile(self, nursery: trio.Nursery) -> None:
        """Make what runs what the config says; what is as it was goes on."""
        path = self.store.path
        watches, follows = await trio.to_thread.run_sync(lambda: (settings.watches(path), settings.follows(path)))
        self._keep(nursery, self._watching, watches, self._make_watching)
        pushes = {(name, remote): spec for name, spec in watches.items() for remote in spec.push}
        self._keep(nursery, self._sending, pushes, self._make_sending)
        self._keep(nursery, self._following, follows, self._make_following)

    def _keep(
        self,
        nursery: trio.Nursery,
        running: dict[K, _Running[S, T]],
        wanted: dict[K, S],
        make: Callable[[K, S], T],
    ) -> None:
        for name in [name for name, each in running.items() if wanted.get(name) != each.spec]:
            running.pop(name).scope.cancel()
        for name, spec in wanted.items():
            if name not in running:
                task, scope = make(name, spec), trio.CancelScope()
                running[name] = _Running(spec, task, scope)
                nursery.start_soon(self._guard, scope, task, str(name))

    async def _guard(self, scope: trio.CancelScope, task: Watching | Sending | Following, name: str) -> None:
        """What ends one task, a bug of ours, doesn't end the others: it is told, and the task begins anew."""
        with scope:
            while True:
                try:
                    await task.run()
                except* Exception as errors:  # noqa: BLE001 - the rim of a task
                    _log.exception("the task of %s broke", name, exc_info=errors)
                    self.tell("error", name, f"it broke, and begins again: {errors.exceptions[0]}")
                await trio.sleep(limits.DAEMON_RETRY_S_MAX)

    def _make_watching(self, artifact: str, spec: WatchSpec) -> Watching:
        def told(done: Committed) -> None:
            self._committed(artifact, spec, done)

        return Watching(
            self.store, spec, self.clock, notifier=self._take_notifier, committing=self._committing, told=told
        )

    def _make_sending(self, key: tuple[str, str], spec: WatchSpec) -> Sending:
        return Sending(self.store, spec, key[1], self.clock, pushing=self._pushing, told=self._pushed)

    def _make_following(self, alias: str, spec: FollowSpec) -> Following:
        def told(before: FollowState, after: FollowState) -> None:
            self._stepped(alias, before, after)

        return Following(self.store, spec, self.clock, working=self._fetching, told=told)

    def _take_notifier(self) -> Notifier:
        """The one of this process. On another thread, of which there is one at a time for each watch."""
        if self._notifier is None:
            self._notifier = Notifier()
        return self._notifier

    # --- what happens

    def tell(self, kind: str, name: str, text: str) -> None:
        """Note something worth telling. From a trio task."""
        self._number += 1
        self._happenings.append(Happening(self._number, self.clock.time(), kind, name, text))
        _log.log(logging.WARNING if kind == "error" else logging.INFO, "%s %s: %s", kind, name, text)
        told, self._told = self._told, trio.Event()
        told.set()

    def _trouble(self, name: str, error: str | None) -> None:
        """An error is told once, and that it is over once."""
        before = self._errors.get(name)
        if error == before:
            return
        if error is None:
            del self._errors[name]
            self.tell("recovered", name, "it is well again")
            return
        self._errors[name] = error
        self.tell("error", name, error)

    def _committed(self, artifact: str, spec: WatchSpec, done: Committed) -> None:
        is_trouble = done.outcome in (Outcome.FAILED, Outcome.REFUSED)
        self._trouble(f"watch {artifact}", done.error if is_trouble else None)
        if not done.made or done.tag is None:
            return
        self.tell("version", done.tag, f"{done.files} files, {done.size} bytes")
        for (name, _), running in self._sending.items():
            if name == artifact:
                running.task.add(done.tag)
        if spec.keep_last is not None:
            trio.lowlevel.spawn_system_task(self._retain, artifact, spec.keep_last)

    async def _retain(self, artifact: str, keep: int) -> None:
        error = await trio.to_thread.run_sync(keep_last, self.store, artifact, keep, limiter=self._committing)
        self._trouble(f"retention of {artifact}", error)

    def _pushed(self, remote: str, name: str, outcome: Sent, error: str | None) -> None:
        match outcome:
            case Sent.DONE:
                self._trouble(f"remote {remote}", None)
                self.tell("pushed", name, f"to {remote}")
            case Sent.LOST:
                self.tell("refused", name, error or "")
            case Sent.AWAY | Sent.REFUSED:
                self._trouble(f"remote {remote}", error)

    def _stepped(self, alias: str, before: FollowState, after: FollowState) -> None:
        if after.current != before.current and after.current is not None:
            self.tell("switched", alias, f"serves {after.current[:8]}")
        self._trouble(f"follower {alias}", after.error)

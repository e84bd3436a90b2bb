"""The daemon of one store: its tasks, made and ended as its config says, and what has happened lately.

Knows nothing of how it is started, asked or watched over.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

import trio

from artstore import limits
from artstore.errors import ArtstoreError
from artstore_daemon import settings
from artstore_daemon.clock import Clock, SystemClock
from artstore_daemon.engine import Committed, keep_last, told
from artstore_daemon.machine.following import FollowState
from artstore_daemon.machine.sending import Outcome as Sent
from artstore_daemon.settings import FollowSpec, WatchSpec
from artstore_daemon.tasks.following import Following
from artstore_daemon.tasks.kept import Kept
from artstore_daemon.tasks.sending import Sending
from artstore_daemon.tasks.watching import Watching
from artstore_daemon.watch.inotify import Notifier

if TYPE_CHECKING:
    from artstore import Store

_log: Final = logging.getLogger(__name__)


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


class Daemon:
    """Runs what a store's config asks for, until `run` is cancelled. Made within trio."""

    def __init__(self, store: Store, *, clock: Clock | None = None) -> None:
        self.store = store
        self.clock = clock or SystemClock()
        self.started = self.clock.time()
        self._watching = Kept[str, WatchSpec, Watching](self._make_watching, self._broke)
        self._sending = Kept[tuple[str, str], WatchSpec, Sending](self._make_sending, self._broke)
        self._following = Kept[str, FollowSpec, Following](self._make_following, self._broke)
        self._committing = trio.CapacityLimiter(1)
        self._pushing = trio.CapacityLimiter(1)
        self._fetching = trio.CapacityLimiter(1)
        self._notifier: Notifier | None = None
        self._notifier_lock = Lock()
        self._happenings: deque[Happening] = deque(maxlen=limits.DAEMON_HAPPENINGS_KEPT)
        self._number = 0
        self._errors: dict[str, str] = {}
        self._refused: dict[tuple[str, str], str | None] = {}
        self._nursery: trio.Nursery | None = None
        self._config_error: Exception | None = None
        self._told = trio.Event()
        self._reload = trio.Event()
        self._reconciled = trio.Event()

    # --- what others ask

    @property
    def watchings(self) -> list[Watching]:
        """In the order of the config."""
        return [task for _, task in self._watching]

    @property
    def sendings(self) -> list[Sending]:
        """The same, and of each watch in the order of its remotes."""
        return [task for _, task in self._sending]

    @property
    def followings(self) -> list[Following]:
        """In the order of the config."""
        return [task for _, task in self._following]

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
        """The same; returns when it is as the config says. Whatever is wrong with that is raised, and all stays."""
        done = self._reconciled
        self.reload()
        await done.wait()
        if self._config_error is not None:
            raise self._config_error

    def commit_now(self, artifact: str | None = None) -> list[str]:
        """Commit a watched folder now, or all that aren't paused; and push what waits. The artifacts."""
        found = [task for name, task in self._watching if artifact in (None, name) and not task.spec.paused]
        for watching in found:
            watching.ask()
        for (name, _), sending in self._sending:
            if artifact in (None, name):
                sending.ask()
        return [watching.spec.artifact for watching in found]

    def follow_now(self, alias: str | None = None) -> list[str]:
        """Try again what failed of a follower, or of all. The aliases."""
        found = [task for name, task in self._following if alias in (None, name)]
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

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; started once it does what the config says. A config that makes no sense ends it at the
        start, and is told later on.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await self._reconcile(nursery)
                task_status.started()
                while True:
                    await self._reload.wait()
                    self._reload = trio.Event()
                    done, self._reconciled = self._reconciled, trio.Event()
                    await self._reconcile_again(nursery)
                    done.set()
        finally:
            if self._notifier is not None:
                self._notifier.close()

    async def _reconcile_again(self, nursery: trio.Nursery) -> None:
        self._config_error = None
        try:
            await self._reconcile(nursery)
        except (ArtstoreError, OSError) as error:
            self._config_error = error
        self._trouble("config.toml", None if self._config_error is None else told(self._config_error))

    async def _reconcile(self, nursery: trio.Nursery) -> None:
        """Make what runs what the config says; what is as it was goes on."""
        path = self.store.path
        watches, follows = await trio.to_thread.run_sync(lambda: (settings.watches(path), settings.follows(path)))
        for artifact in self._watching.keep(nursery, watches):
            self._errors.pop(f"watch {artifact}", None)
        self._sending.keep(nursery, {(name, remote): spec for name, spec in watches.items() for remote in spec.push})
        for alias in self._following.keep(nursery, follows):
            self._errors.pop(f"follower {alias}", None)
            nursery.start_soon(self._forget, alias)

    async def _forget(self, alias: str) -> None:
        """What isn't followed any more needn't stay here: also if its last step has just noted that it does."""
        if not await self._following.wait_ended(alias):
            return
        try:
            await trio.to_thread.run_sync(self.store.drop_followed, alias)
        except (ArtstoreError, OSError) as error:
            self.tell("error", alias, f"it isn't followed any more, but its versions are still kept: {told(error)}")

    def _make_watching(self, artifact: str, spec: WatchSpec) -> Watching:
        def told(done: Committed, trouble: str | None) -> None:
            self._committed(artifact, spec, done, trouble)

        return Watching(
            self.store, spec, self.clock, notifier=self.take_notifier, committing=self._committing, told=told
        )

    def _make_sending(self, key: tuple[str, str], spec: WatchSpec) -> Sending:
        return Sending(self.store, spec, key[1], self.clock, pushing=self._pushing, told=self.pushed)

    def _make_following(self, alias: str, spec: FollowSpec) -> Following:
        def told(before: FollowState, after: FollowState) -> None:
            self._stepped(alias, before, after)

        return Following(self.store, spec, self.clock, working=self._fetching, told=told)

    def take_notifier(self) -> Notifier:
        """The one of this process. On the threads of watches, which begin at once."""
        with self._notifier_lock:
            if self._notifier is None:
                self._notifier = Notifier()
            return self._notifier

    # --- what happens

    def _broke(self, name: str, text: str) -> None:
        self.tell("error", name, text)

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

    def _committed(self, artifact: str, spec: WatchSpec, done: Committed, trouble: str | None) -> None:
        self._trouble(f"watch {artifact}", trouble)
        if done.tag is None:
            return
        if not done.made:  # by this commit: somebody may have made it by hand
            for (name, _), sending in self._sending:
                if name == artifact:
                    sending.look()
            return
        self.tell("version", done.tag, f"{done.files} file{'' if done.files == 1 else 's'}, {done.size} bytes")
        for (name, _), sending in self._sending:
            if name == artifact:
                sending.add(done.tag)
        if spec.keep_last is not None and self._nursery is not None:
            self._nursery.start_soon(self._retain, artifact, spec.keep_last)

    async def _retain(self, artifact: str, keep: int) -> None:
        try:
            error = await trio.to_thread.run_sync(keep_last, self.store, artifact, keep, limiter=self._committing)
        except Exception as bug:  # noqa: BLE001 - the rim of a task
            _log.exception("the retention of %s broke", artifact)
            error = f"it broke: {bug}"
        self._trouble(f"retention of {artifact}", error)

    def pushed(self, remote: str, name: str, outcome: Sent, error: str | None) -> None:
        """A push has ended. From a trio task."""
        match outcome:
            case Sent.DONE:
                self._trouble(f"remote {remote}", None)
                self._refused.pop((remote, name), None)
                self.tell("pushed", name, f"to {remote}")
            case Sent.LOST if self._refused.get((remote, name), "") != error:
                self._refused[remote, name] = error
                if len(self._refused) > limits.DAEMON_HAPPENINGS_KEPT:
                    del self._refused[next(iter(self._refused))]
                self.tell("refused", name, error or "")
            case Sent.LOST:  # again
                pass
            case Sent.AWAY | Sent.REFUSED:
                self._trouble(f"remote {remote}", error)

    def _stepped(self, alias: str, before: FollowState, after: FollowState) -> None:
        if after.current != before.current and after.current is not None:
            self.tell("switched", alias, f"serves {after.current[:8]}")
        self._trouble(f"follower {alias}", after.error)

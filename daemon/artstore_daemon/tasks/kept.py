"""Tasks by name, made and ended as the config wants them: one that breaks doesn't end the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar, cast

import trio

from artstore import limits

_log: Final = logging.getLogger(__name__)


class Task(Protocol):
    """Something that runs until it is cancelled."""

    async def run(self) -> None: ...


K = TypeVar("K", bound=Hashable)
S = TypeVar("S")
T = TypeVar("T", bound=Task)


@dataclass(slots=True)
class _Running(Generic[S, T]):
    """`task`: another one once it broke; `ended`: nothing of it is under way any more."""

    spec: S
    task: T
    scope: trio.CancelScope
    ended: trio.Event


class Kept(Generic[K, S, T]):
    """Tasks of one kind. `make`: one of a name, as that is specified; `broke`: is told of a bug of ours."""

    def __init__(self, make: Callable[[K, S], T], broke: Callable[[str, str], None]) -> None:
        self._make = make
        self._broke = broke
        self._running: dict[K, _Running[S, T]] = {}
        self._ending: dict[K, trio.Event] = {}

    def __iter__(self) -> Iterator[tuple[K, T]]:
        """In the order of the config."""
        return iter([(name, each.task) for name, each in self._running.items()])

    def keep(self, nursery: trio.Nursery, wanted: Mapping[K, S]) -> list[K]:
        """Let just these run: what is as it was goes on. The names of those that end."""
        ending = [name for name, each in self._running.items() if wanted.get(name) != each.spec]
        for name in ending:
            each = self._running.pop(name)
            each.scope.cancel()
            self._ending[name] = each.ended
        begun = [name for name in wanted if name not in self._running]
        for name in begun:
            self._running[name] = _Running(
                wanted[name], self._make(name, wanted[name]), trio.CancelScope(), trio.Event()
            )
            nursery.start_soon(self._guard, name, self._running[name], self._ending.get(name))
        self._running = {name: self._running[name] for name in wanted}
        return [name for name in ending if name not in wanted]

    async def wait_ended(self, name: K) -> bool:
        """Until nothing of what ran under a name is under way. False if something runs under it again."""
        if name in self._ending:
            await self._ending[name].wait()
        return name not in self._running

    async def _guard(self, name: K, running: _Running[S, T], former: trio.Event | None) -> None:
        try:
            if former is not None:  # its threads may be at the same files; whoever comes third waits for both
                await former.wait()
            with running.scope:
                await trio.lowlevel.checkpoint()  # one that was ended meanwhile never begins
                while True:
                    await self._run(name, running.task)
                    await trio.sleep(limits.DAEMON_RETRY_S_MAX)
                    running.task = self._make(name, running.spec)
        finally:
            running.ended.set()
            if self._ending.get(name) is running.ended:
                del self._ending[name]

    async def _run(self, name: K, task: T) -> None:
        try:
            await task.run()
        except* Exception as errors:  # noqa: BLE001 - the rim of a task
            _log.exception("the task of %s broke", name, exc_info=errors)
            words = cast("tuple[str, ...]", name) if isinstance(name, tuple) else (str(name),)
            self._broke(" to ".join(words), f"it broke, and begins again: {errors.exceptions[0]}")

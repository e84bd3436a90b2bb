"""Tasks by name: which run, which end, and what of those that break."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from artstore import limits
from artstore_daemon.tasks.kept import Kept

SLOW_S = 5.0
Jobs = Kept[str, int, "Job"]


@dataclass
class Job:
    """Runs until cancelled, and takes its time to end; one with an odd number has a bug."""

    number: int
    said: list[str]

    async def run(self) -> None:
        self.said.append(f"{self.number} begins")
        if self.number % 2:
            raise ValueError("a bug")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(SLOW_S)
            self.said.append(f"{self.number} ends")


def said_while(work: Callable[[trio.Nursery, Jobs], Awaitable[None]]) -> list[str]:
    """What is said by tasks, while something is done with them."""
    said: list[str] = []

    async def main() -> None:
        jobs = Jobs(lambda _, number: Job(number, said), lambda name, text: said.append(f"{name}: {text}"))
        async with trio.open_nursery() as nursery:
            await work(nursery, jobs)
            await wait_all_tasks_blocked()
            said.append("that is all")
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return said[: said.index("that is all")]


def test_what_is_as_it_was_goes_on() -> None:
    """Each change of the config would end pushes that are under way."""

    async def work(nursery: trio.Nursery, jobs: Jobs) -> None:
        assert jobs.keep(nursery, {"a": 2, "b": 4}) == []
        await wait_all_tasks_blocked()
        assert jobs.keep(nursery, {"c": 6, "a": 2}) == ["b"]
        assert [name for name, _ in jobs] == ["c", "a"]
        assert await jobs.wait_ended("b")

    said = said_while(work)
    assert sorted(said[:2]) == ["2 begins", "4 begins"]
    assert said[2:] == ["6 begins", "4 ends"]


def test_one_begins_when_the_one_before_has_ended() -> None:
    """Both would be at the same files."""

    async def work(nursery: trio.Nursery, jobs: Jobs) -> None:
        jobs.keep(nursery, {"a": 2})
        await wait_all_tasks_blocked()
        assert jobs.keep(nursery, {"a": 4}) == []
        await wait_all_tasks_blocked()
        assert jobs.keep(nursery, {}) == ["a"]
        assert jobs.keep(nursery, {"a": 6}) == []
        assert not await jobs.wait_ended("a")
        await trio.sleep(3 * SLOW_S)

    assert said_while(work) == ["2 begins", "2 ends", "6 begins"]


def test_one_that_breaks_is_made_anew() -> None:
    """A bug in one would end all, or it would go on with what was wrong."""

    async def work(nursery: trio.Nursery, jobs: Jobs) -> None:
        jobs.keep(nursery, {"a": 1, "b": 2})
        await wait_all_tasks_blocked()
        first = dict(jobs)["a"]
        await trio.sleep(limits.DAEMON_RETRY_S_MAX + 1)
        assert dict(jobs)["a"] is not first

    told = "a: it broke, and begins again: a bug"
    assert sorted(said_while(work)) == sorted(["1 begins", told, "2 begins", "1 begins", told])


def test_what_has_two_names_is_told_in_words() -> None:
    """People would read a tuple of Python's."""
    said: list[str] = []

    async def main() -> None:
        jobs = Kept[tuple[str, str], int, Job](lambda _, number: Job(number, said), lambda name, _: said.append(name))
        async with trio.open_nursery() as nursery:
            jobs.keep(nursery, {("m", "origin"): 1})
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert said == ["1 begins", "m to origin"]

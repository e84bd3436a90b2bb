"""Explores every state that the protocol of a remote can come to. DESIGN, "Remote".

Breadth first, so that the course that leads to a fault is a shortest one. Writers and collectors are told apart only
by what they know; names of packs that nothing mentions any more are new ones.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

from tests.model_remote.collecting import Collecting
from tests.model_remote.deciding import Decide, Decider, decide
from tests.model_remote.rules import Rules, World
from tests.model_remote.states import FREE, NONE, State, alone, canonical, dangling, first, later, living
from tests.model_remote.writing import Writing

_RUNS: Final = 4


@dataclass(frozen=True, slots=True)
class Explored:
    """`states`: how many were seen; `is_all`: there are no more; `fault`: what went wrong; `course`: how."""

    states: int
    is_all: bool
    fault: str = ""
    course: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = f"{self.fault or 'safe'}, {self.states} states{'' if self.is_all or self.fault else ', not all'}"
        return "\n".join([told, *(f"{number:3}. {step}" for number, step in enumerate(self.course, 1))])


class Model:
    """A world under rules. `decision`: what collectors decide by."""

    def __init__(self, world: World, rules: Rules | None = None, decision: Decide | None = None) -> None:
        rules = rules or Rules()
        self.world = world
        self._writing = Writing(world, rules)
        self._garbage = lru_cache(maxsize=None)(self._left)
        self._collecting = Collecting(world, rules, Decider(decision or partial(decide, rules=rules)))

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        """What may happen next."""
        yield from self._collecting.steps(state)
        yield from self._writing.steps(state)
        yield "time passes", later(state, self.world.grace)

    def explore(self, states_max: int, *, settling: bool = False) -> Explored:
        """Look at states until one is at fault or so many were seen.

        `settling`: a state is also at fault from which undisturbed runs, a `grace` apart, leave garbage behind.
        """
        with _without_garbage():
            return self._explore(states_max, settling)

    def _explore(self, states_max: int, settling: bool) -> Explored:
        start = first(self.world)
        before: dict[State, State | None] = {start: None}
        queue = deque([start])
        while queue:
            state = queue.popleft()
            for _, after in self.steps(state):
                after = canonical(after, self.world)
                if after in before:
                    continue
                before[after] = state
                fault = _fault(after) or (self._garbage(alone(after)) if settling else "")
                if fault:
                    return Explored(len(before), False, fault, self._course(before, after))
                if len(before) >= states_max:
                    return Explored(len(before), False)
                queue.append(after)
        return Explored(len(before), True)

    def _left(self, state: State) -> str:
        """What is left after as many runs as a pack takes: finishing another's, listing, its time, deleting."""
        for _ in range(_RUNS):
            for _ in range(self.world.grace):
                state = later(state, self.world.grace)
            state = self._collecting.run(state)
        needed = {state.sets[version] for version in range(self.world.versions) if living(state) >> version & 1}
        for pack, age in enumerate(state.ages):
            if age != NONE and pack not in needed:
                return f"pack {pack} stays for ever, and nobody needs it"
            if state.phases[pack] != FREE:
                return f"pack {pack} stays in gc/state for ever"
        return ""

    def _course(self, before: dict[State, State | None], state: State) -> tuple[str, ...]:
        """The steps to a state, told with each writer and collector under one name."""
        path = [state]
        while (previous := before[path[-1]]) is not None:
            path.append(previous)
        told: list[str] = []
        here = path.pop()
        for there in reversed(path):
            what, here = next(
                (what, after) for what, after in self.steps(here) if canonical(after, self.world) == there
            )
            told.append(what)
        return tuple(told)


def _fault(state: State) -> str:
    version = dangling(state)
    if version != NONE:
        return f"version {version} has a ref, and its pack is gone"
    if any(writer.at == "in vain" for writer in state.writers):
        return "a pack was pinned all the time, and listed"
    return ""


@contextmanager
def _without_garbage() -> Generator[None, None, None]:
    """Values in millions hold no cycles: looking for them takes longer than the rest."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

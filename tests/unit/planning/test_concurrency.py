"""How many requests are under way at once, on ways of many kinds. The clock is the count of windows."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore import limits
from artstore.planning.concurrency import Bounds, Concurrency, Window, begin, step

BOUNDS = Bounds(1, 32)
MB = 1e6


@dataclass
class Link:
    """A way: what passes at a level, with noise, and from which level on requests are refused."""

    bytes_s: Callable[[int], float]
    noise: float = 0.0
    refuses_from: int = 1000
    seed: int = 1

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def window(self, level: int) -> Window:
        refused = level >= self.refuses_from
        noisy = self.bytes_s(level) * (1 + self.random.uniform(-self.noise, self.noise))
        return Window(noisy * (0.3 if refused else 1), full=True, refused=refused)

    def best(self) -> float:
        return max(self.bytes_s(level) for level in range(BOUNDS.least, min(BOUNDS.most, self.refuses_from - 1) + 1))


def run(link: Link, windows: int, state: Concurrency | None = None) -> tuple[Concurrency, list[int]]:
    """The state after so many windows, and the level in each."""
    state = state or begin(limits.REMOTE_TRANSFERS_START, BOUNDS)
    levels: list[int] = []
    for _ in range(windows):
        levels.append(state.level)
        state = step(state, link.window(state.level), BOUNDS)
        assert BOUNDS.least <= state.level <= BOUNDS.most
    return state, levels


def share(link: Link, levels: list[int]) -> float:
    """What passed at these levels, as a part of the best."""
    passed = [0.3 * link.bytes_s(n) if n >= link.refuses_from else link.bytes_s(n) for n in levels]
    return sum(passed) / len(passed) / link.best()


def pipe(per_request: float, capacity: float, wear: float = 0.0) -> Callable[[int], float]:
    """So much for each request, until the way is full; from there on each more one costs a part of it."""

    def bytes_s(level: int) -> float:
        beyond = max(0.0, level - capacity / per_request)
        return min(level * per_request, capacity) * max(0.2, 1 - wear * beyond)

    return bytes_s


@given(
    per_request=st.floats(1 * MB, 100 * MB),
    knee=st.floats(1, 40),
    wear=st.sampled_from([0.0, 0.01, 0.05]),
    noise=st.sampled_from([0.0, 0.05, 0.1]),
    seed=st.integers(0, 1000),
)
def test_it_settles_near_the_best(per_request: float, knee: float, wear: float, noise: float, seed: int) -> None:
    """A fast line would be used for a tenth, or a slow service be stormed."""
    link = Link(pipe(per_request, knee * per_request, wear), noise=noise, seed=seed)
    _, levels = run(link, 600)
    assert share(link, levels[200:]) >= 0.85


def test_it_takes_no_more_than_it_needs() -> None:
    """Connections that bring nothing cost the service and everybody else's memory."""
    _, levels = run(Link(pipe(10 * MB, 60 * MB)), 600)
    late = levels[200:]
    assert sum(late) / len(late) <= 8
    _, levels = run(Link(pipe(10 * MB, 10 * MB)), 600)
    assert sum(levels[200:]) / len(levels[200:]) <= 2.5


def test_it_grows_soon() -> None:
    """A push of a minute would be over before a fast line is used."""
    _, levels = run(Link(pipe(10 * MB, 1000 * MB)), 40)
    assert levels[0] == limits.REMOTE_TRANSFERS_START
    assert max(levels) == BOUNDS.most
    assert all(later - sooner <= max(1, sooner // 4) for sooner, later in pairwise(levels))


@given(st.integers(2, 30), st.integers(0, 1000))
def test_it_keeps_below_what_a_service_refuses(refuses_from: int, seed: int) -> None:
    """It would be asked to slow down again and again, and stand still in between."""
    link = Link(pipe(10 * MB, 1000 * MB), noise=0.05, refuses_from=refuses_from, seed=seed)
    _, levels = run(link, 1200)
    late = levels[200:]
    refused = sum(level >= refuses_from for level in late)
    assert refused <= 0.04 * len(late)
    assert share(link, late) >= 0.8


def test_it_recovers_when_a_service_has_calmed() -> None:
    """One bad minute would make the rest of the night slow."""
    link = Link(pipe(10 * MB, 160 * MB))
    state, _ = run(link, 100)
    before = state.level
    link.refuses_from = 3
    state, _ = run(link, 60, state)
    assert state.level < 6
    link.refuses_from = 1000
    _, levels = run(link, 600, state)
    assert levels[-1] >= before * 3 // 4


def test_a_refusal_halves_once() -> None:
    """What was sent before the halving is refused behind it: eight would become one."""
    state = begin(16, BOUNDS)
    for _ in range(4):
        state = step(state, Window(0, full=True, refused=True), BOUNDS)
    assert state.level == 8
    for _ in range(100):
        state = step(state, Window(0, full=True, refused=True), BOUNDS)
    assert state.level == BOUNDS.least


def test_it_learns_nothing_from_too_little_to_do() -> None:
    """The last packs of a push would be taken for a slow line."""
    state = begin(4, BOUNDS)
    for _ in range(100):
        state = step(state, Window(1.0, full=False), BOUNDS)
    assert state.level == 4


@pytest.mark.parametrize(("start", "level"), [(0, 1), (4, 4), (100, 32)])
def test_it_begins_within_its_bounds(start: int, level: int) -> None:
    """Memory is counted by them."""
    assert begin(start, BOUNDS).level == level


@given(st.lists(st.tuples(st.floats(0, 1e12), st.booleans(), st.booleans())), st.integers(1, 5), st.integers(0, 5))
def test_it_keeps_to_its_bounds_whatever_happens(
    windows: list[tuple[float, bool, bool]], least: int, more: int
) -> None:
    """A level of none would hang, one too high take all memory."""
    bounds = Bounds(least, least + more)
    state = begin(4, bounds)
    for bytes_s, full, refused in windows:
        state = step(state, Window(bytes_s, full, refused), bounds)
        assert bounds.least <= state.level <= bounds.most

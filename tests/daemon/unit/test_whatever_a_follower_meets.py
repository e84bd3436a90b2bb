"""Whatever happens to a follower, in whatever order: it tells once, goes back, waits between two tries, and goes on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore import limits
from artstore_daemon.machine.following import Event, Fetch, FollowState, Hint, Hook, Phase, Seen, Switch
from tests.daemon.driven import DAY, DrivenFollower, Work, lasting

VERSIONS = ("v1", "v2", "v3")
Happening = Event | str | float | None

CHAIN_MAX = 7  # steps at one time: fetch, switch, tell, go back, and forth to another version

# What matters happens more often than what doesn't: mostly something ends, or the alias moves.
LIKELY: tuple[Happening, ...] = (
    *(6 * (None,)),
    *(3 * ("it failed",)),
    *(2 * (Seen("v1"), Seen("v2"), Seen("v3"))),
    *(2 * (Hint.ASKED,)),
    *("wait", "killed", Seen(None), Hint.PAUSED, Hint.RESUMED, Hint.DUE),
    *(0.0, 0.5, 30.0, DAY),
)
happenings = st.lists(st.sampled_from(LIKELY), min_size=20, max_size=40)


def at_hook() -> DrivenFollower:
    """One that served v1, has switched to v2, and runs its hook."""
    machine = DrivenFollower()
    for version in ("v1", "v2"):
        machine.see(version)
        machine.end()
        machine.end()
        if version == "v1":
            machine.end()
    assert machine.state.phase is Phase.HOOKING
    return machine


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("before", [None, "v1"])
def test_who_asks_before_a_hook_has_failed(steps: int, before: str | None) -> None:
    """A hook that fails would be run twice in a row, since somebody was in a hurry for the version to come."""
    machine = DrivenFollower(state=FollowState(current=before))
    assert machine.see("v2") == Fetch("v2")
    assert steps == 0 or machine.end() == Switch("v2")
    machine.tell(Hint.ASKED)
    while machine.state.phase is not Phase.HOOKING:
        machine.end()
    assert machine.end("no GPU") == (None if before is None else Switch(before))
    assert before is None or machine.end() is None
    assert machine.see("v2") is None


def test_who_asks_while_a_hook_fails() -> None:
    """What can't be run would be served for five minutes more, until its hook has failed a second time."""
    machine = at_hook()
    machine.tell(Hint.ASKED)
    assert machine.end("no GPU") == Switch("v1")
    assert machine.end() == Fetch("v2"), "it may have been mended meanwhile"
    assert machine.end() == Switch("v2")
    assert machine.end() == Hook("v1", "v2")
    assert machine.end("no GPU") == Switch("v1")
    assert machine.end() is None


def test_who_asks_while_a_switch_fails() -> None:
    """Who has made room on the disk would wait for five minutes."""
    machine = DrivenFollower(state=FollowState(current="v1", failures=9))
    machine.see("v2")
    machine.end()
    machine.tell(Hint.ASKED)
    assert machine.end("full") == Switch("v1")
    assert machine.end("full") is None, "but not again and again"
    assert machine.wait()[1] == Switch("v1")
    assert machine.end() == Fetch("v2")


def test_a_version_before_that_is_broken() -> None:
    """A machine would serve what it can't run for ever, though the version that mends it is there."""
    machine = at_hook()
    assert machine.end("no GPU") == Switch("v1")
    machine.end("corrupt")
    assert machine.see("v3") == Switch("v1")
    begun = machine.end("corrupt")
    while begun is None:
        assert machine.wait()[1] == Switch("v1")
        begun = machine.end("corrupt")
    assert machine.now < 1100.0
    assert begun == Fetch("v3")
    assert machine.end("away") is None
    assert machine.wait()[1] == Switch("v1"), "it is what is to be served until there is something better"
    assert machine.end("corrupt") == Fetch("v3")
    assert machine.end() == Switch("v3")
    assert machine.end() == Hook("v1", "v3")
    assert machine.end("no GPU") == Switch("v1"), "v2 is no good"
    assert machine.end() is None


def test_who_asks_where_all_fails() -> None:
    """A core would be busy, and the network, since somebody asked once."""
    machine = at_hook()
    machine.see("v3")
    machine.end("no GPU")
    for _ in range(limits.FOLLOW_RETURNS_MAX):
        assert machine.end("corrupt") is None
        machine.wait()
    machine.tell(Hint.ASKED)
    assert machine.end("corrupt") == Fetch("v3")
    assert machine.end("away") is None
    assert machine.wait()[1] == Switch("v1")
    machine.end("corrupt")
    machine.tell(Hint.ASKED)
    assert machine.end("away") == Switch("v1"), "once"
    assert machine.end("corrupt") == Fetch("v3")
    assert machine.end("away") is None


def test_a_switch_that_can_not_be_undone() -> None:
    """A machine would try for ever to serve what is broken on its disk, and not what the alias names."""
    machine = DrivenFollower(state=FollowState(current="v1", previous="v0"))
    machine.see("v2")
    machine.end()
    begun = machine.end("full")
    while begun is None:
        assert machine.wait()[1] == Switch("v1")
        begun = machine.end("corrupt")
    assert begun == Fetch("v2")
    assert (machine.state.current, machine.state.previous) == (None, "v1"), "nobody knows which it serves"
    assert machine.see("v1") is None
    assert machine.end() == Fetch("v1"), "the alias is back, but who knows"
    assert machine.end() == Switch("v1")
    assert machine.end() == Hook(None, "v1")
    assert machine.end("no GPU") is None


@pytest.mark.parametrize("phase", [Phase.HOOKING, Phase.RETURNING])
def test_a_follower_that_is_paused_meanwhile_and_killed(phase: Phase) -> None:
    """A machine would serve half a switch until somebody resumes it."""
    machine = at_hook()
    begun: Work = Hook("v1", "v2")
    if phase is Phase.RETURNING:
        begun = Switch("v1")
        assert machine.end("no GPU") == begun
    machine.tell(Hint.PAUSED)
    assert machine.restart(replace(lasting(machine.state), paused=True)) == begun
    assert machine.see("v3") is None
    assert machine.end() is None
    assert machine.served() == ("v2" if phase is Phase.HOOKING else "v1")
    assert machine.tell(Hint.RESUMED) == Fetch("v3")


@dataclass
class Watched:
    """A follower of which each step is looked at.

    `broken`: versions whose hook fails in the end; `dead`: versions that can't be switched to in the end; `asked`:
    somebody has asked, or moved the alias, since the step under way began; `told`: the last hook that ended since a
    switch; `failed`: the same, if it failed.
    """

    machine: DrivenFollower
    broken: frozenset[str] = frozenset()
    dead: frozenset[str] = frozenset()
    begun: Work | None = None
    asked: bool = False
    chain: int = 0
    failed: Hook | None = None
    told: Hook | None = None
    whole: set[str] = field(default_factory=set[str])

    def happen(self, happening: Happening) -> None:
        match happening:
            case "wait":
                if self.machine.wake is not None:
                    self.machine.now = max(self.machine.now, self.machine.wake)
                    self.chain = 0
                    self.take(self.machine.tell(Hint.DUE))
            case "killed":
                self.chain, self.begun, self.told, self.asked = 0, None, None, False
                self.failed = None if self.machine.state.phase is Phase.HOOKING else self.failed
                self.take(self.machine.restart())
            case float() | int():
                self.machine.now += happening
                self.chain = 0
            case None | "it failed":
                if self.begun is not None:
                    self.end(happening)
            case str():
                raise AssertionError(happening)
            case _:
                self.chain = 0
                moved = isinstance(happening, Seen) and happening.version != self.machine.state.wanted
                self.asked = self.asked or moved or happening is Hint.ASKED
                self.take(self.machine.tell(happening))

    def end(self, error: str | None) -> None:
        """What was under way has ended."""
        before, self.begun = self.begun, None
        match before:
            case Fetch() if error is None:
                self.whole.add(before.version)
            case Switch() if error is None:
                self.failed = self.told = None
            case Hook():
                self.told = before
                self.failed = None if error is None else before
            case _:
                pass
        asked, after = self.asked, self.machine.end(error)
        if error is not None:
            assert after != before or asked, "it is tried again without a pause"
            if isinstance(before, Hook) and before.old is not None:
                assert after == Switch(before.old), "it goes on with what it can't run"
        self.take(after)

    def take(self, begun: Work | None) -> None:
        state = self.machine.state
        if begun is not None:
            assert self.begun is None, "two at once"
            self.begun = begun
            self.chain += 1
            assert self.chain <= CHAIN_MAX, "it goes round without a pause"
            if isinstance(begun, Fetch):
                assert begun.version == state.wanted
                assert not state.paused
            if isinstance(begun, Switch):
                assert begun.version in self.whole, "it isn't all here"
                assert state.phase is Phase.RETURNING or not state.paused
            assert None in (state.current, state.previous) or state.current != state.previous
            if isinstance(begun, Hook) and begun == self.told:
                assert self.failed == begun, "it was told already"
                assert self.asked, "a hook that failed is run again"
                assert begun.old is None, "it didn't go back first"
            self.asked = False
        assert (state.phase is Phase.RESTING) == (self.begun is None)
        if self.is_pending():
            assert self.begun is not None or self.machine.wake is not None, "it is forgotten"

    def is_pending(self) -> bool:
        """Is there anything that it has yet to do?"""
        state = self.machine.state
        back = state.target is not None or (None not in (state.previous, state.bad) and state.bad == state.current)
        return back or (not state.paused and state.wanted not in (None, state.current, state.bad))

    def calm_down(self, alias: str) -> None:
        """Nothing goes wrong any more but what can't go well."""
        self.happen(Hint.RESUMED)
        self.happen(Seen(alias))
        for _ in range(60):
            match self.begun:
                case None if self.machine.wake is None:
                    return
                case None:
                    self.happen("wait")
                case Switch(version) if version in self.dead:
                    self.happen("it failed")
                case Hook(_, version) if version in self.broken:
                    self.happen("it failed")
                case _:
                    self.happen(None)
        raise AssertionError("it comes to no rest")


@settings(max_examples=150, derandomize=True, database=None)
@given(happenings, st.booleans(), st.sets(st.sampled_from(VERSIONS)))
def test_whatever_happens(happenings: list[Happening], has_hook: bool, broken: set[str]) -> None:
    """A hook would be run twice, or a version be served that can't be run, or a move of the alias be missed."""
    world = Watched(DrivenFollower(has_hook=has_hook), frozenset(broken))
    for happening in happenings:
        world.happen(happening)
    world.calm_down("v2")
    state = world.machine.state
    assert state.current == "v2" or (has_hook and state.bad == "v2" and state.current is not None)
    assert state.current == "v2" or state.error is not None
    world.calm_down("v4")
    assert world.machine.served() == "v4"
    assert world.machine.state.error is None


@settings(max_examples=100, derandomize=True, database=None)
@given(happenings, st.booleans())
def test_what_can_not_be_gone_back_to(happenings: list[Happening], has_hook: bool) -> None:
    """A machine whose version before is broken on its disk could not be mended by a newer version."""
    world = Watched(DrivenFollower(has_hook=has_hook), dead=frozenset(VERSIONS))
    for happening in happenings:
        world.happen(happening)
    world.calm_down("v4")
    assert world.machine.served() == "v4"

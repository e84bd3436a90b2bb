"""Whatever happens to a watched folder, in whatever order: all of it comes into a version, in time, not too early."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore import limits
from artstore_daemon.machine.folder import Commit, Ended, FolderState, Hint, Outcome, Rules
from tests.daemon.driven import DAY, DrivenFolder

Happening = Hint | Ended | float | str

# What matters happens more often than what doesn't. `wait`: until it wants to be woken.
LIKELY: tuple[Happening, ...] = (
    *(4 * (Hint.TOUCHED,)),
    *("wait", "wait", "wait", "changed unheard"),
    *(Hint.ASKED, Hint.GONE, Hint.BACK, Hint.BACK, Hint.PAUSED, Hint.RESUMED, Hint.RESUMED, Hint.DUE),
    *(Ended(outcome) for outcome in Outcome if outcome is not Outcome.DONE),
    *(3 * (Ended(Outcome.DONE),)),
    *(Ended(Outcome.FAILED, spread=0.0), Ended(Outcome.ABSENT, spread=0.3)),
    *(0.0, 0.5, 1.9, 2.0, 30.0, 899.0, DAY),
)
happenings = st.lists(st.sampled_from(LIKELY), min_size=20, max_size=50)
rules = st.sampled_from([Rules(2.0, 900.0), Rules(0.1, 0.1), Rules(34.0, 34.0), Rules(10.0, 15.0)])


@pytest.mark.parametrize("outcome", [Outcome.PARTLY, Outcome.REFUSED])
def test_a_commit_that_takes_longer_than_what_never_settles_may_wait(outcome: Outcome) -> None:
    """A large folder with a log and a file that is refused would be read again and again without a pause."""
    machine = DrivenFolder()
    machine.tell(Hint.ASKED)
    for _ in range(1000):
        assert machine.tell(Hint.TOUCHED, after=1.0) is None
    assert machine.end(outcome) is None
    assert machine.wait() == machine.rules.settle_s
    assert machine.tell(Hint.TOUCHED, after=1000.0) is None
    assert machine.end(outcome) is None


def test_a_look_at_who_writes_that_takes_long() -> None:
    """A folder in which a file is open would be looked through twice in a row, since it was touched meanwhile."""
    machine = DrivenFolder()
    machine.tell(Hint.ASKED)
    machine.tell(Hint.TOUCHED, after=1.0)
    assert machine.end(Outcome.BUSY, after=100.0) is None
    assert machine.wait() == machine.rules.settle_s


@dataclass
class Watched:
    """A folder with a number in it, and what decides when it is committed; each step is looked at.

    `owed`: what was told of last; `found`: what a commit under way has found; `heard`: the latest change that was told;
    `waits`: when the first one was that no commit has seen yet, `waited`: the same when the commit began; `asked`:
    since a commit began; `fresh`: something has happened, or time has passed, since then.
    """

    machine: DrivenFolder
    content: int = 1
    committed: int = 0
    owed: int = 0
    found: int | None = None
    heard: float | None = None
    waits: float | None = None
    waited: float | None = None
    asked: bool = False
    fresh: bool = True

    def happen(self, happening: Happening) -> None:
        match happening:
            case "wait":
                self.wait()
            case "changed unheard":
                self.content += 1
            case float() | int():
                self.pass_time(self.machine.now + happening)
            case Ended():
                if self.found is not None:
                    self.end(happening)
            case Hint():
                if happening is Hint.TOUCHED:
                    self.content += 1
                    self.owed = self.content
                self.hear(happening)
                self.take(self.machine.tell(happening))
            case _:
                raise AssertionError(happening)

    def hear(self, hint: Hint) -> None:
        """What a hint means to it."""
        state, now = self.machine.state, self.machine.now
        self.asked = self.asked or hint is Hint.ASKED
        self.fresh = self.fresh or hint is not Hint.DUE
        seen_again = (hint is Hint.BACK and state.gone) or (hint is Hint.RESUMED and state.paused)
        if seen_again:
            self.waits = None
        if hint is Hint.TOUCHED or seen_again:
            self.heard = now
            self.waits = now if self.waits is None else self.waits

    def wait(self) -> None:
        """Until it wants to be woken."""
        if self.machine.wake is not None:
            self.pass_time(self.machine.wake)

    def pass_time(self, until: float) -> None:
        """Let time pass, and wake it whenever it wants."""
        while self.machine.wake is not None and self.machine.wake <= until:
            self.fresh = True
            self.machine.now = self.machine.wake
            begun = self.machine.tell(Hint.DUE)
            assert begun is not None, "it was woken in vain"
            self.take(begun)
        self.fresh = self.fresh or until > self.machine.now
        self.machine.now = until

    def end(self, ended: Ended) -> None:
        """A commit has ended."""
        before, asked, now = self.machine.state, self.asked, self.machine.now
        if ended.outcome is Outcome.DONE:
            self.committed = max(self.committed, self.found or 0)
        elif ended.outcome in (Outcome.PARTLY, Outcome.REFUSED):
            self.waits = now  # what is left has its whole time
        elif ended.outcome is Outcome.UNREADY:
            self.owed = 0 if self.owed <= (self.found or 0) else self.owed
        else:
            self.waits = next(at for at in (self.waited, self.waits, now) if at is not None)
        self.found = None
        begun = self.machine.tell(ended)
        after = self.machine.state
        is_next = ended.outcome in (Outcome.DONE, Outcome.UNREADY) and self.is_due()
        assert begun is None or asked or is_next, "it is tried again without a pause"
        match ended.outcome:
            case Outcome.DONE | Outcome.PARTLY | Outcome.UNREADY:
                assert after.failures == 0
                assert after.error is None
            case Outcome.FAILED | Outcome.ABSENT if self.machine.wake is not None:
                assert after.failures == before.failures + 1
                pause = min(2.0 ** min(before.failures, 20), limits.DAEMON_RETRY_S_MAX)
                assert self.machine.wake >= self.machine.now + max(limits.DAEMON_RETRY_S_MIN, pause * ended.spread)
                assert self.machine.wake <= self.machine.now + max(pause, self.machine.rules.every_s)
            case _:
                pass
        self.take(begun)

    def is_due(self) -> bool:
        """Has what was heard, and no commit has seen, been quiet for long enough, or waited for too long?"""
        now, rules = self.machine.now, self.machine.rules
        if self.waits is None or self.heard is None:
            return False
        return now >= min(self.heard + rules.settle_s, self.waits + rules.every_s)

    def take(self, begun: Commit | None) -> None:
        """It wants this to be done."""
        machine, state = self.machine, self.machine.state
        if begun is not None:
            assert self.found is None, "two at once"
            assert not state.paused
            assert not state.gone
            assert self.fresh, "it goes round without a pause"
            assert self.asked or self.heard is None or self.is_due(), "it is in the midst of a burst"
            self.waited, self.waits = self.waits, None
            self.found, self.asked, self.fresh = self.content, False, False
        assert state.running == (self.found is not None)
        if not (state.running or state.paused or state.gone):
            assert state.is_pending == (machine.wake is not None), "it is forgotten, or is woken for nothing"
            if machine.wake is not None and self.waits is not None and state.not_before is None:
                assert machine.wake <= self.waits + machine.rules.every_s, "it waits for too long"

    def calm_down(self) -> None:
        """Nothing goes wrong any more, and it is looked through once."""
        for hint in (Hint.BACK, Hint.RESUMED):
            self.happen(hint)
        if self.found is not None:
            self.happen(Ended(Outcome.FAILED))
        until = self.machine.now + self.machine.rules.every_s + limits.DAEMON_RETRY_S_MAX
        self.come_to_rest()
        assert self.machine.now <= until, "it took too long"
        assert self.committed >= self.owed, "what was heard is in no version"
        self.happen(Hint.TOUCHED)
        self.come_to_rest()

    def come_to_rest(self) -> None:
        """Until there is nothing to do."""
        while self.machine.state.is_pending:
            self.happen("wait" if self.found is None else Ended(Outcome.DONE))


@settings(max_examples=200, derandomize=True, database=None)
@given(happenings, rules)
def test_whatever_happens(happenings: list[Happening], rules: Rules) -> None:
    """What is in a folder would be in no version, or too late, or in the midst of a burst, or a core be busy."""
    world = Watched(DrivenFolder(rules=rules))
    for happening in happenings:
        world.happen(happening)
    world.calm_down()
    assert world.committed == world.content
    assert world.machine.state == FolderState(busy=world.machine.state.busy)

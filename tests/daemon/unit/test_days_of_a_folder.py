"""Days of a watched folder in a moment, with crashes, lost events, full disks: its newest version is what is in it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from artstore import limits
from artstore_daemon.machine.folder import Commit, Ended, Event, FolderState, Hint, Outcome, Rules
from tests.daemon.driven import DAY, HOUR, RULES, Days, DrivenFolder


@dataclass(frozen=True)
class Temper:
    """How long it is on average between two changes, and so on, s; how likely things are; how long a commit takes."""

    changes_s: float
    lost: float
    crashes_s: float
    absences_s: float
    pauses_s: float
    failing: float
    refused: float
    writing: float
    commit_s: float


TEMPERS = {
    "calm": Temper(600, 0.0, DAY, DAY, DAY, 0.02, 0.01, 0.1, 3.0),
    "restless": Temper(1.0, 0.0, DAY, DAY, DAY, 0.05, 0.02, 0.5, 3.0),
    "deaf": Temper(60, 0.6, 6 * HOUR, 6 * HOUR, 6 * HOUR, 0.1, 0.1, 0.2, 20.0),
    "shaky": Temper(30, 0.1, 600, 300, HOUR, 0.5, 0.2, 0.3, 30.0),
    "slow": Temper(20, 0.1, 6 * HOUR, 3 * HOUR, DAY, 0.2, 0.1, 0.3, 600.0),
}


class World:
    """A folder with a number in it, and a daemon that commits it."""

    def __init__(self, temper: Temper, chance: random.Random, rules: Rules) -> None:
        self.temper = temper
        self.chance = chance
        self.machine = DrivenFolder(rules=rules)
        self.days = Days(chance, self.machine, due=self.wake)
        self.content = 1
        self.committed = 0
        self.is_there = True
        self.is_ready = True
        self.is_running = False
        self.is_told_gone = False
        self.is_paused = False
        self.life = 0  # of the daemon: what an earlier one began tells nothing to a later one
        self.hints = self.commits = 0

    # --- the daemon

    def tell(self, event: Event) -> None:
        begun = self.machine.tell(event)
        if begun is not None:
            assert not self.is_running, "two at once"
            assert not self.is_paused
            assert not self.is_told_gone
            self.commits += 1
            self.begin(begun)

    def hint(self, hint: Hint) -> None:
        self.hints += 1
        self.tell(hint)

    def wake(self) -> None:
        before = self.commits
        self.tell(Hint.DUE)
        assert self.commits == before + 1, "it was woken in vain"

    def begin(self, begun: Commit) -> None:
        life, found, outcome = self.life, self.content, self.outcome(begun)

        def end() -> None:
            if self.life == life:
                self.is_running = False
                if outcome is Outcome.DONE:
                    self.committed = found
                self.tell(Ended(outcome, spread=self.chance.random()))

        self.is_running = True
        self.days.after(self.temper.commit_s * self.chance.random(), end)

    def outcome(self, begun: Commit) -> Outcome:
        """What will come of a commit."""
        if not self.is_there:
            return Outcome.ABSENT
        if not self.is_ready:
            return Outcome.UNREADY
        if not self.days.is_wild:
            return Outcome.DONE
        if self.chance.random() < self.temper.failing:
            return Outcome.FAILED
        if self.chance.random() < self.temper.refused:
            return Outcome.REFUSED
        if self.chance.random() < self.temper.writing:
            return Outcome.BUSY if begun.patient or self.chance.random() < 0.1 else Outcome.PARTLY
        return Outcome.DONE

    def look(self) -> None:
        """The daemon looks every few seconds whether the folder is there."""
        life = self.life

        def see() -> None:
            if self.life == life and self.is_there is self.is_told_gone:
                self.is_told_gone = not self.is_there
                self.hint(Hint.BACK if self.is_there else Hint.GONE)

        self.days.after(limits.WATCH_LOOK_S * self.chance.random(), see)

    def rescan(self) -> None:
        """It is looked through in any case about once an hour."""
        life = self.life
        self.hint(Hint.ASKED)
        pause = limits.WATCH_RESCAN_S * self.chance.uniform(0.9, 1.1)
        self.days.after(pause, lambda: self.rescan() if self.life == life else None)

    # --- what happens

    def change(self) -> None:
        """Something is written, and mostly heard."""
        if not self.is_there:
            return
        self.content += 1
        self.is_ready = self.chance.random() < 0.9
        if self.chance.random() >= self.temper.lost:
            life = self.life
            self.days.after(self.chance.random(), lambda: self.hint(Hint.TOUCHED) if self.life == life else None)

    def vanish(self) -> None:
        """The disk is unmounted, for an instant or a while."""
        if self.is_there:
            self.is_there = False
            self.days.after(self.chance.choice([0.5, 5.0, 600.0]) * self.chance.random(), self.appear)
            self.look()

    def appear(self) -> None:
        """It is back, with something else on it."""
        if not self.is_there:
            self.is_there = True
            self.content += 1
            self.look()

    def pause(self) -> None:
        """Somebody pauses or resumes it."""
        self.is_paused = not self.is_paused
        self.hint(Hint.PAUSED if self.is_paused else Hint.RESUMED)

    def crash(self) -> None:
        """The daemon is killed, and begins again: it knows nothing."""
        self.life += 1
        self.is_running = self.is_paused = False
        self.machine.state, self.machine.wake = FolderState(), None
        self.is_told_gone = not self.is_there
        if self.is_told_gone:
            self.hint(Hint.GONE)
        self.rescan()

    def calm_down(self) -> None:
        """Nothing goes wrong any more, and nothing is changed."""
        self.change()
        self.days.is_wild, self.is_ready = False, True
        self.appear()
        if self.is_paused:
            self.pause()


@pytest.mark.parametrize("temper", TEMPERS)
@pytest.mark.parametrize("seed", range(6))
def test_days_of_it(temper: str, seed: int) -> None:
    """After a crash, lost events or a full disk the newest version would not be what is in the folder."""
    chance = random.Random(f"{temper} {seed}")
    rules = chance.choice([RULES, Rules(0.5, 60.0), Rules(30.0, 30.0)])
    mood = TEMPERS[temper]
    if temper == "restless":  # it never settles
        mood = replace(mood, changes_s=rules.settle_s / 2)
    world = World(mood, chance, rules)
    world.crash()
    world.days.now_and_then(mood.changes_s, world.change)
    world.days.now_and_then(mood.crashes_s, world.crash)
    world.days.now_and_then(mood.absences_s, world.vanish)
    world.days.now_and_then(mood.pauses_s, world.pause)
    world.days.run(6 * HOUR if temper == "restless" else 3 * DAY)
    assert world.committed > 1
    assert world.commits <= world.hints + world.machine.now / 20, "it tries without a pause"
    world.calm_down()
    world.days.run(1.1 * limits.WATCH_RESCAN_S + 2 * mood.commit_s)
    assert world.committed == world.content

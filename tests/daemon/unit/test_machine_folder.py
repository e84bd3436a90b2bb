"""When a watched folder is committed, by a clock that is turned by hand."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count, pairwise
from typing import assert_never

import pytest

from artstore import limits
from artstore.errors import UsageError
from artstore_daemon.machine.folder import (
    Commit,
    Ended,
    Event,
    FolderState,
    Hint,
    Outcome,
    Rules,
    Wake,
    require_rules,
    step,
)

RULES = Rules(settle_s=2.0, every_s=900.0)
HOUR = 3600.0
DAY = 24 * HOUR
UNFINISHED = [each for each in Outcome if each not in (Outcome.DONE, Outcome.UNREADY)]


@dataclass
class Machine:
    """A machine, and the time. `wake`: when it wants to be woken."""

    now: float = 1000.0
    rules: Rules = RULES
    state: FolderState = field(default_factory=FolderState)
    wake: float | None = None

    def tell(self, event: Event, *, after: float = 0.0) -> Commit | None:
        """Tell it of something so many seconds later; what it wants to be done at once."""
        self.now += after
        self.state, actions = step(self.state, event, now=self.now, rules=self.rules)
        self.wake = None
        begun: Commit | None = None
        for action in actions:
            match action:
                case Wake():
                    assert action.at > self.now, "it would be woken for ever"
                    self.wake = action.at
                case Commit():
                    begun = action
                case _:
                    assert_never(action)
        assert begun is None or self.wake is None
        return begun

    def end(self, outcome: Outcome, *, after: float = 0.0, spread: float = 1.0) -> Commit | None:
        """A commit has ended."""
        error = None if outcome in (Outcome.DONE, Outcome.PARTLY) else outcome.value
        return self.tell(Ended(outcome, error=error, spread=spread), after=after)

    def wait(self) -> float:
        """Wait until it begins the commit that it waits for; how long that took."""
        assert self.wake is not None
        pause = self.wake - self.now
        assert self.tell(Hint.DUE, after=pause) is not None
        return pause

    def is_done(self) -> bool:
        """Is all in a version, and nothing waited for?"""
        return self.wake is None and not self.state.is_pending


@pytest.fixture
def machine() -> Machine:
    """One that has committed what there is."""
    made = Machine()
    assert made.tell(Hint.ASKED) == Commit(patient=True)
    assert made.end(Outcome.DONE) is None
    assert made.is_done()
    return made


def failing(machine: Machine, outcome: Outcome, times: int) -> list[float]:
    """How long it waits after each of so many failures in a row."""
    pauses: list[float] = []
    for _ in range(times):
        assert machine.end(outcome) is None
        pauses.append(machine.wait())
    return pauses


# --- when


def test_it_is_committed_once_it_is_quiet(machine: Machine) -> None:
    """A checkpoint would be a version after its first file."""
    assert machine.tell(Hint.TOUCHED) is None
    assert machine.state.is_pending
    for _ in range(10):
        assert machine.tell(Hint.TOUCHED, after=1.5) is None
    assert machine.wake == machine.now + RULES.settle_s
    assert machine.tell(Hint.DUE, after=1.9) is None
    assert machine.tell(Hint.DUE, after=0.1) == Commit(patient=True)
    assert machine.end(Outcome.DONE, after=5) is None
    assert machine.is_done()


def test_a_burst_is_one_commit(machine: Machine) -> None:
    """An archive that is unpacked would be a thousand versions."""
    begun = [machine.tell(Hint.TOUCHED, after=0.001) for _ in range(10_000)]
    assert begun == [None] * 10_000
    assert machine.wait() == pytest.approx(RULES.settle_s)
    assert machine.end(Outcome.DONE) is None
    assert machine.wake is None


def test_what_never_settles_is_committed_now_and_then(machine: Machine) -> None:
    """A folder with a log in it would never be a version."""
    at: list[float] = []
    for _ in range(4000):
        begun = machine.tell(Hint.TOUCHED, after=1.0)
        if begun is not None:
            assert begun == Commit(patient=False)
            at.append(machine.now)
            assert machine.end(Outcome.PARTLY) is None
    assert at[0] == 1000.0 + 1.0 + RULES.every_s
    assert {later - one for one, later in pairwise(at)} == {RULES.every_s}


def test_who_asks_does_not_wait(machine: Machine) -> None:
    """Who is about to switch the machine off would have to wait for the folder to be quiet."""
    machine.tell(Hint.TOUCHED)
    assert machine.tell(Hint.ASKED) == Commit(patient=True)
    assert machine.end(Outcome.FAILED) is None
    assert machine.tell(Hint.ASKED, after=0.1) == Commit(patient=True)
    assert machine.end(Outcome.REFUSED) is None
    assert machine.tell(Hint.ASKED, after=0.1) == Commit(patient=True)
    assert machine.end(Outcome.BUSY) is None
    assert machine.tell(Hint.ASKED, after=0.1) == Commit(patient=True)
    assert machine.end(Outcome.DONE) is None
    assert machine.wake is None


def test_what_happens_during_a_commit_is_not_lost(machine: Machine) -> None:
    """What was written after its file had been read would be in no version until the next change."""
    machine.tell(Hint.ASKED)
    assert machine.tell(Hint.TOUCHED, after=1.0) is None
    assert machine.end(Outcome.DONE, after=0.5) is None
    assert machine.wait() == 1.5
    assert machine.tell(Hint.ASKED) is None, "never two at once"
    assert machine.end(Outcome.DONE) == Commit(patient=True)


# --- what goes wrong


def test_a_folder_where_somebody_writes_is_waited_for(machine: Machine) -> None:
    """Half of a file would be in a version; or all processes would be looked through every two seconds for a week."""
    machine.tell(Hint.TOUCHED)
    pauses = [machine.wait(), *failing(machine, Outcome.BUSY, 8)]
    assert pauses[:-1] == [2.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    machine.tell(Hint.TOUCHED, after=1.0)
    machine.end(Outcome.BUSY)
    assert machine.wait() == RULES.settle_s, "something happens, so it may soon be over"
    while machine.now < 1000.0 + RULES.every_s:
        machine.end(Outcome.BUSY)
        machine.wait()
    assert machine.now == 1000.0 + RULES.every_s, "its time is over"


def test_somebody_who_writes_for_too_long_is_not_waited_for(machine: Machine) -> None:
    """A file that is always open would keep all others from being versions; or a core would be busy trying."""
    machine.tell(Hint.TOUCHED)
    assert machine.tell(Hint.DUE, after=RULES.every_s) == Commit(patient=False)
    pauses = failing(machine, Outcome.BUSY, 12)
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == limits.DAEMON_RETRY_S_MAX


def test_what_is_not_ready_waits_for_the_next_change(machine: Machine) -> None:
    """A checkpoint would be a version before its last shard is there."""
    machine.tell(Hint.TOUCHED)
    machine.wait()
    assert machine.end(Outcome.UNREADY) is None
    assert machine.is_done()
    machine.tell(Hint.TOUCHED, after=HOUR)
    assert machine.wait() == RULES.settle_s, "an hour later it has to settle all the same"
    assert machine.end(Outcome.DONE) is None


def test_what_is_never_ready_does_not_keep_a_core_busy(machine: Machine) -> None:
    """A download that takes hours would be looked at without a pause as soon as its time is over."""
    machine.tell(Hint.TOUCHED)
    begun = 0
    while machine.now < 1000.0 + 10 * RULES.every_s:
        if machine.tell(Hint.TOUCHED, after=0.5) is not None:
            machine.tell(Hint.TOUCHED, after=0.5)
            assert machine.end(Outcome.UNREADY) is None
            begun += 1
    assert begun == 9


def test_a_full_disk_is_tried_again_less_and_less_often(machine: Machine) -> None:
    """A full disk would be filled again each second; or a version would never be made once there is room."""
    machine.tell(Hint.TOUCHED)
    machine.wait()
    pauses = failing(machine, Outcome.FAILED, 11)
    assert pauses == [2.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]
    assert machine.state.error == "failed"
    machine.tell(Hint.TOUCHED)
    machine.end(Outcome.FAILED)
    machine.tell(Hint.TOUCHED, after=10.0)
    assert machine.wait() == 290.0, "it isn't tried sooner since somebody goes on writing"
    machine.end(Outcome.DONE)
    assert machine.state.failures == 0
    assert machine.state.error is None


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED])
def test_who_asks_while_it_fails_need_not_wait(machine: Machine, outcome: Outcome) -> None:
    """Who made room on the disk and asked for a commit would get it five minutes later."""
    machine.tell(Hint.ASKED)
    machine.tell(Hint.ASKED, after=1.0)
    assert machine.end(outcome) == Commit(patient=True)
    assert machine.end(outcome) is None


def test_what_is_refused_waits_until_somebody_mends_it(machine: Machine) -> None:
    """A name that can't be would be complained about every minute; or what mends it would not help for an hour."""
    machine.tell(Hint.TOUCHED)
    machine.wait()
    machine.end(Outcome.REFUSED)
    assert machine.state.error == "refused"
    machine.tell(Hint.TOUCHED, after=60.0)
    assert machine.wait() == RULES.settle_s
    machine.end(Outcome.REFUSED)
    assert machine.wait() == RULES.every_s, "it may be mended where nobody sees it"
    machine.tell(Hint.TOUCHED, after=1.0)
    machine.end(Outcome.REFUSED, after=0.5)
    assert machine.wait() == RULES.settle_s, "it was touched meanwhile"


def test_what_is_refused_does_not_keep_a_core_busy(machine: Machine) -> None:
    """A folder with a log and a file that is refused would be read without a pause."""
    begun = 0
    while machine.now < 1000.0 + 10 * RULES.every_s:
        if machine.tell(Hint.TOUCHED, after=0.5) is not None:
            machine.tell(Hint.TOUCHED, after=0.5)
            assert machine.end(Outcome.REFUSED) is None
            begun += 1
    assert begun == 9


# --- folders that come and go, and pauses


def test_a_folder_that_is_gone_is_left_alone(machine: Machine) -> None:
    """An unmounted disk would be an empty version, or an error every second."""
    machine.tell(Hint.TOUCHED)
    assert machine.tell(Hint.GONE) is None
    assert not machine.state.is_pending, "who waits for all to be done would wait for the disk"
    for event in (Hint.DUE, Hint.TOUCHED, Hint.ASKED):
        assert machine.tell(event, after=HOUR) is None
        assert machine.wake is None
    assert machine.tell(Hint.BACK) is not None, "it was asked for"
    machine.end(Outcome.DONE)
    assert machine.tell(Hint.BACK) is None
    assert not machine.state.is_pending


@pytest.mark.parametrize(("before", "after"), [(Hint.GONE, Hint.BACK), (Hint.PAUSED, Hint.RESUMED)])
def test_what_happened_meanwhile_is_committed(machine: Machine, before: Hint, after: Hint) -> None:
    """What was on the disk when it came back would be no version; or one while it is still being written."""
    machine.tell(Hint.TOUCHED)
    machine.tell(before)
    assert machine.tell(after, after=DAY) is None
    assert machine.wait() == RULES.settle_s
    assert machine.end(Outcome.DONE) is None
    assert machine.wake is None


@pytest.mark.parametrize(("before", "after"), [(Hint.GONE, Hint.BACK), (Hint.PAUSED, Hint.RESUMED)])
@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_commit_that_is_under_way_meanwhile(machine: Machine, before: Hint, after: Hint, outcome: Outcome) -> None:
    """A commit would begin while the disk is gone, or two at once, or none once it is back."""
    machine.tell(Hint.ASKED)
    machine.tell(before)
    assert machine.end(outcome) is None
    assert machine.wake is None
    assert machine.tell(after, after=1.0) is None
    assert machine.wait() == RULES.settle_s
    machine.tell(before)
    machine.tell(after)
    assert machine.end(outcome) is None
    assert machine.wait() >= limits.DAEMON_RETRY_S_MIN


def test_a_folder_that_was_gone_for_an_instant(machine: Machine) -> None:
    """A folder that was made anew between two looks would never be committed again."""
    machine.tell(Hint.ASKED)
    assert machine.end(Outcome.ABSENT) is None
    pauses = [machine.wait(), *failing(machine, Outcome.ABSENT, 10)]
    assert pauses[:3] == [2.0, 2.0, 4.0]
    assert pauses[-1] == limits.DAEMON_RETRY_S_MAX, "nobody has told that it is gone, but so it is"
    machine.end(Outcome.DONE)
    assert machine.wake is None


def test_who_asks_for_what_is_not_there_waits(machine: Machine) -> None:
    """A commit would begin of a part of a folder that has just been forgotten since it is gone."""
    machine.tell(Hint.ASKED)
    machine.tell(Hint.ASKED)
    assert machine.end(Outcome.ABSENT) is None


@pytest.mark.parametrize("outcome", UNFINISHED)
def test_a_commit_that_brought_nothing_is_made_again(machine: Machine, outcome: Outcome) -> None:
    """What could not be committed for a moment would be no version until the next change."""
    machine.tell(Hint.TOUCHED)
    machine.wait()
    assert machine.end(outcome) is None
    assert machine.state.is_pending
    machine.wait()
    assert machine.end(Outcome.DONE) is None
    assert machine.is_done()


def test_rules_that_make_no_sense_are_refused() -> None:
    """A folder would be committed before it may be."""
    assert require_rules(2.0, 2.0) == Rules(2.0, 2.0)
    for settle_s, every_s in ((3.0, 2.0), (0.0, 2.0), (-1.0, 2.0)):
        with pytest.raises(UsageError):
            require_rules(settle_s, every_s)


# --- days of it


@dataclass
class Temper:
    """What a world is like: how long it is on average between two changes, and so on, s; and how likely things are."""

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


@dataclass
class World:
    """A folder with a number in it, and a daemon that commits it."""

    temper: Temper
    chance: random.Random
    machine: Machine
    content: int = 1
    committed: int = 0
    there: bool = True
    ready: bool = True
    wild: bool = True
    is_running: bool = False
    is_told_gone: bool = False
    is_paused: bool = False
    life: int = 0  # of the daemon; what an earlier one began tells nothing to a later one
    hints: int = 0
    commits: int = 0
    wakes: int = 0
    queue: list[tuple[float, int, Callable[[], None]]] = field(
        default_factory=list[tuple[float, int, Callable[[], None]]]
    )
    order: count[int] = field(default_factory=count)

    def run(self, until: float) -> None:
        """Let time pass."""
        while self.queue and self.queue[0][0] <= until:
            at, _, happen = heappop(self.queue)
            self.sleep(at)
            self.machine.now = at
            happen()
        self.sleep(until)
        self.machine.now = until

    def sleep(self, until: float) -> None:
        """Wake the machine as it wants to be, until something else happens."""
        while self.machine.wake is not None and self.machine.wake < until:
            self.machine.now = self.machine.wake
            before = self.commits
            self.tell(Hint.DUE)
            self.wakes += 1
            assert self.commits == before + 1, "it was woken in vain"

    def after(self, pause: float, happen: Callable[[], None]) -> None:
        heappush(self.queue, (self.machine.now + pause, next(self.order), happen))

    def again(self, mean: float, happen: Callable[[], None]) -> None:
        """Now and then, as long as the world is wild."""

        def once() -> None:
            if self.wild:
                happen()
                self.again(mean, happen)

        self.after(self.chance.expovariate(1 / mean), once)

    def tell(self, event: Event) -> None:
        begun = self.machine.tell(event)
        if begun is not None:
            assert not self.is_running, "two at once"
            assert not self.is_paused
            assert not self.is_told_gone
            self.is_running = True
            self.commits += 1
            self.begin(begun)

    def hint(self, hint: Hint) -> None:
        self.hints += 1
        self.tell(hint)

    # --- commits

    def begin(self, begun: Commit) -> None:
        life, found = self.life, self.content
        outcome = self.outcome(begun)

        def end() -> None:
            if self.life != life:
                return
            self.is_running = False
            if outcome is Outcome.DONE:
                assert found >= self.committed
                self.committed = found
            self.tell(Ended(outcome, spread=self.chance.random()))

        self.after(self.temper.commit_s * self.chance.random(), end)

    def outcome(self, begun: Commit) -> Outcome:
        if not self.there:
            return Outcome.ABSENT
        if not self.ready:
            return Outcome.UNREADY
        if not self.wild:
            return Outcome.DONE
        if self.chance.random() < self.temper.failing:
            return Outcome.FAILED
        if self.chance.random() < self.temper.refused:
            return Outcome.REFUSED
        if self.chance.random() < self.temper.writing:
            return Outcome.BUSY if begun.patient or self.chance.random() < 0.1 else Outcome.PARTLY
        return Outcome.DONE

    # --- what happens

    def change(self) -> None:
        if self.there:
            self.ready = self.chance.random() < 0.9
            self.content += 1
            self.heard()

    def heard(self) -> None:
        if self.chance.random() >= self.temper.lost:
            life = self.life
            self.after(self.chance.random(), lambda: self.hint(Hint.TOUCHED) if self.life == life else None)

    def vanish(self) -> None:
        if self.there:
            self.there = False
            self.after(self.chance.choice([0.5, 5.0, 600.0]) * self.chance.random(), self.appear)
            self.look()

    def appear(self) -> None:
        self.there = True
        self.content += 1
        self.look()

    def look(self) -> None:
        """Somebody looks every few seconds whether the folder is there."""
        life = self.life

        def see() -> None:
            if self.life == life and self.there is self.is_told_gone:
                self.is_told_gone = not self.there
                self.hint(Hint.BACK if self.there else Hint.GONE)

        self.after(limits.WATCH_LOOK_S * self.chance.random(), see)

    def pause(self) -> None:
        self.is_paused = not self.is_paused
        self.hint(Hint.PAUSED if self.is_paused else Hint.RESUMED)

    def rescan(self) -> None:
        self.hint(Hint.ASKED)
        self.again_in_any_case()

    def again_in_any_case(self) -> None:
        life = self.life
        pause = limits.WATCH_RESCAN_S * self.chance.uniform(0.9, 1.1)
        self.after(pause, lambda: self.rescan() if self.life == life else None)

    def crash(self) -> None:
        """Killed, and begun again a moment later: it knows nothing, and looks."""
        self.life += 1
        self.is_running = self.is_told_gone = self.is_paused = False
        self.machine.state, self.machine.wake = FolderState(), None
        self.is_told_gone = not self.there
        if self.is_told_gone:
            self.hint(Hint.GONE)
        self.rescan()


@pytest.mark.parametrize("temper", TEMPERS)
@pytest.mark.parametrize("seed", range(6))
def test_days_of_it(temper: str, seed: int) -> None:
    """After a crash, lost events or a full disk the newest version would not be what is in the folder."""
    chance = random.Random(f"{temper} {seed}")
    rules = chance.choice([RULES, Rules(0.5, 60.0), Rules(30.0, 30.0)])
    machine = Machine(rules=rules)
    mood = TEMPERS[temper]
    if temper == "restless":
        mood = replace(mood, changes_s=rules.settle_s / 2)
    world = World(mood, chance, machine)
    world.crash()
    for mean, happen in (
        (mood.changes_s, world.change),
        (mood.crashes_s, world.crash),
        (mood.absences_s, world.vanish),
        (mood.pauses_s, world.pause),
    ):
        world.again(mean, happen)
    world.run(6 * HOUR if temper == "restless" else 3 * DAY)
    assert world.committed > 1
    calm_down(world)
    longest = limits.WATCH_RESCAN_S * 1.1 + 2 * mood.commit_s
    world.run(machine.now + longest)
    assert world.committed == world.content
    assert world.wakes <= world.commits <= world.hints + machine.now / 20


def calm_down(world: World) -> None:
    """Nothing goes wrong any more, and nothing changes."""
    world.change()
    world.wild, world.ready = False, True
    if world.is_paused:
        world.pause()
    if not world.there:
        world.appear()

"""When a watched folder is committed, by a clock that is turned by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from artstore import limits
from artstore.errors import UsageError
from artstore_daemon.machine.folder import Commit, Hint, Outcome, Rules, require_rules
from tests.daemon.driven import DAY, HOUR, RULES, DrivenFolder

UNFINISHED = [each for each in Outcome if each not in (Outcome.DONE, Outcome.UNREADY)]


@pytest.fixture
def machine() -> DrivenFolder:
    """One that has committed what there is."""
    made = DrivenFolder()
    assert made.tell(Hint.ASKED) == Commit(patient=True)
    assert made.end(Outcome.DONE) is None
    assert made.is_done()
    return made


def failing(machine: DrivenFolder, outcome: Outcome, times: int) -> list[float]:
    """How long it waits after each of so many failures in a row."""
    pauses: list[float] = []
    for _ in range(times):
        assert machine.end(outcome) is None
        pauses.append(machine.wait())
    return pauses


# --- when


def test_it_is_committed_once_it_is_quiet(machine: DrivenFolder) -> None:
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


def test_a_burst_is_one_commit(machine: DrivenFolder) -> None:
    """An archive that is unpacked would be a thousand versions."""
    begun = [machine.tell(Hint.TOUCHED, after=0.001) for _ in range(10_000)]
    assert begun == [None] * 10_000
    assert machine.wait() == pytest.approx(RULES.settle_s)
    assert machine.end(Outcome.DONE) is None
    assert machine.wake is None


def test_what_never_settles_is_committed_now_and_then(machine: DrivenFolder) -> None:
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


def test_who_asks_does_not_wait(machine: DrivenFolder) -> None:
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


def test_what_happens_during_a_commit_is_not_lost(machine: DrivenFolder) -> None:
    """What was written after its file had been read would be in no version until the next change."""
    machine.tell(Hint.ASKED)
    assert machine.tell(Hint.TOUCHED, after=1.0) is None
    assert machine.end(Outcome.DONE, after=0.5) is None
    assert machine.wait() == 1.5
    assert machine.tell(Hint.ASKED) is None, "never two at once"
    assert machine.end(Outcome.DONE) == Commit(patient=True)


# --- what goes wrong


def test_a_folder_where_somebody_writes_is_waited_for(machine: DrivenFolder) -> None:
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


def test_somebody_who_writes_for_too_long_is_not_waited_for(machine: DrivenFolder) -> None:
    """A file that is always open would keep all others from being versions; or a core would be busy trying."""
    machine.tell(Hint.TOUCHED)
    assert machine.tell(Hint.DUE, after=RULES.every_s) == Commit(patient=False)
    pauses = failing(machine, Outcome.BUSY, 12)
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == limits.DAEMON_RETRY_S_MAX


def test_what_is_not_ready_waits_for_the_next_change(machine: DrivenFolder) -> None:
    """A checkpoint would be a version before its last shard is there."""
    machine.tell(Hint.TOUCHED)
    machine.wait()
    assert machine.end(Outcome.UNREADY) is None
    assert machine.is_done()
    machine.tell(Hint.TOUCHED, after=HOUR)
    assert machine.wait() == RULES.settle_s, "an hour later it has to settle all the same"
    assert machine.end(Outcome.DONE) is None


def test_what_is_never_ready_does_not_keep_a_core_busy(machine: DrivenFolder) -> None:
    """A download that takes hours would be looked at without a pause as soon as its time is over."""
    machine.tell(Hint.TOUCHED)
    begun = 0
    while machine.now < 1000.0 + 10 * RULES.every_s:
        if machine.tell(Hint.TOUCHED, after=0.5) is not None:
            machine.tell(Hint.TOUCHED, after=0.5)
            assert machine.end(Outcome.UNREADY) is None
            begun += 1
    assert begun == 9


def test_a_full_disk_is_tried_again_less_and_less_often(machine: DrivenFolder) -> None:
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
def test_who_asks_while_it_fails_need_not_wait(machine: DrivenFolder, outcome: Outcome) -> None:
    """Who made room on the disk and asked for a commit would get it five minutes later."""
    machine.tell(Hint.ASKED)
    machine.tell(Hint.ASKED, after=1.0)
    assert machine.end(outcome) == Commit(patient=True)
    assert machine.end(outcome) is None


def test_what_is_refused_waits_until_somebody_mends_it(machine: DrivenFolder) -> None:
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


def test_what_is_refused_does_not_keep_a_core_busy(machine: DrivenFolder) -> None:
    """A folder with a log and a file that is refused would be read without a pause."""
    begun = 0
    while machine.now < 1000.0 + 10 * RULES.every_s:
        if machine.tell(Hint.TOUCHED, after=0.5) is not None:
            machine.tell(Hint.TOUCHED, after=0.5)
            assert machine.end(Outcome.REFUSED) is None
            begun += 1
    assert begun == 9


# --- folders that come and go, and pauses


def test_a_folder_that_is_gone_is_left_alone(machine: DrivenFolder) -> None:
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
def test_what_happened_meanwhile_is_committed(machine: DrivenFolder, before: Hint, after: Hint) -> None:
    """What was on the disk when it came back would be no version; or one while it is still being written."""
    machine.tell(Hint.TOUCHED)
    machine.tell(before)
    assert machine.tell(after, after=DAY) is None
    assert machine.wait() == RULES.settle_s
    assert machine.end(Outcome.DONE) is None
    assert machine.wake is None


@pytest.mark.parametrize(("before", "after"), [(Hint.GONE, Hint.BACK), (Hint.PAUSED, Hint.RESUMED)])
@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_commit_that_is_under_way_meanwhile(
    machine: DrivenFolder, before: Hint, after: Hint, outcome: Outcome
) -> None:
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


def test_a_folder_that_was_gone_for_an_instant(machine: DrivenFolder) -> None:
    """A folder that was made anew between two looks would never be committed again."""
    machine.tell(Hint.ASKED)
    assert machine.end(Outcome.ABSENT) is None
    pauses = [machine.wait(), *failing(machine, Outcome.ABSENT, 10)]
    assert pauses[:3] == [2.0, 2.0, 4.0]
    assert pauses[-1] == limits.DAEMON_RETRY_S_MAX, "nobody has told that it is gone, but so it is"
    machine.end(Outcome.DONE)
    assert machine.wake is None


def test_who_asks_for_what_is_not_there_waits(machine: DrivenFolder) -> None:
    """A commit would begin of a part of a folder that has just been forgotten since it is gone."""
    machine.tell(Hint.ASKED)
    machine.tell(Hint.ASKED)
    assert machine.end(Outcome.ABSENT) is None


@pytest.mark.parametrize("outcome", UNFINISHED)
def test_a_commit_that_brought_nothing_is_made_again(machine: DrivenFolder, outcome: Outcome) -> None:
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

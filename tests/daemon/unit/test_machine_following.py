"""How a follower goes along with an alias, step by step, by a clock that is turned by hand."""

from __future__ import annotations

import pytest

from artstore import limits
from artstore_daemon.machine.following import Event, Fetch, FollowState, Hint, Hook, Phase, Seen, Switch
from tests.daemon.driven import HOUR, DrivenFollower, Work


@pytest.fixture
def machine() -> DrivenFollower:
    """One that serves v1."""
    made = DrivenFollower()
    serve(made, "v1")
    return made


def serve(machine: DrivenFollower, version: str) -> None:
    """Let the alias name a version, and all be well."""
    assert machine.see(version) == Fetch(version)
    assert machine.end() == Switch(version)
    if machine.has_hook:
        assert isinstance(machine.end(), Hook)
    assert machine.end() is None
    assert machine.served() == version


def refuse(machine: DrivenFollower, version: str) -> Work | None:
    """Let the alias name a version whose hook fails; what is done after that."""
    assert machine.see(version) == Fetch(version)
    assert machine.end() == Switch(version)
    assert isinstance(machine.end(), Hook)
    return machine.end("no GPU")


# --- step by step


def test_it_goes_along() -> None:
    """Somebody would have to log into each machine to deploy a model."""
    machine = DrivenFollower()
    assert machine.see("v1") == Fetch("v1")
    assert machine.see("v1") is None
    assert machine.end() == Switch("v1")
    assert machine.end() == Hook(None, "v1")
    assert machine.end() is None
    assert machine.see("v1") is None
    assert machine.see("v2") == Fetch("v2")
    assert machine.state.current == "v1"
    assert machine.end() == Switch("v2")
    assert machine.state.current == "v1", "it isn't served before it is"
    assert machine.end() == Hook("v1", "v2")
    assert machine.end() is None
    assert machine.state == FollowState(current="v2", previous="v1", wanted="v2")


def test_without_a_hook() -> None:
    """Who only wants the files would have to write a command."""
    machine = DrivenFollower(has_hook=False)
    serve(machine, "v1")
    serve(machine, "v2")
    assert machine.state == FollowState(current="v2", previous="v1", wanted="v2")


def test_a_version_that_can_not_be_fetched_is_tried_for_ever(machine: DrivenFollower) -> None:
    """A machine would stay at an old version after a night without a network, or ask each second."""
    assert machine.see("v2") == Fetch("v2")
    pauses: list[float] = []
    for _ in range(300):
        assert machine.end("away") is None
        assert machine.state.error == "away"
        assert machine.see("v2") is None
        pause, begun = machine.wait()
        assert begun == Fetch("v2")
        pauses.append(pause)
    assert pauses[:10] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0]
    assert set(pauses[10:]) == {limits.DAEMON_RETRY_S_MAX}
    assert machine.state.current == "v1"
    assert machine.end() == Switch("v2")
    assert isinstance(machine.end(), Hook)
    assert machine.end() is None
    assert machine.state.error is None
    assert machine.state.failures == 0


def test_a_switch_that_fails_is_undone_before_it_is_tried_again(machine: DrivenFollower) -> None:
    """A machine would go on with a version that it took for not served, after the alias was moved back."""
    machine.see("v2")
    machine.end()
    assert machine.end("full") is None
    assert machine.wait() == (1.0, Switch("v1"))
    assert machine.end("full") is None
    assert machine.wait() == (2.0, Switch("v1"))
    assert machine.end() == Fetch("v2")
    assert machine.end() == Switch("v2")
    assert machine.end("full") is None
    assert machine.see("v1") == Switch("v1"), "it is served in any case"
    assert machine.end() is None
    assert machine.served() == "v1"


def test_a_first_switch_that_fails_is_tried_again() -> None:
    """A new machine would serve nothing."""
    machine = DrivenFollower()
    machine.see("v1")
    machine.end()
    assert machine.end("full") is None
    assert machine.wait() == (1.0, Fetch("v1"))


def test_who_asks_does_not_wait(machine: DrivenFollower) -> None:
    """Who has plugged the network in again would wait for five minutes."""
    machine.see("v2")
    machine.end("away")
    assert machine.tell(Hint.ASKED) == Fetch("v2")
    machine.tell(Hint.ASKED)
    assert machine.end("away") == Fetch("v2"), "it was asked for while the network hung"
    assert machine.end("away") is None
    assert machine.wake == machine.now + 4.0


# --- hooks that fail


def test_a_hook_that_fails_takes_it_back(machine: DrivenFollower) -> None:
    """A machine would serve what it can't run, or try it again every minute."""
    assert refuse(machine, "v2") == Switch("v1")
    assert machine.state.phase is Phase.RETURNING
    assert machine.end() is None
    assert machine.served() == "v1"
    assert machine.state.error == "no GPU"
    for _ in range(100):
        assert machine.see("v2") is None
        assert machine.tell(Hint.DUE, after=HOUR) is None
        assert machine.wake is None
    assert machine.restart() is None
    assert machine.see("v2") is None
    assert machine.state.error is not None, "nobody would know why it stays behind"
    serve(machine, "v3")
    assert machine.state == FollowState(current="v3", previous="v1", wanted="v3")


def test_a_hook_that_failed_is_tried_again_when_asked(machine: DrivenFollower) -> None:
    """Who has mended the machine could not have it go along."""
    refuse(machine, "v2")
    machine.end()
    assert machine.tell(Hint.ASKED) == Fetch("v2")
    assert machine.end() == Switch("v2")
    assert machine.end() == Hook("v1", "v2")
    assert machine.end("still none") == Switch("v1")
    machine.tell(Hint.ASKED)
    assert machine.end() == Fetch("v2")
    machine.end()
    machine.end()
    assert machine.end() is None
    assert machine.state == FollowState(current="v2", previous="v1", wanted="v2")


def test_who_asks_before_the_alias_was_looked_at(machine: DrivenFollower) -> None:
    """Who asks right after the machine was started would have to ask again."""
    refuse(machine, "v2")
    machine.end()
    assert machine.restart() is None
    assert machine.tell(Hint.ASKED) is None
    assert machine.see("v2") == Fetch("v2")


def test_a_hook_that_failed_is_tried_again_when_the_alias_comes_back(machine: DrivenFollower) -> None:
    """After a rollback of the whole fleet and a second try the machine would stay behind without a word."""
    refuse(machine, "v2")
    machine.end()
    assert machine.see("v1") is None
    assert machine.see("v2") == Fetch("v2")


def test_a_return_that_fails_is_tried_until_it_is_done(machine: DrivenFollower) -> None:
    """A machine would stay at a version that it can't run, since it had no room for an instant."""
    assert refuse(machine, "v2") == Switch("v1")
    pauses: list[float] = []
    for _ in range(12):
        assert machine.end("full") is None
        assert machine.see("v2") is None
        assert machine.wake is not None, "a look at the alias would make it forget to try again"
        pause, begun = machine.wait()
        assert begun == Switch("v1")
        pauses.append(pause)
    assert (pauses[0], pauses[-1]) == (1.0, limits.DAEMON_RETRY_S_MAX)
    assert machine.end() is None
    assert machine.served() == "v1"
    assert "hook" in (machine.state.error or ""), "that the return failed is over"


@pytest.mark.parametrize(
    ("event", "then"),
    [
        (Seen("v3"), Fetch("v3")),
        (Seen("v1"), None),
        (Seen(None), None),
        (Hint.ASKED, Fetch("v2")),
        (Hint.PAUSED, None),
        (Hint.RESUMED, None),
        (Hint.DUE, None),
    ],
)
@pytest.mark.parametrize("is_killed", [False, True])
def test_whatever_happens_while_it_can_not_return(
    machine: DrivenFollower, event: Event, then: Work | None, is_killed: bool
) -> None:
    """A machine would serve what it can't run for ever, since somebody moved the alias at the wrong moment."""
    refuse(machine, "v2")
    assert machine.end("full") is None
    if is_killed:
        assert machine.restart() == Switch("v1")
        assert machine.see("v2") is None
        assert machine.end("full") is None
    begun = machine.tell(event) or machine.wait()[1]
    assert begun == Switch("v1")
    assert machine.end() == then
    assert machine.state.current == "v1"


def test_a_first_version_whose_hook_fails() -> None:
    """There is nothing to go back to: the machine would serve nothing, or try it for ever, or not when asked."""
    machine = DrivenFollower()
    assert refuse(machine, "v1") is None
    assert machine.served() == "v1"
    assert machine.see("v1") is None
    assert machine.tell(Hint.DUE, after=HOUR) is None
    assert machine.tell(Hint.ASKED) == Hook(None, "v1"), "it is here, and only has to be told"
    assert machine.end("still none") is None
    assert machine.see("v2") == Fetch("v2")
    assert machine.see("v1") is None
    assert machine.end() == Hook(None, "v1"), "the alias came back"
    assert machine.end() is None
    assert machine.state == FollowState(current="v1", wanted="v1")


def test_a_hook_that_was_taken_out_of_the_config(machine: DrivenFollower) -> None:
    """A machine would stay behind because of a hook that it has no more."""
    refuse(machine, "v2")
    machine.end()
    machine.has_hook = False
    assert machine.restart() is None
    assert machine.see("v2") == Fetch("v2")


# --- aliases that move meanwhile


def test_a_version_that_is_overtaken_is_not_served(machine: DrivenFollower) -> None:
    """A version that was taken back while it came would be served after that."""
    machine.see("v2")
    assert machine.see("v3") is None, "one after the other"
    assert machine.end() == Fetch("v3")
    assert machine.see("v1") is None
    assert machine.end() is None, "the alias is back where it was"
    assert machine.served() == "v1"
    assert machine.state.previous is None


def test_an_alias_that_moves_between_switch_and_hook(machine: DrivenFollower) -> None:
    """A version would be served without anybody being told, or the alias's move be missed."""
    machine.see("v2")
    assert machine.end() == Switch("v2")
    assert machine.see("v3") is None
    assert machine.end() == Hook("v1", "v2")
    assert machine.see("v1") is None
    assert machine.end() == Fetch("v1")
    machine.end()
    assert machine.end() == Hook("v2", "v1")
    assert machine.end() is None
    assert machine.served() == "v1"


def test_an_alias_that_moves_on_while_the_hook_fails(machine: DrivenFollower) -> None:
    """The version that mends it would not come."""
    machine.see("v2")
    machine.end()
    machine.end()
    assert machine.see("v3") is None
    assert machine.end("no GPU") == Switch("v1")
    assert machine.end() == Fetch("v3")


def test_an_alias_that_moves_while_it_waits(machine: DrivenFollower) -> None:
    """A version that can be fetched would wait for the patience with one that couldn't."""
    machine.see("v2")
    machine.end("away")
    assert machine.see("v3") == Fetch("v3")
    assert machine.state.failures == 0
    machine.end("away")
    assert machine.see("v1") is None
    assert machine.wake is None
    assert machine.served() == "v1"
    assert machine.state.error is None


def test_an_alias_that_never_was(machine: DrivenFollower) -> None:
    """Who has mistyped it would look for who removed it."""
    fresh = DrivenFollower()
    assert fresh.see(None) is None
    assert fresh.state.error == "there is no such alias yet"
    assert machine.see(None) is None
    assert machine.state.error == "there is no such alias any more"


def test_an_alias_that_is_removed(machine: DrivenFollower) -> None:
    """A machine would serve nothing, or a version that nobody names any more, or not come along when it is back."""
    assert machine.see(None) is None
    assert "no such alias" in (machine.state.error or "")
    assert machine.served() == "v1"
    assert machine.see("v2") == Fetch("v2")
    assert machine.see(None) is None
    assert machine.end() is None
    assert machine.served() == "v1"
    assert machine.see("v2") == Fetch("v2")
    machine.end("away")
    assert machine.see(None) is None
    assert machine.wake is None
    assert machine.see("v2") == Fetch("v2")


def test_pauses(machine: DrivenFollower) -> None:
    """A machine would switch while somebody works on it; or stay half-way."""
    machine.see("v2")
    assert machine.tell(Hint.PAUSED) is None
    assert machine.end() is None, "it is here, but not served"
    assert machine.served() == "v1"
    for event in (Seen("v2"), Hint.DUE, Hint.ASKED):
        assert machine.tell(event) is None
        assert machine.wake is None
    assert machine.tell(Hint.RESUMED) == Fetch("v2")
    machine.end()
    machine.tell(Hint.PAUSED)
    assert machine.end() == Hook("v1", "v2"), "what has been switched is told"
    assert machine.end("no GPU") == Switch("v1"), "what can't be run isn't served"
    assert machine.end() is None
    assert machine.tell(Hint.RESUMED) is None
    assert machine.see("v3") == Fetch("v3")


# --- daemons that are killed


@pytest.mark.parametrize(
    ("state", "again"),
    [
        (FollowState(), None),
        (FollowState(current="v1", previous="v0"), None),
        (FollowState(current="v1", target="v2", phase=Phase.FETCHING), None),
        (FollowState(current="v1", target="v2", phase=Phase.SWITCHING), Switch("v2")),
        (FollowState(target="v2", phase=Phase.SWITCHING), Switch("v2")),
        (FollowState(current="v2", previous="v1", target="v2", phase=Phase.HOOKING), Hook("v1", "v2")),
        (FollowState(current="v2", target="v2", phase=Phase.HOOKING), Hook(None, "v2")),
        (FollowState(current="v2", previous="v1", target="v1", bad="v2", phase=Phase.RETURNING), Switch("v1")),
        (FollowState(current="v2", previous="v1", target="v1", bad="v2"), Switch("v1")),
        (FollowState(current="v2", previous="v1", bad="v2"), Switch("v1")),
        (FollowState(current="v2", previous="v1", bad="v3"), None),
        (FollowState(current="v2", bad="v2"), None),
    ],
)
def test_what_was_under_way_is_done_again(state: FollowState, again: Work | None) -> None:
    """A version would be served whose hook was never told, or a machine stay between two versions for ever."""
    machine = DrivenFollower(state=state)
    assert machine.restart() == again
    assert (machine.state.phase is Phase.RESTING) == (again is None)
    steps = 0
    while machine.state.phase is not Phase.RESTING:
        machine.end()
        steps += 1
    assert machine.state.target is None
    assert steps <= 2
    assert machine.see("v9") == Fetch("v9")


def test_nothing_ends_that_was_not_begun(machine: DrivenFollower) -> None:
    """A mistake in the daemon would be taken for a version that is here."""
    with pytest.raises(AssertionError):
        machine.end()

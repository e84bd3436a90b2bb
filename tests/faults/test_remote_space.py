"""Collection, repack and pushes that are stopped, killed, or not answered, before each of their requests.

All happens in memory, with a clock that goes when a test says so: stopped for longer than a grace, whoever it is, and
meanwhile others do the worst they may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from artstore import Store
from artstore.errors import ArtstoreError, Busy
from artstore.format.remote import GC_KEY, FormerGrace, changed_state, encode_remote
from artstore.store.remote.holding import Holder
from artstore.testing import Lost
from artstore.wiring import reaching
from tests.machines import noise, same
from tests.spaces import GRACE, KilledError, Space, fill, set_up

REQUESTS_MAX = 400


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Space]:
    made = set_up(tmp_path, monkeypatch)
    yield made
    made.let_be()
    for store in made.stores:
        store.close()


def repack(store: Store) -> int:
    """All of it; how many sets were replaced."""
    with store.remote_repack() as job:
        return job.run(job.plan()).sets


def push_again(store: Store, *what: str) -> list[str]:
    """Of the garbage, and of what is mostly dead, by names that weren't there; these."""
    number = sum(1 for _ in store.tags("again/")) + 1
    names = [f"again/{each[0]}{number}" for each in what or ("g/v1", "m/v1")]
    for name, each in zip(names, what or ("g/v1", "m/v1"), strict=True):
        store.tag(name, each)
    store.push(names)
    return names


def at_each_request(space: Space, act: Callable[[], object], at: Callable[[], object]) -> int:
    """Do `act`, once for each of its requests, before which `at` is called; all begins anew each time. How many."""
    lying, now = dict(space.bucket.objects), space.bucket.now
    for number in range(1, REQUESTS_MAX):
        space.bucket.objects, space.bucket.now = dict(lying), now

        def met(count: int, _name: str, _key: str, number: int = number) -> None:
            if count == number:
                at()

        space.watch(met)
        try:
            with suppress(Busy):
                act()
        finally:
            requests = space.requests
            space.let_be()
        space.require_whole()
        if requests < number:
            return number - 1
    raise AssertionError("it never ends")


def listed_since(space: Space, store: Store) -> None:
    """Let garbage be listed there, and be seen to be."""
    space.collect(store, 2)
    assert any(pack.since for pack in space.state.listed)


def test_a_collector_that_is_stopped(space: Space) -> None:
    """What it decided on is another machine's by then: it would delete what has a name again."""
    one, _ = fill(space)
    listed_since(space, one)
    two = space.new("two")

    def meanwhile() -> None:
        names = push_again(one)
        space.collect(two, 2)
        one.remove_at_remote(*names, remote="origin")
        push_again(one)
        space.collect(two, 1)

    space.pass_time(GRACE + 2)
    assert at_each_request(space, two.remote_gc, meanwhile) > 10


def test_a_push_that_is_stopped(space: Space) -> None:
    """What it has seen to be there is collected by then."""
    one, _ = fill(space)
    two = space.new("two")
    assert at_each_request(space, lambda: push_again(one), lambda: space.collect(two, 4)) > 15


def test_a_push_that_is_stopped_while_its_set_is_rewritten(space: Space) -> None:
    """The set that it relies on names other packs by then."""
    one, folder = fill(space)
    two = space.new("two")

    def meanwhile() -> None:
        repack(two)
        space.collect(two, 4)

    assert at_each_request(space, lambda: push_again(one, "m/v2"), meanwhile) > 8
    assert same(space.clone("three", full=True), "m/v2", folder, space.path / "out")


def test_a_repack_that_is_stopped(space: Space) -> None:
    """It would name packs that were collected meanwhile, or put another one's set back."""
    one, folder = fill(space)
    two = space.new("two")

    def meanwhile() -> None:
        push_again(one)
        repack(one)
        space.collect(two, 4)

    assert at_each_request(space, lambda: repack(two), meanwhile) > 20
    assert same(space.clone("three", full=True), "m/v2", folder, space.path / "out")


def test_a_repack_that_is_killed_while_others_read(space: Space) -> None:
    """Who reads has the old set or the new one; packs of the one or the other would be gone."""
    one, folder = fill(space)
    reader = space.clone("reader")
    far = reader.objects.fetcher.far()
    assert far is not None
    wanted = (folder / "kept").read_bytes()

    def read_all() -> None:
        reader.objects.forget()
        far.kept.drop_all()
        assert reader.open("m/v2", "kept").read() == wanted

    lying, now = dict(space.bucket.objects), space.bucket.now
    for number in range(1, REQUESTS_MAX):
        space.bucket.objects, space.bucket.now = dict(lying), now

        def dies(count: int, _name: str, _key: str, number: int = number) -> Lost | None:
            if count >= number:
                raise KilledError
            return None

        space.watch(dies)
        try:
            repack(one)
            break
        except KilledError:
            space.let_be()
        read_all()
        space.require_whole()
        space.collect(one, 4)
        read_all()
        assert repack(one) <= 1
        space.collect(one, 4)
        read_all()
        assert sum(len(data) for key, (data, _) in space.bucket.objects.items() if key.startswith("p/")) < 200_000
    else:
        raise AssertionError("it never ends")
    assert number > 20
    space.let_be()
    assert same(space.clone("three", full=True), "m/v2", folder, space.path / "out")


@pytest.mark.parametrize("lost", Lost)
def test_a_conditional_write_that_is_not_answered(space: Space, lost: Lost) -> None:
    """It was done, or not, and nobody knows: done twice it deletes what is new, or counts what didn't happen."""
    one, folder = fill(space)
    listed_since(space, one)
    space.pass_time(GRACE + 2)

    def collect() -> None:
        before = space.state.deletions
        assert one.remote_gc().deleted_packs > 0
        assert (space.state.deletions, space.state.deleting) == (before + 1, [])

    def rewrite() -> None:
        assert repack(one) == 1

    def hold() -> None:
        assert space.hold(one) > 0
        assert not space.state.exclusive
        assert space.state.deleting == []

    for act in (collect, rewrite, hold, lambda: push_again(one)):
        lying, now = dict(space.bucket.objects), space.bucket.now
        written = 0
        for number in range(1, REQUESTS_MAX):
            space.bucket.objects, space.bucket.now = dict(lying), now
            writes = 0

            def lose(_count: int, name: str, _key: str, number: int = number) -> Lost | None:
                nonlocal writes
                writes += name in ("create", "swap")
                return lost if writes == number and name in ("create", "swap") else None

            space.watch(lose)
            act()
            space.let_be()
            space.require_whole()
            if writes < number:
                break
            written = number
        assert written > 0
    assert same(space.clone("three", full=True), "m/v2", folder, space.path / "out")


# --- a remote that is held


def test_all_garbage_goes_in_one_run(space: Space) -> None:
    """Who needs the room today would wait for three days."""
    one, folder = fill(space)
    assert space.hold(one) > 0
    assert not space.state.exclusive
    assert (space.state.listed, space.state.deleting, space.state.deletions) == ([], [], 1)
    assert one.remote_gc_plan().step.young == []
    push_again(one)
    space.require_whole()
    assert same(space.clone("three", full=True), "m/v2", folder, space.path / "out")


def test_a_push_that_is_stopped_while_the_remote_is_held(space: Space) -> None:
    """It has proven what it needs before, and writes a name afterwards."""
    one, _ = fill(space)
    two = space.new("two")
    assert at_each_request(space, lambda: push_again(one), lambda: space.hold(two)) > 15


def test_nobody_writes_names_while_the_remote_is_held(space: Space) -> None:
    """They would rely on what is being deleted at once."""
    one, folder = fill(space)
    one.set_alias("m/production", "m/v2", local=True)
    one.push()
    two = space.new("two")
    refused: list[str] = []

    def waiting(_: float) -> None:
        if refused:
            return
        (folder / "more").write_bytes(noise(1000, 7))
        one.commit(folder, tag="m/v3")
        for write in (
            lambda: one.push(["m/v3"]),
            lambda: one.set_alias("m/production", "m/v3"),
            lambda: one.remove_at_remote("m/v2", remote="origin"),
            one.remote_gc,
            lambda: one.set_remote_grace(3600, remote="origin"),
            lambda: repack(one),
        ):
            with pytest.raises(Busy, match=r"held by somebody on gpu7 since 2027-01-15T") as caught:
                write()
            assert caught.value.exit_code == 8
            refused.append(str(caught.value))

    place = two.remotes()["origin"]
    remote = reaching.open_remote(place, None, two.context.keychain)
    holder = Holder(
        two.context, remote, bytes.fromhex(place.id or ""), "somebody on gpu7", waiting, sleep=space.pass_time
    )
    holder.collect()
    assert len(refused) == 6
    one.push()
    one.set_alias("m/production", "m/v3")
    space.require_whole()


def test_who_is_interrupted_lets_go(space: Space) -> None:
    """Ctrl-C would leave everybody locked out."""
    one, _ = fill(space)
    before = space.packs()

    def interrupted(_: float) -> None:
        assert space.state.exclusive
        raise KeyboardInterrupt

    place = one.remotes()["origin"]
    holder = Holder(
        one.context,
        reaching.open_remote(place, None, one.context.keychain),
        bytes.fromhex(place.id or ""),
        "me",
        interrupted,
        sleep=space.pass_time,
    )
    with pytest.raises(KeyboardInterrupt):
        holder.collect()
    assert not space.state.exclusive
    assert space.packs() == before
    push_again(one)


def test_who_is_killed_while_he_holds_it(space: Space) -> None:
    """Nobody could write there ever again."""
    one, folder = fill(space)
    two = space.new("two")
    lying, now = dict(space.bucket.objects), space.bucket.now
    held = 0
    for number in range(1, REQUESTS_MAX):
        space.bucket.objects, space.bucket.now = dict(lying), now

        def dies(count: int, _name: str, _key: str, number: int = number) -> Lost | None:
            if count >= number:
                raise KilledError
            return None

        space.watch(dies)
        try:
            space.hold(one)
            break
        except KilledError:
            space.let_be()
        if space.state.exclusive:
            held += 1
            with pytest.raises(Busy):
                push_again(one)
            with pytest.raises(Busy):
                two.remote_gc()
            if number % 2:
                assert space.hold(two) > 0, "another such run goes on with it"
            else:
                space.pass_time(GRACE / 2 + 3700)
                assert two.remote_gc_plan().lifts == "me"
                assert two.remote_gc().plan.lifts == "me"
        assert not space.state.exclusive
        push_again(one)
        space.require_whole()
    assert held > 5
    space.let_be()
    assert same(space.clone("three", full=True), "m/v2", folder, space.path / "out")


def test_who_is_taken_for_dead_deletes_nothing(space: Space) -> None:
    """He waited too long, others write again: what he takes for garbage has a name by now."""
    one, _ = fill(space)
    two = space.new("two")

    taken: list[bool] = []

    def meanwhile() -> None:
        if space.state.exclusive:
            space.pass_time(GRACE / 2 + 3700)
            with suppress(ArtstoreError):
                two.remote_gc()
            taken.append(not space.state.exclusive)
        push_again(one)

    def hold() -> None:
        before = len(taken)
        space.hold(two)
        assert not any(taken[before:]), "it went on although it had lost the remote"

    assert at_each_request(space, hold, meanwhile) > 10
    assert taken.count(True) > 5


# --- a grace that changes


def test_a_push_that_is_stopped_while_the_grace_is_lowered(space: Space) -> None:
    """It has half of the old one to write its name."""
    one, _ = fill(space)
    space.set_grace(40 * GRACE)
    two = space.new("two")

    def meanwhile() -> None:
        space.pass_time(40 * GRACE)
        two.remote_gc()
        two.remote_gc()
        state = space.state
        lowered = changed_state(state, grace=GRACE, former=FormerGrace(40 * GRACE, None))
        space.quiet.put(GC_KEY, encode_remote(lowered))
        space.collect(two, 3)

    assert at_each_request(space, lambda: push_again(one), meanwhile) > 15


def test_a_lowered_grace_is_in_force_in_the_end(space: Space) -> None:
    """What was lowered in order to free room would be as it was; or go at once."""
    one, _ = fill(space)
    space.set_grace(86400)
    assert one.set_remote_grace(3600) == (86400, FormerGrace(86400, None))
    listed: list[int] = []
    for _ in range(30):
        space.pass_time(3700)
        listed.append(one.remote_gc_plan().grace)
        one.remote_gc()
    assert listed.index(3600) == 24
    assert set(listed) == {3600, 86400}
    assert space.state.former is None
    assert space.state.deletions > 0
    before = dict(space.bucket.objects)
    assert one.set_remote_grace(3600) == (3600, None)
    assert space.bucket.objects == before
    assert one.set_remote_grace(7200) == (3600, None)
    assert (space.state.grace, space.state.former) == (7200, None)


# --- what isn't ours


def test_what_is_not_ours_stays(space: Space) -> None:
    """A bucket that is used for something else, too, would lose that."""
    one, _ = fill(space)
    for key in ("p/readme.txt", "p/notes/todo", "elsewhere/data", "x/README", "m/" + "0" * 24 + "/1", "pins.txt"):
        space.bucket.objects[key] = b"not ours", space.bucket.now
    assert repack(one) == 1
    space.collect(one, 4)
    assert space.hold(one) == 0
    assert sum(data == b"not ours" for data, _ in space.bucket.objects.values()) == 6

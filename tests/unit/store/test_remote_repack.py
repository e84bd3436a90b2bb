"""Repack at a remote: what is rewritten, what stays readable, and who may be at it at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore import Store, limits
from artstore.errors import Busy, Corrupt
from artstore.format.remote import RemoteSet, all_keys
from artstore.model import RemotePlace
from artstore.store.remote.repack import RemoteRepackResult
from tests.machines import Machines, commit, noise, same
from tests.unit.store.test_remote_gc import collect_all, packs_of, pass_days, set_of

SIZE = 3_000_000


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path, RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    yield made
    for store in made.opened:
        store.close()


def repack(store: Store) -> RemoteRepackResult:
    """All of it, without asking."""
    with store.remote_repack() as job:
        return job.run(job.plan())


def mostly_dead(machines: Machines) -> tuple[Store, Path]:
    """A store that has pushed m/v1, and m/v2, which needs a tenth of the pack of m/v1, whose name is gone there."""
    one = machines.new("one")
    folder = machines.folder("m", big=noise(SIZE, 1), kept=noise(SIZE // 9, 2))
    commit(one, folder, "m/v1")
    (folder / "big").unlink()
    commit(one, folder, "m/v2")
    one.push()
    one.remove_at_remote("m/v1", remote="origin")
    return one, folder


def test_what_is_mostly_dead_is_rewritten(machines: Machines, tmp_path: Path) -> None:
    """A pack of which a tenth is needed would take all its room for ever."""
    one, folder = mostly_dead(machines)
    version = one.resolve("m/v2").version
    before = set(set_of(machines, version).data)
    with one.remote_repack() as job:
        plan = job.plan()
        assert (plan.versions, plan.touched, plan.dead, plan.fetch_bytes) == (1, 1, 1, 0)
        assert plan.old_bytes > SIZE > plan.live_bytes * 5
        told = job.run(plan)
    assert (told.packs, told.sets, told.left) == (1, 1, {})
    assert told.new_bytes < SIZE // 5
    after = set_of(machines, version)
    assert before.isdisjoint(after.data)
    assert packs_of(machines).issuperset(all_keys(after))
    assert packs_of(machines).issuperset(before), "nothing is deleted by it"
    assert machines.keys("pins/") == []
    assert collect_all(machines, one) > SIZE
    assert packs_of(machines) == set(all_keys(after))
    clone = machines.clone("two")
    assert same(clone, "m/v2", folder, tmp_path / "out")
    assert clone.check(data=True).is_sound
    with one.remote_repack() as job:
        assert job.plan().is_empty, "it would be rewritten again and again"


def test_what_is_not_here_is_fetched(machines: Machines, tmp_path: Path) -> None:
    """Only the machine that had pushed everything could repack."""
    _, folder = mostly_dead(machines)
    two, _ = Store.clone(machines.place, tmp_path / "two")
    machines.opened.append(two)
    with two.remote_repack() as job:
        plan = job.plan()
        assert plan.fetch_bytes > 0
        told = job.run(plan)
    assert told.packs == 1
    assert 0 < told.fetched_bytes < SIZE // 3
    assert collect_all(machines, two) > SIZE
    assert same(machines.clone("three"), "m/v2", folder, tmp_path / "out")


def test_small_packs_are_put_together(machines: Machines, tmp_path: Path) -> None:
    """A daemon that commits every minute would leave three objects for each: a clone would take hours."""
    one = machines.new("one")
    folder = machines.folder("m")
    many = limits.REMOTE_SMALL_PACKS_MIN
    for number in range(many):
        (folder / f"f{number}").write_bytes(noise(2000, number))
        commit(one, folder, f"m/v{number}")
        one.push()
    last = one.resolve(f"m/v{many - 1}").version
    before = set_of(machines, last)
    assert len(before.data) == len(before.shards) == many
    told = repack(one)
    assert (told.packs, told.new_packs, told.sets) == (2 * many, 2, many)
    after = set_of(machines, last)
    assert (len(after.data), len(after.meta), len(after.shards)) == (1, 1, 1)
    collect_all(machines, one)
    assert len(packs_of(machines)) == 3
    clone = machines.clone("two")
    assert same(clone, f"m/v{many - 1}", folder, tmp_path / "out")
    assert clone.check(data=True).is_sound
    (folder / "more").write_bytes(noise(2000, 99))
    commit(one, folder, "m/next")
    pushed = one.push()
    assert pushed.packs == 2
    assert pushed.sent_bytes < 2 * 5000, "what was rewritten is known again, and not sent"
    with one.remote_repack() as job:
        assert job.plan().is_empty, "a few small ones wait for others"


def test_a_version_that_came_meanwhile_keeps_what_it_names(machines: Machines, tmp_path: Path) -> None:
    """Only what was walked is known to be moved: the rest of an old pack may be what another version is made of."""
    one, folder = mostly_dead(machines)
    two = machines.clone("two")
    with one.remote_repack() as job:
        plan = job.plan()
        two.pull()
        (folder / "big").write_bytes(noise(SIZE, 1))
        commit(two, folder, "m/v3")
        two.push()
        job.run(plan)
    collect_all(machines, one)
    assert same(machines.clone("three"), "m/v3", folder, tmp_path / "out")


def test_an_old_name_comes_back_while_its_pack_is_rewritten(machines: Machines, tmp_path: Path) -> None:
    """Its set names the old pack, of which only a tenth was needed a moment ago."""
    one, folder = mostly_dead(machines)
    with one.remote_repack() as job:
        plan = job.plan()
        one.tag("m/again", "m/v1")
        one.push(["m/again"])
        job.run(plan)
    collect_all(machines, one)
    clone = machines.clone("two")
    (folder / "big").write_bytes(noise(SIZE, 1))
    assert same(clone, "m/again", folder, tmp_path / "out")


def test_a_journal_that_names_the_old_pack(machines: Machines, tmp_path: Path) -> None:
    """Another machine has sent it, believes that it is there, and would write a name that leads to nothing."""
    one, folder = mostly_dead(machines)
    two = machines.clone("two")
    repack(two)
    collect_all(machines, two)
    one.tag("m/again", "m/v1")
    one.push(["m/again"])
    one.tag("m/other", "m/v2")
    one.push(["m/other"])
    (folder / "big").write_bytes(noise(SIZE, 1))
    assert same(machines.clone("three"), "m/again", folder, tmp_path / "out")


def test_two_at_once(machines: Machines, tmp_path: Path) -> None:
    """Each would take the other's sets away, or put an old one back."""
    one, folder = mostly_dead(machines)
    two = machines.clone("two")
    with one.remote_repack() as first, two.remote_repack() as second:
        plans = first.plan(), second.plan()
        told = first.run(plans[0])
        late = second.run(plans[1])
    assert (told.sets, late.sets, late.left) == (1, 0, {})
    collect_all(machines, one)
    assert same(machines.clone("three"), "m/v2", folder, tmp_path / "out")


def test_a_reader_with_the_old_set(machines: Machines, tmp_path: Path) -> None:
    """A file that is open, a mount, a clone that has read sets already, would get an error for what is there."""
    one, folder = mostly_dead(machines)
    lazy, _ = Store.clone(machines.place, tmp_path / "lazy")
    machines.opened.append(lazy)
    with lazy.open("m/v2", "kept") as file:
        assert file.read(10) == (folder / "kept").read_bytes()[:10]
        repack(one)
        assert collect_all(machines, one) > SIZE
        lazy.objects.forget()
        far = lazy.objects.fetcher.far()
        assert far is not None
        far.kept.drop_all()
        file.seek(0)
        assert file.read() == (folder / "kept").read_bytes()


def test_a_pull_that_has_read_the_old_set(machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull that takes longer than a day would end with an error, and so would the next one."""
    from artstore.store.remote.pull import Puller

    one, folder = mostly_dead(machines)
    two = machines.new("two")
    sets = Puller._sets  # pyright: ignore[reportPrivateUsage]
    done: list[int] = []

    def meanwhile(self: Puller, *more: object, **named: object) -> dict[object, RemoteSet]:
        found = sets(self, *more, **named)  # type: ignore[arg-type]
        if not done:
            done.append(repack(one).packs)
            collect_all(machines, one)
        return found  # type: ignore[return-value]

    monkeypatch.setattr(Puller, "_sets", meanwhile)
    two.pull()
    assert done == [1]
    assert same(two, "m/v2", folder, tmp_path / "out")


def test_what_is_damaged_there_is_left_alone(machines: Machines, tmp_path: Path) -> None:
    """Damage would be copied, or a set lead to less than it did."""
    one, folder = mostly_dead(machines)
    version = one.resolve("m/v2").version
    (key,) = set_of(machines, version).data
    data = bytearray(machines.file(key).read_bytes())
    data[100:-100:50] = bytes(len(data[100:-100:50]))
    machines.file(key).write_bytes(data)
    two, _ = Store.clone(machines.place, tmp_path / "two")
    machines.opened.append(two)
    told = repack(two)
    assert (told.packs, told.sets) == (0, 0)
    assert "damaged" in told.left[key]
    assert key in set_of(machines, version).data
    assert repack(one).packs == 1, "who has it here mends it"
    collect_all(machines, one)
    assert same(machines.clone("three"), "m/v2", folder, tmp_path / "out")


def test_a_tree_that_can_not_be_read(machines: Machines, tmp_path: Path) -> None:
    """What is needed isn't known then: what is thrown away might be."""
    one, _ = mostly_dead(machines)
    two, _ = Store.clone(machines.place, tmp_path / "two")
    machines.opened.append(two)
    (one_set,) = [set_of(machines, one.resolve("m/v2").version)]
    for key in one_set.meta:
        machines.file(key).unlink()
    three = Store.init(tmp_path / "three")
    machines.opened.append(three)
    three.add_remote("origin", machines.place)
    with pytest.raises(Corrupt), three.remote_repack() as job:
        job.plan()


def test_sets_that_name_what_is_gone_stay_as_they_are(machines: Machines) -> None:
    """What a damaged version has left would be hidden behind a set that looks new."""
    one, _ = mostly_dead(machines)
    version = one.resolve("m/v2").version
    told = set_of(machines, version)
    gone = told.meta[0]
    machines.file(gone).unlink()
    result = repack(one)
    assert result.sets == 0
    assert gone in result.left[version.hex()]
    assert set_of(machines, version) == told


def test_who_slept_does_not_swap(machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New packs that were collected while this machine slept would be named by the set of a living version."""
    from artstore.store.remote.repack_swap import Swapper

    one, folder = mostly_dead(machines)
    swap = Swapper.swap
    before = packs_of(machines)

    def slept(self: Swapper, *more: object) -> object:
        for key in packs_of(machines) - before:
            machines.remote.delete(key)
        return swap(self, *more)  # type: ignore[arg-type]

    with monkeypatch.context() as sleeping:
        sleeping.setattr(Swapper, "swap", slept)
        with pytest.raises(Busy, match="as fast as they were sent"):
            repack(one)
    assert same(machines.clone("two"), "m/v2", folder, tmp_path / "out")
    pass_days(machines, 2)
    assert repack(one).packs == 1

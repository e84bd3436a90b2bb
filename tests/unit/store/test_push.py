"""Versions to a remote and from there: nothing is lost, nothing is sent twice, nobody's name is overwritten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from artstore import Store
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import Busy, Conflict, Corrupt, NotFound, RemoteError
from artstore.format.remote import (
    GC_KEY,
    CondemnedPack,
    GcState,
    RemoteSet,
    decode_remote,
    decode_shard,
    encode_remote,
    set_key,
)
from artstore.model import PackState, RemotePlace
from artstore.store.context import Counters
from artstore.store.remote.names import Wanted
from artstore.store.remote.push import Pusher
from artstore.testing.damage import flip, truncate
from tests.machines import MIB, Machines, commit, noise, same


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path, RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    yield made
    for store in made.opened:
        store.close()


# --- what is sent


def test_a_clone_has_everything(machines: Machines, tmp_path: Path) -> None:
    """Versions, tags, aliases with their whole history: a second machine goes on where the first one stands."""
    one = machines.new("one")
    folder = machines.folder("m", weights=noise(5 * MIB), config=b"{}", empty=b"")
    first = commit(one, folder, "m/v1")
    one.set_alias("m/production", "m/v1", reason="first")
    machines.folder("m", config=b'{"a": 1}')
    second = commit(one, folder, "m/v2")
    one.set_alias("m/production", "m/v2", reason="better")
    pushed = one.push()
    assert sorted(pushed.written) == ["m/production", "m/v1", "m/v2"]
    two = machines.clone("two")
    assert {tag.name: tag.version for tag in two.tags()} == {"m/v1": first, "m/v2": second}
    assert [tag.created for tag in two.tags()] == [tag.created for tag in one.tags()]
    assert two.alias_log("m/production") == one.alias_log("m/production")
    assert same(two, "m/production", folder, tmp_path / "out")
    assert two.resolve("m/production@{1}").version == first
    two.rollback("m/production")
    assert two.resolve("m/production").version == first
    assert two.version("m/v2").parents == [first]
    assert two.check(data=True).is_sound


def test_pushed_again_nothing_is_sent(machines: Machines) -> None:
    """A push every minute would cost, and fill the remote."""
    one = machines.new("one")
    commit(one, machines.folder("m", weights=noise(MIB)), "m/v1")
    one.push()
    before = machines.keys()
    again = one.push()
    assert (again.packs, again.sent_bytes, again.written, again.unchanged) == (0, 0, [], ["m/v1"])
    assert machines.keys() == before
    assert again.requests == 0
    assert one.push(anew=True).unchanged == ["m/v1"]


def test_what_another_machine_has_pushed_is_not_sent(machines: Machines) -> None:
    """Ten machines that train on one dataset would send it ten times."""
    one, two = machines.new("one"), machines.new("two")
    folder = machines.folder("m", weights=noise(5 * MIB))
    commit(one, folder, "m/v1")
    one.push()
    commit(two, folder, "m/theirs")  # the same content, another version, in packs of its own
    pushed = two.push()
    assert len(machines.keys("p/")) == 1
    assert pushed.sent_bytes < 10_000, "a version's document and nothing else"
    assert same(machines.clone("three"), "m/theirs", folder, machines.path / "out")


def test_only_what_changed_is_sent(machines: Machines) -> None:
    """After one changed file: few requests, few bytes."""
    one = machines.new("one")
    folder = machines.folder("m", **{f"f{n}": noise(20_000, n) for n in range(200)})
    commit(one, folder, "m/v1")
    one.push()
    machines.folder("m", f7=noise(20_000, 777))
    commit(one, folder, "m/v2")
    pushed = one.push(["m/v2"])
    assert pushed.puts <= 9
    assert pushed.sent_bytes < 100_000
    assert pushed.packs == 2


def test_inputs_come_along(machines: Machines) -> None:
    """A model whose dataset is missing can't be explained."""
    one = machines.new("one")
    data = commit(one, machines.folder("d", rows=noise(MIB)), "data/v1")
    one.commit(machines.folder("m", weights=noise(1000, 2)), tag="m/v1", inputs={"data": "data/v1"})
    assert one.push(["m"]).written == ["m/v1"]
    two = machines.clone("two")
    assert [tag.name for tag in two.tags()] == ["m/v1"]
    assert two.version(data).files == 1


def test_some_names_only(machines: Machines) -> None:
    """What is asked for is pushed and pulled, and nothing else."""
    one = machines.new("one")
    folder = machines.folder("m", weights=noise(1000))
    for tag in ("a/v1", "a/v2", "b/v1"):
        machines.folder("m", config=tag.encode())
        commit(one, folder, tag)
    one.set_alias("b/production", "b/v1")
    assert one.push(["a", "b/v1"]).written == ["a/v1", "a/v2", "b/v1"]
    assert one.push(["b/*"]).written == ["b/production"]
    two = machines.new("two")
    assert two.pull(["a/v2"]).written == ["a/v2"]
    assert two.pull(["b"]).written == ["b/v1", "b/production"]
    for action in (lambda: one.push(["none"]), lambda: two.pull(["none/*"])):
        with pytest.raises(NotFound, match="none"):
            action()


# --- several writers


def test_one_name_for_two_versions(machines: Machines) -> None:
    """One wins, the other is told; neither loses anything."""
    one, two = machines.new("one"), machines.new("two")
    commit(one, machines.folder("m", weights=b"one"), "m/v1")
    mine = commit(two, machines.folder("n", weights=b"two"), "m/v1")
    commit(two, machines.folder("o", weights=b"more"), "m/v2")
    one.push()
    pushed = two.push()
    assert pushed.written == ["m/v2"]
    (conflict,) = pushed.conflicts
    assert conflict.name == "m/v1"
    assert one.resolve("m/v1").version.hex()[:8] in conflict.why
    pulled = two.pull()
    assert [each.name for each in pulled.conflicts] == ["m/v1"]
    assert two.resolve("m/v1").version == mine


def test_an_alias_that_two_have_made(machines: Machines) -> None:
    """Histories are never merged: who comes second is told, on each way, and both stay as they are."""
    one, two = machines.new("one"), machines.new("two")
    for store in (one, two):
        commit(store, machines.folder("m", weights=store.path.encode()), f"m/{Path(store.path).name}")
        store.set_alias("m/production", f"m/{Path(store.path).name}")
    one.push()
    (conflict,) = two.push(["m/production"]).conflicts
    assert "moved by others" in conflict.why
    (conflict,) = two.pull(["m/production"]).conflicts
    assert "moved here, too" in conflict.why
    assert two.resolve("m/production").version == two.resolve("m/two").version
    assert machines.clone("three").resolve("m/production").version == one.resolve("m/one").version


def test_an_alias_that_two_have_made_gives_way(machines: Machines) -> None:
    """Who comes second would be told so for ever, and could never follow the one that all others have."""
    one, two = machines.new("one"), machines.new("two")
    for store in (one, two):
        commit(store, machines.folder("m", weights=store.path.encode()), f"m/{Path(store.path).name}")
        store.set_alias("m/production", f"m/{Path(store.path).name}")
    one.push()
    (conflict,) = two.pull().conflicts
    assert "`artstore alias rm m/production` lets it come" in conflict.why
    two.remove_alias("m/production")
    assert two.pull().written == ["m/production"]
    assert two.alias_log("m/production") == one.alias_log("m/production")
    two.set_alias("m/production", "m/two")
    one.pull()
    assert two.alias_log("m/production") == one.alias_log("m/production")
    assert two.push().conflicts == []
    assert two.gc_undo().aliases == (), "what it was is in nobody's way"
    assert two.check().is_sound
    path = two.path
    two.close()
    Store.rebuild_index(path)
    with Store.open(path) as again:
        assert again.alias_log("m/production") == one.alias_log("m/production")
        assert again.check().is_sound


def test_many_machines_at_once(machines: Machines) -> None:
    """Eight push to one remote, again and again; then every version is whole in a clone."""
    stores = [machines.new(f"s{n}") for n in range(8)]
    shared = machines.folder("shared", weights=noise(MIB))

    def work(number: int) -> list[str]:
        written: list[str] = []
        for turn in range(3):
            folder = machines.folder(f"w{number}", weights=noise(MIB), own=noise(50_000, 100 * number + turn))
            commit(stores[number], folder, f"m/{number}-{turn}")
            stores[number].commit(shared, tag=f"m/shared-{number}-{turn}")
            written += stores[number].push().written
        return written

    with ThreadPoolExecutor(8) as pool:
        written = [name for names in pool.map(work, range(8)) for name in names]
    assert len(written) == len(set(written)) == 8 * 3 * 2
    last = machines.clone("last")
    assert {tag.name for tag in last.tags()} == set(written)
    assert last.check(data=True).is_sound
    assert machines.keys("pins/") == []


# --- what is not as it should be


def gc_state(machines: Machines, **changed: object) -> None:
    """Let collection say something else."""
    found = machines.remote.get(GC_KEY)
    assert found is not None
    state = decode_remote(GcState, found.data)
    machines.remote.put(GC_KEY, encode_remote(msgspec.structs.replace(state, **changed)))


def test_what_is_listed_for_deletion_is_taken_for_absent(machines: Machines) -> None:
    """A version would be named whose packs are deleted an hour later."""
    one = machines.new("one")
    folder = machines.folder("m", weights=noise(MIB))
    version = commit(one, folder, "m/v1")
    one.push()
    listed = [CondemnedPack(key, None) for key in machines.keys("p/")]
    gc_state(machines, listed=listed)
    one.tag("m/best", "m/v1")
    pushed = one.push(["m/best"])
    assert pushed.packs == 1
    found = machines.remote.get(set_key(version))
    assert found is not None
    told = decode_remote(RemoteSet, found.data)
    assert {pack.key for pack in listed}.isdisjoint(told.data)
    for pack in listed:
        machines.remote.delete(pack.key)
    assert same(machines.clone("two"), "m/best", folder, machines.path / "out")


def test_nobody_writes_while_collection_is_alone(machines: Machines) -> None:
    """An exclusive collection deletes at once; a push beside it would lose packs."""
    one = machines.new("one")
    commit(one, machines.folder("m", weights=b"x"), "m/v1")
    one.push(["m"])
    gc_state(machines, exclusive=True)
    commit(one, machines.folder("m", weights=b"y"), "m/v2")
    with pytest.raises(Busy, match="collected"):
        one.push()
    assert machines.keys("tags/") == ["tags/m/v1"]


def test_packs_that_vanish_are_sent_again(machines: Machines) -> None:
    """The journal of March proves nothing in June."""
    one = machines.new("one")
    folder = machines.folder("m", weights=noise(MIB))
    commit(one, folder, "m/v1")
    one.push()
    for key in [*machines.keys("p/"), *machines.keys("m/")]:
        machines.remote.delete(key)
    machines.folder("m", config=b"new")
    commit(one, folder, "m/v2")
    pushed = one.push(anew=True)
    assert pushed.packs >= 3
    two = machines.clone("two")
    assert same(two, "m/v2", folder, machines.path / "out")
    assert two.check(data=True).is_sound


def test_a_frozen_machine_proves_again(machines: Machines) -> None:
    """A laptop closed for two days between proof and swap must not name packs that went meanwhile."""
    one = machines.new("one")
    commit(one, machines.folder("m", weights=noise(1000)), "m/v1")
    wanted = Wanted()
    for tag in one.tags():
        wanted.add_tag(tag)
    moments = iter([0.0, 0.0, 100_000.0, *[100_000.0] * 20])
    pusher = Pusher(one.context, one.objects, machines.remote, b"\0" * 16, Counters(), now=lambda: next(moments))
    result = pusher.push(wanted)
    assert result.written == ["m/v1"]
    remote = machines.remote
    looks = remote.stats.gets
    assert looks == 0  # another object's counters
    assert result.requests > 12, "it looked once more"


@pytest.mark.parametrize("harm", ["flipped", "short", "gone"])
def test_a_pack_that_is_damaged_at_the_remote(machines: Machines, harm: str) -> None:
    """No byte of it gets into a store; what is whole comes."""
    one = machines.new("one")
    commit(one, machines.folder("a", weights=noise(MIB)), "a/v1")
    one.push()
    commit(one, machines.folder("b", weights=noise(MIB, 2)), "b/v1")
    one.push()
    found = machines.remote.get(set_key(one.resolve("b/v1").version))
    assert found is not None
    (key,) = decode_remote(RemoteSet, found.data).data
    path = machines.file(key)
    if harm == "flipped":
        flip(path, 500_000)
    elif harm == "short":
        truncate(path, path.stat().st_size - 100)
    else:
        path.unlink()
    two = machines.new("two")
    with pytest.raises(Corrupt, match=key) as caught:
        two.pull()
    assert two.tags() == []
    assert two.pull(["a"]).written == ["a/v1"]
    assert two.check(data=True).is_sound
    if harm != "gone":
        assert "artstore repair --remote" in str(caught.value)
        path.unlink()
    one.push(anew=True)
    assert two.pull().written == ["b/v1"]


def test_a_damaged_pack_is_never_sent(machines: Machines) -> None:
    """The last whole copy elsewhere would be believed to be safe."""
    one = machines.new("one")
    commit(one, machines.folder("m", weights=noise(MIB)), "m/v1")
    (path,) = [path for path in Path(one.path, "packs").rglob("*.pack") if path.stat().st_size > MIB]
    flip(path, 500_000)
    with pytest.raises(Corrupt, match=path.stem):
        one.push()
    assert machines.keys("tags/") == []


def test_what_was_removed_here_does_not_come_back(machines: Machines) -> None:
    """Retention removed it; a pull every hour must not bring it back."""
    one = machines.new("one")
    folder = machines.folder("m", weights=b"1")
    commit(one, folder, "m/v1")
    machines.folder("m", weights=b"2")
    commit(one, folder, "m/v2")
    one.push()
    one.remove("m/v1")
    pulled = one.pull()
    assert [each.name for each in pulled.conflicts] == ["m/v1"]
    assert [tag.name for tag in one.tags()] == ["m/v2"]


@pytest.mark.plain("reads packs as they lie there")
def test_shards_tell_the_tables_of_packs(machines: Machines) -> None:
    """Whoever pushes next learns from them what is there."""
    one = machines.new("one")
    commit(one, machines.folder("m", weights=noise(MIB)), "m/v1")
    one.push()
    (key,) = machines.keys("x/")
    found = machines.remote.get(key)
    assert found is not None
    packs = decode_shard(found.data)
    assert [pack.key for pack in packs] == sorted([*machines.keys("p/"), *machines.keys("m/")])
    for pack in packs:
        assert pack.size == machines.file(pack.key).stat().st_size
        assert machines.file(pack.key).read_bytes().count(pack.table) == 1


def test_clone_refuses(machines: Machines, tmp_path: Path) -> None:
    """A typing mistake must not leave a store behind."""
    with pytest.raises(NotFound):
        Store.clone(RemotePlace(url=f"file://{tmp_path}/none"), tmp_path / "s")
    assert not (tmp_path / "s").exists()
    one = machines.new("one")
    with pytest.raises(Conflict, match="is a store already"):
        Store.clone(machines.place, one.path)


def test_a_remote_that_was_deleted(machines: Machines) -> None:
    """Everything is still here, and can be pushed anew."""
    one = machines.new("one")
    folder = machines.folder("m", weights=noise(1000))
    commit(one, folder, "m/v1")
    one.push()
    for key in machines.keys(""):
        machines.remote.delete(key)
    with pytest.raises(RemoteError, match="is empty"):
        one.pull()
    with pytest.raises(RemoteError, match="is empty"):  # it may be a disk that isn't mounted
        one.push()
    one.remove_remote("origin")
    one.add_remote("origin", machines.place)
    assert one.push().packs == 2
    assert same(machines.clone("two"), "m/v1", folder, machines.path / "out")


def test_each_request_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever request fails for good: the push ends with an error, and the next one completes."""
    left = 0
    names = ("get", "stream", "head", "put", "create", "swap", "delete", "list")
    originals = {name: getattr(FolderRemote, name) for name in names}

    def failing(name: str) -> Callable[..., object]:
        def call(self: FolderRemote, *args: object, **more: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise RemoteError("the network is gone")
            return originals[name](self, *args, **more)

        return call

    for name in names:
        monkeypatch.setattr(FolderRemote, name, failing(name))
    failures = 0
    for number in range(1, 200):
        left = 0
        path = tmp_path / str(number)
        path.mkdir()
        machines = Machines(path, RemotePlace(url=f"file://{path / 'remote'}"))
        one = machines.new("one")
        folder = machines.folder("m", weights=noise(100_000))
        commit(one, folder, "m/v1")
        one.set_alias("m/production", "m/v1")
        one.push()
        machines.folder("m", config=b"new")
        commit(one, folder, "m/v2")
        one.set_alias("m/production", "m/v2", local=True)
        left = number
        try:
            one.push()
        except RemoteError:
            failures += 1
        is_over, left = left > 0, 0
        one.push()
        two = machines.clone("two")
        assert two.check(data=True).is_sound
        assert same(two, "m/production", folder, path / "out")
        assert two.alias_log("m/production") == one.alias_log("m/production")
        for store in machines.opened:
            store.close()
        if is_over:
            break
    assert failures > 15


def test_what_collection_has_condemned_here_lives_again(machines: Machines) -> None:
    """A version would be named whose packs are unlinked by the next `gc`."""
    one = machines.new("one")
    folder = machines.folder("m", weights=noise(MIB))
    version = commit(one, folder, "m/v1")
    one.push()
    two = machines.new("two")
    two.pull()
    two.remove("m/v1")
    with two.context.index.write() as writer:
        for row in list(writer.packs()):
            writer.set_pack_state(row.number, PackState.CONDEMNED, 1)
        writer.remove_set(version)
    one.tag("m/again", "m/v1")
    one.set_alias("m/production", "m/v1")
    one.push()
    assert two.pull(["m/again", "m/production"]).packs == 0, "they are here"
    with two.context.index.read() as reader:
        assert {row.state for row in reader.packs()} == {PackState.LIVE}
    two.gc(two.gc_plan(now=True), now=True)
    assert same(two, "m/production", folder, machines.path / "out")


def test_names_that_can_not_stand_side_by_side(machines: Machines) -> None:
    """A ref can't also be a folder of refs: what is here stays, and the other one is told."""
    one, two = machines.new("one"), machines.new("two")
    folder = machines.folder("m", weights=b"x")
    commit(one, folder, "m/a/v1")
    one.set_alias("m/b", "m/a/v1")
    one.push()
    commit(two, folder, "m/a")
    two.tag("m/b/v1", "m/a")
    pulled = two.pull()
    assert sorted(each.name for each in pulled.conflicts) == ["m/a/v1", "m/b"]
    assert sorted(tag.name for tag in two.tags()) == ["m/a", "m/b/v1"]
    assert two.aliases() == []


def test_a_pull_beside_a_collection(machines: Machines) -> None:
    """What has come, and has no name yet, is not taken away."""
    one = machines.new("one")
    for number in range(6):
        commit(one, machines.folder("m", weights=noise(MIB, number)), f"m/v{number}")
    one.push()
    two = machines.new("two")

    def collect() -> None:
        while not pulled.done():
            with suppress(Busy):
                two.gc(two.gc_plan())

    with ThreadPoolExecutor(2) as pool:
        pulled = pool.submit(two.pull)
        collecting = pool.submit(collect)
        assert len(pulled.result().written) == 6
        collecting.result()
    assert two.check(data=True).is_sound
    assert machines.clone("three").check(data=True).is_sound

"""A remote that is damaged: it is told what is hurt, and mended with what is here, there and elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artstore import Store
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import Corrupt, UsageError
from artstore.format.remote import (
    GC_KEY,
    GcState,
    RemoteAlias,
    RemoteSet,
    RemoteTag,
    all_keys,
    decode_remote,
    encode_remote,
    set_key,
)
from artstore.model import Fetched, RemotePlace
from artstore.store.check_remote import FarProblemKind
from artstore.testing.damage import flip, truncate
from tests.machines import Machines, commit, noise, same

SIZE = 600_000


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path, RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    yield made
    for store in made.opened:
        store.close()


@pytest.fixture
def folder(machines: Machines) -> Path:
    return machines.folder("m", weights=noise(SIZE, 1), config=b"{}")


@pytest.fixture
def one(machines: Machines, folder: Path) -> Store:
    """The store that has pushed m/v1, m/v2, which share much, and an alias that was moved."""
    store = machines.new("one")
    commit(store, folder, "m/v1")
    store.set_alias("m/production", "m/v1")
    store.push()
    (folder / "config").write_bytes(b'{"more": 1}')
    commit(store, folder, "m/v2")
    store.set_alias("m/production", "m/v2")
    store.push()
    return store


def set_of(machines: Machines, store: Store, name: str) -> RemoteSet:
    found = machines.remote.get(set_key(store.resolve(name).version))
    assert found is not None
    return decode_remote(RemoteSet, found.data)


def pack_of(machines: Machines, store: Store, name: str = "m/v1") -> Path:
    """The file of the pack with the weights."""
    return max((machines.file(key) for key in set_of(machines, store, name).data), key=lambda path: path.stat().st_size)


def flip_middle(path: Path) -> None:
    flip(path, path.stat().st_size // 2)


def flip_table(path: Path) -> None:
    flip(path, path.stat().st_size - 100)


def flip_end(path: Path) -> None:
    flip(path, path.stat().st_size - 10)


def halve(path: Path) -> None:
    truncate(path, path.stat().st_size // 2)


DAMAGES = [flip_middle, flip_table, flip_end, halve, Path.unlink]


def is_whole(machines: Machines, name: str, folder: Path, tmp_path: Path) -> bool:
    """Does a new clone read all?"""
    clone = machines.clone(name)
    return same(clone, "m/v2", folder, tmp_path / f"out-{name}") and clone.check(data=True).is_sound


def test_what_is_sound_is_left_alone(machines: Machines, one: Store) -> None:
    """A repair that nothing needs would cost money, or hurt."""
    files = [path for path in machines.file("").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    told = one.check_at_remote(data=True)
    assert told.is_sound
    assert (told.refs, told.versions, told.moves, told.finished, told.foreign) == (3, 2, 2, True, 0)
    assert told.read_packs == told.packs
    assert told.requests > told.packs
    done = one.repair_at_remote(data=True)
    assert done.is_sound
    assert (done.found, done.packs, done.sets, done.refs) == ((), 0, 0, [])
    assert {path: path.read_bytes() for path in files} == before
    assert len(files) == sum(path.is_file() for path in machines.file("").rglob("*"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_pack_is_told_and_mended(
    machines: Machines, one: Store, folder: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """A bit that flips in a bucket would cost a model, though a store has it all."""
    old = pack_of(machines, one)
    damage(old)
    if old.exists() and damage is not halve:
        assert one.check_at_remote().is_sound, "who doesn't read can't know"
    told = one.check_at_remote(data=True)
    kind = FarProblemKind.PACK if old.exists() else FarProblemKind.PACK_MISSING
    assert [problem.kind for problem in told.problems] == [kind]
    assert str(old).endswith(told.problems[0].key)
    assert told.problems[0].key in told.problems[0].message
    if damage is flip_middle:
        assert {(hurt.path, hurt.refs) for hurt in told.hurt} == {
            (b"weights", ("m/v1",)),
            (b"weights", ("m/v2", "m/production")),
        } | ({(b"config", ("m/v1",))} if one.is_encrypted else set())  # it is in the same segment
    assert not one.check_at_remote().is_sound, "it is known by now"
    assert one.repair_at_remote(dry_run=True).packs > 0
    assert one.check_at_remote().problems == told.problems, "and nothing was done"
    bytes_before = old.read_bytes() if old.exists() else b""
    done = one.repair_at_remote()
    assert done.is_sound
    assert (len(done.found), len(done.replaced), done.sets) == (1, 1, 2)
    assert (old.read_bytes() if old.exists() else b"") == bytes_before, "I6"
    assert one.check_at_remote(data=True).is_sound
    assert is_whole(machines, "clone", folder, tmp_path)
    again = one.repair_at_remote()
    assert (again.found, again.packs) == ((), 0)


@pytest.mark.parametrize("kind", ["m/", "x/"])
@pytest.mark.parametrize("damage", [flip_middle, halve, Path.unlink])
def test_metadata_and_shards_are_mended(
    machines: Machines, one: Store, folder: Path, tmp_path: Path, kind: str, damage: Callable[[Path], None]
) -> None:
    """The few bytes that everything hangs on."""
    for key in machines.keys(kind):
        damage(machines.file(key))
    assert not one.check_at_remote(data=True).is_sound
    done = one.repair_at_remote()
    assert done.is_sound, (done.remaining, done.lost, done.notes)
    assert one.check_at_remote(data=True).is_sound
    assert is_whole(machines, "clone", folder, tmp_path)


@pytest.mark.parametrize("damage", [flip_middle, halve, Path.unlink])
def test_sets_are_made_anew(
    machines: Machines, one: Store, folder: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Nothing could be collected or cloned, though all packs are there."""
    for key in machines.keys("sets/"):
        damage(machines.file(key))
    told = one.check_at_remote()
    assert len(told.problems) == 2
    assert all(hurt.path == b"" for hurt in told.hurt)
    done = one.repair_at_remote()
    assert done.is_sound
    assert (done.sets_rebuilt, done.packs) == (2, 0)
    assert one.check_at_remote(data=True).is_sound
    assert is_whole(machines, "clone", folder, tmp_path)


def test_what_no_table_tells_of(machines: Machines, one: Store, folder: Path, tmp_path: Path) -> None:
    """Who has lost the end of a pack and its shard knows nothing of it any more; a store that has the versions does."""
    old = pack_of(machines, one)
    flip_end(old)
    halve(old)
    for key in machines.keys("x/"):
        machines.file(key).unlink()
    clone, _ = Store.clone(machines.place, tmp_path / "bare")
    with clone:
        clone.check_at_remote(data=True)
        done = clone.repair_at_remote()
        assert not done.is_sound
        assert {problem.key for problem in done.remaining} >= {str(old.relative_to(machines.file("")))}
    done = one.repair_at_remote(data=True)
    assert done.is_sound, (done.remaining, done.lost, done.notes)
    assert one.check_at_remote(data=True).is_sound
    assert is_whole(machines, "clone", folder, tmp_path)


@pytest.mark.parametrize("damage", [flip_middle, Path.unlink])
def test_histories_are_mended(machines: Machines, one: Store, damage: Callable[[Path], None]) -> None:
    """An alias could be pulled nowhere any more."""
    for key in machines.keys("moves/"):
        damage(machines.file(key))
    told = one.check_at_remote()
    assert {problem.kind for problem in told.problems} == {FarProblemKind.HISTORY}
    done = one.repair_at_remote()
    assert (done.is_sound, done.moves) == (True, 2)
    assert one.check_at_remote().is_sound
    assert machines.clone("clone").check().is_sound


def name_file(machines: Machines, key: str) -> Path:
    return machines.file(key + "@")


@pytest.mark.plain("of a damaged name nothing can be read")
@pytest.mark.parametrize("key", ["tags/m/v1", "aliases/m/production"])
def test_a_name_that_is_known_for_sure_is_written_again(machines: Machines, one: Store, key: str) -> None:
    """Nothing could be pulled or collected, for one flipped bit."""
    whole = name_file(machines, key).read_bytes()
    for at in range(len(whole)):
        name_file(machines, key).write_bytes(whole)
        flip(name_file(machines, key), at)
        with pytest.raises(Corrupt):
            decode_remote(RemoteTag if key.startswith("tags") else RemoteAlias, name_file(machines, key).read_bytes())
        if at % 20 == 0:
            assert len(one.check_at_remote().problems) == 1
            done = one.repair_at_remote()
            assert (done.refs, done.is_sound) == ([key.partition("/")[2]], True)
            assert one.check_at_remote().is_sound


@pytest.mark.plain("of a damaged name nothing can be read")
def test_a_name_that_may_say_something_newer_is_told(machines: Machines, one: Store) -> None:
    """An alias would go back to where this store saw it, and a removed tag come back."""
    two = machines.clone("two")
    two.set_alias("m/production", "m/v1")
    two.push()
    two.remove_at_remote("m/v2", remote="origin")
    for key in ("tags/m/v2", "aliases/m/production"):
        flip(name_file(machines, key), 40 if key.startswith("aliases") else 25)
    done = one.repair_at_remote()
    assert {problem.kind for problem in done.remaining} == {FarProblemKind.TAG, FarProblemKind.ALIAS}
    assert done.refs == []
    assert sum("something newer" in note for note in done.notes) == 2
    for key in ("tags/m/v2", "aliases/m/production"):
        truncate(name_file(machines, key), 10)
    assert one.repair_at_remote().refs == []


@pytest.mark.plain("each is sealed as what it is: in another's place it can't be opened")
def test_two_packs_in_each_others_place(machines: Machines, one: Store, folder: Path, tmp_path: Path) -> None:
    """Each of them is sound in itself."""
    (folder / "weights").write_bytes(noise(SIZE, 7))
    commit(one, folder, "m/v2b")
    one.push()
    first, second = pack_of(machines, one), pack_of(machines, one, "m/v2b")
    assert first != second
    spare = tmp_path / "spare"
    shutil.move(first, spare)
    shutil.move(second, first)
    shutil.move(spare, second)
    told = one.check_at_remote(data=True)
    assert len(told.problems) == 2
    # A clone that has no data: all is had from the packs themselves.
    clone, _ = Store.clone(machines.place, tmp_path / "bare")
    with clone:
        assert not clone.check_at_remote(data=True).is_sound
        done = clone.repair_at_remote()
        assert done.is_sound, (done.remaining, done.lost, done.notes)
    assert one.check_at_remote(data=True).is_sound
    whole = machines.clone("clone")
    assert same(whole, "m/v2b", folder, tmp_path / "out")


@pytest.mark.plain("a segment may hold several objects")
def test_what_nobody_here_has_is_listed_and_had_elsewhere(
    machines: Machines, one: Store, folder: Path, tmp_path: Path
) -> None:
    """A store that lacks the data would give up what another one has, or not say whom to ask."""
    clone, _ = Store.clone(machines.place, tmp_path / "bare")
    old = pack_of(machines, one)
    flip_middle(old)
    with clone:
        assert not clone.check_at_remote(data=True).is_sound
        done = clone.repair_at_remote()
        assert not done.is_sound
        assert {(hurt.path, hurt.refs) for hurt in done.lost} == {
            (b"weights", ("m/v1",)),
            (b"weights", ("m/v2", "m/production")),
        } | ({(b"config", ("m/v1",))} if one.is_encrypted else set())  # it is in the same segment
        assert done.lost_objects == 1
        assert done.asked == [machines.place.url]
        sent = done.objects
        assert sent > 0, "the rest is safe"
        assert clone.repair_at_remote().objects == 0, "and isn't sent again"
    for name in ("m/v1", "m/v2"):
        assert str(old).endswith(tuple(set_of(machines, one, name).data)), "what is missing is still known"
    assert one.repair_at_remote().found == (), "this store hasn't looked"
    with pytest.raises(UsageError, match="no key of a pack"):
        one.repair_at_remote(packs=["format"])
    done = one.repair_at_remote(packs=[str(old.relative_to(machines.file("")))])
    assert (done.is_sound, done.objects) == (True, 1)
    assert one.repair_at_remote(packs=machines.keys("p/")).found == (), "what is sound is left alone"
    assert is_whole(machines, "clone", folder, tmp_path)


def test_another_remote_has_it(machines: Machines, one: Store, folder: Path, tmp_path: Path) -> None:
    """A mirror is there for that."""
    nas = RemotePlace(url=f"file://{tmp_path / 'nas'}")
    one.add_remote("nas", nas)
    one.push(to="nas")
    flip_middle(pack_of(machines, one))
    clone, _ = Store.clone(machines.place, tmp_path / "bare")
    with clone:
        clone.add_remote("nas", nas)
        done = clone.repair_at_remote(data=True)
        assert done.is_sound, (done.remaining, done.lost, done.notes)
        assert done.asked == [machines.place.url, nas.url]
    assert one.check_at_remote(data=True).is_sound
    assert is_whole(machines, "clone", folder, tmp_path)


def test_nobody_relies_on_what_was_damaged(machines: Machines, one: Store, folder: Path, tmp_path: Path) -> None:
    """Another store that had sent the same would name the damaged pack in the set of its next version."""
    two = machines.clone("two")
    old = pack_of(machines, one)
    key = str(old.relative_to(machines.file("")))
    flip_middle(old)
    one.check_at_remote(data=True)
    done = one.repair_at_remote()
    assert done.listed == [key]
    state = machines.remote.get(GC_KEY)
    assert state is not None
    assert [pack.key for pack in decode_remote(GcState, state.data).listed] == [key]
    (folder / "config").write_bytes(b"new")
    for store, name in ((two, "m/v3"), (one, "m/v4")):
        commit(store, folder, name)
        store.push()
        assert key not in all_keys(set_of(machines, store, name))
    assert one.check_at_remote(data=True).is_sound
    clone = machines.clone("clone")
    assert same(clone, "m/v3", folder, tmp_path / "out")


def test_who_read_there_before_reads_on(machines: Machines, one: Store, folder: Path, tmp_path: Path) -> None:
    """A clone that knows where a chunk lay would be told of damage for ever, though it was mended."""
    clone, _ = Store.clone(machines.place, tmp_path / "bare")
    with clone:
        with clone.open("m/v2", "weights") as file:
            file.read(1000)
        clone.evict()
        old = pack_of(machines, one)
        for at in range(1000, old.stat().st_size, 50_000):
            flip(old, at)
        with pytest.raises(Corrupt, match="artstore repair --remote"):
            clone.checkout("m/v2", tmp_path / "broken")
        shutil.rmtree(tmp_path / "broken", ignore_errors=True)
        assert not clone.check_at_remote().is_sound, "reading has found it"
        one.check_at_remote(data=True)
        assert one.repair_at_remote().is_sound
        assert same(clone, "m/v2", folder, tmp_path / "out")


def test_what_is_not_ours_is_left_alone(machines: Machines, one: Store) -> None:
    """A bucket that others use, too, would lose their files, or be called damaged."""
    for key in ("readme.txt", "p/else/where", "sets/not-a-version", "photos/cat.jpg", "moves/x"):
        FolderRemote(machines.place).put(key, b"theirs")
    told = one.check_at_remote(data=True)
    assert (told.is_sound, told.foreign) == (True, 5)
    flip_middle(pack_of(machines, one))
    one.check_at_remote(data=True)
    assert one.repair_at_remote().is_sound
    assert machines.file("photos/cat.jpg").read_bytes() == b"theirs"


def test_what_is_removed_meanwhile_is_no_damage(
    machines: Machines, one: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daily check would cry wolf whenever it meets collection."""
    listed = FolderRemote.list
    done: list[str] = []

    def collected(self: FolderRemote, prefix: str, *, after: str = "") -> Iterator[object]:
        if prefix == "" and not done:
            done.append("")
            one.remove_at_remote("m/v1", "m/v2", "m/production", remote="origin")
            for kind in ("p/", "m/", "x/"):
                for key in machines.keys(kind):
                    machines.file(key).unlink()
        return listed(self, prefix, after=after)

    monkeypatch.setattr(FolderRemote, "list", collected)
    told = one.check_at_remote(data=True)
    assert done
    assert told.is_sound, told.problems
    assert told.versions == 0


def test_a_cursor_goes_on(machines: Machines, one: Store, folder: Path) -> None:
    """A bucket that takes days to read would never be read to its end."""
    for number in range(4):
        (folder / "weights").write_bytes(noise(300_000, 20 + number))
        commit(one, folder, f"m/w{number}")
        one.push()
    seen = 0
    runs = 0
    while True:
        told = one.check_at_remote(data=True, max_duration=0)
        assert told.resumed == (runs > 0)
        assert told.read_packs > 0, "each part gets further"
        seen += told.read_packs
        runs += 1
        if told.finished:
            break
        assert told.left_packs == told.packs - seen
    assert seen == told.packs
    assert runs > 1
    assert not one.check_at_remote(data=True).resumed, "a new round"


def test_what_an_earlier_part_has_found_stays_known(machines: Machines, one: Store) -> None:
    """Damage found on Monday would be forgotten by Tuesday's part, and a repair find nothing."""
    for key in sorted([*machines.keys("p/"), *machines.keys("m/")]):
        flip(machines.file(key), 100)
    packs = one.check_at_remote().packs
    found: set[str] = set()
    while True:
        told = one.check_at_remote(data=True, max_duration=0)
        assert {problem.key for problem in told.problems} >= found
        found = {problem.key for problem in told.problems}
        if told.finished:
            break
    assert len(found) == packs
    assert one.repair_at_remote().is_sound


def test_a_new_round_reads_what_came_meanwhile(machines: Machines, one: Store, folder: Path) -> None:
    """New packs whose keys sort before the cursor would never be read."""
    one.check_at_remote(data=True, max_duration=0)
    (folder / "weights").write_bytes(noise(300_000, 20))
    commit(one, folder, "m/v3")
    one.push()
    while not one.check_at_remote(data=True).finished:
        pass
    assert one.check_at_remote(data=True).read_packs == one.check_at_remote().packs


def test_gc_state_is_told(machines: Machines, one: Store) -> None:
    """Nobody could push, and it would not be said why."""
    whole = machines.file(GC_KEY).read_bytes()
    flip(machines.file(GC_KEY), 5)
    pack_of(machines, one).unlink()
    kinds = {FarProblemKind.GC_STATE, FarProblemKind.PACK_MISSING}
    assert {problem.kind for problem in one.check_at_remote().problems} == kinds
    done = one.repair_at_remote()
    assert ({problem.kind for problem in done.remaining}, done.packs) == (kinds, 0)
    machines.file(GC_KEY).write_bytes(whole)
    assert one.repair_at_remote().is_sound


def test_a_writer_changes_a_set_meanwhile(
    machines: Machines, one: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repair would undo what somebody else has just written."""
    swap = FolderRemote.swap
    extra = "p/" + "ab" * 12 + "/00000001"
    (named,) = set_of(machines, one, "m/v1").data
    found = machines.remote.get(named)
    assert found is not None
    machines.remote.put(extra, found.data)
    raced: set[str] = set()

    def racing(self: FolderRemote, key: str, data: bytes, etag: str) -> object:
        if key.startswith("sets/") and key not in raced:
            raced.add(key)
            found = machines.remote.get(key)
            assert found is not None
            told = decode_remote(RemoteSet, found.data)
            other = RemoteSet(bytes(16), sorted([*told.data, extra]), told.meta, told.shards, told.inputs)
            assert machines.remote.swap(key, encode_remote(other), found.etag) is not None
        return swap(self, key, data, etag)

    flip_middle(pack_of(machines, one))
    one.check_at_remote(data=True)
    monkeypatch.setattr(FolderRemote, "swap", racing)
    assert one.repair_at_remote().is_sound
    assert len(raced) == 2
    assert all(extra in set_of(machines, one, name).data for name in ("m/v1", "m/v2"))
    assert is_whole(machines, "clone", folder, tmp_path)


def test_a_set_that_is_damaged_for_a_moment(
    machines: Machines, one: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that flips bits for a while would make a process believe for ever that a chunk is nowhere."""
    clone, _ = Store.clone(machines.place, tmp_path / "bare")
    with clone:
        with clone.open("m/v2", "weights") as file:
            file.read(1000)
        clone.evict()
        get, get_range = FolderRemote.get, FolderRemote.get_range

        def flipped(data: bytes | None) -> bytes | None:
            return None if data is None else bytes(byte ^ 1 for byte in data)

        def bad_get(self: FolderRemote, key: str) -> Fetched | None:
            found = get(self, key)
            return None if found is None else Fetched(flipped(found.data) or b"", found.etag, found.time)

        def bad_range(self: FolderRemote, key: str, offset: int, size: int) -> bytes | None:
            return flipped(get_range(self, key, offset, size))

        with monkeypatch.context() as patched:
            patched.setattr(FolderRemote, "get", bad_get)
            patched.setattr(FolderRemote, "get_range", bad_range)
            with pytest.raises(Corrupt, match=r"does not match|there is no frame|it is not sealed"):
                clone.checkout("m/v2", tmp_path / "broken")
        assert same(clone, "m/v2", folder, tmp_path / "out")
        assert clone.check_at_remote().is_sound, "what was noted is looked at again"

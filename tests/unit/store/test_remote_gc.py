"""Collection at a remote: what goes, what stays, and what happens when several are at it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from artstore import Store
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import Busy, Corrupt
from artstore.format.remote import GC_KEY, GcState, Pin, RemoteSet, all_keys, decode_remote, encode_remote, set_key
from artstore.model import RemotePlace, Written
from artstore.store.remote.push import Pusher
from tests.machines import Machines, commit, noise, same

DAY = 86400
SIZE = 1_000_000


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path, RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    yield made
    for store in made.opened:
        store.close()


def state_of(machines: Machines) -> GcState:
    found = machines.remote.get(GC_KEY)
    assert found is not None
    return decode_remote(GcState, found.data)


def change_state(machines: Machines, change: Callable[[GcState], GcState]) -> None:
    machines.remote.put(GC_KEY, encode_remote(change(state_of(machines))))


def pass_days(machines: Machines, days: float) -> None:
    """All that lies there becomes so much older, and what is listed has been so for so much longer."""
    root = machines.file("")
    for path in root.rglob("*"):
        if path.is_file():
            old = path.stat().st_mtime - days * DAY
            os.utime(path, (old, old))

    def older(pack: msgspec.Struct) -> msgspec.Struct:
        since = getattr(pack, "since", None)
        return msgspec.structs.replace(pack, since=None if since is None else int(since - days * DAY))

    change_state(machines, lambda state: msgspec.structs.replace(state, listed=[older(each) for each in state.listed]))


def packs_of(machines: Machines) -> set[str]:
    return {key for folder in ("p/", "m/", "x/") for key in machines.keys(folder)}


def collect_all(machines: Machines, store: Store) -> int:
    """Runs until nothing is left to be done, days apart; the bytes that went."""
    freed = 0
    for _ in range(6):
        pass_days(machines, 2)
        freed += store.remote_gc().deleted_bytes
    return freed


def test_what_no_ref_leads_to_goes_in_time(machines: Machines, tmp_path: Path) -> None:
    """A bucket would grow for ever, or lose what a version needs."""
    one = machines.new("one")
    kept = machines.folder("kept", weights=noise(SIZE, 1))
    gone = machines.folder("gone", weights=noise(SIZE, 2))
    commit(one, kept, "m/v1")
    one.push()
    before = packs_of(machines)
    commit(one, gone, "m/v2")
    one.push()
    one.remove_at_remote("m/v2", remote="origin")
    assert not one.remote_gc_plan().step.begun, "it was sent just now"
    pass_days(machines, 2)
    plan = one.remote_gc_plan()
    assert (plan.versions, plan.unnamed) == (1, 1)
    assert sum(pack.size for pack in plan.step.begun) > SIZE
    assert state_of(machines).listed == [], "a plan changes nothing"
    assert one.remote_gc().deleted_packs == 0
    pass_days(machines, 2)
    assert one.remote_gc().deleted_packs == 0, "nobody knows for how long it has been listed"
    assert one.remote_gc().deleted_packs == 0
    pass_days(machines, 2)
    told = one.remote_gc()
    assert told.deleted_bytes > SIZE
    assert packs_of(machines) == before
    state = state_of(machines)
    assert (state.listed, state.deleting, state.deletions) == ([], [], 1)
    clone = machines.clone("two")
    assert same(clone, "m/v1", kept, tmp_path / "out")
    assert clone.check(data=True).is_sound


def test_what_was_collected_is_sent_again(machines: Machines, tmp_path: Path) -> None:
    """A store that had sent it would believe that it is there, and push a name that leads to nothing."""
    one = machines.new("one")
    folder = machines.folder("m", weights=noise(SIZE))
    commit(one, folder, "m/v1")
    one.push()
    one.remove_at_remote("m/v1", remote="origin")
    two = machines.new("two")
    commit(two, folder, "m/other")
    assert collect_all(machines, two) > SIZE
    assert packs_of(machines) == set()
    one.tag("m/again", "m/v1")
    assert one.push(["m/again"]).packs > 0
    clone = machines.clone("three")
    assert same(clone, "m/again", folder, tmp_path / "out")


@pytest.mark.parametrize("timed", [False, True])
def test_what_is_listed_is_relied_on_by_nobody(machines: Machines, tmp_path: Path, timed: bool) -> None:
    """A name would be written that relies on a pack which is about to go."""
    one = machines.new("one")
    folder = machines.folder("m", weights=noise(SIZE))
    commit(one, folder, "m/v1")
    one.push()
    one.remove_at_remote("m/v1", remote="origin")
    for _ in range(2 if timed else 1):
        pass_days(machines, 2)
        one.remote_gc()
    listed = {pack.key for pack in state_of(machines).listed}
    assert listed
    one.tag("m/again", "m/v1")
    one.push(["m/again"])
    assert collect_all(machines, one) > SIZE, "the old ones go"
    assert packs_of(machines).isdisjoint(listed)
    assert same(machines.clone("two"), "m/again", folder, tmp_path / "out")


def test_rollbacks_and_inputs_stay(machines: Machines, tmp_path: Path) -> None:
    """A rollback would find nothing, or a model not the data it was made from."""
    one = machines.new("one")
    folders = {name: machines.folder(name, weights=noise(SIZE, n)) for n, name in enumerate(("v1", "v2", "data", "m"))}
    commit(one, folders["data"], "data/v1")
    for name in ("v1", "v2"):
        commit(one, folders[name], f"a/{name}")
        one.set_alias("a/production", f"a/{name}")
    one.commit(folders["m"], tag="m/v1", inputs={"train": "data/v1"})
    one.push()
    one.remove_at_remote("a/v1", "a/v2", "data/v1", remote="origin")
    assert collect_all(machines, one) == 0
    clone = machines.clone("two")
    clone.rollback("a/production")
    clone.pull(["a/production"])
    assert same(clone, "a/production", folders["v1"], tmp_path / "out")


def test_a_running_push_is_let_be(machines: Machines) -> None:
    """What it has sent already would be listed, and sent again, for as long as collections run."""
    one = machines.new("one")
    commit(one, machines.folder("m", weights=noise(SIZE)), "m/v1")
    one.push()
    one.remove_at_remote("m/v1", remote="origin")
    keys = sorted(packs_of(machines))
    pass_days(machines, 2)
    machines.remote.put("pins/0123", encode_remote(Pin(keys)))
    assert one.remote_gc_plan().step.begun == []
    pass_days(machines, 2)
    assert {pack.key for pack in one.remote_gc().plan.step.begun} == set(keys), "it has stopped"
    assert machines.keys("pins/") == []


def test_without_a_set_nothing_goes(machines: Machines) -> None:
    """What a version needs isn't known then: all of it would be garbage."""
    one = machines.new("one")
    version = commit(one, machines.folder("m", weights=noise(SIZE)), "m/v1")
    one.push()
    machines.file(f"sets/{version.hex()}").unlink()
    pass_days(machines, 2)
    with pytest.raises(Corrupt, match="nothing is collected"):
        one.remote_gc()
    machines.file(f"sets/{version.hex()}").write_bytes(b"damaged")
    with pytest.raises(Corrupt, match=version.hex()):
        one.remote_gc()
    assert state_of(machines).listed == []


def test_who_is_slower_does_nothing(machines: Machines) -> None:
    """A list that was made before another one would replace it."""
    one = machines.new("one")
    commit(one, machines.folder("m", weights=noise(SIZE)), "m/v1")
    one.push()
    one.remove_at_remote("m/v1", remote="origin")
    pass_days(machines, 2)
    plan = one.remote_gc_plan()
    one.remote_gc()
    listed = state_of(machines)
    with pytest.raises(Busy, match="quicker"):
        one.remote_gc(plan=plan)
    assert state_of(machines) == listed


def test_killed_while_deleting(machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was to be deleted would lie there for ever, or be relied on once it is gone."""
    one = machines.new("one")
    folder = machines.folder("m", weights=noise(SIZE))
    commit(one, folder, "m/v1")
    one.push()
    one.remove_at_remote("m/v1", remote="origin")
    for _ in range(2):
        pass_days(machines, 2)
        one.remote_gc()
    pass_days(machines, 2)

    class Killed(Exception):
        """The power is gone."""

    def die(self: FolderRemote, key: str) -> None:
        original(self, key)
        raise Killed

    original = FolderRemote.delete
    with monkeypatch.context() as killing:
        killing.setattr(FolderRemote, "delete", die)
        with pytest.raises(Killed):
            one.remote_gc()
    state = state_of(machines)
    assert state.deleting
    assert state.deletions == 0
    one.tag("m/again", "m/v1")
    one.push(["m/again"])
    assert one.remote_gc().deleted_packs == len(state.deleting)
    after = state_of(machines)
    assert (after.deleting, after.deletions) == ([], 1)
    assert packs_of(machines).isdisjoint(state.deleting)
    assert same(machines.clone("two"), "m/again", folder, tmp_path / "out")


def test_objects_that_are_not_ours(machines: Machines) -> None:
    """A bucket that is used for something else, too, would lose that."""
    one = machines.new("one")
    commit(one, machines.folder("m", weights=noise(SIZE)), "m/v1")
    one.push()
    machines.file("p/notes").mkdir()
    for key in ("p/readme.txt", "p/notes/todo", "elsewhere/data", "x/README"):
        machines.file(key).parent.mkdir(exist_ok=True)
        machines.file(key).write_bytes(b"not ours")
    assert collect_all(machines, one) == 0
    assert machines.file("p/notes/todo").read_bytes() == b"not ours"


def test_what_a_run_costs(machines: Machines) -> None:
    """A collection of a large bucket would read it all."""
    one = machines.new("one")
    for number in range(40):
        commit(one, machines.folder("m", weights=noise(1000, number)), f"m/v{number}")
    one.push()
    told = one.remote_gc_plan()
    assert told.requests <= 40 + 12, "a set for each version, and a listing of each folder"


def set_of(machines: Machines, version: bytes) -> RemoteSet:
    found = machines.remote.get(set_key(version))
    assert found is not None
    return decode_remote(RemoteSet, found.data)


@pytest.mark.plain("reads what is sent")
def test_a_set_is_replaced_by_one_whose_packs_are_there(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who slept between his uploads and the set, and then died, would have taken the packs of a name that was there."""
    one = machines.new("one")
    folder = machines.folder("m", weights=noise(SIZE))
    commit(one, folder, "m/v1")
    one.push()
    pass_days(machines, 2)
    one.remove_at_remote("m/v1", remote="origin")
    one.remote_gc()
    one.tag("m/again", "m/v1")
    upload, swap = Pusher._upload, FolderRemote.swap  # pyright: ignore[reportPrivateUsage]
    slept: list[str] = []
    before = packs_of(machines)

    def sleeps(self: Pusher, *more: object) -> None:
        upload(self, *more)  # type: ignore[arg-type]
        if not slept:
            slept.extend(packs_of(machines) - before)
            for key in slept:  # a collector has been there
                machines.remote.delete(key)

    def swaps(self: FolderRemote, key: str, data: bytes, etag: str) -> Written | None:
        if key.startswith("sets/"):
            assert packs_of(machines).issuperset(all_keys(decode_remote(RemoteSet, data)))
        return swap(self, key, data, etag)

    monkeypatch.setattr(Pusher, "_upload", sleeps)
    monkeypatch.setattr(FolderRemote, "swap", swaps)
    one.push(["m/again"])
    assert slept
    assert same(machines.clone("two"), "m/again", folder, tmp_path / "out")


def test_what_a_set_names_by_then_is_proven(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name would be written whose set, another's by now, names packs that nobody has looked for."""
    one = machines.new("one")
    folder = machines.folder("m", weights=noise(SIZE))
    version = commit(one, folder, "m/v1")
    one.push()
    one.tag("m/again", "m/v1")
    put_sets = Pusher._put_sets  # pyright: ignore[reportPrivateUsage]
    done: list[RemoteSet] = []

    def meanwhile(self: Pusher, *more: object) -> None:
        put_sets(self, *more)  # type: ignore[arg-type]
        if not done:
            told = set_of(machines, version)
            done.append(msgspec.structs.replace(told, data=[f"p/{'0' * 24}/00000001"]))
            machines.remote.put(set_key(version), encode_remote(done[0]))

    monkeypatch.setattr(Pusher, "_put_sets", meanwhile)
    one.push(["m/again"])
    assert packs_of(machines).issuperset(all_keys(set_of(machines, version)))
    assert same(machines.clone("two"), "m/again", folder, tmp_path / "out")

"""A pack of which the remote has a part: only the rest is sent, once, and the versions are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from artstore import Store, limits
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import Corrupt, RemoteError
from artstore.format.remote import Pin, RemoteSet, decode_remote, decode_shard, set_key
from artstore.model import RemotePlace
from artstore.ports import Body, Remote
from artstore.store.context import Counters
from artstore.store.remote.names import Wanted
from artstore.store.remote.push import Pusher, PushResult
from artstore.testing.damage import flip
from tests.machines import MIB, Machines, commit, noise, same


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path, RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    yield made
    for store in made.opened:
        store.close()


def changed(data: bytes, at: int, size: int = 100) -> bytes:
    """The same with other bytes in one place."""
    return data[:at] + noise(size, 99) + data[at + size :]


def pushed(store: Store, remote: Remote, *tags: str, now: Callable[[], float] = lambda: 0.0) -> PushResult:
    """Push tags through a remote whose requests can be counted."""
    (place,) = store.remotes().values()
    wanted = Wanted()
    for tag in store.tags():
        if tag.name in tags:
            wanted.add_tag(tag)
    id = bytes.fromhex(place.id or "")
    return Pusher(store.context, store.objects, remote, id, Counters(), now=now).push(wanted)


def test_of_a_changed_file_the_new_bytes_are_sent(machines: Machines) -> None:
    """Ten machines that fine-tune one model would each send all of it."""
    one, two = machines.new("one"), machines.new("two")
    weights = noise(5 * MIB)
    commit(one, machines.folder("m", weights=weights), "m/v1")
    one.push()
    folder = machines.folder("n", weights=changed(weights, 2 * MIB), config=b"{}")
    version = commit(two, folder, "m/theirs")
    remote = machines.remote
    result = pushed(two, remote, "m/theirs")
    assert (result.packs, result.written) == (2, ["m/theirs"])
    assert 0 < remote.stats.sent_bytes < 3 * limits.CHUNK_BYTES_MAX
    # the pin, what is new, its metadata, the shard that tells of both, the set, the tag, the hint
    assert (remote.stats.puts, remote.stats.deletes, remote.stats.repeated) == (7, 1, 0)
    assert same(machines.clone("three"), "m/theirs", folder, machines.path / "out")
    found = remote.get(set_key(version))
    assert found is not None
    told = decode_remote(RemoteSet, found.data)
    assert len(told.data) == 2
    assert len(told.shards) == 2


def test_the_whole_cost_of_one_changed_file(machines: Machines) -> None:
    """Each commit of a night's training is pushed: every request more is paid for."""
    one = machines.new("one")
    folder = machines.folder("m", **{f"f{n}": noise(20_000, n) for n in range(200)})
    commit(one, folder, "m/v1")
    one.set_alias("m/production", "m/v1")
    one.push()
    machines.folder("m", f7=noise(20_000, 777))
    commit(one, folder, "m/v2")
    one.set_alias("m/production", "m/v2", local=True)
    result = one.push()
    assert sorted(result.written) == ["m/production", "m/v2"]
    # the pin, two packs, their shard, the set, the tag, the move, the alias, the hint
    assert result.puts == 9
    assert result.sent_bytes < 100_000


def test_pieces_of_several_packs_are_sent_together(machines: Machines) -> None:
    """Each commit has a pack of its own; at the remote they would be as many small ones."""
    one, two = machines.new("one"), machines.new("two")
    parts = [noise(2 * MIB, seed) for seed in range(4)]
    commit(one, machines.folder("m", weights=b"".join(parts)), "m/v1")
    one.push()
    folder = machines.folder("n")
    for number, part in enumerate(parts):
        machines.folder("n", **{f"w{number}": changed(part, MIB)})
        commit(two, folder, f"m/theirs{number}")
    before = set(machines.keys("p/"))
    remote = machines.remote
    result = pushed(two, remote, *[f"m/theirs{number}" for number in range(4)])
    (new,) = set(machines.keys("p/")) - before
    assert len(result.written) == 4
    assert machines.file(new).stat().st_size < 2 * MIB
    three = machines.clone("three")
    assert same(three, "m/theirs3", folder, machines.path / "out")
    assert three.check(data=True).is_sound


def test_what_was_found_or_sent_in_part_is_remembered(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next push, of a version that nobody knows, would send it again."""
    one, two = machines.new("one"), machines.new("two")
    weights = noise(5 * MIB)
    commit(one, machines.folder("m", weights=weights, other=noise(2 * MIB, 3)), "m/v1")
    one.push()
    commit(two, machines.folder("n", weights=changed(weights, MIB)), "n/v1")
    commit(two, machines.folder("o", other=noise(2 * MIB, 3)), "m/v2")
    two.tag("m/v3", "n/v1")
    two.push()
    monkeypatch.setattr(limits, "REMOTE_RELATED_MAX", 0)  # so that nothing can be learnt
    folder = machines.folder("p", weights=changed(weights, MIB), config=b"new")
    commit(two, folder, "p/v1")
    commit(two, machines.folder("o", config=b"new"), "q/v1")
    assert two.push().sent_bytes < 10_000
    assert same(machines.clone("three"), "p/v1", folder, machines.path / "out")


def test_a_shard_that_is_gone_is_made_again(machines: Machines) -> None:
    """A name would be written whose version can be found by nobody who has only names."""
    one = machines.new("one")
    folder = machines.folder("m", weights=noise(MIB))
    commit(one, folder, "m/v1")
    one.push()
    for key in machines.keys("x/"):
        machines.remote.delete(key)
    one.tag("m/again", "m/v1")
    one.push(["m/again"])
    lazy, _ = Store.clone(machines.place, machines.path / "lazy")
    machines.opened.append(lazy)
    assert same(lazy, "m/again", folder, machines.path / "out")


@pytest.mark.parametrize("listed", [False, True])
def test_what_was_relied_on_and_is_gone_is_sent(machines: Machines, listed: bool) -> None:
    """The other machine's versions were removed and collected: the journal of March proves nothing in June."""
    one, two = machines.new("one"), machines.new("two")
    weights = noise(5 * MIB)
    commit(one, machines.folder("m", weights=weights), "m/v1")
    one.push()
    theirs = machines.keys("p/")
    folder = machines.folder("n", weights=changed(weights, MIB))
    commit(two, folder, "m/theirs")
    two.push()
    if listed:
        condemn(machines, theirs)
    else:
        for key in theirs:
            machines.remote.delete(key)
    machines.folder("n", config=b"new")
    commit(two, folder, "m/theirs2")
    assert two.push(anew=True).sent_bytes > 4 * MIB
    if not listed:
        with two.context.index.read() as reader:
            rows = [reader.journal(key) or b"" for key in reader.journal_keys("pack-in/")]
        assert not any(key.encode() in row for key in theirs for row in rows), "no push relies on them again"
    for key in theirs:
        machines.remote.delete(key)
    three = machines.new("three")
    three.pull(["m/theirs", "m/theirs2"])
    assert same(three, "m/theirs2", folder, machines.path / "out")
    assert three.check(data=True).is_sound


def condemn(machines: Machines, keys: list[str]) -> None:
    """Let collection list these packs."""
    import msgspec

    from artstore.format.remote import GC_KEY, CondemnedPack, GcState, encode_remote

    found = machines.remote.get(GC_KEY)
    assert found is not None
    state = decode_remote(GcState, found.data)
    state = msgspec.structs.replace(state, listed=[CondemnedPack(key, None) for key in keys])
    machines.remote.put(GC_KEY, encode_remote(state))


def test_a_damaged_piece_is_never_sent(machines: Machines) -> None:
    """The last whole copy elsewhere would be believed to be safe."""
    one, two = machines.new("one"), machines.new("two")
    weights = noise(5 * MIB)
    commit(one, machines.folder("m", weights=weights[: 4 * MIB]), "m/v1")
    one.push()
    commit(two, machines.folder("n", weights=weights), "m/theirs")
    (path,) = [path for path in Path(two.path, "packs").rglob("*.pack") if path.stat().st_size > MIB]
    flip(path, 5 * MIB)
    with pytest.raises(Corrupt, match=path.stem):
        two.push()
    assert machines.keys("tags/") == ["tags/m/v1"]


@pytest.mark.plain("reads what is sent")
def test_a_push_that_fails_after_each_write(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it had sent stays known: nothing of it is sent again, and a shard tells of all that a set names."""
    monkeypatch.setattr(limits, "PACK_BYTES_TARGET", MIB)
    monkeypatch.setattr(limits, "REMOTE_SHARD_PACKS_MAX", 2)
    one = machines.new("one")
    weights = noise(12 * MIB)
    commit(one, machines.folder("m", weights=weights[::2]), "m/v1")
    commit(one, machines.folder("m2", weights=weights[: 6 * MIB]), "m/v2")
    one.push()
    before = {*machines.keys("p/"), *machines.keys("m/"), *machines.keys("x/")}
    left = 0
    put = FolderRemote.put

    def failing(self: FolderRemote, key: str, body: Body) -> object:
        nonlocal left
        left -= key[:2] in ("p/", "m/", "x/")
        if left < 0:
            raise RemoteError("the network is gone")
        return put(self, key, body)

    monkeypatch.setattr(FolderRemote, "put", failing)
    folder = machines.folder("n", weights=weights)
    count = 0
    for count in range(100):
        store = machines.new(f"two{count}")
        version = commit(store, folder, f"m/theirs{count}")
        left, sent = count, set(machines.keys("p/"))
        try:
            store.push()
        except RemoteError:
            left = 1000
            store.push()
        else:
            break
        new = set(machines.keys("p/")) - sent
        told = [pack for key in machines.keys("x/") for pack in decode_shard(machines.file(key).read_bytes())]
        found = machines.remote.get(set_key(version))
        assert found is not None
        made = decode_remote(RemoteSet, found.data)
        rows = [row for key in new for row in rows_of(next(pack.table for pack in told if pack.key == key))]
        assert len(rows) == len(set(rows)), "an object was sent twice"
        assert new <= set(made.data)
        for key in (*machines.keys("p/"), *machines.keys("m/"), *machines.keys("x/")):
            if key not in before:
                machines.remote.delete(key)
        machines.remote.delete(f"tags/m/theirs{count}")
        machines.remote.delete(set_key(version))
    assert count > 3
    assert same(machines.clone("last"), f"m/theirs{count}", folder, machines.path / "out")


def rows_of(table: bytes) -> list[bytes]:
    return [table[at : at + limits.TABLE_ENTRY_BYTES] for at in range(0, len(table), limits.TABLE_ENTRY_BYTES)]


@pytest.mark.plain("reads what is sent")
def test_the_pin_of_a_long_push(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a day collection would take what has been sent since yesterday."""
    pins: list[tuple[float, Pin]] = []
    put = FolderRemote.put
    moment = 0.0

    def watching(self: FolderRemote, key: str, body: Body) -> object:
        nonlocal moment
        if key.startswith("pins/"):
            assert isinstance(body, bytes)
            pins.append((moment, decode_remote(Pin, body)))
        if key.startswith("p/"):
            moment += 0.6 * limits.REMOTE_PIN_S
        return put(self, key, body)

    monkeypatch.setattr(FolderRemote, "put", watching)
    monkeypatch.setattr(limits, "PACK_BYTES_TARGET", MIB)
    monkeypatch.setattr(limits, "REMOTE_TRANSFERS_MAX", 1)
    one = machines.new("one")
    commit(one, machines.folder("m", weights=noise(9 * MIB)), "m/v1")
    remote = machines.remote
    pushed(one, remote, "m/v1", now=lambda: moment)
    data = machines.keys("p/")
    assert len(data) > 3
    assert len(pins) > 2
    times = [time for time, _ in pins]
    assert all(later - sooner >= limits.REMOTE_PIN_S for sooner, later in pairwise(times))
    assert {*data, *machines.keys("m/")} <= set(pins[0][1].keys)
    assert set(pins[0][1].keys) <= set(pins[-1][1].keys)
    assert machines.keys("pins/") == [], "it is dropped at the end"

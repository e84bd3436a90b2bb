"""Names that `commit` chose: who pushes second gets the next number, and nobody gets another version by the old one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artstore import Store
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import Conflict, NotFound, RemoteError
from artstore.format.remote import RemoteTag, decode_remote, encode_remote
from artstore.model import RemotePlace, Tag, Written
from artstore.store.remote.renumber import Renumbered
from tests.machines import Machines, noise, same

Place = Callable[[str], RemotePlace]


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path, RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    yield made
    for store in made.opened:
        store.close()


def add(machines: Machines, store: Store, seed: int, tag: str | None = None) -> str:
    """A version of m, by the name that it gets."""
    folder = machines.folder(Path(store.path).name, weights=noise(1000, seed))
    got = store.commit(folder, tag=tag, artifact="m").tag
    assert got is not None
    return got


def rows(store: Store) -> list[str]:
    """What the journal holds of such names."""
    with store.context.index.read() as reader:
        return [
            key for prefix in ("provisional/", "renumbering/", "renumbered/") for key in reader.journal_keys(prefix)
        ]


def names(store: Store) -> dict[str, bytes]:
    return {tag.name: tag.version for tag in store.tags()}


def there(machines: Machines, name: str) -> RemoteTag:
    found = machines.remote.get(f"tags/{name}")
    assert found is not None
    return decode_remote(RemoteTag, found.data)


@pytest.fixture
def one(machines: Machines) -> Store:
    """A machine that was quicker with m/v1."""
    store = machines.new("one")
    add(machines, store, 1)
    store.push()
    return store


@pytest.fixture
def two(machines: Machines, one: Store) -> Store:
    """A machine with another m/v1, which it hasn't pushed."""
    store = machines.new("two")
    add(machines, store, 2)
    return store


# --- who comes second


def test_it_gets_the_next_number(machines: Machines, one: Store, two: Store) -> None:
    """A person would have to find a name by hand each time that two have committed at once."""
    version, made = names(two)["m/v1"], two.tags()[0].created
    two.set_alias("m/production", "v1")
    (quicker,) = one.tags()
    result = two.push()
    assert result.conflicts == []
    assert result.renumbered == [
        Renumbered("m/v1", Tag("m/v2", version, two.tags()[0].created), "m/v1 is another version at origin")
    ]
    assert sorted(result.written) == ["m/production", "m/v2"]
    (tag,) = two.tags()
    assert (tag.name, tag.version) == ("m/v2", version)
    assert tag.created > max(made, quicker.created)
    assert there(machines, "m/v2") == RemoteTag(there(machines, "m/v2").write, version, tag.created)
    assert two.resolve("m/production").version == version, "what moves holds versions"
    assert two.check().is_sound
    assert two.push().requests == 0
    clone = machines.clone("three")
    assert names(clone) == {**names(one), "m/v2": version}
    assert clone.resolve("m").version == version, "the one that was pushed last is the newest"
    assert same(clone, "m/production", machines.folder("two"), machines.path / "out")


def test_the_old_name_answers(machines: Machines, one: Store, two: Store) -> None:
    """A script that remembers it must not silently get what somebody else has made."""
    two.push()
    for action in (
        lambda: two.resolve("m/v1"),
        lambda: two.resolve("art://m/v1/weights"),
        lambda: two.set_alias("m/production", "v1"),
        lambda: two.checkout("m/v1", machines.path / "out"),
        lambda: two.push(["m/v1"]),
        lambda: two.remove("m/v1"),
        lambda: two.set_alias("m/v1", "v2"),
        lambda: two.tag("m/v1", "m/v2"),
        lambda: add(machines, two, 5, tag="m/v1"),
    ):
        with pytest.raises(Conflict, match="m/v1 was renumbered to m/v2") as caught:
            action()
        assert "artstore tag --dismiss m/v1" in (caught.value.hint or "")
    for _ in range(2):
        (conflict,) = two.pull().conflicts
        assert (conflict.name, conflict.why) == (
            "m/v1",
            "what it named here is m/v2 now: `artstore tag --dismiss m/v1` lets it come",
        )
    assert list(names(two)) == ["m/v2"]
    assert add(machines, two, 6) == "m/v3"


def test_dismissed(machines: Machines, one: Store, two: Store) -> None:
    """It would stay closed for ever, and a pull tell so each hour."""
    two.push()
    found = two.dismiss("m/v1")
    assert (found.old, found.new, found.version) == ("m/v1", "m/v2", names(two)["m/v2"])
    with pytest.raises(NotFound, match="was not renumbered"):
        two.dismiss("m/v1")
    with pytest.raises(NotFound):
        two.resolve("m/v1")
    result = two.pull()
    assert (result.written, result.conflicts) == (["m/v1"], [])
    assert names(two) == names(machines.clone("three"))
    assert rows(two) == []
    assert two.check().is_sound


def test_the_newest_stays_the_newest(machines: Machines, one: Store, two: Store) -> None:
    """`m` would mean an older version from one push to the next, and be deployed."""
    add(machines, two, 3)
    two.tag("m/best", "m/v2")
    add(machines, two, 4)
    before = [tag.version for tag in sorted(two.tags(), key=lambda tag: tag.created)]
    assert [each.new.name for each in two.push().renumbered] == ["m/v4"], "what has not lost keeps its name"
    assert sorted(names(two)) == ["m/best", "m/v2", "m/v3", "m/v4"]
    for store in (two, machines.clone("three")):
        mine = sorted((tag for tag in store.tags() if tag.name != "m/v1"), key=lambda tag: tag.created)
        assert [tag.version for tag in mine] == before
        assert store.resolve("m").tag == "m/v3"
    assert two.check().is_sound


def test_several_lose(machines: Machines, one: Store, two: Store) -> None:
    """The older one gets the smaller number; one that was removed there is lost as well; gaps are not filled."""
    add(machines, one, 11)
    add(machines, one, 12)
    one.tag("m/v7", "m/v2")
    one.push()
    one.remove_at_remote("m/v2", remote="origin")
    add(machines, two, 3)
    first, second = names(two)["m/v1"], names(two)["m/v2"]
    result = two.push()
    assert [(each.old, each.new.name, each.why) for each in result.renumbered] == [
        ("m/v1", "m/v8", "m/v1 is another version at origin"),
        ("m/v2", "m/v9", "m/v2 was removed at origin"),
    ]
    assert names(two) == {"m/v8": first, "m/v9": second}


def test_the_same_version_is_no_loss(machines: Machines) -> None:
    """Of a store that was copied each version would get a second name."""
    one = machines.new("one")
    add(machines, one, 1)
    one.close()
    shutil.copytree(one.path, machines.path / "copy")
    with Store.open(one.path) as store, Store.open(machines.path / "copy") as copy:
        assert store.push().written == ["m/v1"]
        result = copy.push()
        assert (result.unchanged, result.renumbered, result.conflicts) == (["m/v1"], [], [])
        assert rows(copy) == []


# --- who chose it


def test_what_was_said_is_kept(machines: Machines, one: Store) -> None:
    """A person who says a name means it: he is told, and decides himself."""
    for number, said in enumerate(("tag", "committed", "committed again", "brought back"), 10):
        store = machines.new(f"said-{number}")
        if said == "committed":
            add(machines, store, number, tag="m/v1")
        else:
            add(machines, store, number)
            assert rows(store) == ["provisional/m/v1"]
        if said == "tag":
            assert store.tag("m/v1", "m/v1").existed
        elif said == "committed again":
            assert add(machines, store, number, tag="m/v1") == "m/v1"
        elif said == "brought back":
            store.tag("m/spare", "m/v1")
            store.remove("m/v1")
            assert rows(store) == []
            store.gc_undo()
        assert rows(store) == []
        before = names(store)
        result = store.push(["m/v1"])
        assert [each.name for each in result.conflicts] == ["m/v1"], said
        assert (result.renumbered, names(store)) == ([], before)


def test_it_is_provisional_until_pushed(machines: Machines) -> None:
    """`artstore path` would give a name that means nothing after the next push, or no name for ever."""
    store = Store.init(machines.path / "one")
    machines.opened.append(store)
    add(machines, store, 1)
    assert not store.may_be_renumbered("m/v1"), "by whom? there is no home"
    store.add_remote("origin", machines.place)
    assert store.may_be_renumbered("m/v1")
    assert not store.may_be_renumbered("m/v2")
    store.push()
    assert not store.may_be_renumbered("m/v1")
    add(machines, store, 2)
    assert store.may_be_renumbered("m/v2")
    store.tag("m/v2", "m/v2")
    assert not store.may_be_renumbered("m/v2")


def test_home_alone_decides(machines: Machines, one: Store) -> None:
    """A backup with other names would rename what home would have let stand. What was published anywhere stays."""
    store = machines.new("two")
    elsewhere = RemotePlace(url=f"file://{machines.path / 'nas'}")
    store.add_remote("nas", elsewhere)
    one.add_remote("nas", elsewhere)
    one.push(to="nas")
    add(machines, store, 2)
    assert [each.name for each in store.push(to="nas").conflicts] == ["m/v1"]
    assert rows(store) == ["provisional/m/v1"]
    assert [each.new.name for each in store.push(to="origin").renumbered] == ["m/v2"]
    assert store.push(to="nas").written == ["m/v2"]
    add(machines, store, 3)
    assert store.push(to="nas").written == ["m/v3"]
    add(machines, one, 4)
    add(machines, one, 5)
    one.push()
    (conflict,) = store.push().conflicts
    assert conflict.name == "m/v3"


@pytest.mark.plain("waits for a name in the clear")
def test_killed_and_pushed_elsewhere(
    machines: Machines, one: Store, two: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that has its new number at home already would keep the old one here, and come by the new one, too."""
    two.add_remote("nas", RemotePlace(url=f"file://{machines.path / 'nas'}"))
    original = FolderRemote.create

    def create(self: FolderRemote, key: str, data: bytes) -> Written | None:
        done = original(self, key, data)
        if key == "tags/m/v2":
            raise RemoteError("the network is gone")
        return done

    with monkeypatch.context() as patch:
        patch.setattr(FolderRemote, "create", create)
        with pytest.raises(RemoteError):
            two.push()
    assert two.push(to="nas").written == ["m/v1"]
    assert two.pull().written == ["m/v2"]
    assert list(names(two)) == ["m/v2"]
    assert rows(two) == ["renumbered/m/v1"]


def test_a_pull_renumbers_nothing(machines: Machines, one: Store, two: Store) -> None:
    """Who only looks what others have made would find his own under another name."""
    (conflict,) = two.pull().conflicts
    assert conflict.name == "m/v1"
    assert "is provisional" in conflict.why
    assert rows(two) == ["provisional/m/v1"]
    assert two.push().renumbered


# --- several at once


@pytest.mark.parametrize("kind", ["folder", "moto"])
def test_eight_at_once(tmp_path: Path, remote_place: Place, kind: str) -> None:
    """Each version has a name of its own, on all machines the same one."""
    machines = Machines(tmp_path, remote_place(kind))
    stores = [machines.new(f"s{number}") for number in range(8)]

    def work(number: int) -> list[bytes]:
        made: list[bytes] = []
        for turn in range(3 if kind == "folder" else 1):
            tag = add(machines, stores[number], 100 * number + turn)
            made.append(names(stores[number])[tag])
            result = stores[number].push()
            assert result.conflicts == []
        return made

    with ThreadPoolExecutor(8) as pool:
        made = [version for each in pool.map(work, range(8)) for version in each]
    clone = machines.clone("clone")
    told = names(clone)
    assert sorted(told) == sorted(f"m/v{number}" for number in range(1, len(made) + 1)), "no number is left out"
    assert sorted(told.values()) == sorted(made)
    for store in stores:
        assert names(store).items() <= told.items()
        with store.context.index.read() as reader:
            for key in list(reader.journal_keys("renumbered/")):
                store.dismiss(key.removeprefix("renumbered/"))
        assert store.pull().conflicts == []
        assert names(store) == told
        assert rows(store) == []
        assert store.resolve("m").version == clone.resolve("m").version
        assert store.check().is_sound
    for store in machines.opened:
        store.close()


@pytest.mark.plain("waits for a name in the clear")
def test_the_number_is_lost_as_well(
    machines: Machines, one: Store, two: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may be quicker with each number that was free a moment ago; names that nobody has seen leave no trace."""
    original = FolderRemote.create
    left = 3

    def create(self: FolderRemote, key: str, data: bytes) -> Written | None:
        nonlocal left
        if key.startswith("tags/m/") and key != "tags/m/v1" and left:
            left -= 1
            original(self, key, encode_remote(RemoteTag(bytes(16), names(one)["m/v1"], 5)))
        return original(self, key, data)

    monkeypatch.setattr(FolderRemote, "create", create)
    assert [each.new.name for each in two.push().renumbered] == ["m/v5"]
    assert rows(two) == ["renumbered/m/v1"]


@pytest.mark.plain("waits for a name in the clear")
def test_nobody_takes_the_number_meanwhile(
    machines: Machines, one: Store, two: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit beside the push would get the same number for something else, and it would have to be taken from one."""
    original = FolderRemote.create
    version = names(two)["m/v1"]
    seen: list[str] = []

    def create(self: FolderRemote, key: str, data: bytes) -> Written | None:
        if key == "tags/m/v2" and not seen:
            seen.append(add(machines, two, 7))
            with pytest.raises(Conflict, match="a push is giving m/v2"):
                two.tag("m/v2", seen[0])
            two.tag("m/v1", version)  # too late: it is being given away
        return original(self, key, data)

    monkeypatch.setattr(FolderRemote, "create", create)
    result = two.push()
    assert [each.new.name for each in result.renumbered] == ["m/v2"]
    assert seen == ["m/v3"]
    assert names(two)["m/v2"] == version
    assert sorted(names(two)) == ["m/v2", "m/v3"]
    assert two.resolve("m").tag == "m/v3"


@pytest.mark.plain("waits for a name in the clear")
@pytest.mark.parametrize("beside", ["push", "pull", "rm"])
def test_beside_another_process(
    machines: Machines, one: Store, two: Store, monkeypatch: pytest.MonkeyPatch, beside: str
) -> None:
    """Two commands in one store: what one has done already the other one takes as done."""
    original = FolderRemote.create
    version = names(two)["m/v1"]
    two.tag("m/spare", "m/v1")
    two.push(["m/spare"])
    with two.context.index.write() as writer:
        writer.put_journal("provisional/m/v1", version)
    calls = 0

    def create(self: FolderRemote, key: str, data: bytes) -> Written | None:
        nonlocal calls
        done = original(self, key, data)
        if key == "tags/m/v2":
            calls += 1
            if calls == 1:
                with Store.open(two.path) as other:
                    if beside == "push":
                        assert [each.new.name for each in other.push().renumbered] == ["m/v2"]
                    elif beside == "pull":
                        assert "m/v2" in other.pull().written
                    else:
                        other.remove("m/v1")
        return done

    monkeypatch.setattr(FolderRemote, "create", create)
    result = two.push()
    if beside == "rm":
        assert [each.name for each in result.conflicts] == ["m/v1"]
        assert sorted(names(two)) == ["m/spare"]
        assert two.pull().written == ["m/v2"], "it was published when it was removed here"
    else:
        assert [each.new.name for each in result.renumbered] == ["m/v2"]
        assert sorted(names(two)) == ["m/spare", "m/v2"]
    assert there(machines, "m/v2").version == version
    assert machines.keys("tags/m/v") == ["tags/m/v1", "tags/m/v2"], "none has two numbers"


def test_a_request_that_fails(machines: Machines, one: Store, two: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is: the next push completes, with the same number."""
    methods = ("get", "stream", "head", "put", "create", "swap", "list")
    originals = {name: getattr(FolderRemote, name) for name in methods}
    left = 0

    def failing(name: str) -> Callable[..., object]:
        def call(self: FolderRemote, *args: object, **more: object) -> object:
            nonlocal left
            left -= 1
            done = originals[name](self, *args, **more) if left < 0 or left % 2 else None  # each second one took effect
            if left == 0:
                raise RemoteError("the network is gone")
            return done if done is not None or left < 0 else originals[name](self, *args, **more)

        return call

    for name in methods:
        monkeypatch.setattr(FolderRemote, name, failing(name))
    number = 0
    for number in range(1, 60):
        store = machines.new(f"fails-{number}")
        add(machines, store, 100 + number)
        (version,) = names(store).values()
        left = number
        try:
            store.push()
        except RemoteError:
            left = 0
            store.push()
        is_over, left = left > 0, 0
        (name,) = names(store)
        assert name == f"m/v{number + 1}"
        assert there(machines, name).version == version
        assert rows(store) == ["renumbered/m/v1"]
        if is_over:
            break
    assert number > 12
    assert len(machines.keys("tags/m/")) == number + 1


# --- what is rebuilt


@pytest.mark.parametrize("rewritten", [False, True])
def test_after_a_rebuild(machines: Machines, one: Store, two: Store, rewritten: bool) -> None:
    """The index is lost: what was renumbered is so still, and nothing brings the old name back to life."""
    add(machines, two, 3)
    two.push()
    kept = add(machines, two, 4)
    before, times = names(two), {tag.name: tag.created for tag in two.tags()}
    path = two.path
    if rewritten:
        (Path(path) / "refs.log").unlink()
        two.repair(two.check())
    two.close()
    Store.rebuild_index(path)
    with Store.open(path) as again:
        assert names(again) == before
        assert {tag.name: tag.created for tag in again.tags()} == times
        assert rows(again) == ["renumbered/m/v1"]
        with pytest.raises(Conflict, match="m/v1 was renumbered to m/v3"):
            again.resolve("m/v1")
        again.gc_undo()
        assert names(again) == before
        assert again.check().is_sound
        add(machines, one, 8)
        add(machines, one, 9)
        add(machines, one, 10)
        one.push()
        told = again.push()
        assert [each.name for each in told.conflicts] == [kept], (
            "that it was provisional is forgotten: one decides oneself"
        )
        again.dismiss("m/v1")
        assert "m/v1" in again.pull().written
    Store.rebuild_index(path)
    with Store.open(path) as again:
        assert rows(again) == []
        assert names(again)["m/v1"] == names(one)["m/v1"]


def test_dismissed_and_rebuilt(machines: Machines, one: Store, two: Store) -> None:
    """What refs.log doesn't tell is told anew rather than given away."""
    two.push()
    two.dismiss("m/v1")
    path = two.path
    two.close()
    Store.rebuild_index(path)
    with Store.open(path) as again:
        assert rows(again) == ["renumbered/m/v1"]
        again.dismiss("m/v1")
        again.remove("m/v2")
    Store.rebuild_index(path)
    with Store.open(path) as again:
        assert [tag.name for tag in again.tags()] == []
        again.gc_undo()
        assert sorted(names(again)) == ["m/v2"]

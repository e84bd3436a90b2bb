"""Aliases that were pushed: home decides where they stand, whoever moves them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from artstore import ABSENT, Store
from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import Busy, Conflict, NotFound, NotPermitted, RemoteError
from artstore.format.remote import GC_KEY, GcState, RemoteAlias, decode_remote, encode_remote
from artstore.model import RemotePlace, Written
from tests.machines import Machines, commit, noise, same

ALIAS = "m/production"


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path, RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    yield made
    for store in made.opened:
        store.close()


@pytest.fixture
def one(machines: Machines) -> Store:
    """A machine that has pushed m/v1, m/v2 and m/v3, with production at v1."""
    store = machines.new("one")
    for number in (1, 2, 3):
        commit(store, machines.folder("m", weights=noise(1000, number)), f"m/v{number}")
    store.set_alias(ALIAS, "v1")
    store.push()
    return store


def there(machines: Machines, name: str = ALIAS) -> RemoteAlias:
    """Where an alias stands at home."""
    found = machines.remote.get(f"aliases/{name}")
    assert found is not None
    return decode_remote(RemoteAlias, found.data)


def stands(store: Store, tag: str) -> bool:
    """Does production stand there, here?"""
    return store.resolve(ALIAS).version == store.resolve(tag).version


def unplug(machines: Machines) -> Callable[[], None]:
    """Home is out of reach, until that is called."""
    path = Path(machines.place.url.removeprefix("file://"))
    path.rename(path.with_name("unplugged"))

    def plug_in() -> None:
        path.with_name("unplugged").rename(path)

    return plug_in


def no_rows(store: Store) -> bool:
    """Does the journal hold nothing of moves made here only?"""
    with store.context.index.read() as reader:
        return list(reader.journal_keys("local-move/")) == []


# --- home first


def test_a_move_is_made_at_home(machines: Machines, one: Store) -> None:
    """Who deploys sees at once, everywhere, what was said here."""
    version = one.resolve("m/v2").version
    assert one.set_alias(ALIAS, "v2", reason="better").changed
    assert (there(machines).version, there(machines).seq) == (version, 2)
    assert stands(one, "m/v2")
    assert [move.reason for move in one.alias_log(ALIAS)] == ["better", ""]
    assert one.push().requests == 0, "it is known to be there"
    assert machines.clone("two").alias_log(ALIAS) == one.alias_log(ALIAS)
    assert one.check().is_sound


def test_one_that_was_never_pushed_moves_here(machines: Machines, one: Store) -> None:
    """What a person tries out is nobody else's affair, and needs no network."""
    replug = unplug(machines)
    one.set_alias("m/mine", "v1")
    one.set_alias("m/mine", "v2")
    one.rollback("m/mine")
    one.remove_alias("m/mine")
    replug()
    assert machines.keys("aliases/") == [f"aliases/{ALIAS}"]
    assert no_rows(one)


def test_nothing_moves_without_home(machines: Machines, one: Store) -> None:
    """Two machines that both moved it while the network was gone would each believe theirs."""
    one.set_alias(ALIAS, "v2")
    replug = unplug(machines)
    for action in (
        lambda: one.set_alias(ALIAS, "v3"),
        lambda: one.rollback(ALIAS),
        lambda: one.remove_alias(ALIAS),
    ):
        with pytest.raises(RemoteError, match="is not moved") as caught:
            action()
        assert "--local" in (caught.value.hint or "")
        assert stands(one, "m/v2")
    replug()
    assert there(machines).seq == 2


def test_a_request_that_fails(machines: Machines, one: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is: here nothing has moved, or what has reached home; asked again it goes on."""
    names = ("get", "stream", "head", "put", "create", "swap", "list")
    originals = {name: getattr(FolderRemote, name) for name in names}
    left = 0

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
    hints: set[str] = set()
    number = 0
    for number in range(1, 60):
        tag, left = f"m/v{2 + number % 2}", number
        try:
            one.set_alias(ALIAS, tag)
        except RemoteError as error:
            hints.add(error.hint or "")
            left = 0
            one.set_alias(ALIAS, tag)
        is_over, left = left > 0, 0
        assert stands(one, tag)
        assert there(machines).version == one.resolve(tag).version
        assert there(machines).seq == number + 1, "each is made once"
        if is_over:
            break
    assert number > 8
    assert all("--local" in hint for hint in hints)


def test_home_is_ahead(machines: Machines, one: Store) -> None:
    """A swap that expects something sees the true state; the history is one chain on all machines."""
    two = machines.clone("two")
    two.set_alias(ALIAS, "v2")
    with pytest.raises(Conflict, match="not at m/v1"):
        one.set_alias(ALIAS, "v3", expected="v1")
    assert stands(one, "m/v2"), "what has become known stays"
    with pytest.raises(Conflict):
        one.set_alias(ALIAS, "v3", expected=ABSENT)
    two.set_alias(ALIAS, "v3")
    assert not one.set_alias(ALIAS, "v3").changed
    two.set_alias(ALIAS, "v1")
    one.set_alias(ALIAS, "v2", expected="v1")
    assert there(machines).seq == 5
    assert len(one.alias_log(ALIAS)) == 5


def test_a_rollback_goes_back_from_where_home_stands(machines: Machines, one: Store) -> None:
    """Not from where it stood here a week ago; and over no version that is only there."""
    two = machines.clone("two")
    for number in (4, 5):
        two.commit(machines.folder("m", weights=noise(1000, number)), tag=f"m/v{number}")
        two.set_alias(ALIAS, f"v{number}")
    moved = one.rollback(ALIAS)
    assert moved.target == two.resolve("m/v4").version
    assert moved.skipped == ()
    assert there(machines).version == moved.target
    one.tag("m/four", moved.target)
    assert same(one, "m/four", machines.folder("four", weights=noise(1000, 4)), machines.path / "out")
    two.rollback(ALIAS)
    assert stands(two, "m/v1")


def test_a_new_version_goes_along(machines: Machines, one: Store) -> None:
    """An alias at home that leads to a version nobody there has could be followed by nobody."""
    folder = machines.folder("m", weights=noise(100_000, 9))
    commit(one, folder, "m/v9")
    one.set_alias(ALIAS, "v9")
    two = machines.clone("two")
    assert same(two, ALIAS, folder, machines.path / "out")
    assert "m/v9" not in {tag.name for tag in two.tags()}, "its tag was not pushed"
    assert two.check(data=True).is_sound


def test_two_at_once(machines: Machines, one: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who loses the swap decides again on what has won."""
    two = machines.clone("two")
    original = FolderRemote.swap
    others: list[Callable[[], object]] = [lambda: two.set_alias(ALIAS, "v2")]

    def swap(self: FolderRemote, key: str, data: bytes, etag: str) -> Written | None:
        if others:
            others.pop()()
        return original(self, key, data, etag)

    monkeypatch.setattr(FolderRemote, "swap", swap)
    moved = one.set_alias(ALIAS, "v3")
    assert (moved.source, moved.seq) == (one.resolve("m/v2").version, 3)
    others.append(lambda: two.set_alias(ALIAS, "v2"))
    with pytest.raises(Conflict, match="not at m/v3"):
        one.set_alias(ALIAS, "v1", expected="v3")
    assert stands(one, "m/v2")
    assert there(machines).seq == 4


def test_removed_and_made_again(machines: Machines, one: Store) -> None:
    """Its history goes on, on each machine."""
    two = machines.clone("two")
    removal = one.remove_alias(ALIAS, reason="retired")
    assert [alias.name for alias in removal.aliases] == [ALIAS]
    assert there(machines).version == b""
    with pytest.raises(NotFound, match="no alias"):
        two.remove_alias(ALIAS)
    assert two.aliases() == []
    two.set_alias(ALIAS, "v2")
    one.set_alias(ALIAS, "v3", expected="v2")
    assert [move.target != b"" for move in one.alias_log(ALIAS)] == [True, True, False, True]
    assert one.gc(one.gc_plan()) is not None
    assert one.check().is_sound


def test_what_rm_has_removed_here(machines: Machines, one: Store) -> None:
    """It acts on this store: home keeps the alias; moved again on purpose, it goes on from where home stands."""
    two = machines.clone("two")
    one.remove(ALIAS)
    one.pull()
    assert one.aliases() == []
    assert there(machines).version == one.resolve("m/v1").version
    two.set_alias(ALIAS, "v2")
    assert [each.name for each in one.pull().conflicts] == [ALIAS]
    assert one.aliases() == []
    moved = one.set_alias(ALIAS, "v3")
    assert (moved.source, moved.seq) == (one.resolve("m/v2").version, 3)
    assert there(machines).seq == 3
    assert one.check().is_sound


def test_nobody_moves_while_collection_is_alone(machines: Machines, one: Store) -> None:
    """Every write of a ref asks first, this one too."""
    found = machines.remote.get(GC_KEY)
    assert found is not None
    state = decode_remote(GcState, found.data)
    machines.remote.put(GC_KEY, encode_remote(msgspec.structs.replace(state, exclusive=True)))
    with pytest.raises(Busy):
        one.set_alias(ALIAS, "v2")
    assert stands(one, "m/v1")
    one.set_alias(ALIAS, "v3", local=True)
    (conflict,) = one.pull().conflicts
    assert "collected" in conflict.why
    assert stands(one, "m/v3")


# --- here only


@pytest.mark.parametrize("contact", ["push", "pull", "other"])
def test_moved_here_only(machines: Machines, one: Store, contact: str) -> None:
    """On a train one goes on alone; at the next contact what was said then is said at home."""
    replug = unplug(machines)
    one.set_alias(ALIAS, "v2", local=True)
    one.set_alias(ALIAS, "v3", local=True)
    one.rollback(ALIAS, local=True)
    replug()
    assert stands(one, "m/v2")
    assert there(machines).seq == 1
    if contact == "push":
        assert ALIAS in one.push(["m/v1"]).written
    elif contact == "pull":
        result = one.pull(["m/v1"])
        assert (result.swapped, result.conflicts) == ([ALIAS], [])
    else:
        assert one.set_alias(ALIAS, "v3").seq == 5
    assert there(machines).version == one.resolve(ALIAS).version
    assert machines.clone("two").alias_log(ALIAS) == one.alias_log(ALIAS)
    assert no_rows(one)
    assert one.push().requests == 0


@pytest.mark.parametrize("contact", ["push", "pull", "other"])
def test_home_wins(machines: Machines, one: Store, contact: str) -> None:
    """Nothing is merged: here it stands as at home from then on, and what was lost is told with both places."""
    two = machines.clone("two")
    one.set_alias(ALIAS, "v3", local=True, reason="mine")
    two.set_alias(ALIAS, "v2")
    if contact == "other":
        with pytest.raises(Conflict, match=r"m/v3.*home wins"):
            one.set_alias(ALIAS, "v1")
    else:
        result = one.push() if contact == "push" else one.pull()
        assert ALIAS not in [*result.written, *result.unchanged]
        (conflict,) = result.conflicts
        assert conflict.name == ALIAS
        assert "only, to m/v3 (move 2), and there to m/v2 (move 2): home wins" in conflict.why
    assert stands(one, "m/v2")
    assert one.alias_log(ALIAS) == two.alias_log(ALIAS)
    assert there(machines).seq == 2
    assert no_rows(one)
    assert one.pull().conflicts == [], "told once"
    one.set_alias(ALIAS, "v3")
    assert there(machines).seq == 3
    assert one.check().is_sound
    path = one.path
    one.close()
    Store.rebuild_index(path)
    with Store.open(path) as again:
        assert again.check().is_sound
        assert [move.target for move in again.alias_log(ALIAS)] == [
            again.resolve(tag).version for tag in ("m/v3", "m/v2", "m/v1")
        ]


def test_removed_here_only(machines: Machines, one: Store) -> None:
    """As any other move."""
    one.remove_alias(ALIAS, local=True)
    assert there(machines).version
    assert one.pull().swapped == [ALIAS]
    assert there(machines).version == b""
    assert machines.clone("two").aliases() == []


def test_removed_here_only_and_moved_there(machines: Machines, one: Store) -> None:
    """Home wins there, too."""
    two = machines.clone("two")
    two.set_alias(ALIAS, "v2")
    one.remove_alias(ALIAS, local=True)
    (conflict,) = one.pull().conflicts
    assert "to nothing (move 2), and there to m/v2" in conflict.why
    assert stands(one, "m/v2")


def test_who_may_only_read(machines: Machines, one: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull brings the rest; the move stays here and is told each time."""
    two = machines.clone("two")
    two.set_alias(ALIAS, "v2", local=True)
    commit(one, machines.folder("m", weights=b"new"), "m/v4")
    one.push()

    def refuse(self: FolderRemote, key: str, data: bytes, etag: str) -> Written | None:
        raise NotPermitted("you may not write")

    with monkeypatch.context() as patch:
        patch.setattr(FolderRemote, "swap", refuse)
        result = two.pull()
    assert result.written == ["m/v4"]
    assert [each.why for each in result.conflicts] == ["it was moved here only: you may not write"]
    assert stands(two, "m/v2")
    assert two.pull().swapped == [ALIAS]

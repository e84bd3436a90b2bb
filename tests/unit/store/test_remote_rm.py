"""Names that are removed at a remote: there for good, here not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from artstore.adapters.remote_folder import FolderRemote
from artstore.errors import BadName, Busy, NotFound
from artstore.format.remote import GC_KEY, GcState, RemoteAlias, RemoteTag, decode_remote, encode_remote
from artstore.model import RemotePlace, Written
from artstore.store.remote.names import read_move
from tests.machines import Machines, commit


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path, RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    yield made
    for store in made.opened:
        store.close()


def tag_there(machines: Machines, name: str) -> RemoteTag:
    found = machines.remote.get(f"tags/{name}")
    assert found is not None
    return decode_remote(RemoteTag, found.data)


def alias_there(machines: Machines, name: str) -> RemoteAlias:
    found = machines.remote.get(f"aliases/{name}")
    assert found is not None
    return decode_remote(RemoteAlias, found.data)


def test_a_tag_leaves_its_tombstone(machines: Machines) -> None:
    """A name that is free again would stand for other bytes one day, on some machines."""
    one = machines.new("one")
    version = commit(one, machines.folder("m", weights=b"1"), "m/v1")
    commit(one, machines.folder("m", weights=b"2"), "m/v2")
    one.push()
    created = tag_there(machines, "m/v1").created
    told = one.remove_at_remote("m/v1", remote="origin")
    assert (told.removed, told.already) == (["m/v1"], [])
    assert (tag_there(machines, "m/v1").version, tag_there(machines, "m/v1").created) == (b"", created)
    assert one.resolve("m/v1").version == version, "it stays here"
    (conflict,) = one.push(["m/v1"]).conflicts
    assert "never used again" in conflict.why
    assert one.push().conflicts == [], "told once, not each time"
    assert [tag.name for tag in machines.clone("two").tags()] == ["m/v2"]
    again = one.remove_at_remote("m/v1", "m/v2", remote="origin")
    assert (again.removed, again.already) == (["m/v2"], ["m/v1"])


def test_an_alias_goes_on_to_nothing(machines: Machines) -> None:
    """Its history says who removed it and why, and goes on when it is made again."""
    one = machines.new("one")
    version = commit(one, machines.folder("m", weights=b"1"), "m/v1")
    one.set_alias("m/production", "m/v1")
    one.push()
    assert one.remove_at_remote("m/production", remote="origin", reason="retired").removed == ["m/production"]
    there = alias_there(machines, "m/production")
    move = read_move(machines.remote, there.move, machines.opened[0].context.ids)
    assert (there.version, there.seq) == (b"", 2)
    assert (move.source, move.target, move.reason, move.previous != b"") == (version, b"", "retired", True)
    assert one.resolve("m/production").version == version
    assert one.remote_status(ask=True) is not None
    assert machines.clone("two").aliases() == []
    assert one.remove_at_remote("m/production", remote="origin").already == ["m/production"]
    status = machines.opened[-1].remote_status(ask=True)
    assert status is not None
    assert status.only_there == []


def test_what_is_not_there(machines: Machines) -> None:
    """A typing mistake in one of five names must not remove the other four."""
    one = machines.new("one")
    commit(one, machines.folder("m", weights=b"1"), "m/v1")
    one.push()
    with pytest.raises(NotFound, match="m/v7"):
        one.remove_at_remote("m/v1", "m/v7", remote="origin")
    with pytest.raises(BadName):
        one.remove_at_remote("m/../v1", remote="origin")
    with pytest.raises(NotFound, match="no remote 'none'"):
        one.remove_at_remote("m/v1", remote="none")
    assert tag_there(machines, "m/v1").version


def test_nothing_is_removed_while_collection_is_alone(machines: Machines) -> None:
    """It counts on nobody's writing; it may begin while names are being removed."""
    one = machines.new("one")
    commit(one, machines.folder("m", weights=b"1"), "m/v1")
    one.push()
    found = machines.remote.get(GC_KEY)
    assert found is not None
    state = decode_remote(GcState, found.data)
    machines.remote.put(GC_KEY, encode_remote(msgspec.structs.replace(state, exclusive=True)))
    with pytest.raises(Busy, match="collected"):
        one.remove_at_remote("m/v1", remote="origin")
    assert tag_there(machines, "m/v1").version


@pytest.mark.plain("reads and changes what is sent")
def test_it_looks_again_afterwards(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants to be alone and came in between is heard."""
    one = machines.new("one")
    commit(one, machines.folder("m", weights=b"1"), "m/v1")
    one.push()
    original = FolderRemote.swap

    def swap(self: FolderRemote, key: str, data: bytes, etag: str) -> Written | None:
        done = original(self, key, data, etag)
        found = self.get(GC_KEY)
        assert found is not None
        state = decode_remote(GcState, found.data)
        self.put(GC_KEY, encode_remote(msgspec.structs.replace(state, exclusive=True)))
        return done

    monkeypatch.setattr(FolderRemote, "swap", swap)
    with pytest.raises(Busy):
        one.remove_at_remote("m/v1", remote="origin")


def test_a_move_that_comes_in_between(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """The removal is made from where the alias has gone meanwhile; the other one's move stays in its history."""
    one = machines.new("one")
    commit(one, machines.folder("m", weights=b"1"), "m/v1")
    commit(one, machines.folder("m", weights=b"2"), "m/v2")
    one.set_alias("m/production", "m/v1")
    one.push()
    two = machines.clone("two")
    original = FolderRemote.swap
    others = [lambda: (two.set_alias("m/production", "m/v2"), two.push())]

    def swap(self: FolderRemote, key: str, data: bytes, etag: str) -> Written | None:
        if others:
            others.pop()()
        return original(self, key, data, etag)

    monkeypatch.setattr(FolderRemote, "swap", swap)
    assert one.remove_at_remote("m/production", remote="origin").removed == ["m/production"]
    there = alias_there(machines, "m/production")
    assert (there.seq, there.version) == (3, b"")
    assert read_move(machines.remote, there.move, machines.opened[0].context.ids).source == two.resolve("m/v2").version

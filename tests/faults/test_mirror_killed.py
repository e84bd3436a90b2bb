"""A copy to a mirror, or a promotion, that ends anywhere: no half of a name, never two homes; it is gone on with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artstore import Store
from artstore.adapters.remote_folder import FolderRemote
from artstore.format.ids import Ids
from artstore.format.remote import (
    MIRROR_KEY,
    MirrorOf,
    RemoteAlias,
    RemoteSet,
    RemoteTag,
    all_keys,
    decode_remote,
    set_key,
)
from artstore.model import RemotePlace, Written
from artstore.ports import Remote
from artstore.store.remote.names import read_move
from tests.encrypting import as_seen_by

WRITES = ("put", "create", "swap", "delete")
STEPS_MAX = 80
# Killed before the write, or behind it; at each one, or, so that it takes seconds, at each third one.
SWEEPS = [(False, 3), *(pytest.param(after, 1, marks=pytest.mark.long) for after in (False, True))]


class Killed(BaseException):
    """What ends a process, as far as this one can be ended."""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A home with two versions and an alias, and a mirror that lacks the second one and a move."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with Store.init(tmp_path / "world" / "store") as store:
        store.add_remote("home", RemotePlace(url=f"file://{tmp_path}/world/home"))
        store.add_mirror("nas", RemotePlace(url=f"file://{tmp_path}/world/nas"))
        for number in (1, 2):
            (folder / "weights").write_bytes(b"%d" % number * 50_000)
            store.commit(folder, tag=f"m/v{number}")
            store.set_alias("m/production", f"m/v{number}")
            store.push()
            if number == 1:
                store.push(to="nas")
    (tmp_path / "world").rename(tmp_path / "base")
    return tmp_path / "base"


def whole(path: Path) -> dict[str, bytes]:
    """What a remote's names stand for; each has all that it needs there."""
    with Store.open(path.parent / "store") as store:
        return named(as_seen_by(store, FolderRemote(RemotePlace(url=f"file://{path}"))), store.context.ids)


def named(remote: Remote, ids: Ids) -> dict[str, bytes]:
    """The same."""
    keys = {each.key for each in remote.list("")}
    found: dict[str, bytes] = {}
    for key in sorted(keys):
        kind, _, name = key.partition("/")
        got = remote.get(key) if kind in ("tags", "aliases") else None
        if got is None:
            continue
        told = decode_remote(RemoteTag, got.data) if kind == "tags" else decode_remote(RemoteAlias, got.data)
        found[name] = told.version
        needed = remote.get(set_key(told.version))
        assert needed is not None, f"{name} has no set"
        assert keys.issuperset(all_keys(decode_remote(RemoteSet, needed.data)))
        id = told.move if isinstance(told, RemoteAlias) else b""
        while id:
            id = read_move(remote, id, ids).previous
    return found


def homes(world: Path) -> list[str]:
    """The remotes that take themselves for home."""
    with Store.open(world / "store") as store:
        places = {name: RemotePlace(url=f"file://{world / name}") for name in ("home", "nas")}
        return [name for name, place in places.items() if is_home(as_seen_by(store, FolderRemote(place)))]


def is_home(remote: Remote) -> bool:
    """Does it say so?"""
    told, format = remote.get(MIRROR_KEY), remote.get("format")
    assert format is not None
    return told is None or decode_remote(MirrorOf, told.data).home in format.data


def killed_at(monkeypatch: pytest.MonkeyPatch, count: int, *, after: bool) -> list[int]:
    """The count-th write at a remote is the last one, and is made, or isn't; how many were begun."""
    begun = [0]
    for name in WRITES:
        real: Callable[..., Written | None] = getattr(FolderRemote, name)

        def write(self: FolderRemote, *words: object, real: Callable[..., Written | None] = real) -> Written | None:
            begun[0] += 1
            if begun[0] > count or (begun[0] == count and not after):
                raise Killed
            done = real(self, *words)
            if begun[0] == count:
                raise Killed
            return done

        monkeypatch.setattr(FolderRemote, name, write)
    return begun


def sweep(base: Path, act: Callable[[Store], object], *, after: bool, stride: int) -> Iterator[Path]:
    """The world after `act` was killed at its first write, its second one, … until it wasn't."""
    world = base.with_name("world")
    for count in range(1, STEPS_MAX, stride):
        shutil.rmtree(world, ignore_errors=True)
        shutil.copytree(base, world)
        ended = True
        with pytest.MonkeyPatch.context() as patch, Store.open(world / "store") as store:
            killed_at(patch, count, after=after)
            try:
                act(store)
            except Killed:
                ended = False
        yield world
        if ended:
            assert count > 8, "hardly anything was written"
            return
    pytest.fail("it never ended")


@pytest.mark.parametrize(("after", "stride"), SWEEPS)
def test_a_copy_killed_anywhere(base: Path, after: bool, stride: int) -> None:
    """A region that is failed over to would have names without their data."""
    expected = whole(base / "home")
    for world in sweep(base, lambda store: store.push(to="nas"), after=after, stride=stride):
        assert "m/v1" in whole(world / "nas")
        with Store.open(world / "store") as store:
            assert not store.push(to="nas").conflicts
        assert whole(world / "nas") == expected


@pytest.mark.parametrize(("after", "stride"), SWEEPS)
def test_a_promotion_killed_anywhere(base: Path, after: bool, stride: int) -> None:
    """Two homes would fork every alias; none, for good, would stop all work."""
    expected = whole(base / "home")
    for world in sweep(base, lambda store: store.promote("nas"), after=after, stride=stride):
        whole(world / "nas")
        at = homes(world)
        assert len(at) <= 1, "two homes"
        if at == ["nas"]:
            assert whole(world / "nas") == expected, "home before it has all"
        with Store.open(world / "store") as store:
            told = store.promote("nas")
            assert (told.epoch, told.conflicts) == (1, [])
            assert list(store.remotes()) == ["nas", "home"]
            store.set_alias("m/production", "m/v1")
            assert store.push(to="home").conflicts == []
        assert homes(world) == ["nas"]
        assert whole(world / "nas") == whole(world / "home") == {**expected, "m/production": expected["m/v1"]}


def test_two_copy_at_once(base: Path) -> None:
    """Each machine that pushes brings the mirror up: one of two would fail, or leave a half."""
    world = base.with_name("world")
    shutil.copytree(base, world)
    shutil.copytree(base / "store", world / "other")
    folder = base.with_name("folder")
    with Store.open(world / "store") as one, Store.open(world / "other") as two, ThreadPoolExecutor(2) as pool:
        for number in range(3, 8):
            (folder / "weights").write_bytes(b"%d" % number * 50_000)
            one.commit(folder, tag=f"m/v{number}")
            one.set_alias("m/production", f"m/v{number}")
            one.push()
            running = [pool.submit(store.push, to="nas") for store in (one, two)]
            assert not any(each.result().conflicts for each in running)
            assert whole(world / "nas") == whole(world / "home")

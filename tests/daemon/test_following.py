"""Followers, by a real daemon: a fleet that goes along with an alias."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from artstore import Store
from artstore.errors import Conflict, NotFound
from artstore.model import RemotePlace
from artstore_daemon import settings
from artstore_daemon.follower import Follower
from artstore_daemon.machine.following import Phase
from artstore_daemon.settings import FollowSpec
from tests.daemon.live import Live

Begin = Callable[[Store], Live]
ALIAS = "m/production"


@pytest.fixture
def place(tmp_path: Path) -> RemotePlace:
    return RemotePlace(url=f"file://{tmp_path / 'remote'}")


@pytest.fixture
def origin(store: Store, place: RemotePlace, folder: Path) -> Store:
    """A store with three versions, of which production is the first."""
    store.add_remote("origin", place)
    for number in range(1, 4):
        (folder / "weights").write_bytes(b"%d" % number * 100_000)
        (folder / "config").write_bytes(b"%d" % number)
        store.commit(folder, artifact="m")
    store.set_alias(ALIAS, "m/v1")
    store.push()
    return store


@pytest.fixture
def node(origin: Store, place: RemotePlace, tmp_path: Path) -> Iterator[Store]:
    """Another machine."""
    clone, _ = Store.clone(place, tmp_path / "node")
    with clone:
        yield clone


def follow(store: Store, **more: object) -> FollowSpec:
    """Have it follow, in a hurry."""
    spec = FollowSpec(ALIAS, **{"poll_s": 0.1, **more})  # type: ignore[arg-type]  # what tests say is right
    settings.add_follow(store.path, spec)
    return spec


def served(link: Path) -> tuple[bytes, int]:
    """The version that a link leads to, and how much of it is there."""
    return (link / "config").read_bytes(), len((link / "weights").read_bytes())


def test_a_link_goes_along(origin: Store, node: Store, tmp_path: Path, begin: Begin) -> None:
    """Somebody would have to log into each machine to deploy a model."""
    link = tmp_path / "served"
    follow(node, to=str(link))
    live = begin(node)
    live.wait_for("switched", ALIAS)
    assert served(link) == (b"1", 100_000)
    opened = (link / "weights").open("rb")
    origin.set_alias(ALIAS, "m/v3")
    live.wait_for("switched", ALIAS)
    assert served(link) == (b"3", 100_000)
    with opened:
        assert opened.read(1) == b"1", "who has a file open goes on with it"
    origin.rollback(ALIAS)
    live.wait_for("switched", ALIAS)
    assert served(link) == (b"1", 100_000)
    kept = sorted(os.listdir(tmp_path / ".served.artstore"))
    assert kept == sorted(node.resolve(f"m/v{n}").version.hex()[:16] for n in (1, 3)), "the one before stays"


def test_nobody_sees_a_mix(origin: Store, node: Store, tmp_path: Path, begin: Begin) -> None:
    """A server would load the weights of one version with the config of another."""
    link = tmp_path / "served"
    follow(node, to=str(link))
    live = begin(node)
    live.wait_for("switched", ALIAS)
    seen: set[bytes] = set()
    for number in (2, 3, 1, 2):
        origin.set_alias(ALIAS, f"m/v{number}")
        until = time.monotonic() + 20
        while (link / "config").read_bytes() != b"%d" % number:
            assert time.monotonic() < until
            resolved = link.resolve()
            config, weights = (resolved / "config").read_bytes(), (resolved / "weights").read_bytes()
            assert set(weights) == set(config)
            seen.add(config)
    assert seen


def test_the_hook_is_told(origin: Store, node: Store, tmp_path: Path, begin: Begin) -> None:
    """A server would serve the old model until somebody restarts it."""
    said = tmp_path / "said"
    hook = f'echo "$ARTSTORE_ALIAS $ARTSTORE_OLD $ARTSTORE_NEW $(cat $ARTSTORE_PATH/config)" >> {said}'
    follow(node, to=str(tmp_path / "served"), hook=hook)
    live = begin(node)
    live.wait_until(lambda: said.exists() and len(said.read_text().splitlines()) == 1)
    origin.set_alias(ALIAS, "m/v2")
    live.wait_until(lambda: len(said.read_text().splitlines()) == 2)
    one, two = (origin.resolve(f"m/v{n}").version.hex() for n in (1, 2))
    assert said.read_text().splitlines() == [f"{ALIAS}  {one} 1", f"{ALIAS} {one} {two} 2"]


def test_a_hook_that_fails(origin: Store, node: Store, tmp_path: Path, begin: Begin) -> None:
    """One bad machine would roll back the fleet, or serve what it can't run."""
    link = tmp_path / "served"
    follow(node, to=str(link), hook='test "$(cat $ARTSTORE_PATH/config)" != 2 || { echo no GPU >&2; exit 3; }')
    live = begin(node)
    live.wait_for("switched", ALIAS)
    moves = len(origin.alias_log(ALIAS))
    origin.set_alias(ALIAS, "m/v2")
    told = live.wait_for("error", f"follower {ALIAS}")
    assert told.text == "the hook failed with code 3: no GPU"
    live.wait_until(lambda: live.daemon.followings[0].state.phase is Phase.RESTING)
    assert served(link)[0] == b"1"
    time.sleep(0.5)
    assert sum("the hook failed" in each for each in live.said()) == 1, "it isn't tried again by itself"
    assert len(origin.alias_log(ALIAS)) == moves + 1, "the alias is where it was moved to"
    origin.set_alias(ALIAS, "m/v3")
    live.wait_until(lambda: served(link)[0] == b"3")
    live.wait_for("recovered")


def test_a_hook_that_hangs(
    origin: Store, node: Store, tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No version would ever be served again on this machine."""
    monkeypatch.setattr("artstore.limits.HOOK_S_MAX", 0.5)
    follow(node, to=str(tmp_path / "served"), hook=f"sleep 987 & echo $! > {tmp_path / 'child'}; wait")
    live = begin(node)
    told = live.wait_for("error", f"follower {ALIAS}")
    assert "took more than 0.5 s" in told.text
    child = int((tmp_path / "child").read_text())
    live.wait_until(
        lambda: not Path(f"/proc/{child}").exists() or "zombie" in Path(f"/proc/{child}/status").read_text()
    )


def test_a_remote_that_is_away(origin: Store, node: Store, tmp_path: Path, begin: Begin) -> None:
    """A machine would serve nothing since the network is gone, or never again what is new."""
    link = tmp_path / "served"
    follow(node, to=str(link))
    with Live(node) as live:
        live.wait_for("switched", ALIAS)
    os.rename(tmp_path / "remote", tmp_path / "away")
    live = begin(node)
    live.wait_until(lambda: live.daemon.followings and live.daemon.followings[0].look_error)
    assert served(link)[0] == b"1"
    os.rename(tmp_path / "away", tmp_path / "remote")
    origin.set_alias(ALIAS, "m/v2")
    live.wait_for("switched", ALIAS)
    assert served(link)[0] == b"2"


@pytest.mark.parametrize("phase", [Phase.FETCHING, Phase.SWITCHING, Phase.HOOKING, Phase.RETURNING])
def test_killed_in_each_phase(
    origin: Store, node: Store, tmp_path: Path, begin: Begin, phase: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would serve a version whose hook was never told, or stay between two versions for ever."""
    link, said = tmp_path / "served", tmp_path / "said"
    bad = phase is Phase.RETURNING
    hook = f'cat $ARTSTORE_PATH/config >> {said}; test "$(cat $ARTSTORE_PATH/config)" != "{"2" if bad else "9"}"'
    follow(node, to=str(link), hook=hook)
    with Live(node) as live:
        live.wait_for("switched", ALIAS)
        live.wait_until(lambda: live.daemon.followings[0].state.phase is Phase.RESTING)

    class Killed(Exception):
        """What ends the daemon right after it has noted a phase."""

    original = Follower.remember

    def remember(self: Follower, state: object) -> None:
        original(self, state)  # type: ignore[arg-type]
        if getattr(state, "phase", None) is phase:
            raise Killed

    origin.set_alias(ALIAS, "m/v2")
    with monkeypatch.context() as killing:
        killing.setattr(Follower, "remember", remember)
        with Live(node) as live:
            live.wait_for("error")
    said.unlink(missing_ok=True)
    live = begin(node)
    live.wait_until(lambda: live.daemon.followings and live.daemon.followings[0].state.wanted is not None)
    expected = b"1" if bad else b"2"
    live.wait_until(lambda: served(link)[0] == expected and live.daemon.followings[0].state.phase is Phase.RESTING)
    if phase in (Phase.FETCHING, Phase.SWITCHING, Phase.HOOKING):
        assert said.read_bytes() == b"2", "the hook is told"


def test_what_is_served_stays_here(origin: Store, node: Store, tmp_path: Path, begin: Begin) -> None:
    """Eviction or collection would take away what a rollback goes back to in a second."""
    follow(node, to=str(tmp_path / "served"))
    live = begin(node)
    live.wait_for("switched", ALIAS)
    origin.set_alias(ALIAS, "m/v2")
    live.wait_for("switched", ALIAS)
    one, two, three = (node.resolve(f"m/v{n}").version for n in (1, 2, 3))
    node.pull(["m/v3"])
    result = node.evict()
    assert (node.is_here(one), node.is_here(two), node.is_here(three)) == (True, True, False)
    assert result.packs > 0
    told = node.evict([two.hex()]).kept
    assert "follower" in told[two]
    settings.change_follow(node.path, ALIAS, lambda _: None)
    node.drop_followed(ALIAS)
    live.reload()
    live.wait_until(lambda: not live.daemon.followings)
    node.evict()
    assert not node.is_here(one)


def test_another_link(origin: Store, node: Store, tmp_path: Path, begin: Begin) -> None:
    """It would be made when the alias moves next."""
    follow(node, to=str(tmp_path / "served"))
    live = begin(node)
    live.wait_for("switched", ALIAS)
    settings.change_follow(node.path, ALIAS, lambda spec: replace(spec, to=str(tmp_path / "other")))
    live.reload()
    live.wait_until(lambda: (tmp_path / "other").exists() and served(tmp_path / "other")[0] == b"1")


def test_who_asks_is_told_at_once(origin: Store, node: Store, tmp_path: Path, begin: Begin) -> None:
    """`follow --now` would wait for the next look, an hour maybe."""
    follow(node, to=str(tmp_path / "served"), poll_s=3600.0)
    live = begin(node)
    live.wait_for("switched", ALIAS)
    origin.set_alias(ALIAS, "m/v2")
    live.call(live.daemon.follow_now)
    live.wait_for("switched", ALIAS)
    assert served(tmp_path / "served")[0] == b"2"


def test_an_alias_that_moves_while_it_is_fetched(origin: Store, node: Store, tmp_path: Path) -> None:
    """What is not here would be switched to."""
    follower = Follower(node, FollowSpec(ALIAS, to=str(tmp_path / "served")))
    version, error = follower.look()
    assert version is not None
    assert error is None
    origin.set_alias(ALIAS, "m/v2")
    assert "has moved on" in (follower.fetch(version) or "")
    follower.close()


def test_a_link_that_somebody_removed(origin: Store, node: Store, tmp_path: Path, begin: Begin) -> None:
    """What was served would be gone until the alias moves."""
    link = tmp_path / "served"
    follow(node, to=str(link), hook=f"echo told >> {tmp_path / 'said'}")
    with Live(node) as live:
        live.wait_for("switched", ALIAS)
        origin.set_alias(ALIAS, "m/v2")
        live.wait_for("switched", ALIAS)
        live.wait_until(lambda: live.daemon.followings[0].state.phase is Phase.RESTING)
    before = node.followed()[ALIAS]
    link.unlink()
    live = begin(node)
    live.wait_until(link.exists)
    assert served(link)[0] == b"2"
    live.wait_until(lambda: live.daemon.followings[0].state.phase is Phase.RESTING)
    after = node.followed()[ALIAS]
    assert (after.current, after.previous) == (before.current, before.previous)
    assert (tmp_path / "said").read_text() == "told\n" * 2, "it is the same version"


def test_half_a_switch_is_ended_also_while_paused(
    origin: Store, node: Store, tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version whose hook failed would be served for as long as the pause takes."""
    link = tmp_path / "served"
    follow(node, to=str(link), hook='test "$(cat $ARTSTORE_PATH/config)" != 2')
    with Live(node) as live:
        live.wait_for("switched", ALIAS)
        live.wait_until(lambda: live.daemon.followings[0].state.phase is Phase.RESTING)

    def switch(self: Follower, version: str) -> str | None:
        return original(self, version) if self.remembered().phase is not Phase.RETURNING else "no"

    original = Follower.switch
    origin.set_alias(ALIAS, "m/v2")
    with monkeypatch.context() as hindered:
        hindered.setattr(Follower, "switch", switch)
        with Live(node) as live:
            live.wait_until(lambda: live.daemon.followings and live.daemon.followings[0].state.error == "no")
    assert served(link)[0] == b"2"
    settings.change_follow(node.path, ALIAS, lambda spec: replace(spec, paused=True))
    live = begin(node)
    live.wait_until(lambda: served(link)[0] == b"1")
    assert live.call(lambda: live.daemon.followings[0].looked) is None


def test_what_is_followed_no_more_is_kept_no_more(origin: Store, node: Store, begin: Begin) -> None:
    """Its versions could never be collected."""
    follow(node)
    live = begin(node)
    live.wait_for("switched", ALIAS)
    assert list(node.followed()) == [ALIAS]
    settings.change_follow(node.path, ALIAS, lambda _: None)
    live.reload()
    live.wait_until(lambda: not node.followed())


def test_a_full_disk_keeps_it_where_it_is(origin: Store, node: Store, tmp_path: Path, begin: Begin) -> None:
    """A fetch would fill a disk that others need, too."""
    link = tmp_path / "served"
    follow(node, to=str(link))
    live = begin(node)
    live.wait_for("switched", ALIAS)
    node.configure("disk.min_free", 1 << 60)
    origin.set_alias(ALIAS, "m/v2")
    assert "disk.min_free" in live.wait_for("error", f"follower {ALIAS}").text
    assert served(link)[0] == b"1"
    node.configure("disk.min_free", 1)
    live.wait_for("switched", ALIAS)
    assert served(link)[0] == b"2"


def test_a_link_is_no_folder(node: Store, tmp_path: Path) -> None:
    """A folder with somebody's files would be replaced."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_bytes(b"mine")
    with pytest.raises(Conflict, match="is no symlink"):
        follow(node, to=str(tmp_path / "mine"))
    follow(node, to=str(tmp_path / "served"))
    with pytest.raises(Conflict, match="followed already"):
        follow(node)
    with pytest.raises(NotFound):
        settings.find_follow(node.path, "m/other")
    with pytest.raises(NotFound):
        settings.add_follow(node.path, FollowSpec("m/other", remote="nowhere"))
    assert (tmp_path / "mine" / "file").read_bytes() == b"mine"


@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="no FUSE here")
def test_the_mount_shows_what_is_served(origin: Store, node: Store, tmp_path: Path, begin: Begin) -> None:
    """Who reads through the mount would have the new version before it is here, and while its hook fails."""
    mount = tmp_path / "mnt"
    command = [sys.executable, "-P", "-m", "artstore", "--store", node.path]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    subprocess.run([*command, "mount", str(mount), "--poll", "1s"], check=True, env=environment, capture_output=True)
    try:
        follow(node, hook='test "$ARTSTORE_NEW" != "' + origin.resolve("m/v2").version.hex() + '"')
        live = begin(node)
        live.wait_for("switched", ALIAS)
        alias = mount / "aliases" / ALIAS
        live.wait_until(lambda: (alias / "config").read_bytes() == b"1")
        origin.set_alias(ALIAS, "m/v2")
        live.wait_for("error", f"follower {ALIAS}")
        live.wait_until(lambda: live.daemon.followings[0].state.phase is Phase.RESTING)
        assert node.resolve(ALIAS).version == origin.resolve("m/v2").version, "the alias is what it is"
        live.wait_until(lambda: (alias / "config").read_bytes() == b"1")  # the mount looks each second
        origin.set_alias(ALIAS, "m/v3")
        live.wait_until(lambda: (alias / "config").read_bytes() == b"3")
    finally:
        subprocess.run([*command, "umount", str(mount)], check=True, env=environment, capture_output=True)

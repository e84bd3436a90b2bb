"""What a real daemon pushes of what it watches."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import trio

from artstore import Store
from artstore.model import RemotePlace
from artstore_daemon import settings
from artstore_daemon.daemon import Daemon
from artstore_daemon.machine.sending import Outcome
from tests.daemon.live import Begin, Live, files, spec


def soon(_failures: int, *, now: float, spread: float) -> float:
    """When a test has what failed tried again."""
    del spread
    return now + 0.3


def heads(live: Live) -> set[str]:
    """What has happened to whom."""
    return {each.partition(":")[0] for each in live.said()}


def test_versions_made_by_hand_are_pushed(store: Store, folder: Path, tmp_path: Path, begin: Begin) -> None:
    """Whoever was quicker than the daemon would have to push, too."""
    store.add_remote("origin", RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    settings.add_watch(store.path, spec("m", folder, push=("origin",)))
    live = begin(store)
    live.wait_until(lambda: live.daemon.watchings and live.daemon.watchings[0].status.how == "inotify")
    (folder / "a").write_bytes(b"a")
    store.commit(folder, artifact="m")
    live.wait_for("pushed", "m/v1")


def test_versions_are_pushed_oldest_first(store: Store, folder: Path, tmp_path: Path, begin: Begin) -> None:
    """A machine that is lost would take with it what nobody has pushed."""
    remotes = [RemotePlace(url=f"file://{tmp_path / name}") for name in ("one", "two")]
    for name, place in zip(("one", "two"), remotes, strict=True):
        store.add_remote(name, place)
    for number in range(1, 4):
        (folder / "a").write_bytes(b"%d" % number)
        store.commit(folder, artifact="m")
    settings.add_watch(store.path, spec("m", folder, push=("one", "two")))
    live = begin(store)
    (folder / "a").write_bytes(b"4")
    live.wait_for("version", "m/v4")
    live.wait_until(lambda: sum("pushed" in each for each in live.said()) == 8)
    live.wait_quiet()
    for place in remotes:
        pushed = [
            each.name for each in live.daemon.happenings() if each.kind == "pushed" and place.url[-3:] in each.text
        ]
        assert pushed == ["m/v1", "m/v2", "m/v3", "m/v4"]
    clone, _ = Store.clone(remotes[1], tmp_path / "clone", full=True)
    with clone:
        assert files(clone, "m/v4") == {"a": b"4"}
        assert clone.check(data=True).is_sound


def test_a_mirror_is_pushed_to_behind_home(store: Store, folder: Path, tmp_path: Path, begin: Begin) -> None:
    """It takes what home has: versions would be left out for good, since home didn't have them yet."""
    store.add_remote("home", RemotePlace(url=f"file://{tmp_path / 'home'}"))
    store.add_mirror("nas", RemotePlace(url=f"file://{tmp_path / 'nas'}"))
    settings.add_watch(store.path, spec("m", folder, push=("nas",)))
    live = begin(store)
    for number in range(1, 3):
        (folder / "a").write_bytes(b"%d" % number)
        live.wait_for("version", f"m/v{number}")
        live.wait_for("pushed", f"m/v{number}")
    for name in ("home", "nas"):
        clone, _ = Store.clone(RemotePlace(url=f"file://{tmp_path / name}"), tmp_path / f"clone-{name}", full=True)
        with clone:
            assert files(clone, "m/v2") == {"a": b"2"}


def test_a_remote_that_is_away(
    store: Store, folder: Path, tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made while the network was gone would never be pushed."""
    monkeypatch.setattr("artstore_daemon.machine.sending.retry_at", soon)
    place = tmp_path / "nas" / "remote"
    place.parent.mkdir()
    store.add_remote("origin", RemotePlace(url=f"file://{place}"))
    os.rename(tmp_path / "nas", tmp_path / "away")
    settings.add_watch(store.path, spec("m", folder, push=("origin",)))
    live = begin(store)
    (folder / "a").write_bytes(b"1")
    live.wait_for("version", "m/v1")
    told = live.wait_for("error", "remote origin")
    assert "nas" in told.text
    (folder / "a").write_bytes(b"2")
    live.wait_for("version", "m/v2")
    time.sleep(1)
    assert sum("remote origin" in each for each in live.said()) == 1, "it is told once"
    os.rename(tmp_path / "away", tmp_path / "nas")
    live.wait_for("recovered", "remote origin")
    live.wait_for("pushed", "m/v2")
    assert live.call(lambda: live.daemon.is_quiet)


def test_home_is_away_and_a_mirror_is_not(
    store: Store, folder: Path, tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirror would get names that home has never decided on, or be forgotten with home."""
    monkeypatch.setattr("artstore_daemon.machine.sending.retry_at", soon)
    (tmp_path / "disk").mkdir()
    store.add_remote("home", RemotePlace(url=f"file://{tmp_path / 'disk' / 'home'}"))
    store.add_mirror("nas", RemotePlace(url=f"file://{tmp_path / 'nas'}"))
    os.rename(tmp_path / "disk", tmp_path / "away")
    settings.add_watch(store.path, spec("m", folder, push=("home", "nas")))
    live = begin(store)
    (folder / "a").write_bytes(b"1")
    live.wait_until(lambda: {"error remote home", "error remote nas"} <= heads(live))
    time.sleep(1)
    assert not any(head.startswith("pushed") for head in heads(live))
    os.rename(tmp_path / "away", tmp_path / "disk")
    live.wait_until(lambda: {"recovered remote home", "recovered remote nas"} <= heads(live))
    live.wait_until(lambda: sum(each.startswith("pushed m/v1") for each in live.said()) == 2)
    live.wait_quiet()
    clone, _ = Store.clone(RemotePlace(url=f"file://{tmp_path / 'nas'}"), tmp_path / "clone", full=True)
    with clone:
        assert files(clone, "m/v1") == {"a": b"1"}


def test_a_damaged_version_does_not_hold_up_others(store: Store, folder: Path, tmp_path: Path, begin: Begin) -> None:
    """One flipped bit would end replication."""
    store.add_remote("origin", RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    for number in range(1, 3):
        (folder / "weights").write_bytes(os.urandom(1_000_000))
        store.commit(folder, artifact="m")
        if number == 1:
            pack = max(Path(store.path).rglob("*.pack"), key=lambda path: path.stat().st_size)
            with open(pack, "r+b") as file:
                file.seek(500_000)
                old = file.read(1)
                file.seek(500_000)
                file.write(bytes([old[0] ^ 1]))
    settings.add_watch(store.path, spec("m", folder, push=("origin",)))
    live = begin(store)
    live.wait_for("refused", "m/v1")
    live.wait_for("pushed", "m/v2")
    assert live.call(lambda: live.daemon.sendings[0].state.lost) == ("m/v1",)


def test_a_name_that_is_refused_once_more_is_told_once_more(store: Store) -> None:
    """What was mended in between would be taken for mended still."""

    async def main() -> list[str]:
        daemon = Daemon(store)
        for outcome, error in (
            (Outcome.LOST, "why"),
            (Outcome.LOST, "why"),
            (Outcome.DONE, None),
            (Outcome.LOST, "why"),
        ):
            daemon.pushed("origin", "m/v1", outcome, error)
        return [each.kind for each in daemon.happenings()]

    assert trio.run(main) == ["refused", "pushed", "refused"]

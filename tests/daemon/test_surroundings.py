"""What lies around a daemon: its lock, its folders, a config that somebody has changed by hand."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from pathlib import Path
from threading import Timer

import pytest
import trio

from artstore import Store
from artstore.errors import BadName, Corrupt, NotFound, NotPermitted
from artstore_daemon import lock, places, service, settings
from artstore_daemon.places import Places


@pytest.fixture
def met(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """The places of a store's daemon."""
    (tmp_path / "rt").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "rt"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return places.places_of(store.path)


def configure(store: Store, text: str) -> None:
    """Change the config by hand."""
    with (Path(store.path) / "config.toml").open("a") as file:
        file.write(f"\n{text}\n")


# --- the lock


def test_who_only_looks_keeps_nobody_from_starting(tmp_path: Path) -> None:
    """`daemon status` in a loop would now and then make a start fail."""
    path = str(tmp_path / "lock")
    with open(path, "w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        Timer(0.03, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        with lock.held(path):
            assert lock.holder(path) == os.getpid()


def test_a_number_of_another_container_is_nobodys_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`daemon stop` would end whatever has that number on this side."""
    path = str(tmp_path / "daemon.lock")
    with lock.held(path):
        monkeypatch.setattr(lock, "_space", lambda: "pid:[1]")
        assert lock.holder(path) == 0
        assert f"process {os.getpid()} on " in lock.said(path)
        monkeypatch.setattr(service, "_NAME_S", 0.0)
        with pytest.raises(NotPermitted, match=f"another container: process {os.getpid()} on "):
            service.stop(Places(str(tmp_path), "", "", ""))


def test_another_users_daemon_is_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a store that a group shares; and who it is wouldn't be told."""

    def kill(_process: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    with lock.held(str(tmp_path / "daemon.lock")), pytest.raises(NotPermitted, match="another user's"):
        service.stop(Places(str(tmp_path), "", "", ""))


def test_it_is_met_where_it_answers(met: Places, tmp_path: Path) -> None:
    """cron and ssh have no XDG_RUNTIME_DIR: there it would not run, and could not be started either."""
    there = tmp_path / "there.sock"
    there.touch()
    with lock.held(met.lock, socket_path=str(there)):
        assert met.answering() == str(there)
    assert met.answering() == met.socket
    with lock.held(met.lock, socket_path=str(tmp_path / "nothing")):
        assert met.answering() == met.socket


@pytest.mark.parametrize("replaced", [False, True])
def test_it_ends_with_its_store(
    met: Places, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, replaced: bool
) -> None:
    """It would go on for ever, out of reach of any command; in another store there, it would lose what it commits."""
    ending: list[bool] = []
    monkeypatch.setattr(service, "_limit_end", lambda: ending.append(True))

    async def main(held: lock.Held) -> None:
        with trio.fail_after(5):
            await service.mind_store(store.path, held)

    with lock.held(met.lock) as held:
        assert not held.is_lost()
        shutil.move(store.path, tmp_path / "elsewhere")
        assert not held.is_lost()  # it may come back
        if replaced:
            os.makedirs(store.path)
            Path(met.lock).touch()
        else:
            shutil.rmtree(tmp_path / "elsewhere")
        with pytest.raises(NotFound, match="was removed, or another"):
            trio.run(main, held)
        assert ending


def test_a_store_that_cannot_be_written(met: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """That daemon.lock is on a read-only file system says nothing of what to do."""

    def refuse(*_: object) -> int:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        with pytest.raises(NotPermitted) as refused:
            lock.held(met.lock).__enter__()
    assert met.store in refused.value.message
    assert refused.value.hint


# --- folders


def test_a_folder_that_others_write_to_is_no_place_to_answer(met: Places) -> None:
    """In /tmp somebody may have made it before: what is asked there, they would answer."""
    Path(met.runtime).mkdir(mode=0o700)
    met.prepare()
    os.chmod(met.runtime, 0o777)
    with pytest.raises(NotPermitted, match=met.runtime):
        met.prepare()
    os.rmdir(met.runtime)
    os.symlink("/", met.runtime)
    with pytest.raises(NotPermitted, match=met.runtime):
        met.prepare()


def test_a_folder_that_cannot_be_made_says_what_to_set(met: Places, tmp_path: Path) -> None:
    """`Not a directory` doesn't tell what it is for."""
    (tmp_path / "state").touch()
    with pytest.raises(NotPermitted, match="state") as refused:
        met.prepare()
    assert refused.value.hint
    assert "XDG_STATE_HOME" in refused.value.hint


# --- the start


def test_a_config_that_makes_no_sense_ends_it_in_words(
    met: Places, store: Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It would say that it is ready, and then that it has a bug; a service manager would start it again and again."""
    configure(store, '[watches.m]\nfolder = "/srv"\nonly = "25:00"')
    store.close()
    monkeypatch.setenv("NOTIFY_SOCKET", "")
    before = signal.getsignal(signal.SIGHUP)
    try:
        with pytest.raises(Corrupt, match=r"config\.toml, \[watches\.m\]: '25:00' are no hours"):
            service.run(met, service.Options())
    finally:
        signal.signal(signal.SIGHUP, before)
    assert "ready" not in capfd.readouterr().err


def test_told_of_a_change_while_it_begins_it_does_not_end(met: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """`watch add` right after the start would kill it."""

    def end(_number: int, _frame: object) -> None:
        raise AssertionError("it would have ended")

    before = signal.signal(signal.SIGHUP, end)

    def run(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    monkeypatch.setattr(trio, "run", run)
    try:
        assert service.run(met, service.Options()) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


# --- what is asked for


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("folder = 3", "folder makes no sense: 3"),
        ("settle_s = 1", "folder makes no sense: missing"),
        ('folder = "runs"', "folder makes no sense: 'runs'"),
        ('folder = "/r"\nkeep_last = -1', "keep_last makes no sense: -1"),
        ('folder = "/r"\nkeep_last = true', "keep_last makes no sense: True"),
        ('folder = "/r"\nlimit_rate = 0', "limit_rate makes no sense: 0"),
        ('folder = "/r"\nsettle_s = inf', "settle_s makes no sense: inf"),
        ('folder = "/r"\nsettle_s = 9\nevery_s = 3', "can't be committed every 3 s"),
        ('folder = "/r"\nonly = "25:00"', "'25:00' are no hours"),
    ],
)
def test_what_was_changed_by_hand_is_looked_at(store: Store, said: str, told: str) -> None:
    """A mistake would be found when a version is missing."""
    configure(store, f"[watches.m]\n{said}")
    with pytest.raises(Corrupt) as found:
        settings.watches(store.path)
    assert told in found.value.message
    assert os.path.join(store.path, "config.toml") in found.value.message


@pytest.mark.parametrize(
    "asked",
    [
        settings.WatchSpec("m", "/srv/b\udce9d"),
        settings.WatchSpec("m", "/", exclude=("a", "b\udce9d")),
        settings.FollowSpec("m/p", to="/srv/b\udce9d"),
    ],
)
def test_bytes_that_are_no_text_are_refused(store: Store, asked: settings.WatchSpec | settings.FollowSpec) -> None:
    """It would be a bug of artstore."""
    refused = pytest.raises(BadName, match=r"b.*xe9d.* isn't UTF-8")
    if isinstance(asked, settings.WatchSpec):
        with refused:
            settings.add_watch(store.path, asked)
    else:
        with refused:
            settings.add_follow(store.path, asked)

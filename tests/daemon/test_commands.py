"""`artstore watch`, `follow` and `daemon`, in this process, and what they say."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore import Store
from artstore.cli import main
from artstore.cli.commands import daemon
from artstore.cli.commands.daemon import daemon_state
from artstore_daemon import lock, settings
from artstore_daemon.client import Client
from tests.daemon.live import spec

Run = Callable[..., str]


@pytest.fixture
def run(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command; what it printed."""
    (tmp_path / "rt").mkdir(mode=0o700)
    monkeypatch.setenv("ARTSTORE_HOME", store.path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "rt"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def command(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        found = main(arguments)
        said = capsys.readouterr()
        assert found == code, said
        return said.out + said.err

    return command


def test_one_folder_that_cannot_be_committed_keeps_no_other_from_it(store: Store, tmp_path: Path, run: Run) -> None:
    """`watch now` would end at the first; those that were committed would go unnamed."""
    for name in ("a", "gone", "z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"1")
        settings.add_watch(store.path, spec(name, tmp_path / name))
    for name in ("checkpoint- bad", "checkpoint-1"):
        (tmp_path / "a" / "each" / name).mkdir(parents=True)
        (tmp_path / "a" / "each" / name / "file").write_bytes(b"1")
    settings.add_watch(store.path, spec("each", tmp_path / "a" / "each", each="checkpoint-*"))
    shutil.rmtree(tmp_path / "gone")
    said = run("watch", "now", code=2)
    assert [tag for tag in ("a/v1", "z/v1", "each/checkpoint-1") if tag not in said.splitlines()] == []
    assert f"{tmp_path / 'gone'} isn't there" in said
    assert "'each/checkpoint- bad' is no name" in said


def test_why_there_is_no_version(store: Store, tmp_path: Path, run: Run) -> None:
    """That nothing is watched would be said of what is."""
    for name, ready in (("empty", None), ("unready", "done.json")):
        (tmp_path / name).mkdir()
        settings.add_watch(store.path, spec(name, tmp_path / name, ready=ready))
    assert "nothing is watched" not in run("watch", "now", "empty")
    said = run("watch", "now")
    assert f"{tmp_path / 'empty'} is empty" in said
    assert "has no done.json yet" in said


def test_now_is_not_for_what_is_paused(store: Store, folder: Path, run: Run) -> None:
    """It would be said that it is committed, and nothing would come of that."""
    (folder / "file").write_bytes(b"1")
    settings.add_watch(store.path, spec("m", folder, paused=True))
    assert "`artstore watch resume m`" in run("watch", "now", "m", code=5)
    assert "paused, and left alone: m" in run("watch", "now")
    assert not list(store.tags())


def test_a_daemon_that_cannot_be_told_is_named(
    store: Store, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a store of a group the change would be noted, and then called not permitted."""

    def kill(_process: int, number: int) -> None:
        assert number == signal.SIGHUP
        raise PermissionError

    with lock.held(os.path.join(store.path, "daemon.lock")):
        monkeypatch.setattr(os, "kill", kill)
        said = run("watch", "add", str(folder), "--artifact", "m")
    assert f"process {os.getpid()} on " in said
    assert "once it is started again" in said
    assert list(settings.watches(store.path)) == ["m"]


def test_one_that_ended_meanwhile_is_none(
    store: Store, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be told as a process that there isn't."""

    def kill(_process: int, _number: int) -> None:
        raise ProcessLookupError

    with lock.held(os.path.join(store.path, "daemon.lock")):
        monkeypatch.setattr(os, "kill", kill)
        assert json.loads(run("watch", "add", str(folder), "--artifact", "m", "--json"))["daemon"] is False


def test_what_goes_wrong_is_told_with_its_name(
    store: Store, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With three followers nobody would know which alias there isn't."""
    push = {"remote": "origin", "waiting": 1, "error": "it is away", "next": None}
    watch = {"artifact": "m", "pending": False, "error": "is broken", "why": "/m isn't there", "how": "gone"}
    watch |= {"next": None, "pushes": [push]}
    follow = {"alias": "m/p", "error": "there is no such alias yet", "next": None}
    told = {"process": 7, "quiet": True, "watches": [watch], "follows": [follow]}

    def get(_self: Client, _path: str) -> object:
        return told

    monkeypatch.setattr(Client, "get", get)
    state = daemon_state(store.path)
    assert state is not None
    assert state.errors == ["m: is broken", "m/p: there is no such alias yet", "m to origin: it is away"]
    assert ("watch", "m: /m isn't there") in daemon.daemon_rows(state, str)


def test_a_folder_that_is_gone_or_polled_is_told(
    store: Store, folder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was renamed would never be a version again, and nobody would know."""
    gone = tmp_path / "gone"
    gone.mkdir()
    settings.add_watch(store.path, spec("m", folder))
    settings.add_watch(store.path, spec("gone", gone))
    gone.rmdir()
    why = "the system watches no more folders: sudo sysctl fs.inotify.max_user_watches=1048576"
    asked: list[str] = []

    def get(_self: Client, _path: str) -> object:
        return {"watches": [{"artifact": "m", "how": "polled every 30 s", "why": why}]}

    def post(_self: Client, path: str, _body: object = None) -> object:
        asked.append(path)
        return {}

    monkeypatch.setattr(Client, "get", get)
    monkeypatch.setattr(Client, "post", post)
    listed = run("watch", "list").splitlines()
    assert why in listed[0]
    assert "isn't there" in listed[1]
    with lock.held(os.path.join(store.path, "daemon.lock")):
        assert f"{gone} isn't there" in run("watch", "now", code=2)
    assert asked == ["/v1/watches/m/now"]


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a container with a number for a user, `daemon start` would end as a bug after it has started one."""

    def nobody(_: int) -> object:
        raise KeyError

    def ann(_: int) -> pwd.struct_passwd:
        return pwd.struct_passwd(("ann", "", 1, 1, "", "", ""))

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    monkeypatch.setattr(daemon, "_SYSTEMD_USERS", str(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(pwd, "getpwuid", nobody)
        assert daemon.warnings() == []
    monkeypatch.setattr(pwd, "getpwuid", ann)
    monkeypatch.setattr(daemon, "_LINGER", str(tmp_path))
    assert "enable-linger ann" in daemon.warnings()[0]
    (tmp_path / "ann").touch()
    assert daemon.warnings() == []


def test_the_end_of_a_log_that_was_just_turned_over(run: Run) -> None:
    """What went wrong just before would not be shown."""
    assert "there is no log" in run("daemon", "logs", code=3)
    log = Path(json.loads(run("daemon", "status", "--json", code=8))["log"])
    log.parent.mkdir(parents=True)
    Path(f"{log}.1").write_text("one\ntwo\n")
    log.write_text("three\n")
    assert run("daemon", "logs").splitlines() == ["one", "two", "three"]
    assert run("daemon", "logs", "-n", "2").splitlines() == ["two", "three"]
    assert run("daemon", "logs", "-n", "1").splitlines() == ["three"]


def test_one_is_ended_whatever_its_config_says(store: Store, run: Run) -> None:
    """Who has changed it by hand, and not well, could not end what goes on with the former one."""
    with (Path(store.path) / "config.toml").open("a") as file:
        file.write('\n[watches.m]\nfolder = "/srv"\nonly = "25:00"\n')
    assert "no hours" in run("daemon", "status", code=6)
    assert "doesn't run" in run("daemon", "stop")


def test_what_does_not_go_together(run: Run) -> None:
    """What isn't done would be passed over without a word."""
    for words in (("--remove", "--now"), ("--remove", "--to", "x"), ("--now", "--hook", "x")):
        assert "goes with no other option" in run("follow", "m/p", *words, code=2)


def test_the_doctor_knows_every_extra(run: Run) -> None:
    """Without boto3 no remote on S3 works, and nothing would say so."""
    found = {finding["name"] for finding in json.loads(run("doctor", "--json"))["findings"]}
    assert {"mount", "s3", "daemon"} <= found

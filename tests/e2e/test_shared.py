"""A store of several users, and one that isn't."""

from __future__ import annotations

import grp
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from artstore.cli import main

ANN, BOB, EVE = 61_001, 61_002, 61_003

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="only root can become other users"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@dataclass(frozen=True)
class Done:
    """What a command answered to a user."""

    code: int
    out: str
    err: str


class Users:
    """Runs commands as other users, in forked children: they may not be able to read this Python from disk."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.store = place / "store"

    def run(self, uid: int, group: int, *args: str | Path) -> Done:
        """Run one command line as a user in a group."""
        out, err = self.place / "out.txt", self.place / "err.txt"
        for path in (out, err):
            path.write_bytes(b"")
        child = os.fork()
        if child == 0:
            try:
                for path, number in ((out, 1), (err, 2)):
                    os.dup2(os.open(path, os.O_WRONLY), number)
                self._become(uid, group)
                code = main([str(arg) for arg in args])
            except BaseException:  # noqa: BLE001 - nothing may escape into the parent's test run
                code = 99
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return Done(code, out.read_text(), err.read_text())

    def folder(self, uid: int) -> Path:
        """Data of that user's own."""
        folder = self.place / f"data-{uid}"
        if not folder.exists():
            folder.mkdir()
            (folder / "file.bin").write_bytes(os.urandom(200_000))
            for path in (folder, folder / "file.bin"):
                os.chown(path, uid, uid)
        return folder

    def _become(self, uid: int, group: int) -> None:
        os.setgroups([])
        os.setgid(group)
        os.setuid(uid)
        os.umask(0o022)
        os.chdir(self.place)
        os.environ.update(HOME=str(self.place), ARTSTORE_AUTHOR=str(uid))
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


@pytest.fixture
def team() -> str:
    """A group that is there on every machine, and stands for the team."""
    return grp.getgrgid(1).gr_name


@pytest.fixture
def users(home: Path, team: str) -> Iterator[Users]:
    """A folder that everybody may write to, as /tmp (pytest's own is private); all modules are loaded."""
    warm, data = home / "warm", home / "work"
    (data / "x").write_text("x")
    main(["init", str(warm)])
    for line in (
        f"commit {data} -q",
        "list -q",
        "status -q",
        f"checkout work {home}/o -q",
        "check --data -q",
        "gc -y -q",
    ):
        assert main(["--store", str(warm), *line.split()]) == 0
    assert main(["--store", str(warm), "config", "shared", team, "-q"]) == 0
    with TemporaryDirectory() as name:
        os.chmod(name, 0o1777)
        yield Users(Path(name))


def test_two_users_commit_to_a_shared_store(users: Users, team: str) -> None:
    """A team keeps one store: what one member commits the other reads, extends, checks and collects."""
    gid, store = grp.getgrnam(team).gr_gid, users.store
    made = users.run(ANN, gid, "init", store, f"--shared={team}")
    assert made.code == 0, made.err
    for number, uid in enumerate((ANN, BOB, ANN)):
        said = ("--artifact", "x", "--param", f"n={number}")
        done = users.run(uid, gid, "--store", store, "commit", users.folder(uid), *said)
        assert done.code == 0, done.err
    assert users.run(BOB, gid, "--store", store, "list", "-q").out.split() == ["x/v1", "x/v2", "x/v3"]
    for path in store.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert path.stat().st_gid == gid, path
        assert mode == (0o2770 if path.is_dir() else 0o660), f"{path}: {mode:o}"
    assert users.run(BOB, gid, "--store", store, "checkout", "x/v1", users.place / "out").code == 0
    checked = users.run(BOB, gid, "--store", store, "check", "--data")
    assert checked.code == 0, checked.out + checked.err
    collected = users.run(BOB, gid, "--store", store, "gc", "--yes")
    assert collected.code == 0, collected.err


def test_a_stranger_is_told_whom_to_ask(users: Users, team: str) -> None:
    """The error names the person and the command that helps, and helps once it was run."""
    gid, store = grp.getgrnam(team).gr_gid, users.store
    assert users.run(ANN, gid, "init", store).code == 0
    assert users.run(ANN, gid, "--store", store, "commit", users.folder(ANN), "--artifact", "x").code == 0
    data = users.folder(EVE)
    for arguments in (["list"], ["commit", data, "--artifact", "y"], ["status"], ["check"]):
        refused = users.run(EVE, EVE, "--store", store, *arguments)
        assert refused.code == 4, refused.err
        assert f"user {ANN}" in refused.err
        assert "config shared GROUP" in refused.err
    assert users.run(BOB, gid, "--store", store, "list").code == 4
    shared = users.run(ANN, gid, "--store", store, "config", "shared", team)
    assert shared.code == 0, shared.err
    assert users.run(BOB, gid, "--store", store, "list", "-q").out == "x/v1\n"
    done = users.run(BOB, gid, "--store", store, "commit", users.folder(BOB), "--artifact", "x")
    assert done.code == 0, done.err
    assert users.run(EVE, EVE, "--store", store, "list").code == 4


def test_only_the_owner_can_share(users: Users, team: str) -> None:
    """A member can't open a shared store to another group; the answer says who can."""
    gid, store = grp.getgrnam(team).gr_gid, users.store
    assert users.run(ANN, gid, "init", store, f"--shared={team}").code == 0
    refused = users.run(BOB, gid, "--store", store, "config", "shared", team)
    assert refused.code == 4, refused.err
    assert f"ask user {ANN}" in refused.err
    assert users.run(ANN, gid, "--store", store, "config", "shared", "no-such-group").code == 3

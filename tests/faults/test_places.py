"""Stores where they should not be, that belong to somebody else, or that can't be written: a clear answer each time.

Commands run as a user would run them; where another user is needed, in a forked child that became that user.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from artstore.adapters.disk import mounts
from artstore.cli import rim
from artstore.testing.local_store import opened

ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="only root can become other users")
NOBODY = 65534
GROUP = "users"  # a group of every Debian system
GROUP_ID = 100


@dataclass(frozen=True)
class Ended:
    """What a command said."""

    code: int
    out: str
    error: str


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A folder that everybody may look into, unlike tests' own, with a folder `model` to commit."""
    path = Path(tempfile.mkdtemp(prefix="artstore-places-"))
    path.chmod(0o755)
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setenv("ARTSTORE_HOME", str(path / "default"))
    (path / "model").mkdir()
    (path / "model" / "weights").write_bytes(b"weights")
    yield path
    shutil.rmtree(path)


def run(folder: Path, *words: str, user: int | None = None, groups: Sequence[int] = (), umask: int = 0o022) -> Ended:
    """Run a command in a forked child, as another user if one is given."""
    out, error = folder / "out", folder / "error"
    with out.open("w+b") as to_out, error.open("w+b") as to_error:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.dup2(to_out.fileno(), 1)
                os.dup2(to_error.fileno(), 2)
                sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
                os.umask(umask)
                if user is not None:
                    os.setgroups(list(groups))
                    os.setgid(user)
                    os.setuid(user)
                code = rim.run(list(words))
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Ended(code, out.read_text(), error.read_text())


def made(place: Path, *options: str) -> str:
    """A store with one version of `model`; it has also loaded whatever a child needs that can't read our sources."""
    store = str(place / "store")
    assert rim.run(["--store", store, "init", *options, "-q"]) == 0
    assert rim.run(["--store", store, "commit", str(place / "model"), "-q"]) == 0
    assert rim.run(["--store", store, "cat", "model/v1:weights"]) == 0
    assert rim.run(["--store", store, "check", "-q"]) == 0
    return store


@ROOT_ONLY
def test_a_store_that_is_not_open_to_you_says_whom_to_ask(place: Path) -> None:
    """A colleague would get `Permission denied` and not know that sharing exists."""
    store = made(place)
    for command in (["list"], ["commit", str(place / "model")], ["cat", "model/v1:weights"], ["check"]):
        ended = run(place, "--store", store, *command, user=NOBODY)
        assert ended.code == 4
        assert "belongs to root" in ended.error
        assert "ask root to run" in ended.error
        assert "config shared GROUP" in ended.error


@ROOT_ONLY
def test_a_store_that_you_may_read_is_read(place: Path) -> None:
    """A store that is published to all could be used by its owner alone, or writing would fail with a riddle."""
    store = made(place)
    os.chmod(store, 0o755)
    before = {path: path.stat().st_mtime_ns for path in Path(store).rglob("*")}
    ended = run(place, "--store", store, "cat", "model/v1:weights", user=NOBODY)
    assert (ended.code, ended.out) == (0, "weights")
    assert run(place, "--store", store, "check", "--data", user=NOBODY).code == 0
    for command in (["commit", str(place / "model")], ["tag", "model/x", "model/v1"], ["gc", "--yes"]):
        ended = run(place, "--store", store, *command, user=NOBODY)
        assert ended.code == 4, command
        assert "not open to you for writing; ask root to run" in ended.error
    assert run(place, "--store", store, "config", "shared", GROUP, user=NOBODY).code == 4
    assert {path: path.stat().st_mtime_ns for path in Path(store).rglob("*")} == before


@ROOT_ONLY
def test_a_store_on_a_disk_that_is_mounted_read_only(place: Path) -> None:
    """A snapshot or a rescue mount of a store could not be read."""
    disk = place / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        store = str(disk / "store")
        shutil.move(made(place), store)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert run(place, "--store", store, "cat", "model/v1:weights").out == "weights"
        assert run(place, "--store", store, "check", "--data").code == 0
        for command in (["commit", str(place / "model")], ["tag", "model/x", "model/v1"]):
            ended = run(place, "--store", store, *command)
            assert ended.code == 4
            assert "mounted read-only" in ended.error
        assert run(place, "--store", str(disk / "new"), "init").code == 4
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@ROOT_ONLY
def test_two_users_of_one_group_share_a_store(place: Path) -> None:
    """The second user of a shared store could not commit, or the first not read what the second did."""
    store = made(place, f"--shared={GROUP}")
    users = (1001, 1002)

    def as_user(user: int, *words: str) -> Ended:
        ended = run(place, "--store", store, *words, user=user, groups=[GROUP_ID], umask=0o077)
        assert ended.code == 0, ended.error
        return ended

    for step in range(3):
        for user in users:
            folder = place / f"of{user}"
            folder.mkdir(exist_ok=True)
            (folder / "f").write_text(f"{user} {step}\n" * 100_000)
            as_user(user, "commit", str(folder))
            as_user(user, "alias", "set", "both/live", f"of{user}")
        for user in users:
            for other in users:
                assert as_user(user, "cat", f"of{other}:f").out == f"{other} {step}\n" * 100_000
            as_user(user, "check", "--data")
    as_user(users[0], "rm", "of1002/v1", "--yes")
    as_user(users[0], "gc", "--yes", "--now")
    as_user(users[1], "check", "--data")
    for path in [Path(store), *Path(store).rglob("*")]:
        wanted = 0o2770 if path.is_dir() else 0o660
        status = path.stat()
        assert (path, status.st_gid, status.st_mode & 0o7777) == (path, GROUP_ID, wanted)
    outsider = run(place, "--store", store, "list", user=NOBODY)
    assert outsider.code == 4
    assert "ask root" in outsider.error


@ROOT_ONLY
def test_what_a_user_may_not_read_is_named(place: Path) -> None:
    """A version would lack files without anybody knowing, or a commit fail without a word about which."""
    store, model = str(place / "own" / "store"), place / "model"
    (place / "own").mkdir()
    os.chown(place / "own", NOBODY, NOBODY)
    for name, mode in (("secret", 0o700), ("listed", 0o744), ("entered", 0o711)):
        (model / name).mkdir()
        (model / name / "f").write_bytes(b"x")
        (model / name).chmod(mode)
    (model / "key").write_bytes(b"x")
    (model / "key").chmod(0o600)
    assert run(place, "--store", store, "init", user=NOBODY).code == 0
    ended = run(place, "--store", store, "commit", str(model), user=NOBODY)
    assert ended.code == 2
    for name in ("secret", "listed", "entered", "key"):
        assert f"model/{name}" in ended.error
    assert "--skip-unreadable" in ended.error
    assert not list((Path(store) / "tmp").iterdir())
    ended = run(place, "--store", store, "commit", str(model), "--skip-unreadable", user=NOBODY)
    assert ended.code == 0, ended.error
    assert run(place, "--store", store, "ls", "model/v1", user=NOBODY).out.split()[-1] == "weights"
    ended = run(place, "--store", store, "commit", str(model / "secret"), user=NOBODY)
    assert ended.code == 4
    assert "can't read" in ended.error


def test_a_network_file_system_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines would quietly damage the index of a store on NFS."""
    store = made(place)
    info = place / "mountinfo"
    info.write_text(f"1 0 0:50 / {place} rw,relatime shared:1 - nfs4 server:/export rw\n")
    monkeypatch.setattr(mounts, "MOUNTINFO", str(info))
    for words in (["list"], ["commit", str(place / "model")], ["check"]):
        ended = run(place, "--store", store, *words)
        assert ended.code == 2
        assert "network file system (nfs4)" in ended.error
        assert "use a local folder" in ended.error
    new = place / "new"
    assert run(place, "--store", str(new), "init").code == 2
    assert not new.exists()


@pytest.mark.plain("encrypted stores have a format of their own")
@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("format = 1", "format = 3", 2, "upgrade artstore"),
        ("chunker = 1", "chunker = 2", 2, "upgrade artstore"),
        ("format = 1", "format = ", 6, "config.toml is damaged"),
        ("format = 1", "", 6, "config.toml is damaged"),
        ("level = 3", "level = 99", 6, "compression.level is 1 to 22"),
        ("level = 3", "level = 3\n[remotes.home]\nurl = 's3://b/p'", 0, ""),
    ],
)
def test_a_store_of_another_release(place: Path, old: str, new: str, code: int, message: str) -> None:
    """An old release would write into a store it doesn't understand."""
    store = made(place)
    config = Path(store) / "config.toml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    for words in (["list"], ["commit", str(place / "model")], ["cat", "model/v1:weights"], ["check", "--data"]):
        ended = run(place, "--store", store, *words)
        assert ended.code == code, ended.error
        assert message in ended.error
        assert "Traceback" not in ended.error
    config.write_text(text)
    assert run(place, "--store", store, "check", "--data").code == 0


@pytest.mark.parametrize("kind", ["missing", "empty", "file", "full", "below a file"])
def test_a_place_that_is_no_store(place: Path, kind: str) -> None:
    """A typo in `--store` would make a store there, or end in a traceback."""
    store = place / "x"
    if kind == "empty":
        store.mkdir()
    elif kind == "file":
        store.write_bytes(b"x")
    elif kind == "full":
        shutil.copytree(place / "model", store)
    elif kind == "below a file":
        store = place / "model" / "weights" / "store"
    before = sorted(place.rglob("*"))
    for words in (["list"], ["commit", str(place / "model")], ["status"], ["check"], ["gc"]):
        ended = run(place, "--store", str(store), *words)
        assert ended.code == 3
        assert f"there is no store at {store}; `artstore init {store}` creates one" in ended.error
    assert sorted({*place.rglob("*")} - {place / "out", place / "error"}) == before
    ended = run(place, "--store", str(store), "init")
    assert (ended.code == 0) == (kind in ("missing", "empty")), ended.error
    assert ended.code in (0, 3, 5)


def test_the_default_store_is_made_once_and_not_on_a_missing_disk(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the disk is mounted, a commit would go to a new store on the root disk."""
    ended = run(place, "list")
    assert (ended.code, (place / "default").exists()) == (3, False)
    assert run(place, "commit", str(place / "model")).code == 0
    assert "model/v1" in run(place, "list").out
    monkeypatch.setenv("ARTSTORE_HOME", str(place / "not mounted" / "store"))
    ended = run(place, "commit", str(place / "model"))
    assert ended.code == 3
    assert "is its disk mounted?" in ended.error
    assert not (place / "not mounted").exists()


def test_a_store_that_lost_its_config_is_made_a_store_again(place: Path) -> None:
    """One small file that was deleted would cost everything."""
    store = made(place)
    (Path(store) / "config.toml").unlink()
    assert run(place, "--store", store, "list").code == 3
    assert run(place, "--store", store, "init").code == 0
    assert run(place, "--store", store, "cat", "model/v1:weights").out == "weights"
    assert run(place, "--store", store, "check", "--data").code == 0


def test_a_store_within_the_folder_that_is_committed(place: Path) -> None:
    """Each version would hold the whole store with all earlier versions in it, and the disk be full in a week."""
    model = place / "model"
    store = model / "sub" / ".store"
    assert run(place, "--store", str(store), "init").code == 0
    for number in range(4):
        (model / "weights").write_bytes(random.Random(number).randbytes(100_000))
        ended = run(place, "--store", str(store), "commit", str(model))
        assert ended.code == 0, ended.error
        assert f"{store} is the store itself and was left out" in ended.error
    with opened(store) as inside:
        for version in inside.tags().values():
            assert inside.content(version).keys() == {b"weights"}
    assert sum(path.stat().st_size for path in (store / "packs").rglob("*.pack")) < 5 * 100_000
    assert "unchanged" in run(place, "--store", str(store), "commit", str(model)).out


@pytest.mark.parametrize("below", ["", "packs", "tmp"])
def test_the_store_itself_is_not_committed(place: Path, below: str) -> None:
    """A backup of the store within itself would be no backup, and never end growing."""
    store = made(place)
    (place / "link").symlink_to(store)
    for path in (Path(store) / below, place / "link" / below):
        ended = run(place, "--store", store, "commit", str(path), "--artifact", "s")
        assert ended.code == 2
        assert "the store itself" in ended.error
    other = str(place / "other")
    assert run(place, "--store", other, "init").code == 0
    ended = run(place, "--store", other, "commit", store)
    assert ended.code == 0, ended.error


def test_a_followed_link_to_the_store(place: Path) -> None:
    """The same, by a link that leads to the store."""
    store = made(place)
    (place / "model" / "link").symlink_to(store)
    ended = run(place, "--store", store, "commit", str(place / "model"), "--links", "follow", "--artifact", "m")
    assert "was left out" in ended.error
    with opened(Path(store)) as inside:
        assert inside.content(inside.tags()["m/v1"]) == {b"weights": b"weights"}

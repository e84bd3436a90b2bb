"""The mount on machines of other kinds: no FUSE, no root, a release that is replaced under it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artstore.testing.damage import flip

if TYPE_CHECKING:
    from tests.fuse.conftest import Mounted

NOBODY = 65534
PARTS = [
    *(
        "artstore",
        "artstore_fuse",
        "blake3",
        "click",
        "lmdb",
        "msgspec",
        "pathspec",
        "platformdirs",
        "rich",
        "zstandard",
    ),
    *("pygments", "markdown_it", "mdurl", "pyfuse3", "trio", "attr", "attrs", "sortedcontainers", "idna", "outcome"),
    "sniffio",
]


def commit(place: Mounted, tag: str, content: bytes = b"content") -> None:
    """A version of one file."""
    source = place.path.parent / "source"
    source.mkdir(exist_ok=True)
    (source / "file").write_bytes(content)
    place.run("commit", source, "--tag", tag)


# --- no FUSE


@pytest.mark.parametrize(
    ("hide", "told"),
    [
        ("mount -t tmpfs tmpfs /dev", "this machine has no /dev/fuse"),
        ("mount --bind /dev/null /dev/fuse", "/dev/fuse is not the device of FUSE"),
        ("mount --bind /dev/null $(command -v fusermount3)", "fusermount3"),
    ],
)
def test_without_fuse(unmounted: Mounted, hide: str, told: str) -> None:
    """In a container, or on a bare machine, the error says what to do; no folder is made for it."""
    if os.geteuid():
        pytest.skip("NOT TESTED: only root hides a device")
    script = f'{hide} && exec "$0" -P -m artstore mount "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, unmounted.path],
        env=unmounted.env,
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert told in done.stderr
    assert "--device /dev/fuse" in done.stderr or "apt install fuse3" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not unmounted.path.exists()


# --- no root


@pytest.fixture
def anybody(unmounted: Mounted) -> Iterator[list[str]]:
    """A command line in front of a shell script, to be run by a user who is nobody, on a device that all may open."""
    if os.geteuid():
        yield ["sh", "-c"]
        return
    if shutil.which("setpriv") is None:
        pytest.skip("NOT TESTED: there is no setpriv to become another user")
    home = Path(tempfile.mkdtemp(prefix="artstore-user-"))
    home.chmod(0o755)
    os.mknod(home / "fuse", stat.S_IFCHR | 0o666, os.makedev(10, 229))
    (home / "fuse").chmod(0o666)
    (home / "python").mkdir()
    os.mkdir(home / "home")
    os.chown(home / "home", NOBODY, NOBODY)
    become = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups"
    places = [sysconfig.get_paths()["purelib"], *(path for path in sys.path if path and os.path.isdir(path))]
    path = os.pathsep.join(dict.fromkeys(place for place in places if not place.startswith(sys.base_prefix)))
    script = f"""
set -eu
mount --bind {home}/fuse /dev/fuse
mount --bind {sys.base_prefix} {home}/python
export HOME={home}/home PYTHONPATH={path} LD_LIBRARY_PATH={home}/python/lib
export PYTHON={home}/python/bin/python{sys.version_info.major}.{sys.version_info.minor}
unset ARTSTORE_HOME XDG_DATA_HOME XDG_STATE_HOME
cd
exec {become} sh -euc 'artstore() {{ "$PYTHON" -P -m artstore "$@"; }}; '"$1"
"""
    able = 'exec 2>&1; "$PYTHON" -c "import pyfuse3, artstore_fuse, artstore" && exec 3<>/dev/fuse'
    command = ["unshare", "-m", "sh", "-c", script, "sh"]
    tried = subprocess.run([*command, able], env=unmounted.env, capture_output=True, text=True, check=False)
    try:
        if tried.returncode:
            pytest.skip(f"NOT TESTED: another user can't run this Python here: {tried.stdout.strip()[-200:]}")
        yield command
    finally:
        shutil.rmtree(home)


def test_a_user_without_root(unmounted: Mounted, anybody: list[str]) -> None:
    """No part of a mount's life needs root: mount, read, hang, force, mount again, unmount."""
    script = """
mkdir source; echo content >source/file
artstore commit source --tag m/v1 -q
artstore mount -q
cat artstore/versions/m/v1/file
artstore mount -q
grep -c " $HOME/artstore " /proc/self/mountinfo
artstore mounts | grep -c "$HOME/artstore .* alive "
artstore mount other --allow-other || echo "exit $?"
artstore mount /proc/self/none || echo "exit $?"
server=$(artstore mounts --json | sed "s/.*\\"pid\\":\\([0-9]*\\),\\"started\\":\\"[^}]*mount-.*/\\1/")
kill -STOP $server
artstore umount || echo "exit $?"
artstore umount --force
artstore mount -q
cd artstore/versions
artstore umount ~/artstore || echo "exit $?"
cd
artstore umount
ls artstore | wc -l
"""
    done = subprocess.run(
        [*anybody, script], env=unmounted.env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines.count("content") == 1
    assert lines[-1] == "0"
    assert [line for line in lines if line.startswith("exit")] == ["exit 4", "exit 3", "exit 8", "exit 8"]
    assert "user_allow_other" in done.stderr
    assert "doesn't answer" in done.stderr
    assert "(cwd)" in done.stderr


# --- an upgrade


def release(folder: Path) -> None:
    """All that a mount is made of, in a folder of its own."""
    folder.mkdir()
    for name in PARTS:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        source = Path(spec.origin)
        if spec.submodule_search_locations is None:
            shutil.copy(source, folder)
        else:
            ignored = shutil.ignore_patterns("__pycache__", "tests", "*.c")
            shutil.copytree(source.parent, folder / name, ignore=ignored)
    for loose in Path(sysconfig.get_paths()["purelib"]).glob("_cffi_backend*"):
        shutil.copy(loose, folder)


def test_an_upgrade_under_a_mount(unmounted: Mounted, tmp_path: Path) -> None:
    """pip replaces files while programs read: the mount goes on, comes back after a crash, and says that it is old."""
    commit(unmounted, "m/v1", os.urandom(3 << 20))
    commit(unmounted, "m/v2", os.urandom(3 << 20))
    folder = tmp_path / "release"
    release(folder)
    env = {**unmounted.env, "PYTHONPATH": str(folder)}
    # -S: without what is installed beside it, or a module that is missing would be found there.
    command = [sys.executable, "-S", "-P", "-m", "artstore"]
    done = subprocess.run([*command, "mount", unmounted.path], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert unmounted.status()["upgrade"] is False
    version = folder / "artstore" / "_version.py"
    version.write_text('VERSION = "99.0.0"\n')
    status = unmounted.status()
    assert (status["upgrade"], status["installed"]) == (True, "99.0.0")
    before = status["pid"]
    shutil.rmtree(folder)
    look_at_everything(unmounted)
    os.kill(before, signal.SIGKILL)
    assert unmounted.within(2, lambda: unmounted.lines and unmounted.record["server"] != before), unmounted.log()
    look_at_everything(unmounted)
    commit(unmounted, "m/v3", os.urandom(3 << 20))
    newest = max(
        unmounted.store.glob("packs/*/*.pack"),
        key=lambda pack: (pack.stat().st_size > 3 << 20, pack.stat().st_mtime_ns),
    )
    flip(newest, 1 << 20)
    damaged = unmounted.path / "versions" / "m" / "v3" / "file"
    assert unmounted.within(1, damaged.exists)
    with pytest.raises(OSError, match="Input/output"):
        damaged.read_bytes()
    log = Path(unmounted.record["log"])
    unmounted.umount()
    told = log.read_text()
    assert "ModuleNotFoundError" not in told
    assert "ImportError" not in told
    assert "broken: m/v3" in told


def look_at_everything(place: Mounted) -> None:
    """Requests of each kind, those that fail among them."""
    folder = place.path / "versions" / "m"
    assert sorted(os.listdir(folder)) == ["v1", "v2"]
    for name in ("v1", "v2"):
        assert len((folder / name / "file").read_bytes()) == 3 << 20
        assert os.getxattr(folder / name, "user.artstore.version")
    os.statvfs(folder)
    assert not (folder / "none").exists()
    assert not (place.path / "ids" / "0123456789").exists()
    os.readlink(place.path / "aliases" / "m" / "latest")
    assert place.status()["requests"]["read"]["count"]
    assert (place.path / ".artstore" / "metrics").read_text()
    with pytest.raises(OSError, match="Read-only"):
        (folder / "v1" / "file").write_text("")

"""docs/semantics.md on a real mount: each test does what the point that it quotes promises."""

from __future__ import annotations

import ast
import contextlib
import errno
import fcntl
import mmap
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artstore.testing.damage import flip

if TYPE_CHECKING:
    from tests.fuse.conftest import Mounted

ROOT = Path(__file__).resolve().parent.parent.parent
SECOND_S = 1.0
LONG_NAME = b"n" * 255
ODD_NAME = b"caf\xe9 \xff"
BIG = os.urandom(3 << 20)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with all that a folder may hold."""
    folder = tmp_path / "source"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "model.bin").write_bytes(BIG)
    (folder / "config.json").write_text('{"layers": 2}\n')
    (folder / "run.sh").write_text("#!/bin/sh\necho it runs\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to("weights/model.bin")
    for name in (LONG_NAME, ODD_NAME):
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(name)
    return folder


@pytest.fixture
def version(mounted: Mounted, source: Path) -> Path:
    """The folder as `m/v1` in the mount."""
    mounted.run("commit", source, "--tag", "m/v1")
    return appears(mounted.path / "versions" / "m" / "v1")


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true in time; a loaded machine gets three times as long."""
    end = time.monotonic() + 3 * seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def appears(path: Path) -> Path:
    """A path of the mount, as soon as it is there."""
    assert within(SECOND_S, path.exists), path
    return path


def leads_to(link: Path, target: Path) -> Callable[[], bool]:
    """The condition that a link leads to a folder of the mount."""
    return lambda: link.is_symlink() and link.resolve() == target


@contextlib.contextmanager
def refused(*numbers: int) -> Generator[None]:
    """What is done within fails with one of these errnos."""
    with pytest.raises(OSError) as caught:  # noqa: PT011  # which one is asserted below, by its number
        yield
    assert caught.value.errno in numbers, caught.value


def points() -> list[str]:
    """The points of the document, each on one line."""
    text = (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")
    found = re.findall(r"^- (.+(?:\n  .+)*)", text, re.MULTILINE)
    return [" ".join(point.split()) for point in found]


def test_points_are_quoted() -> None:
    """A promise that no test keeps is a hope; a test of what the document doesn't say guards nothing a reader knows."""
    functions = [node for node in ast.parse(Path(__file__).read_text()).body if isinstance(node, ast.FunctionDef)]
    tests = [node for node in functions if node.name.startswith("test_") and node.name != "test_points_are_quoted"]
    quotes = [" ".join((ast.get_docstring(node) or "").split()) for node in tests]
    unknown = [quote for quote in quotes if not any(quote.rstrip(".") in point for point in points())]
    assert not unknown, unknown
    untested = [point for point in points() if not any(quote.rstrip(".") in point for quote in quotes)]
    assert not untested, untested


# --- layout


def test_nested_artifacts(mounted: Mounted, source: Path) -> None:
    """the tag `vision/resnet50/v3` is `versions/vision/resnet50/v3`."""
    mounted.run("commit", source, "--tag", "vision/resnet50/v3")
    found = appears(mounted.path / "versions" / "vision" / "resnet50" / "v3")
    assert os.listdir(mounted.path / "versions" / "vision") == ["resnet50"]
    assert (found / "config.json").read_text() == '{"layers": 2}\n'


def test_alias_is_a_relative_link(mounted: Mounted, version: Path, source: Path) -> None:
    """An alias is a relative symbolic link, so it holds wherever the mount is seen, as in a container."""
    mounted.run("alias", "set", "m/production", "v1")
    link = mounted.path / "aliases" / "m" / "production"
    assert within(SECOND_S, leads_to(link, version))
    assert os.readlink(link) == "../../versions/m/v1"
    (source / "config.json").write_text("{}")
    mounted.run("commit", source, "--tag", "m/v2")
    mounted.run("alias", "set", "m/production", "v2")
    assert within(SECOND_S, lambda: os.readlink(link) == "../../versions/m/v2")
    assert (link / "config.json").read_text() == "{}"


def test_latest(mounted: Mounted, version: Path, source: Path) -> None:
    """`aliases/<artifact>/latest` leads to the artifact's newest tag."""
    link = mounted.path / "aliases" / "m" / "latest"
    assert within(SECOND_S, leads_to(link, version))
    mounted.run("commit", source, "--tag", "m/v2", "-m", "again")
    assert within(SECOND_S, leads_to(link, mounted.path / "versions" / "m" / "v2"))


def test_ids(mounted: Mounted, version: Path) -> None:
    """A version is found below `ids/` by its id, or by the first eight digits or more."""
    id = os.getxattr(version, "user.artstore.version").decode()
    for digits in (64, 20, 8):
        assert (mounted.path / "ids" / id[:digits] / "config.json").read_text() == '{"layers": 2}\n'
    assert id in os.listdir(mounted.path / "ids")
    for name in (id[:7], "0" * 64, "zz" * 8):
        with refused(errno.ENOENT):
            os.stat(mounted.path / "ids" / name)


def test_inode_numbers(mounted: Mounted, version: Path) -> None:
    """A file of one content has one inode number below one path, as long as the mount lives."""
    path = version / "weights" / "model.bin"
    before = path.stat().st_ino
    listed = {entry.name: entry.inode() for entry in os.scandir(version / "weights")}
    Path("/proc/sys/vm/drop_caches").write_text("2") if os.geteuid() == 0 else None
    assert path.stat().st_ino == before == listed["model.bin"]
    assert (version / "config.json").stat().st_ino != before


# --- names that move


def test_a_new_tag_appears(mounted: Mounted, source: Path) -> None:
    """A new tag is there within a second, without a new mount, even where somebody looked for it in vain
    just before.
    """
    path = mounted.path / "versions" / "late" / "v1"
    assert not path.exists()
    mounted.run("commit", source, "--tag", "late/v1")
    assert within(SECOND_S, path.exists)
    assert "late" in os.listdir(mounted.path / "versions")


def test_a_moved_alias(mounted: Mounted, version: Path, source: Path) -> None:
    """An alias that was moved leads to the new version within a second."""
    mounted.run("alias", "set", "m/production", "v1")
    path = mounted.path / "aliases" / "m" / "production" / "config.json"
    assert within(SECOND_S, lambda: path.exists() and path.read_text() == '{"layers": 2}\n')
    (source / "config.json").write_text('{"layers": 3}\n')
    mounted.run("commit", source, "--tag", "m/v2")
    mounted.run("alias", "set", "m/production", "v2")
    assert within(SECOND_S, lambda: path.read_text() == '{"layers": 3}\n')


def test_an_open_file_stays_what_it_was(mounted: Mounted, version: Path, source: Path) -> None:
    """its reader gets the old version to the end, whatever the alias does meanwhile."""
    mounted.run("alias", "set", "m/production", "v1")
    path = mounted.path / "aliases" / "m" / "production" / "weights" / "model.bin"
    assert within(SECOND_S, path.exists)
    with path.open("rb", buffering=0) as file:
        begun = file.read(4096)
        (source / "weights" / "model.bin").write_bytes(b"new" * 100_000)
        mounted.run("commit", source, "--tag", "m/v2")
        mounted.run("alias", "set", "m/production", "v2")
        assert within(SECOND_S, lambda: path.stat().st_size == 300_000)
        assert begun + file.readall() == BIG


def test_following_once(mounted: Mounted, version: Path, source: Path) -> None:
    """Who needs several files of one version follows the alias once (`realpath`, `cd -P`, `artstore path`)"""
    mounted.run("alias", "set", "m/production", "v1")
    link = mounted.path / "aliases" / "m" / "production"
    assert within(SECOND_S, leads_to(link, version))
    followed = link.resolve()
    (source / "config.json").write_text("{}")
    mounted.run("commit", source, "--tag", "m/v2")
    mounted.run("alias", "set", "m/production", "v2")
    assert within(SECOND_S, lambda: (link / "config.json").read_text() == "{}")
    assert (followed / "config.json").read_text() == '{"layers": 2}\n'


# --- reading


def test_short_reads(version: Path) -> None:
    """`read`, `pread` and `readv` give all that was asked for; fewer bytes mean the end of the file"""
    with (version / "weights" / "model.bin").open("rb", buffering=0) as file:
        for offset, size in ((0, 1), (65_535, 2), (4097, 1 << 20), (len(BIG) - 10, 100), (len(BIG), 1), (1 << 40, 1)):
            assert os.pread(file.fileno(), size, offset) == BIG[offset : offset + size]
        parts = [bytearray(100_000), bytearray(200_000)]
        assert os.readv(file.fileno(), parts) == 300_000
        assert b"".join(parts) == BIG[:300_000]
    assert (version / "empty").read_bytes() == b""


def test_many_readers(mounted: Mounted, version: Path) -> None:
    """Any number of processes and threads read at once, also through one descriptor"""
    with (version / "weights" / "model.bin").open("rb", buffering=0) as file, ThreadPoolExecutor(8) as threads:

        def read(offset: int) -> bool:
            return os.pread(file.fileno(), 50_000, offset) == BIG[offset : offset + 50_000]

        assert all(threads.map(read, [(number * 7919) % len(BIG) for number in range(400)]))


def test_mappings(version: Path) -> None:
    """`mmap` works for reading, `MAP_PRIVATE` and `MAP_SHARED`; a private mapping may be written to"""
    path = version / "weights" / "model.bin"
    with path.open("rb") as file:
        with mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as shared:
            assert bytes(shared) == BIG
        with mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as private:
            private[:4] = b"mine"
            assert private[4:] == BIG[4:]
    assert path.read_bytes() == BIG


def test_seeking(version: Path) -> None:
    """`lseek` works as on a disk; to `SEEK_DATA` and `SEEK_HOLE` a file is all data."""
    with (version / "weights" / "model.bin").open("rb", buffering=0) as file:
        number = file.fileno()
        assert os.lseek(number, -5, os.SEEK_END) == len(BIG) - 5
        assert file.read() == BIG[-5:]
        assert os.lseek(number, 100, os.SEEK_DATA) == 100
        assert os.lseek(number, 100, os.SEEK_HOLE) == len(BIG)


def test_second_pass(mounted: Mounted, version: Path) -> None:
    """a second pass sends no read to the mount."""
    path = version / "weights" / "model.bin"

    def reads() -> int:
        text = (mounted.path / ".artstore" / "metrics").read_text()
        found = re.search(r'request_bytes_total\{kind="read"\} (\d+)', text)
        return int(found[1]) if found else 0

    assert path.read_bytes() == BIG
    assert reads() >= len(BIG)
    before = reads()
    assert path.read_bytes() == BIG
    # Looking at the metrics is itself a read, of some kilobytes.
    assert reads() - before < 100_000


def test_running(version: Path) -> None:
    """A program can be run, and a Python package imported, straight from a version."""
    done = subprocess.run([version / "run.sh"], capture_output=True, text=True, check=True)
    assert done.stdout == "it runs\n"


def test_locks(version: Path) -> None:
    """Locks (`flock`, `fcntl`) hold between the programs of this machine"""
    path = version / "config.json"
    attempt = f"import fcntl\nwith open({str(path)!r}) as f: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with path.open("rb") as file:
        fcntl.lockf(file, fcntl.LOCK_SH)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert subprocess.run([sys.executable, "-c", attempt], capture_output=True, check=False).returncode == 1
    subprocess.run([sys.executable, "-c", attempt], check=True)


# --- looking


def test_stat(mounted: Mounted, version: Path) -> None:
    """the size is that of the committed file; its times are the time of the version; the owner is who mounted"""
    found = (version / "weights" / "model.bin").stat()
    assert found.st_size == len(BIG)
    assert found.st_mtime_ns == version.stat().st_mtime_ns == found.st_ctime_ns == found.st_atime_ns
    assert abs(found.st_mtime - time.time()) < 600
    assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())


def test_permissions(version: Path) -> None:
    """Permissions are `r--r--r--` for files, `r-xr-xr-x` for executable files and folders"""
    modes = {name: stat.filemode((version / name).stat().st_mode) for name in ("config.json", "run.sh", "weights")}
    assert modes == {"config.json": "-r--r--r--", "run.sh": "-r-xr-xr-x", "weights": "dr-xr-xr-x"}


def test_listing(version: Path, source: Path) -> None:
    """`readdir` lists what was committed, in one order each time; a name of 255 bytes, or one that isn't
    UTF-8, is as it was.
    """
    listed = os.listdir(os.fsencode(version))
    assert sorted(listed) == sorted(os.listdir(os.fsencode(source)))
    assert os.listdir(os.fsencode(version)) == listed
    for name in (LONG_NAME, ODD_NAME):
        with open(os.path.join(os.fsencode(version), name), "rb") as file:
            assert file.read() == name


def test_readlink(mounted: Mounted, source: Path) -> None:
    """`readlink` gives the target as it was committed, also one that leads out of the version or nowhere."""
    (source / "nowhere").symlink_to("not/there")
    mounted.run("commit", source, "--tag", "links/v1")
    version = appears(mounted.path / "versions" / "links" / "v1")
    assert os.readlink(version / "link") == "weights/model.bin"
    assert os.readlink(version / "nowhere") == "not/there"
    assert (version / "link").read_bytes() == BIG


def test_xattrs(version: Path) -> None:
    """`getxattr`: `user.artstore.version` is the version's id"""
    path = version / "weights" / "model.bin"
    assert re.fullmatch(rb"[0-9a-f]{64}", os.getxattr(path, "user.artstore.version"))
    assert os.getxattr(path, "user.artstore.version") == os.getxattr(version, "user.artstore.version")
    assert re.fullmatch(rb"[0-9a-f]{64}", os.getxattr(path, "user.artstore.id"))
    assert os.getxattr(path, "user.artstore.id") != os.getxattr(version / "config.json", "user.artstore.id")
    assert int(os.getxattr(path, "user.artstore.bytes_stored")) >= len(BIG)
    assert set(os.listxattr(path)) == {f"user.artstore.{name}" for name in ("id", "version", "bytes_stored")}
    with refused(errno.ENODATA):
        os.getxattr(path, "user.other")
    with refused(errno.EOPNOTSUPP):
        os.getxattr(path, "system.posix_acl_access")


def test_statfs(version: Path) -> None:
    """`statfs`: the file system is read-only, nothing is free, names have up to 255 bytes."""
    found = os.statvfs(version)
    assert found.f_flag & os.ST_RDONLY
    assert (found.f_bavail, found.f_namemax) == (0, 255)


def test_access(version: Path) -> None:
    """`access` for writing is refused with EROFS."""
    path = version / "config.json"
    assert os.access(path, os.R_OK)
    assert not os.access(path, os.W_OK)
    done = subprocess.run(["test", "-w", path], check=False)
    assert done.returncode == 1


def test_absent(version: Path) -> None:
    """What isn't there is ENOENT, and a file used as a folder is ENOTDIR."""
    with refused(errno.ENOENT):
        os.stat(version / "absent")
    with refused(errno.ENOTDIR):
        os.stat(version / "config.json" / "x")
    with refused(errno.ENOTDIR):
        os.listdir(version / "config.json")


# --- writing

WRITES: dict[str, Callable[[Path], object]] = {
    "open": lambda folder: os.open(folder / "config.json", os.O_RDWR),
    "append": lambda folder: os.open(folder / "config.json", os.O_WRONLY | os.O_APPEND),
    "creat": lambda folder: os.open(folder / "new", os.O_WRONLY | os.O_CREAT),
    "mkdir": lambda folder: os.mkdir(folder / "new"),
    "mknod": lambda folder: os.mkfifo(folder / "new"),
    "symlink": lambda folder: os.symlink("x", folder / "new"),
    "link": lambda folder: os.link(folder / "config.json", folder / "new"),
    "rename": lambda folder: os.rename(folder / "config.json", folder / "new"),
    "unlink": lambda folder: os.unlink(folder / "config.json"),
    "rmdir": lambda folder: os.rmdir(folder / "weights"),
    "truncate": lambda folder: os.truncate(folder / "config.json", 0),
    "chmod": lambda folder: os.chmod(folder / "config.json", 0o777),
    "chown": lambda folder: os.chown(folder / "config.json", 0, 0),
    "utimensat": lambda folder: os.utime(folder / "config.json"),
    "setxattr": lambda folder: os.setxattr(folder / "config.json", "user.x", b"1"),
    "removexattr": lambda folder: os.removexattr(folder / "config.json", "user.artstore.id"),
}


def test_writes(mounted: Mounted, version: Path) -> None:
    """Opening for writing, and `creat`, `mkdir`, `mknod`, `symlink`, `link`, `rename`, `unlink`, `rmdir`, `truncate`,
    `chmod`, `chown`, `utimensat`, `setxattr` and `removexattr` are refused with EROFS.
    """
    for folder in (version, version / "weights"):
        for name, write in WRITES.items():
            if folder == version or name in {"creat", "mkdir", "mknod", "symlink"}:
                with refused(errno.EROFS):
                    write(folder)
                    pytest.fail(f"{name} was not refused")
    for folder in (mounted.path, mounted.path / "versions", mounted.path / "aliases" / "m"):
        with refused(errno.EROFS):
            os.mkdir(folder / "new")


def test_shared_mapping_for_writing(version: Path) -> None:
    """A shared mapping for writing is refused with EACCES"""
    with (version / "config.json").open("rb") as file, refused(errno.EACCES):
        mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


# --- when something goes wrong


def test_damaged_folder(mounted: Mounted, source: Path) -> None:
    """A folder whose own pages are damaged lists with EIO, each time: it is never shown with some of its files only."""
    (source / "many").mkdir()
    for number in range(5000):
        (source / "many" / f"{number:08}").touch()
    before = {*mounted.store.rglob("*.pack")}
    mounted.run("commit", source, "--tag", "m/v1")
    folder = appears(mounted.path / "versions" / "m" / "v1") / "many"
    pack = min({*mounted.store.rglob("*.pack")} - before, key=lambda path: path.stat().st_size)  # without BIG
    flip(pack, pack.stat().st_size // 2)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for place in (folder, folder, opened, opened):
            with refused(errno.EIO):
                os.listdir(place)
    finally:
        os.close(opened)
    assert "broken: m/v1:many" in mounted.log()
    assert sorted(os.listdir(folder.parent / "weights")) == ["model.bin"]


def test_damage(mounted: Mounted, version: Path) -> None:
    """Content that doesn't match its id is EIO, in the chunk where it is damaged and nowhere else"""
    needle = BIG[2_000_000:2_000_032]
    (pack, place) = next(
        (path, at) for path in mounted.store.rglob("*.pack") if (at := path.read_bytes().find(needle)) >= 0
    )
    flip(pack, place)
    with (version / "weights" / "model.bin").open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        with refused(errno.EIO):
            os.pread(file.fileno(), 4096, 2_000_000)
        assert os.pread(file.fileno(), 4096, 0) == BIG[:4096]
        assert os.pread(file.fileno(), 4096, 2_990_000) == BIG[2_990_000:2_994_096]
    told = (mounted.path / ".artstore" / "status").read_text()
    assert "weights/model.bin" in told.split('"broken"')[1]
    flip(pack, place)


def test_collected(mounted: Mounted, version: Path) -> None:
    """A version whose last name was removed and that was collected is gone below `versions/`"""
    path = version / "weights" / "model.bin"
    folder = os.open(version, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with path.open("rb", buffering=0) as file:
            assert file.read(4096) == BIG[:4096]
            mounted.run("rm", "m/v1", "--yes")
            mounted.run("gc", "--yes", "--now")
            assert within(SECOND_S, lambda: not version.exists())
            assert os.pread(file.fileno(), 4096, 0) == BIG[:4096]
        with refused(errno.ESTALE, errno.ENOENT):
            os.open("config.json", os.O_RDONLY, dir_fd=folder)
    finally:
        os.close(folder)


def test_killed(mounted: Mounted, version: Path) -> None:
    """A mount that was killed leaves ENOTCONN behind; the next `artstore mount` at the same place clears it away."""
    told = mounted.status()
    with (version / "config.json").open("rb", buffering=0) as file:
        for process in supervisor_and_server(int(told["pid"])):
            os.kill(process, signal.SIGKILL)
        with refused(errno.ENOTCONN, errno.ECONNABORTED):
            os.pread(file.fileno(), 1, 0)
        mounted.mount()
    assert (version / "config.json").read_text() == '{"layers": 2}\n'
    assert len(mounted.lines) == 1


def supervisor_and_server(server: int) -> tuple[int, int]:
    """The two processes of a mount, the one that would start the other again first."""
    parent = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
    return parent, server

"""Durable files, what the system's errors mean, and which file systems are refused."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from artstore.adapters.disk import errnos, faultpoints, files, mounts
from artstore.errors import ArtstoreError, Busy, Corrupt, NoSpace, NotFound, NotPermitted, UsageError

MOUNTS = """\
20 1 253:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
21 20 0:5 / /proc rw - proc proc rw
30 20 0:44 / /data rw,relatime shared:9 master:1 - nfs4 server:/data rw,vers=4.2
31 30 253:2 / /data/local\\040disk rw - xfs /dev/vdb rw
32 20 0:45 / /cover rw - ext4 /dev/vdc rw
33 20 0:46 / /cover rw - fuse.sshfs host: rw
34 20 0:47 / /dat rw - cifs //host/dat rw
nonsense
""".splitlines()


def test_a_durable_file_is_whole(tmp_path: Path) -> None:
    """A config or a log could be half old and half new."""
    path = tmp_path / "file"
    assert files.durable_write(str(path), b"one" * 100_000)
    assert files.durable_write(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["file"]


def test_the_first_of_two_files_stays(tmp_path: Path) -> None:
    """Of two processes that make one store each would believe in its own store id."""
    path = tmp_path / "file"
    assert files.durable_write(str(path), b"one", exclusive=True)
    assert not files.durable_write(str(path), b"two", exclusive=True)
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


def test_shared_files_are_the_group_s(tmp_path: Path) -> None:
    """The second user of a shared store could not write."""
    umask = os.umask(0o077)
    try:
        files.durable_write(str(tmp_path / "file"), b"", shared=True)
        assert files.make_folder(str(tmp_path / "folder"), shared=True)
        assert not files.make_folder(str(tmp_path / "folder"), shared=True)
    finally:
        os.umask(umask)
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o660
    assert (tmp_path / "folder").stat().st_mode & 0o7777 == 0o2770


def test_what_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    """A failed write would leave temporary files behind, or end in a traceback."""
    (tmp_path / "file").mkdir()
    with pytest.raises(UsageError, match="file"):
        files.durable_write(str(tmp_path / "file"), b"x")
    with pytest.raises(NotFound):
        files.durable_write(str(tmp_path / "none" / "file"), b"x")
    with pytest.raises(ArtstoreError):
        files.make_folder(str(tmp_path / "file" / "a" / "b"), shared=False)
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_in_a_folder_s_place(tmp_path: Path) -> None:
    """A store would be made around a file, and fail later with a riddle."""
    (tmp_path / "packs").write_bytes(b"")
    with pytest.raises(ArtstoreError, match="packs"):
        files.make_folder(str(tmp_path / "packs"), shared=False)


def test_free_space(tmp_path: Path) -> None:
    """`status` would show nonsense."""
    space = files.space(str(tmp_path))
    assert 0 <= space.free <= space.total
    with pytest.raises(NotFound):
        files.space(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EACCES, NotPermitted),
        (errno.EROFS, NotPermitted),
        (errno.EIO, Corrupt),
        (errno.EMFILE, Busy),
        (errno.ENOENT, NotFound),
    ],
)
def test_what_an_errno_means(code: int, expected: type[ArtstoreError]) -> None:
    """A full disk would not exit with 9, or a failing one pass for a missing file."""
    with pytest.raises(expected, match="can't read /some/file") as caught, errnos.translating("read", "/some/file"):
        raise OSError(code, os.strerror(code))
    assert type(caught.value) is expected
    assert isinstance(caught.value.__cause__, OSError)


def test_every_errno_has_a_meaning() -> None:
    """A rare error of the system would show as a traceback."""
    for code in errno.errorcode:
        error = errnos.translate(code, doing="read", path=b"/x")
        assert isinstance(error, ArtstoreError)
        assert error.hint
    assert "said so" in str(errnos.translated(OSError("said so"), doing="read", path="/x"))


@pytest.mark.parametrize(
    ("folder", "device", "expected"),
    [
        ("/home/me", "253:1", "ext4"),
        ("/data/set", "0:44", "nfs4"),
        ("/data", "0:44", "nfs4"),
        ("/data/local disk/set", "253:2", "xfs"),
        ("/datashare", "253:1", "ext4"),
        ("/cover/x", "0:46", "fuse.sshfs"),
        ("/cover/x", "9:9", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_folder(folder: str, device: str, expected: str) -> None:
    """A store on NFS would be taken for a local one, or a local one be refused."""
    assert mounts.innermost(folder, device, MOUNTS) == expected


def test_a_local_folder_is_allowed(tmp_path: Path) -> None:
    """Nobody could make a store."""
    mounts.refuse_network(str(tmp_path / "not" / "there" / "yet"))
    kind = mounts.file_system_of(str(tmp_path))
    assert kind
    assert kind not in mounts.NETWORK
    with pytest.raises(UsageError, match="cifs"):
        mounts.refuse_network(str(tmp_path), [f"1 0 0:1 / {tmp_path.resolve()} rw - cifs //host/share rw"])


def test_a_fault_point_kills_when_it_is_told_to() -> None:
    """The sweep over crashes would run through, and prove nothing."""
    script = (
        "from artstore.adapters.disk.faultpoints import reach\n"
        "for _ in range(3): reach('other'); reach('here'); print('alive', flush=True)"
    )

    def run(crash_at: str) -> tuple[int, int]:
        environment = {**os.environ, faultpoints.VARIABLE: crash_at}
        ended = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        return ended.returncode, ended.stdout.count("alive")

    assert run("here:2") == (-signal.SIGKILL, 1)
    assert run("here") == (-signal.SIGKILL, 0)
    assert run("nowhere") == (0, 3)


def test_every_fault_point_is_named() -> None:
    """A sweep over the named points would leave one out, or try one that doesn't exist."""
    import re

    adapters = Path(faultpoints.__file__).parent.parent
    reached = {
        name
        for path in adapters.rglob("*.py")
        for name in re.findall(r'faultpoints\.reach\("([a-z._]+)"\)', path.read_text(encoding="utf-8"))
    }
    assert reached == set(faultpoints.POINTS)

"""What the kernel lists as mounted is read as it is meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artstore_fuse import mountinfo
from artstore_fuse.mountinfo import Health, Mount

LINES = rb"""22 28 0:21 / /sys rw,nosuid - sysfs sysfs rw
98 28 0:57 / /mnt/my\040models ro,nosuid,nodev shared:7 master:1 - fuse.artstore artstore:6f2c ro,user_id=0
99 28 0:58 /versions /mnt/caf\303\251 ro - fuse.artstore artstore:6f2c ro
100 28 0:59 / /mnt/a\134b\011c ro - fuse.sshfs host:/x\012 rw
nonsense
"""


def test_lines_are_parsed_with_their_escapes_and_optional_fields() -> None:
    """A mount in `my models` must be found, and one behind optional fields be told by its type."""
    _, models, cafe, odd = mountinfo.parse(LINES.splitlines())
    assert models == Mount("/mnt/my models", "fuse.artstore", "artstore:6f2c", "0:57")
    assert (models.store_id, models.connection, models.is_ours) == ("6f2c", "57", True)
    assert (cafe.point, cafe.root) == ("/mnt/café", "/versions")
    assert (odd.point, odd.source, odd.store_id) == ("/mnt/a\\b\tc", "host:/x\n", None)


def test_a_name_that_is_not_utf8_is_still_a_path() -> None:
    """Bytes of a path come back as they were."""
    (mount,) = mountinfo.parse([b"1 2 0:5 / /mnt/\\377 ro - fuse.artstore artstore:1 ro"])
    assert os.fsencode(mount.point) == b"/mnt/\xff"


def test_the_mounts_of_this_machine_are_read() -> None:
    """The root of every system is a mount."""
    root = mountinfo.at("/")
    assert root is not None
    assert not root.is_ours
    assert mountinfo.at("/proc") is not None


def test_a_folder_that_is_there_answers() -> None:
    """A look at a healthy place must not call it dead."""
    assert mountinfo.look("/", 10) is Health.ALIVE


def test_no_answer_in_time_is_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that asks a mount which hangs comes back, and says so."""
    waiting, _ = os.pipe()

    def hang(path: str) -> bytes:
        return os.read(waiting, 1)

    monkeypatch.setattr(os, "statvfs", hang)
    assert mountinfo.look(str(tmp_path), 0.05) is Health.HUNG


def test_a_symbolic_link_leads_to_the_mount_point(tmp_path: Path) -> None:
    """The kernel lists real paths only."""
    (tmp_path / "real" / "mnt").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "short").symlink_to("real/mnt")
    assert mountinfo.resolve(str(tmp_path / "link" / "mnt")) == str(tmp_path / "real" / "mnt")
    assert mountinfo.resolve(str(tmp_path / "short")) == str(tmp_path / "real" / "mnt")
    assert mountinfo.resolve("/") == "/"


def test_links_are_followed_without_a_look_into_a_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a mount that hangs by another name must not hang with it."""
    root = tmp_path.resolve()
    (root / "mnt").mkdir()
    (root / "a").symlink_to("b/../c")
    (root / "b").mkdir()
    (root / "c").symlink_to(f"{root}/mnt")
    (root / "round").symlink_to("round")
    mount = mountinfo.Mount(f"{root}/mnt", mountinfo.TYPE, "artstore:x", "0:99")
    monkeypatch.setattr(mountinfo, "read", lambda: [mount])
    followed: list[str] = []
    readlink = os.readlink

    def follow(path: str) -> str:
        followed.append(path)
        return readlink(path)

    monkeypatch.setattr(os, "readlink", follow)
    monkeypatch.chdir(root)
    for path in ("a", "./mnt/", "b/../a/.", f"{root}/c", str(root / "mnt")):
        assert mountinfo.resolve(path) == f"{root}/mnt"
    assert mountinfo.resolve("a/versions/../x") == f"{root}/mnt/x"
    assert mountinfo.resolve("none/yet") == f"{root}/none/yet"
    assert mountinfo.resolve("/") == "/"
    assert not [path for path in followed if path.startswith(f"{root}/mnt")]
    with pytest.raises(OSError, match="symbolic links"):
        mountinfo.resolve("round")

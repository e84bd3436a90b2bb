"""How a mount goes: gently, with who keeps it named; lazily; by force; and what a killed one leaves is cleared."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artstore.errors import Conflict
from artstore_fuse import mountinfo, unmounting

if TYPE_CHECKING:
    from tests.fuse.conftest import Mounted

SIZE = 8 << 20
HOLDERS = {
    "cwd": "import os, sys; os.chdir(sys.argv[1])",
    "open file": "import sys; f = open(sys.argv[1] + '/file', 'rb')",
    "mapped file": """
import ctypes, os, sys
descriptor = os.open(sys.argv[1] + "/file", os.O_RDONLY)
ctypes.CDLL(None).mmap(None, ctypes.c_size_t(4096), 1, 1, descriptor, ctypes.c_long(0))
os.close(descriptor)""",
}


@pytest.fixture
def version(mounted: Mounted) -> Path:
    """A mounted version with a file of some size."""
    source = mounted.path.parent / "source"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(SIZE))
    mounted.run("commit", source, "--tag", "m/v1")
    folder = mounted.path / "versions" / "m" / "v1"
    assert mounted.within(1, folder.exists)
    return folder


@contextlib.contextmanager
def stopped(process: int) -> Generator[None]:
    """A server that answers nothing, as one that hangs; it goes on afterwards, if it is still there."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


class Reader:
    """A thread that reads a file, which may hang."""

    def __init__(self, read: Callable[[], object]) -> None:
        self.error: OSError | None = None
        self._read = read
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._read()
        except OSError as error:
            self.error = error


def state_of(place: Mounted) -> list[str]:
    """What `artstore mounts` says of the place."""
    listed = place.run("mounts", "--json").document["mounts"]
    return [entry["state"] for entry in listed if entry["path"] == str(place.path)]


def kill_all(place: Mounted) -> None:
    """What a crash of the machine's memory killer leaves: a mount without any of its processes."""
    record = place.record
    children = Path(f"/proc/{record['server']}/task/{record['server']}/children").read_text().split()
    os.kill(record["supervisor"], signal.SIGKILL)
    for process in (*map(int, children), record["server"]):  # the helper first: it would unmount
        os.kill(process, signal.SIGKILL)
    for process in (*map(int, children), record["server"], record["supervisor"]):
        assert place.within(5, partial(has_ended, place, process))


def has_ended(place: Mounted, process: int) -> bool:
    """Is there no such process any more?"""
    return not place.lives(process)


def test_nothing_is_left(mounted: Mounted, version: Path) -> None:
    """After umount the disk of the store can be unmounted, too: no process of the mount is left."""
    record = mounted.record
    mounted.umount()
    assert not mounted.lines
    assert not mounted.lives(record["server"])
    assert not mounted.lives(record["supervisor"])
    assert os.listdir(mounted.path) == []
    assert [path.suffix for path in sorted(mounted.state.rglob("mount-*"))] == [".lock", ".log"]


def test_umount_and_mount_again(mounted: Mounted, version: Path) -> None:
    """A script that mounts anew must not lose the new mount to the helper of the old one."""
    for _ in range(4):
        mounted.umount()
        mounted.mount()
    assert mounted.within(1, lambda: (version / "file").stat().st_size == SIZE)
    time.sleep(0.1)
    assert len(mounted.lines) == 1


@pytest.mark.parametrize("how", HOLDERS)
def test_who_keeps_it_busy_is_named(mounted: Mounted, version: Path, how: str) -> None:
    """`target is busy` alone sends people looking; which process it is, and how, is what they need."""
    script = HOLDERS[how] + "\nprint(flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, version], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    answer = mounted.run("umount", mounted.path, code=8)
    name = Path(f"/proc/{holder.pid}/comm").read_text().strip()
    assert f"held by {holder.pid} {name} ({how})" in answer.err
    assert "--lazy" in answer.err
    assert (version / "file").stat().st_size == SIZE, "it must go on as before"
    holder.communicate("")
    mounted.umount()


def test_another_mount_within(mounted: Mounted, version: Path, tmp_path: Path) -> None:
    """A container's bind mount lies in no process's list of files."""
    if os.geteuid():
        pytest.skip("only root mounts something in it")
    subprocess.run(["mount", "--bind", tmp_path, version], check=True)
    try:
        assert f"{version} is mounted in it" in mounted.run("umount", mounted.path, code=8).err
    finally:
        subprocess.run(["umount", version], check=True)
    mounted.umount()


def test_umount_while_reading(mounted: Mounted, version: Path) -> None:
    """A reader in full swing is not cut off, unless by force; it reads to its end what it has opened."""
    record = mounted.record
    with (version / "file").open("rb", buffering=0) as file:
        begun = file.read(100_000)
        assert "open file" in mounted.run("umount", mounted.path, "--json", code=8).err
        assert json.loads(mounted.run("umount", mounted.path, "--lazy", "--json").out)["how"] == "lazy"
        assert not mounted.lines
        assert os.listdir(mounted.path) == []
        assert len(begun + file.readall()) == SIZE
        mounted.mount()  # a new one may come while the old one is still read from
        assert mounted.record["server"] != record["server"]
        assert mounted.lives(record["server"])
    assert mounted.within(5, lambda: not mounted.lives(record["supervisor"]))
    assert not mounted.lives(record["server"])
    assert len(mounted.lines) == 1
    assert (version / "file").stat().st_size == SIZE


def test_a_mount_that_hangs(mounted: Mounted, version: Path) -> None:
    """Plain umount says that it hangs; --force frees who waits for it with an error, and takes it away."""
    record = mounted.record
    with stopped(record["server"]):
        reader = Reader((version / "file").read_bytes)
        assert "umount --force" in mounted.run("umount", mounted.path, code=8).err
        assert state_of(mounted) == ["hung"]
        assert "doesn't answer" in mounted.run("mount", mounted.path, code=8).err
        assert reader.thread.is_alive()
        assert mounted.run("umount", mounted.path, "--force", "--json").document["how"] == "force"
        reader.thread.join(5)
        assert not reader.thread.is_alive()
        assert reader.error is not None
    assert not mounted.lines
    assert not mounted.lives(record["server"])
    assert not mounted.lives(record["supervisor"])
    mounted.mount()


def test_force_by_who_did_not_mount(mounted: Mounted, version: Path) -> None:
    """Root ends a mount that hangs without knowing who mounted it."""
    if os.geteuid():
        pytest.skip("only root may")
    server = mounted.record["server"]
    with stopped(server):
        reader = Reader((version / "file").read_bytes)
        mounted.env["XDG_STATE_HOME"] = str(mounted.path.parent / "elsewhere")
        mounted.umount("--force")
        reader.thread.join(5)
        assert reader.error is not None
    assert mounted.within(5, lambda: not mounted.lives(server))
    assert not mounted.lines


def test_lazily_while_it_hangs(mounted: Mounted, version: Path) -> None:
    """Whoever only wants it out of the way gets that at once."""
    with stopped(mounted.record["server"]):
        mounted.umount("--lazy")
        assert not mounted.lines


def test_what_can_not_be_unmounted(unmounted: Mounted) -> None:
    """A wrong path is answered with the right ones, and nobody else's mount is touched."""
    assert "nothing" in unmounted.run("umount", unmounted.path, code=3).err
    unmounted.mount()
    assert str(unmounted.path) in unmounted.run("umount", unmounted.path / "versions", code=3).err
    assert "not artstore's" in unmounted.run("umount", "/proc", code=2).err
    assert "give one of them" in unmounted.run("umount", unmounted.path, "--lazy", "--force", code=2).err
    assert unmounted.lines


@pytest.mark.parametrize("command", ["umount", "mount"])
def test_a_mount_whose_processes_are_gone(mounted: Mounted, version: Path, command: str) -> None:
    """It answers `not connected` for ever, unless it is found in the kernel's list and cleared."""
    kill_all(mounted)
    with pytest.raises(OSError, match=r"not connected|connection abort"):
        os.listdir(mounted.path)
    assert state_of(mounted) == ["dead"]
    inside = mounted.run("mount", mounted.path / "versions", code=5)
    assert "whose server is gone" in inside.err
    mounted.run(command, mounted.path)
    assert len(mounted.lines) == (1 if command == "mount" else 0)
    if command == "mount":
        assert (version / "file").stat().st_size == SIZE


def test_dead_mounts_on_top_of_each_other(mounted: Mounted, version: Path) -> None:
    """Other programs stack mounts; all that are dead are cleared before one is made."""
    if os.geteuid():
        pytest.skip("only root stacks mounts")
    kill_all(mounted)
    subprocess.run(["mount", "--bind", mounted.path, mounted.path], check=True)
    assert len(mounted.lines) == 2
    mounted.mount()
    assert len(mounted.lines) == 1
    assert (version / "file").stat().st_size == SIZE


def test_a_mapped_file_outlives_the_server(mounted: Mounted, version: Path) -> None:
    """What is in memory can be used on; nothing hangs, nothing crashes the reader but a page that isn't there."""
    with (version / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        before = bytes(mapped[:4096])
        mounted.umount("--force")
        assert bytes(mapped[:4096]) == before


def test_from_a_folder_in_it(mounted: Mounted, version: Path) -> None:
    """The command itself must not be what keeps the mount busy."""
    process = mounted.start("umount", mounted.path, cwd=version)
    assert process.wait(60) == 0, process.communicate()
    assert not mounted.lines


@pytest.mark.parametrize("options", [["--force"], []])
def test_a_link_to_a_mount_that_hangs(mounted: Mounted, version: Path, options: list[str]) -> None:
    """What is called by another name is found without a look into it."""
    link = mounted.path.parent / "link"
    link.symlink_to(mounted.path)
    with stopped(mounted.record["server"]):
        assert "doesn't answer" in mounted.run("mount", link, code=8).err
        mounted.run("umount", link, *options, code=0 if options else 8)
    assert bool(mounted.lines) is not bool(options)


def test_a_bind_mount_is_not_the_mount(mounted: Mounted, version: Path) -> None:
    """What shows a part of a mount elsewhere can be taken away, even by force, and the mount goes on."""
    if os.geteuid():
        pytest.skip("only root binds mounts")
    whole, part = (mounted.path.parent / name for name in ("whole", "part"))
    for place, shown in ((whole, mounted.path), (part, version)):
        place.mkdir()
        subprocess.run(["mount", "--bind", shown, place], check=True)
    assert "is a bind mount of /versions/m/v1" in mounted.run("mount", part, code=5).err
    server = mounted.record["server"]
    for place in (whole, part):
        mounted.run("umount", place, "--force")
    assert (version / "file").read_bytes()
    assert mounted.record["server"] == server
    subprocess.run(["mount", "--bind", version, part], check=True)
    mounted.run("umount", part)
    mounted.umount("--force")
    assert not mounted.lines


def is_followed(place: Mounted, server: int) -> bool:
    """Has another server taken the place of this one?"""
    return bool(place.lines) and place.record["server"] != server


def test_between_two_servers(mounted: Mounted) -> None:
    """What crashed, and waits for its next start, is unmounted for good by `umount`."""
    supervisor = mounted.record["supervisor"]
    for crashes in (1, 2, 3):  # each pause is longer than the one before
        server = mounted.record["server"]
        os.kill(server, signal.SIGKILL)
        if crashes < 3:
            assert mounted.within(5, partial(is_followed, mounted, server))
    assert mounted.within(5, lambda: not mounted.lines)
    assert mounted.run("umount", mounted.path).out == f"{mounted.path} is unmounted\n"
    assert not mounted.lives(supervisor)
    assert not mounted.lines
    assert not list(mounted.state.rglob("mount-*.json"))
    assert "nothing" in mounted.run("umount", mounted.path, code=3).err


def test_an_old_server_leaves_the_new_mount_alone(mounted: Mounted, version: Path) -> None:
    """After `umount --lazy` with a reader left, its server lives on; told to end, it must not unmount its successor."""
    old = mounted.record["server"]
    with (version / "file").open("rb"):
        mounted.umount("--lazy")
        mounted.mount()
        os.kill(old, signal.SIGTERM)
        assert mounted.within(20, partial(has_ended, mounted, old))
        assert len(mounted.lines) == 1
        assert (version / "file").stat().st_size == SIZE
    assert mounted.record["server"] != old


def test_a_mount_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can't be looked into; which store it shows is unknown, so nothing is said of that."""
    mount = mountinfo.Mount("/mnt/x", mountinfo.TYPE, "artstore:1", "0:99")

    def look(point: str, timeout_s: float) -> mountinfo.Health:
        return mountinfo.Health.HIDDEN

    monkeypatch.setattr(mountinfo, "read", lambda: [mount])
    monkeypatch.setattr(mountinfo, "look", look)
    with pytest.raises(Conflict, match="another user's mount is at /mnt/x") as caught:
        unmounting.clear("/mnt/x", "1")
    assert "--allow-other" in (caught.value.hint or "")

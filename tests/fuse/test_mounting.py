"""How a mount comes up: where it may be, with which options, and in which words it is refused."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fuse.conftest import Mounted

PROCESSES = 4


def commit(place: Mounted, tag: str = "m/v1", content: str = "content") -> None:
    """A version of one file."""
    source = place.path.parent / "source"
    source.mkdir(exist_ok=True)
    (source / "file").write_text(content)
    place.run("commit", source, "--tag", tag)


# --- in the background


def test_it_returns_when_the_mount_answers(unmounted: Mounted) -> None:
    """A script that mounts and reads in its next line must find the files; `ssh host artstore mount` must come back."""
    commit(unmounted)
    told = unmounted.mount()  # waits until stdout is closed, too
    assert (unmounted.path / "versions" / "m" / "v1" / "file").read_text() == "content"
    assert told["pid"] == unmounted.record["server"]
    assert told["already"] is False
    assert "mounted" in Path(told["log"]).read_text()
    for process in (unmounted.record["server"], unmounted.record["supervisor"]):
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        assert words[4] == "0", "it has a terminal, whose end would be its own"
        assert os.readlink(f"/proc/{process}/cwd") == "/"
        assert os.readlink(f"/proc/{process}/fd/0") == os.devnull
    assert stat.S_IMODE(unmounted.state.joinpath("artstore").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in unmounted.state.rglob("mount-*")} == {0o600}


def test_it_holds_nothing_of_who_started_it(unmounted: Mounted) -> None:
    """A lock or a pipe of the shell's must not stay taken as long as the mount lives."""
    read, write = os.pipe()
    mount = unmounted.start("mount", unmounted.path, pass_fds=[write])
    os.close(write)
    assert mount.wait(60) == 0
    with open(read, "rb") as file:
        assert file.read() == b""
    assert unmounted.lines


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_started_without_input_or_output(unmounted: Mounted, closed: str) -> None:
    """A service starts commands so; no file of the store may get the number that errors are written to."""
    commit(unmounted)
    line = f'exec "$@" {closed}'
    subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-P", "-m", "artstore", "mount", unmounted.path],
        env=unmounted.env,
        check=True,
        timeout=60,
    )
    assert (unmounted.path / "versions" / "m" / "v1" / "file").read_text() == "content"
    opened = [os.readlink(f"/proc/{unmounted.record['server']}/fd/{number}") for number in range(3)]
    assert opened == [os.devnull, unmounted.record["log"], unmounted.record["log"]]


def test_at_home(unmounted: Mounted) -> None:
    """`artstore mount` alone, the line of the first steps."""
    told = unmounted.run("mount").out
    home = unmounted.path.parent / "artstore"
    assert told == f"{unmounted.store} is mounted at {home}\n"
    assert sorted(os.listdir(home)) == [".artstore", "aliases", "ids", "versions"]
    assert unmounted.run("umount").out == f"{home} is unmounted\n"
    assert os.listdir(home) == []


def test_without_a_home() -> None:
    """Where a container's user has none, no folder of the name `~` may appear."""
    script = "import os, pwd; pwd.getpwuid = lambda uid: (_ for _ in ()).throw(KeyError(uid)); del os.environ['HOME']\n"
    script += "from artstore.cli import main; raise SystemExit(main(['mount']))"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no home folder" in done.stderr
    assert not os.path.exists("~")


def test_a_path_is_what_the_kernel_calls_it(unmounted: Mounted) -> None:
    """Relative, or through a link: umount must find it under either name, and mount not put a second one there."""
    home = unmounted.path.parent
    (home / "real").mkdir()
    (home / "link").symlink_to("real")
    mount = unmounted.start("mount", "link/mnt", "--json", cwd=home)
    assert mount.wait(60) == 0
    assert [entry["path"] for entry in mounts(unmounted)] == [str(home / "real" / "mnt")]
    assert unmounted.run("mount", home / "link" / "mnt", "--json").document["already"]
    umount = unmounted.start("umount", "./link/../link/mnt/", cwd=home)
    assert umount.wait(60) == 0, umount.communicate()
    assert mounts(unmounted) == []


def test_names_that_are_hard_to_write(unmounted: Mounted) -> None:
    """A folder's name may hold blanks, a comma, a line's end, bytes that aren't UTF-8."""
    commit(unmounted)
    point = Path(os.fsdecode(os.fsencode(unmounted.path.parent) + b"/a b,c\\d\n\xff\xc3\xa9"))
    unmounted.run("mount", point, "--json")
    assert (point / "versions" / "m" / "v1" / "file").read_text() == "content"
    assert unmounted.run("mount", point, "--json").document["already"]
    unmounted.run("umount", point, "--json")
    assert os.listdir(point) == []


# --- again, elsewhere, at once


def mounts(place: Mounted) -> list[dict[str, str]]:
    """`artstore mounts`, of this test's folder."""
    found = place.run("mounts", "--json").document["mounts"]
    return [entry for entry in found if entry["path"].startswith(str(place.path.parent))]


def test_mounting_again_does_nothing(mounted: Mounted) -> None:
    """A script that mounts to be sure must be able to; nothing is put on top."""
    before = mounted.record
    told = mounted.mount()
    assert told["already"] is True
    assert told["pid"] == before["server"]
    assert "already" in mounted.run("mount", mounted.path).out
    assert len(mounted.lines) == 1
    assert mounted.record == before


def test_another_store_at_the_same_place(mounted: Mounted) -> None:
    """It would hide the first one."""
    other = mounted.path.parent / "other"
    mounted.run("init", other)
    answer = mounted.run("--store", other, "mount", mounted.path, code=5)
    assert "another store" in answer.err
    assert len(mounted.lines) == 1
    mounted.umount()
    mounted.run("--store", other, "mount", mounted.path)


def test_one_store_at_two_places(mounted: Mounted) -> None:
    """For two users of a machine, or a container; each is listed, each ends by itself."""
    commit(mounted)
    second = mounted.path.parent / "second"
    mounted.run("mount", second)
    listed = {entry["path"]: entry for entry in mounts(mounted)}
    assert set(listed) == {str(mounted.path), str(second)}
    assert {entry["state"] for entry in listed.values()} == {"alive"}
    assert {entry["store"] for entry in listed.values()} == {str(mounted.store)}
    shown = mounted.run("mounts").out
    assert f"{second} " in shown
    assert " alive " in shown
    mounted.umount()
    assert (second / "versions" / "m" / "v1" / "file").read_text() == "content"
    assert mounted.run("path", "m").out == f"{second}/versions/m/v1\n"
    mounted.run("umount", second)
    assert "`artstore mount`" in mounted.run("path", "m", code=3).err


def test_many_at_once(unmounted: Mounted) -> None:
    """Two terminals, or a timer and a person: there is one mount afterwards, and everybody is content."""
    started = [unmounted.start("mount", unmounted.path, "-q") for _ in range(PROCESSES)]
    assert [process.wait(60) for process in started] == [0] * PROCESSES
    assert len(unmounted.lines) == 1
    assert len(mounts(unmounted)) == 1
    servers = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(unmounted.path).encode() in cmdline(path)]
    assert len(servers) == 3, "a supervisor, a server, its helper"


def cmdline(path: Path) -> bytes:
    """A process's words; nothing if it has ended."""
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


# --- refusals


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["{home}/file"], 5, "is no folder; choose another one"),
        (["{home}/file/in"], 3, "Not a directory"),
        (["{home}/full"], 5, "isn't empty"),
        (["{home}"], 5, "isn't empty"),
        (["{home}/store"], 2, "lies in the store"),
        (["{home}/store/packs"], 2, "lies in the store"),
        (["/proc"], 5, "proc is mounted at /proc already"),
        (["/"], 5, "is mounted at / already"),
        (["{home}/mnt", "--store", "{home}/none"], 3, "no store"),
        (["{home}/mnt", "--store", "{home}/newer"], 2, "upgrade artstore"),
        (["{home}/mnt", "--umask", "9"], 2, "'9' is no umask"),
        (["{home}/mnt", "--poll", "0s"], 2, "--poll is from 1s to 1h"),
        (["{home}/mnt", "--memory", "1K"], 2, "--memory"),
        (["{home}/mnt", "--uid", "-1"], 2, "--uid"),
        (["{home}/mnt", "--foregound"], 2, "did you mean --foreground"),
        (["{home}/mnt", "{home}/other"], 2, "unexpected extra argument"),
    ],
)
def test_what_is_refused(unmounted: Mounted, words: list[str], code: int, told: str) -> None:
    """What can't be mounted is told in one line, with what to do, and leaves nothing mounted."""
    home = unmounted.path.parent
    (home / "file").touch()
    (home / "full").mkdir()
    (home / "full" / "file").touch()
    (home / "newer").mkdir()
    config = (unmounted.store / "config.toml").read_text()
    (home / "newer" / "config.toml").write_text(config.replace("format = 1", "format = 99"))
    for foreground in [[], ["--foreground"]] if code == 5 else [[]]:
        answer = unmounted.run("mount", *[word.format(home=home) for word in words], *foreground, code=code)
        assert told in answer.err
        assert answer.err.count("\n") == 1
        assert answer.out == ""
    assert mounts(unmounted) == []


def test_a_server_that_can_not_start_tells_why(unmounted: Mounted) -> None:
    """The error arises in another process than the one that a person looks at."""
    (unmounted.store / "index.lmdb" / "data.mdb").write_bytes(b"damage" * 10_000)
    for option in ("--json", "--foreground"):
        answer = unmounted.run("mount", unmounted.path, option, code=6)
        assert "check --rebuild-index" in answer.err
    assert mounts(unmounted) == []
    assert not list(unmounted.state.rglob("mount-*.json"))


def test_little_address_space(unmounted: Mounted) -> None:
    """Under `ulimit -v` the index can't be mapped: that is said, with what to change."""
    line = f'ulimit -v 4000000; exec "{sys.executable}" -P -m artstore mount "{unmounted.path}"'
    done = subprocess.run(["sh", "-c", line], env=unmounted.env, capture_output=True, text=True, check=False)
    assert done.returncode == 8, done.stderr
    assert "ulimit -v" in done.stderr
    assert not unmounted.lines


def test_without_the_parts(unmounted: Mounted, tmp_path: Path) -> None:
    """Where libfuse or its binding is missing everything else works, and `mount` says what to install."""
    commit(unmounted)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "pyfuse3.py").write_text("raise ImportError('libfuse3.so.3: cannot open shared object file')")
    unmounted.env["PYTHONPATH"] = f"{tmp_path / 'none'}:{unmounted.env.get('PYTHONPATH', '')}"
    answer = unmounted.run("mount", unmounted.path, code=3)
    assert "libfuse3.so.3" in answer.err
    assert "apt install fuse3 libfuse3-dev" in answer.err
    assert mounts(unmounted) == []
    unmounted.run("umount", unmounted.path, code=3)
    unmounted.run("path", "m", code=3)
    assert unmounted.run("cat", "m:file").out == "content"
    unmounted.run("doctor")


# --- options


def test_options(unmounted: Mounted) -> None:
    """Each option does what its help says, and the kernel keeps to what protects a machine from a mount."""
    commit(unmounted)
    commit(unmounted, "other/v1")
    options = [
        "--uid",
        "1234",
        "--gid",
        "5678",
        "--umask",
        "027",
        "--versions",
        "m*",
        "--memory",
        "16M",
        "--poll",
        "2s",
    ]
    unmounted.mount(*options, *(["--allow-other"] if os.geteuid() == 0 else []))
    (line,) = unmounted.lines
    before, _, behind = line.partition(" - ")
    kind, source, super_options = behind.split()
    assert {"ro", "nosuid", "nodev"} <= set(before.split()[5].split(","))
    assert kind == "fuse.artstore"
    assert source == "artstore:" + mounts(unmounted)[0]["id"]
    assert "default_permissions" in super_options
    assert ("allow_other" in super_options) == (os.geteuid() == 0)
    found = (unmounted.path / "versions" / "m" / "v1" / "file").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 5678, 0o440)
    assert os.listdir(unmounted.path / "versions") == ["m"]
    assert unmounted.run("path", "m/v1").out == f"{unmounted.path}/versions/m/v1\n"
    unmounted.run("path", "other/v1", code=3)


def test_readahead(unmounted: Mounted) -> None:
    """As root the kernel reads a megabyte ahead, or as much as was asked for."""
    if os.geteuid():
        pytest.skip("only root changes the kernel's readahead")
    for options, expected in (([], "1024"), (["--read-ahead", "256"], "256")):
        unmounted.mount(*options)
        device = unmounted.lines[0].split()[2]
        assert Path(f"/sys/class/bdi/{device}/read_ahead_kb").read_text().strip() == expected
        unmounted.umount()


def test_path_in_a_mount(mounted: Mounted) -> None:
    """`$(artstore path REV)` is what a script reads from: it must be there, also right after the commit."""
    commit(mounted)
    place = mounted.run("path", "m").out.rstrip("\n")
    assert Path(place, "file").read_text() == "content"
    mounted.run("alias", "set", "m/production", "v1")
    assert mounted.within(1, lambda: mounted.run("path", "m/production").out == f"{mounted.path}/versions/m/v1\n")
    assert mounted.run("path", "m:file", "--json").document["path"] == f"{mounted.path}/versions/m/v1/file"
    assert "is the store mounted" in mounted.run("path", "m", "--mount", mounted.path.parent, code=3).err


# --- in the foreground


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it(unmounted: Mounted, number: signal.Signals) -> None:
    """A service manager's stop, Ctrl-C and a closed terminal all leave nothing mounted, and are no failure."""
    commit(unmounted)
    process = unmounted.start("mount", unmounted.path, "--foreground", start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"{unmounted.store} is mounted at {unmounted.path}\n"
    with contextlib.suppress(OSError), (unmounted.path / "versions" / "m" / "v1" / "file").open():
        os.killpg(process.pid, number)  # as a terminal does: all of its processes get it
        assert process.wait(20) == 0
    assert not unmounted.lines
    assert process.stderr is not None
    told = process.stderr.read()
    assert "unmounted" in told, told
    assert told.count("\n") == 2, told
    assert not list(unmounted.state.rglob("mount-*.json"))


def test_ctrl_c_on_a_terminal_while_it_starts(unmounted: Mounted) -> None:
    """Whoever changes their mind must not find a mount afterwards, in the background neither."""
    main, terminal = pty.openpty()
    process = unmounted.start(
        "mount", unmounted.path, start_new_session=True, preexec_fn=lambda: os.login_tty(terminal)
    )
    os.close(terminal)
    log = unmounted.state / "artstore"
    assert unmounted.within(10, lambda: list(log.glob("*.log")))
    os.write(main, b"\x03")
    assert process.wait(20) in (0, 130)
    if process.returncode == 130:
        assert unmounted.within(5, lambda: not unmounted.lines and not servers_of(unmounted))
    os.close(main)


def servers_of(place: Mounted) -> list[Path]:
    """The processes that were started with this mount's path."""
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(place.path).encode() in cmdline(path)]


def test_unmounted_in_the_foreground(unmounted: Mounted) -> None:
    """`artstore umount` in another terminal ends the one where it runs."""
    process = unmounted.start("mount", unmounted.path, "--foreground")
    assert process.stdout is not None
    process.stdout.readline()
    unmounted.umount()
    assert process.wait(20) == 0
    assert not servers_of(unmounted)


def test_systemd_is_told(unmounted: Mounted, tmp_path: Path) -> None:
    """With Type=notify, what is ordered after the mount starts when there is one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        unmounted.env["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        unmounted.start("mount", unmounted.path, "--foreground")
        assert manager.recv(100) == b"READY=1"
        assert unmounted.lines


def test_a_store_that_goes_away(mounted: Mounted) -> None:
    """Somebody deletes the store under its mount: programs get errors, none hangs, and it can be unmounted."""
    commit(mounted)
    folder = mounted.path / "versions" / "m" / "v1"
    assert mounted.within(1, folder.exists)
    subprocess.run(["rm", "-r", mounted.store], check=True)
    with contextlib.suppress(OSError):
        (folder / "file").read_text()
    with contextlib.suppress(OSError):
        os.listdir(mounted.path / "versions")
    mounted.umount()


@pytest.mark.parametrize("option", ["--json", "--foreground"])
def test_no_folder_for_the_log(unmounted: Mounted, option: str) -> None:
    """In a container with a read-only image: what is missing is said, and which setting mends it."""
    (unmounted.path.parent / "file").touch()
    unmounted.env["XDG_STATE_HOME"] = str(unmounted.path.parent / "file" / "x")
    answer = unmounted.run("mount", unmounted.path, option, code=4)
    assert "set XDG_STATE_HOME" in answer.err
    if os.geteuid():
        (unmounted.path.parent / "none").mkdir(mode=0o500)
        unmounted.env["XDG_STATE_HOME"] = str(unmounted.path.parent / "none")
        assert "set XDG_STATE_HOME" in unmounted.run("mount", unmounted.path, option, code=4).err
    assert not unmounted.lines

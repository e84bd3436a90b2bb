"""Checkout when the disk fills, the process dies, somebody presses Ctrl-C, or the tree means harm."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from artstore.errors import ArtstoreError, Corrupt, NoSpace, NotPermitted, Unsafe
from artstore.model import Content, Digest, Form, Kind, ObjectKind
from artstore.store.checkout import checkout
from artstore.store.checkout.folders import Folders
from artstore.store.objects import Objects
from artstore.testing.planted import Exec, Link, Planted, Planter, Raw

LONG = random.Random(5).randbytes(5_000_000)
FILES: dict[bytes, Planted] = {
    b"a": b"hello",
    b"d": {b"b": LONG[:400_000], b"c": Exec(b"c"), b"empty": {}, b"l": Link(b"../a")},
    b"weights": LONG,
    b"z": b"last",
}
PLAIN = {b"a": b"hello", b"d/b": LONG[:400_000], b"d/c": b"c", b"weights": LONG, b"z": b"last"}


@pytest.fixture
def planter(tmp_path: Path) -> Iterator[Planter]:
    """A store."""
    planter = Planter(str(tmp_path / "store"))
    yield planter
    planter.close()


def plant(planter: Planter, files: dict[bytes, Planted]) -> Digest:
    """A stored tree."""
    tree = planter.tree(files)
    planter.flush()
    return tree


def restore(planter: Planter, tree: bytes, dest: Path, *, workers: int = 1) -> None:
    """A checkout by a process that has read nothing yet."""
    checkout(planter.context, Objects(planter.context), tree, dest, workers=workers)


def files_in(folder: Path) -> dict[bytes, bytes]:
    """Plain files below a folder."""
    found: dict[bytes, bytes] = {}
    for above, _, names in os.walk(os.fsencode(folder)):
        for name in names:
            path = os.path.join(above, name)
            if not os.path.islink(path):
                found[os.path.relpath(path, os.fsencode(folder))] = Path(os.fsdecode(path)).read_bytes()
    return found


def assert_only_whole_files(dest: Path) -> None:
    """Nothing half-done is visible."""
    for path, data in files_in(dest).items():
        assert PLAIN[path] == data


class FailingNth:
    """Lets calls of the system pass until the n-th, which fails."""

    def __init__(self, number: int, code: int) -> None:
        self.left = number
        self.code = code

    def wrap(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """Take the place of a function of `os`."""
        call: Callable[..., object] = getattr(os, name)

        def counted(*args: object, **options: object) -> object:
            self.left -= 1
            if self.left == 0:
                raise OSError(self.code, os.strerror(self.code))
            return call(*args, **options)

        monkeypatch.setattr(os, name, counted)


@pytest.mark.parametrize(
    ("names", "code", "expected"),
    [
        (("pwritev", "pwrite", "ftruncate"), errno.ENOSPC, NoSpace),
        (("mkdir", "symlink", "rename"), errno.EDQUOT, NoSpace),
        (("rename", "mkdir"), errno.EACCES, NotPermitted),
    ],
)
def test_a_disk_that_fills_at_any_call(
    planter: Planter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    code: int,
    expected: type[ArtstoreError],
) -> None:
    """Half a file under its full name would be taken for a model."""
    tree = plant(planter, FILES)
    for number in range(1, 200):
        dest = tmp_path / f"dest{number}"
        failing = FailingNth(number, code)
        with monkeypatch.context() as patch:
            for name in names:
                failing.wrap(patch, name)
            if succeeds(planter, tree, dest, expected):
                assert number > 3
                return
        assert failing.left <= 0
        if dest.exists():
            assert_only_whole_files(dest)
        restore(planter, tree, dest)
        assert files_in(dest) == PLAIN
    pytest.fail("the calls never end")


def succeeds(planter: Planter, tree: bytes, dest: Path, expected: type[ArtstoreError]) -> bool:
    """Whether a checkout meets no failure; any failure is the one expected."""
    try:
        restore(planter, tree, dest)
    except expected:
        return False
    return True


def test_a_disk_that_is_really_full(planter: Planter, tmp_path: Path) -> None:
    """The error of a real file system would pass for something else."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small tmpfs")
    try:
        with pytest.raises(NoSpace, match="no space is left"):
            restore(planter, plant(planter, FILES), disk / "dest", workers=2)
        assert_only_whole_files(disk / "dest")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


CHILD = """
import os, signal, sys
from artstore.adapters.clock import SystemClock
from artstore.adapters.lmdb_index.index import LmdbIndex
from artstore.adapters.packs import FilePacks
from artstore.adapters.sessions import FileSessions
from artstore.format.ids import PLAIN
from artstore.store.checkout import checkout
from artstore.store.context import Context
from artstore.store.objects import Objects

store, tree, dest, name, number, what = sys.argv[1:]
call, left = getattr(os, name), [int(number)]

def counted(*args, **options):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), int(what))
    return call(*args, **options)

setattr(os, name, counted)
context = Context(store, LmdbIndex(store, PLAIN), FilePacks(store), FileSessions(store), SystemClock(), PLAIN)
try:
    checkout(context, Objects(context), bytes.fromhex(tree), dest, workers=2)
except KeyboardInterrupt:
    sys.exit(130)
"""


def run_child(planter: Planter, tree: bytes, dest: Path, name: str, number: int, what: signal.Signals) -> int:
    """A checkout in a process that is sent a signal at its n-th call of a function."""
    arguments = [planter.context.path, tree.hex(), str(dest), name, str(number), str(int(what))]
    return subprocess.run([sys.executable, "-c", CHILD, *arguments], check=False, timeout=60).returncode


@pytest.mark.plain("its programs open the store without keys")
@pytest.mark.parametrize("name", ["pwritev", "rename"])
@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_killed_checkout_is_taken_up_again(planter: Planter, tmp_path: Path, name: str, number: int) -> None:
    """A power cut would leave garbage that the next run can't tell from the user's own files."""
    tree, dest = plant(planter, FILES), tmp_path / "dest"
    assert run_child(planter, tree, dest, name, number, signal.SIGKILL) == -signal.SIGKILL
    left = files_in(dest)
    assert all(PLAIN[path] == data for path, data in left.items() if not path.endswith(b".part"))
    restore(planter, tree, dest)
    assert files_in(dest) == PLAIN


@pytest.mark.plain("its programs open the store without keys")
@pytest.mark.parametrize("number", [1, 3])
def test_ctrl_c_leaves_nothing_half_done(planter: Planter, tmp_path: Path, number: int) -> None:
    """The folder would fill with parts of files at each attempt."""
    tree, dest = plant(planter, FILES), tmp_path / "dest"
    assert run_child(planter, tree, dest, "pwritev", number, signal.SIGINT) == 130
    if dest.exists():
        assert_only_whole_files(dest)
    restore(planter, tree, dest)
    assert files_in(dest) == PLAIN


def test_a_damaged_chunk_makes_no_file(planter: Planter, tmp_path: Path) -> None:
    """A bad sector would become a model with garbage in it."""
    tree = plant(planter, FILES)
    for path in Path(planter.context.path, "packs").rglob("*.pack"):
        if path.stat().st_size > 1_000_000:
            whole = bytearray(path.read_bytes())
            whole[2_500_000] ^= 1
            path.chmod(0o644)
            path.write_bytes(whole)
    with pytest.raises(Corrupt, match=r"chunk|object"):
        restore(planter, tree, tmp_path / "dest")
    found = files_in(tmp_path / "dest")
    assert b"weights" not in found
    assert_only_whole_files(tmp_path / "dest")


def page(*entries: tuple[bytes, int, int, tuple[int, bytes], int]) -> bytes:
    """A directory's page with any entries, sound or not."""
    return msgspec.msgpack.encode((1, 0, entries))


def text(planter: Planter, data: bytes) -> tuple[int, bytes]:
    """The content of a small file."""
    return (Form.CHUNK, planter.put(ObjectKind.CHUNK, data))


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"../x", b"/etc/x", b"a\0b", b"n" * 256])
def test_names_that_lead_out_are_refused(planter: Planter, tmp_path: Path, name: bytes) -> None:
    """A version made by somebody else could write any file of the user's."""
    file = (name, int(Kind.FILE), 1, text(planter, b"x"), 1)
    folder = (name, int(Kind.DIR), 1, (int(Form.TREE), planter.tree({b"x": b"x"})), 1)
    for entry in (file, folder):
        tree = planter.put(ObjectKind.TREE_PAGE, page(entry))
        planter.flush()
        with pytest.raises((Corrupt, Unsafe)):
            restore(planter, tree, tmp_path / "outer" / "dest")
        assert not list((tmp_path / "outer").rglob("*"))


def test_a_link_and_a_folder_of_one_name_are_refused(planter: Planter, tmp_path: Path) -> None:
    """The folder's files would be written to where the link points."""
    (tmp_path / "victim").mkdir()
    link = (b"d", int(Kind.SYMLINK), 9, (int(Form.SYMLINK), b"../victim"), 1)
    folder = (b"d", int(Kind.DIR), 1, (int(Form.TREE), planter.tree({b"x": b"x"})), 1)
    for entries in ((link, folder), (folder, link)):
        tree = planter.put(ObjectKind.TREE_PAGE, page(*entries))
        planter.flush()
        with pytest.raises((Corrupt, Unsafe)):
            restore(planter, tree, tmp_path / "dest")
        assert not list((tmp_path / "victim").iterdir())


def test_files_whose_sizes_lie_are_refused(planter: Planter, tmp_path: Path) -> None:
    """A version could fill the disk, or pass off half a file as whole."""
    chunk = planter.put(ObjectKind.CHUNK, b"four")
    recipe = planter.content(LONG)
    for size, content in (
        (3, Content(Form.CHUNK, chunk)),
        (100_000, Content(Form.CHUNK, chunk)),
        (len(LONG) + 1, recipe),
        (len(LONG) - 1, recipe),
        (1000, recipe),
        (3_000_000_000, recipe),
        (8, planter.content_of([(chunk, 5), (chunk, 3)])),
    ):
        tree = plant(planter, {b"file": Raw(Kind.FILE, size, content)})
        with pytest.raises(Corrupt):
            restore(planter, tree, tmp_path / "dest")
        assert not (tmp_path / "dest").exists()


def test_a_folder_swapped_for_a_link_meanwhile_is_not_followed(tmp_path: Path) -> None:
    """Another user of a shared folder could redirect a running checkout."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "dest").mkdir()
    with Folders(os.fsencode(tmp_path / "dest"), fresh=True, open_max=1) as folders:
        outer = folders.make(folders.top, b"outer")
        inner = folders.make(outer, b"inner")
        others = [folders.make(folders.top, b"%d" % number) for number in range(3)]
        for folder in (inner, *others):
            with folders.pin(folder) as descriptor:
                os.close(os.open(b"file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
        (tmp_path / "dest" / "outer").rename(tmp_path / "moved")
        (tmp_path / "dest" / "outer").symlink_to(tmp_path / "victim")
        (tmp_path / "victim" / "inner").mkdir()
        with pytest.raises(Unsafe), folders.pin(inner):
            pytest.fail("the link was followed")
        with pytest.raises(Unsafe):
            folders.make(folders.top, b"outer")
        assert not list((tmp_path / "victim" / "inner").iterdir())

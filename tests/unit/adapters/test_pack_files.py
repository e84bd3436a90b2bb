"""Packs on a disk: what the contract can't say of a folder."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from artstore import limits
from artstore.adapters.packs import FilePacks, pack_path
from artstore.errors import Corrupt, NoSpace, NotFound
from artstore.model import PackId

# Forking beside threads is what is tried here; newer Pythons warn of it.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
PACK = PackId(bytes.fromhex("ab") + bytes(15))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name in ("packs", "tmp"):
        (tmp_path / name).mkdir()
    return tmp_path


def sealed(packs: FilePacks, number: int, data: bytes) -> PackId:
    pack = PackId(number.to_bytes(16, "little"))
    sink = packs.create(pack)
    sink.append([data])
    sink.seal()
    return pack


def test_where_a_pack_lies(store: Path) -> None:
    """Clean-up would not find what a killed commit left; another release would not find the packs."""
    sink = FilePacks(str(store)).create(PACK)
    temporary, final = store / "tmp" / f"{PACK.hex()}.pack", store / "packs" / "ab" / f"{PACK.hex()}.pack"
    assert temporary.exists()
    sink.append([b"abc"])
    sink.seal()
    assert not temporary.exists()
    assert final.read_bytes() == b"abc"
    assert final == Path(pack_path(str(store), PACK))


def test_a_folder_that_another_process_makes_is_made_to_last(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut between its mkdir and its fsync would take the folder, with a pack that the index names [I1]."""
    synced: list[str] = []
    monkeypatch.setattr("artstore.adapters.packs.sink.fsync_folder", synced.append)
    (store / "packs/00").mkdir()
    (store / "packs/01").mkdir()
    packs = FilePacks(str(store))
    for number in (0, 256, 1):
        sealed(packs, number, b"x")
    top, first, second = (str(store / name) for name in ("packs", "packs/00", "packs/01"))
    assert synced == [top, first, first, top, second]


def test_a_name_is_not_used_again(store: Path) -> None:
    """A pack would replace another one that versions need [I6]."""
    packs = FilePacks(str(store))
    packs.create(PACK)
    with pytest.raises(Exception, match="File exists"):
        packs.create(PACK)


def test_foreign_names_are_skipped(store: Path) -> None:
    """An editor's backup file would be taken for a pack, and `check` fail over it."""
    packs = FilePacks(str(store))
    pack = sealed(packs, 1, b"x")
    for name in ("README", "zz", "ab", "01"):
        (store / "packs" / name).mkdir(exist_ok=True)
    for name in (f"ab/{pack.hex()}.pack", f"01/{pack.hex()}.pack~", "01/x.pack", f"01/{pack.hex().upper()}.bak"):
        (store / "packs" / name).write_bytes(b"")
    (store / "packs" / "cd").write_bytes(b"a file")
    assert list(packs.list()) == [(pack, 1)]


def test_a_store_without_packs(tmp_path: Path) -> None:
    """`check` of a store whose folder was deleted would end in a traceback."""
    packs = FilePacks(str(tmp_path))
    assert list(packs.list()) == []
    with pytest.raises(NotFound):
        packs.create(PACK)


def test_descriptors_are_bounded(store: Path) -> None:
    """A store of many packs would run out of file descriptors [I9]."""
    packs = FilePacks(str(store))
    made = [sealed(packs, number, number.to_bytes(2, "big")) for number in range(limits.PACKS_OPEN_MAX + 40)]
    before = len(os.listdir("/proc/self/fd"))
    for number, pack in enumerate(made):
        assert packs.read(pack, 0, 2) == number.to_bytes(2, "big")
    assert len(os.listdir("/proc/self/fd")) - before == limits.PACKS_OPEN_MAX
    packs.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert packs.read(made[0], 0, 2) == bytes(2)
    packs.close()


def test_threads_read_while_descriptors_change_hands(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parallel checkout would read from a descriptor that now belongs to another file."""
    monkeypatch.setattr(limits, "PACKS_OPEN_MAX", 2)
    packs = FilePacks(str(store))
    made = [sealed(packs, number, bytes([number]) * 100) for number in range(8)]
    wrong: list[int] = []

    def read(seed: int) -> None:
        for step in range(400):
            number = (seed * 7 + step * 3) % 8
            if packs.read(made[number], 10, 50) != bytes([number]) * 50:
                wrong.append(number)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    packs.close()


def test_a_truncated_pack_is_corrupt(store: Path) -> None:
    """A truncated pack would be read as shorter chunks."""
    packs = FilePacks(str(store))
    pack = sealed(packs, 1, b"x" * 1000)
    assert packs.read(pack, 0, 1000) == b"x" * 1000
    os.truncate(pack_path(str(store), pack), 600)
    assert packs.read(pack, 0, 600) == b"x" * 600
    for offset, size in ((0, 601), (600, 1), (500, 200)):
        with pytest.raises(Corrupt, match=pack.hex()):
            packs.read(pack, offset, size)


def test_a_forked_child_reads(store: Path) -> None:
    """The workers of a data loader would hang on a lock that a thread of their parent held."""
    packs = FilePacks(str(store))
    pack = sealed(packs, 1, b"abc")
    assert packs.read(pack, 0, 3) == b"abc"
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            packs.read(pack, 0, 3)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                os._exit(0 if packs.read(pack, 0, 3) == b"abc" else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_shared_packs_are_the_group_s(store: Path) -> None:
    """The second user of a shared store could not read what the first one wrote."""
    umask = os.umask(0o077)
    try:
        pack = sealed(FilePacks(str(store), shared=True), 1, b"abc")
    finally:
        os.umask(umask)
    path = Path(pack_path(str(store), pack))
    assert path.stat().st_mode & 0o7777 == 0o660
    assert path.parent.stat().st_mode & 0o7777 == 0o2770


LIMITED = """
import resource, signal, sys
from artstore.adapters.packs import FilePacks
from artstore.errors import NoSpace
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit, *sizes = map(int, sys.argv[2:])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sink = FilePacks(sys.argv[1]).create(b"p" * 16)
try:
    for size in sizes:
        sink.append([b"a" * (size // 2), b"b" * (size // 2)])
    sink.seal()
except NoSpace as error:
    sink.abort()
    print(error.exit_code)
"""


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [
        (100_000, (60_000, 60_000)),
        (limits.DIRECT_BLOCK_BYTES + 8192, (limits.DIRECT_BLOCK_BYTES * 2,)),
        (limits.DIRECT_BLOCK_BYTES + 100, (limits.DIRECT_BLOCK_BYTES * 3,)),
        (limits.DIRECT_BLOCK_BYTES + 100, (limits.DIRECT_BLOCK_BYTES + 200,)),
    ],
)
def test_a_write_that_stops_half_way(store: Path, limit: int, sizes: tuple[int, ...]) -> None:
    """A disk that fills up within a write would leave a pack with a hole."""
    command = [sys.executable, "-c", LIMITED, str(store), str(limit), *map(str, sizes)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.stdout == "9\n", ended.stderr
    assert os.listdir(store / "tmp") == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000
    assert NoSpace.exit_code == 9

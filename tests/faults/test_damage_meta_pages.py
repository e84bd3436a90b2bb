"""Damage to the two pages that LMDB begins with: refused with what to do, or harmless; nothing reported is lost."""

from __future__ import annotations

import faulthandler
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.adapters.lmdb_index.probe import require_whole
from artstore.errors import ArtstoreError
from artstore.testing.damage import flip
from artstore.testing.local_store import create, opened

PAGE = 4096
META_BYTES = 152
VERSION_AT, FLAGS_AT, PAGE_BYTES_AT, LAST_AT, TRANSACTION_AT = 20, 10, 40, 136, 144
RIGHT, REFUSED, LESS = 10, 11, 12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with three versions, one for each way in which two transactions can follow on each other."""
    path, folder = tmp_path / "store", tmp_path / "m"
    folder.mkdir()
    create(path)
    with opened(path) as store:
        for number in range(3):
            (folder / "a").write_bytes(b"%d" % number)
            store.commit(folder)
    return path


def newest_at(data: Path) -> int:
    """Where the newer meta page begins."""
    raw = data.read_bytes()[: 2 * PAGE]
    numbers = [int.from_bytes(raw[at + TRANSACTION_AT : at + TRANSACTION_AT + 8], "little") for at in (0, PAGE)]
    return 0 if numbers[0] > numbers[1] else PAGE


def put(data: Path, at: int, value: bytes) -> None:
    with data.open("r+b") as file:
        file.seek(at)
        file.write(value)


def number(value: int, size: int = 8) -> bytes:
    return value.to_bytes(size, "little")


def zeroed(data: Path, at: int) -> None:
    put(data, at, bytes(PAGE))


def garbage(data: Path, at: int) -> None:
    put(data, at, os.urandom(META_BYTES))


def of_another_version(data: Path, at: int) -> None:
    put(data, at + VERSION_AT, number(7, 4))


def without_magic(data: Path, at: int) -> None:
    flip(data, at + 16)


def of_other_pages(data: Path, at: int) -> None:
    put(data, at + PAGE_BYTES_AT, number(8192, 4))


def of_impossible_pages(data: Path, at: int) -> None:
    put(data, at + PAGE_BYTES_AT, number(0, 4))


def far_beyond_the_file(data: Path, at: int) -> None:
    put(data, at + LAST_AT, number(1 << 40))


def of_no_transaction(data: Path, at: int) -> None:
    put(data, at + TRANSACTION_AT, number(0))


def of_a_later_transaction(data: Path, at: int) -> None:
    put(data, at + TRANSACTION_AT, number(1 << 20 if at == 0 else 1 << 21 | 1))


DAMAGES = [
    zeroed,
    garbage,
    of_another_version,
    without_magic,
    of_other_pages,
    of_impossible_pages,
    far_beyond_the_file,
    of_no_transaction,
    of_a_later_transaction,
]


@pytest.mark.parametrize(
    ("damage", "which"),
    [
        (damage, which)
        for damage in DAMAGES
        for which in ("newest", "both")
        if (damage, which) != (of_another_version, "both")  # that is what a later release would write
    ],
)
def test_commands_refuse(path: Path, tmp_path: Path, damage: Callable[[Path, int], None], which: str) -> None:
    """A command would die by a signal, end in a traceback or forget the last version; a rebuild brings all back."""
    data = path / "index.lmdb" / "data.mdb"
    log = (path / "refs.log").read_bytes()
    newest = newest_at(data)
    for at in [newest] if which == "newest" else [0, PAGE]:
        damage(data, at)
    for words in (["list"], ["log", "m"], ["commit", str(tmp_path / "m"), "-m", "more"]):
        ended = artstore(path, *words)
        assert ended.returncode == 6, (words, ended.stderr)
        assert "artstore check --rebuild-index" in ended.stderr
        assert "Traceback" not in ended.stderr
    assert (path / "refs.log").read_bytes() == log
    assert artstore(path, "check", "--rebuild-index").returncode == 0
    assert artstore(path, "commit", str(tmp_path / "m"), "-m", "more").returncode == 0
    with opened(path) as store:
        assert sorted(store.tags()) == ["m/v1", "m/v2", "m/v3", "m/v4"]


def artstore(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "artstore", "--store", str(path), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_torn_older_page(path: Path, tmp_path: Path) -> None:
    """LMDB writes over the older page: a power cut in the midst of that must cost nothing."""
    data = path / "index.lmdb" / "data.mdb"
    older = PAGE - newest_at(data)
    put(data, older + LAST_AT, number(1 << 40))
    put(data, older + 128, number(1 << 30))  # the root of its names
    with opened(path) as store:
        assert sorted(store.tags()) == ["m/v1", "m/v2", "m/v3"]
    assert artstore(path, "commit", str(tmp_path / "m"), "-m", "more").returncode == 0
    assert artstore(path, "list").returncode == 0


def test_the_older_pair_of_a_crash(path: Path) -> None:
    """Killed before the meta page was written: LMDB goes on from the version before, and refs.log is cut to it."""
    data = path / "index.lmdb" / "data.mdb"
    ended = subprocess.run(
        [sys.executable, "-m", "artstore", "--store", str(path), "tag", "m/x", "m/v1"],
        env={**os.environ, "ARTSTORE_CRASH_AT": "index.before_commit"},
        check=False,
    )
    assert ended.returncode < 0
    require_whole(str(data.parent))
    assert artstore(path, "tag", "m/y", "m/v1").returncode == 0
    with opened(path) as store:
        assert sorted(store.tags()) == ["m/v1", "m/v2", "m/v3", "m/y"]
    assert artstore(path, "check").returncode == 0


def test_flips(path: Path) -> None:
    """Bit rot in a meta page never ends a process, and never takes a version away unseen."""
    data = path / "index.lmdb" / "data.mdb"
    whole = data.read_bytes()
    outcomes: dict[int, int] = {}
    for at in (*range(META_BYTES), *range(PAGE, PAGE + META_BYTES)):
        data.write_bytes(whole)
        flip(data, at, 1 << at % 8)
        outcome = in_child(lambda: read_tags(path))
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        assert outcome in (RIGHT, REFUSED), f"byte {at}: {outcome}"
        data.write_bytes(whole)
    assert min(outcomes[RIGHT], outcomes[REFUSED]) > 20


def in_child(act: Callable[[], int]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            faulthandler.disable()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            status = act()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def read_tags(path: Path) -> int:
    try:
        with opened(path) as store:
            return RIGHT if sorted(store.tags()) == ["m/v1", "m/v2", "m/v3"] else LESS
    except ArtstoreError as error:
        return REFUSED if error.exit_code == 6 else error.exit_code


@pytest.mark.plain("its programs open the store without keys")
def test_a_writer_at_work(path: Path) -> None:
    """Opening a store while another process commits would call its index damaged now and then."""
    script = (
        "import sys\n"
        "from artstore.adapters.lmdb_index import LmdbIndex\n"
        "from artstore.format.ids import PLAIN\n"
        "index = LmdbIndex(sys.argv[1], PLAIN)\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    with index.write() as writer:\n"
        "        writer.put_journal('k', b'v')\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            until = time.monotonic() + 1.5
            looks = 0
            while time.monotonic() < until:
                require_whole(str(path / "index.lmdb"))
                looks += 1
            assert writer.poll() is None
        finally:
            writer.kill()
    assert looks > 100

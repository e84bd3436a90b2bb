"""The index between threads, processes and forks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artstore.adapters.disk.faultpoints import VARIABLE
from artstore.adapters.lmdb_index import LmdbIndex, environment
from artstore.format.ids import PLAIN
from artstore.format.reflog import LogRecord
from artstore.model import Digest, PackId, PackKind, TableEntry, Tag

# Forking beside threads is what is tried here; newer Pythons warn of it.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
ONE = Digest(b"\1" * 32)

WRITER = """
import sys
from artstore.adapters.lmdb_index import LmdbIndex
from artstore.format.ids import PLAIN
from artstore.model import PackId, PackKind, TableEntry, Tag
store, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
index = LmdbIndex(store, PLAIN)
for step in range(count):
    id = f"{who}{step}".encode().ljust(32)
    with index.write() as writer:
        entry = TableEntry(id, 0, 1, 2, 0, 0)
        writer.add_pack(id[:16], PackKind.DATA, size=9, created=1, table=[entry])
        writer.put_tag(Tag(f"{who}/v{step}", id, step))
    print(step, flush=True)
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LmdbIndex]:
    made = LmdbIndex(str(tmp_path), PLAIN)
    yield made
    made.close()


def child(work: Callable[[], None]) -> int:
    """Run something in a forked child; its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def start(store: Path, who: str, count: int, crash: str | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, **({VARIABLE: crash} if crash else {})}
    arguments = [sys.executable, "-c", WRITER, str(store), who, str(count)]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True)


def test_two_processes_write(tmp_path: Path, index: LmdbIndex) -> None:
    """Two commits at once would lose a pack, a ref, or the order of the log."""
    processes = [start(tmp_path, who, 30) for who in ("one", "two")]
    for step in range(10):
        with index.write() as writer:
            writer.put_tag(Tag(f"own/v{step}", ONE, step))
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    with index.read() as reader:
        assert len(list(reader.tags())) == reader.sequence == 70
        assert len({row.number for row in reader.packs()}) == 60
        assert None not in reader.find_many([tag.version for tag in reader.tags("one/")])
    records = list(index.log.records())
    assert [each.seq for each in records if isinstance(each, LogRecord)] == list(range(1, 71))
    assert len(records) == 70


@pytest.mark.parametrize("point", ["refslog.appended", "refslog.fsynced", "index.before_commit", "index.after_commit"])
def test_killed_around_the_commit(tmp_path: Path, index: LmdbIndex, point: str) -> None:
    """After a crash between log and index the refs would differ from what their log says [I3, I10]."""
    process = start(tmp_path, "one", 10, crash=f"{point}:3")
    reported = process.communicate(timeout=60)[0].split()
    assert process.returncode == -signal.SIGKILL
    with index.read() as reader:
        known = [tag.name for tag in reader.tags()]
    assert len(reported) == 2
    assert known in (["one/v0", "one/v1"], ["one/v0", "one/v1", "one/v2"])
    with index.write() as writer:
        writer.put_tag(Tag("next/v1", ONE, 1))
    records = list(index.log.records())
    assert all(isinstance(each, LogRecord) for each in records)
    assert len(records) == len(known) + 1
    with index.read() as reader:
        assert reader.sequence == len(known) + 1


def test_a_forked_child_reads_and_writes(index: LmdbIndex) -> None:
    """A PyTorch DataLoader's workers would read garbage, or damage the index for all."""
    with index.write() as writer:
        writer.put_tag(Tag("a/v1", ONE, 1))

    def work() -> None:
        with index.read() as reader:
            assert reader.tag("a/v1") is not None
        with index.write() as writer:
            writer.put_tag(Tag("a/v2", ONE, 2))
        assert child(grandchild) == 0

    def grandchild() -> None:
        with index.write() as writer:
            writer.put_tag(Tag("a/v3", ONE, 3))

    with index.read() as before:  # a snapshot that is open while the process forks
        assert child(work) == 0
        assert before.tag("a/v2") is None
    with index.read() as reader:
        assert [tag.name for tag in reader.tags()] == ["a/v1", "a/v2", "a/v3"]
    with index.write() as writer:
        writer.put_tag(Tag("a/v4", ONE, 4))


def test_a_fork_beside_a_writing_thread(index: LmdbIndex) -> None:
    """A data loader that starts while the same process commits would hang for ever."""
    stop = threading.Event()

    def write() -> None:
        step = 0
        while not stop.is_set():
            with index.write() as writer:
                writer.put_journal("step", str(step).encode())
            step += 1

    def work() -> None:
        with index.write() as writer:
            writer.put_journal(f"child{os.getpid()}", b"")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert [child(work) for _ in range(10)] == [0] * 10
    finally:
        stop.set()
        thread.join()
    with index.read() as reader:
        assert len(list(reader.journal_keys("child"))) == 10


def test_a_fork_beside_reading_threads(index: LmdbIndex) -> None:
    """A data loader that starts while the same process reads would hang for ever."""
    stop = threading.Event()
    ids = [Digest(number.to_bytes(32, "big")) for number in range(2000)]

    def read() -> None:
        while not stop.is_set():
            with index.read() as reader:
                reader.find_many(ids)

    def work() -> None:
        with index.read() as reader:
            assert reader.find(ids[0]) is None

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert [child(work) for _ in range(20)] == [0] * 20
    finally:
        stop.set()
        for thread in threads:
            thread.join()


FORKING = """
import os, sys
from artstore.adapters.lmdb_index import LmdbIndex, environment
from artstore.format.ids import PLAIN
index = LmdbIndex(sys.argv[1], PLAIN)

def readers():
    opened = environment.acquire(sys.argv[1] + "/index.lmdb", shared=False, create=False)
    lines = opened.env.readers().splitlines()
    environment.release(opened)
    return sum(str(os.getpid()) in line and not line.endswith(" -") for line in lines)

parent = os.getpid()
with index.read() as reader:
    if os.fork() == 0:
        with index.read() as own:  # opens its own environment
            pass
        sys.exit(0)  # through the parent's snapshot, and the end of the interpreter
    os.wait()
    print("held", readers())
    if os.fork() == 0:
        index.close()
        sys.exit(0)
    os.wait()
    print("held", readers())
"""


def test_a_child_leaves_its_parent_s_snapshot_alone(tmp_path: Path, index: LmdbIndex) -> None:
    """Pages that a checkout is reading would be written over, once a worker it forked has ended."""
    ended = subprocess.run(
        [sys.executable, "-c", FORKING, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.stdout == "held 1\nheld 1\n", ended.stderr


def test_a_child_does_not_commit_for_its_parent(index: LmdbIndex) -> None:
    """A forked worker would commit half of what its parent is about to write, or free the lock on it."""

    def work() -> None:
        with pytest.raises(AssertionError):
            leave.__exit__(None, None, None)

    leave = index.write()
    writer = leave.__enter__()
    writer.put_journal("x", b"parent")
    assert child(work) == 0
    leave.__exit__(None, None, None)
    with index.read() as reader:
        assert reader.journal("x") == b"parent"


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path, index: LmdbIndex) -> None:
    """A mount or a checkout would stop while a collection runs."""
    script = """
import sys
from artstore.adapters.lmdb_index import LmdbIndex
from artstore.format.ids import PLAIN
index = LmdbIndex(sys.argv[1], PLAIN)
for line in sys.stdin:
    with index.read() as reader:
        print(reader.sequence, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def asked() -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("read\n")
        process.stdin.flush()
        return process.stdout.readline()

    with process:
        assert asked() == "0\n"
        with index.write() as writer:
            writer.put_tag(Tag("a/v1", ONE, 1))
            assert asked() == "0\n"
        assert asked() == "1\n"
        process.stdin.close()


def test_one_environment_for_each_path(tmp_path: Path, index: LmdbIndex) -> None:
    """Two `Store` objects of one process on one folder would break each other's locks."""
    again = LmdbIndex(str(tmp_path) + "/../" + tmp_path.name, PLAIN)
    with index.write() as writer:
        writer.put_tag(Tag("a/v1", ONE, 1))
    again.close()
    again.close()
    with index.read() as reader:
        assert reader.tag("a/v1") is not None


def test_a_store_that_was_made_again_at_its_place(tmp_path: Path) -> None:
    """A test suite, or a user who starts afresh, would see the store that was deleted."""
    old = LmdbIndex(str(tmp_path), PLAIN)
    with old.write() as writer:
        writer.put_tag(Tag("a/v1", ONE, 1))
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    new = LmdbIndex(str(tmp_path), PLAIN)
    with new.read() as reader:
        assert reader.tag("a/v1") is None
    new.close()
    old.close()


def test_a_process_that_died_leaves_no_reader(tmp_path: Path, index: LmdbIndex) -> None:
    """After a thousand killed processes nobody could open the store."""
    script = (
        "import os, signal, sys; from artstore.adapters.lmdb_index import LmdbIndex\n"
        "from artstore.format.ids import PLAIN\n"
        "with LmdbIndex(sys.argv[1], PLAIN).read() as reader: reader.sequence; os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=30)
    index.close()
    opened = environment.acquire(str(tmp_path / "index.lmdb"), shared=False, create=False)
    assert "(no active readers)" in opened.env.readers()
    environment.release(opened)


def test_the_index_of_a_shared_store_is_open_to_its_group(tmp_path: Path) -> None:
    """The second user of a shared store could not even read it, since reading takes a lock."""
    umask = os.umask(0o077)
    try:
        index = LmdbIndex(str(tmp_path), PLAIN, shared=True)
        with index.write() as writer:
            entry = TableEntry(ONE, 0, 1, 2, 0, 0)
            writer.add_pack(PackId(b"p" * 16), PackKind.DATA, size=9, created=1, table=[entry])
        index.close()
    finally:
        os.umask(umask)
    modes = {path.name: path.stat().st_mode & 0o7777 for path in tmp_path.rglob("*")}
    assert modes == {"index.lmdb": 0o2770, "data.mdb": 0o660, "lock.mdb": 0o660, "refs.log": 0o660}

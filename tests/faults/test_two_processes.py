"""Several processes on one store at once: commits, readers, collection, and children that were forked off."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest

import artstore
from artstore.adapters.sessions import FileSessions
from artstore.testing.local_store import create, files_of, opened

SMALL_PACKS = """
from artstore import limits
limits.PACK_BYTES_TARGET, limits.METAPACK_BYTES_TARGET = 200_000, 4_000
"""
# Commits FOLDER as ARTIFACT once for each line it is given, and answers with the tag.
COMMITTER = f"""
import sys
import artstore
{SMALL_PACKS}
with artstore.Store.open(sys.argv[1]) as store:
    for line in sys.stdin:
        print(store.commit(sys.argv[2], artifact=sys.argv[3]).tag, flush=True)
"""
# Makes COUNT versions of what it writes into FOLDER, going back to earlier contents now and then.
WRITER = f"""
import random, sys
from pathlib import Path
import artstore
{SMALL_PACKS}
folder = Path(sys.argv[2])
with artstore.Store.open(sys.argv[1]) as store:
    for step in range(int(sys.argv[4])):
        for number in range(8):
            data = random.Random(f"{{number}} {{random.Random(step).randrange(4)}}").randbytes(30_000)
            (folder / str(number)).write_bytes(data)
        made = store.commit(folder, artifact=sys.argv[3])
        for number in range(8):
            with store.open(made.version, str(number)) as file:
                assert file.read() == (folder / str(number)).read_bytes()
        print(made.tag, flush=True)
"""
# Reads every version, again and again, until it is given a line; answers with the number of files it has read.
READER = """
import sys, threading
import artstore
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
files = 0
with artstore.Store.open(sys.argv[1]) as store:
    print("ready", flush=True)
    while not stop.is_set():
        for tag in store.tags():
            try:
                for path, entry in store.walk(tag.name):
                    with store.open(tag.name, path) as file:
                        assert len(file.read()) == entry.size
                    files += 1
            except artstore.ArtstoreError:
                assert tag not in store.tags(), "a version that has a name can't be read"
print(files)
"""


@contextmanager
def started(script: str, *arguments: str | Path) -> Generator[subprocess.Popen[str]]:
    """A process of its own, which has to end well when the context ends."""
    words = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        out, _ = process.communicate(timeout=100)
        assert process.returncode == 0, out


def fill(folder: Path, seed: int) -> None:
    """Files, half of which are the same for every seed."""
    folder.mkdir(exist_ok=True)
    for number in range(20):
        rng = random.Random(number if number % 2 else seed * 100 + number)
        (folder / f"f{number}").write_bytes(rng.randbytes(20_000))


def assert_sound(path: Path) -> None:
    """Everything is there as it was stored, and nothing is left over."""
    with artstore.Store.open(path) as store:
        report = store.check(data=True)
    assert report.is_sound, report.problems
    assert not FileSessions(str(path)).running()
    assert not list((path / "tmp").iterdir())


def ask(process: subprocess.Popen[str]) -> None:
    """Give a process its line."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> str:
    """A line of its output."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_commits_of_one_folder_at_once(tmp_path: Path) -> None:
    """A cron job that starts twice would give one name to two versions, or lose one of them."""
    path, folder = tmp_path / "store", tmp_path / "folder"
    create(path)
    told: dict[str, dict[bytes, bytes]] = {}
    with ExitStack() as stack:
        processes = [stack.enter_context(started(COMMITTER, path, folder, "m")) for _ in range(3)]
        for step in range(8):
            fill(folder, step)
            for process in processes:
                ask(process)
            told |= dict.fromkeys([answer(process) for process in processes], files_of(folder))
    with opened(path) as store:
        tags = store.tags()
        assert tags.keys() == told.keys()
        assert {name: store.content(version) for name, version in tags.items()} == told
    assert_sound(path)


def test_commits_of_different_folders_at_once(tmp_path: Path) -> None:
    """Runs that end together, with half of their data in common, would lose what the other one had just stored."""
    path = tmp_path / "store"
    create(path)
    with ExitStack() as stack:
        processes: list[subprocess.Popen[str]] = []
        for name in ("a", "b", "c"):
            fill(tmp_path / name, 0)
            processes.append(stack.enter_context(started(COMMITTER, path, tmp_path / name, name)))
        for step in range(1, 7):
            for number, name in enumerate(("a", "b", "c")):
                fill(tmp_path / name, step * 3 + number)
            for process in processes:
                ask(process)
            assert [answer(process) for process in processes] == [f"{name}/v{step}" for name in ("a", "b", "c")]
    with opened(path) as store:
        tags = store.tags()
        assert len(tags) == 18
        for name in ("a", "b", "c"):
            assert store.content(tags[f"{name}/v6"]) == files_of(tmp_path / name)
    assert_sound(path)


def test_readers_commits_and_collection_at_once(tmp_path: Path) -> None:
    """A reader would meet a version that is not whole yet, or a collection take what a commit was about to use."""
    path = tmp_path / "store"
    create(path)
    with ExitStack() as stack:
        reader = stack.enter_context(started(READER, path))
        assert answer(reader) == "ready"
        writers: list[subprocess.Popen[str]] = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            writers.append(stack.enter_context(started(WRITER, path, tmp_path / name, name, "25")))
        freed = collect_until_ended(path, writers)
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.read().split()
        ask(reader)
        assert int(answer(reader)) > 0
    assert freed, "the collection never had anything to do"
    assert_sound(path)


def collect_until_ended(path: Path, writers: list[subprocess.Popen[str]]) -> int:
    """Remove all tags but the newest, and collect, while the writers run; how many versions went."""
    touched = 0
    with artstore.Store.open(path) as store:
        for turn in count():
            if all(writer.poll() is not None for writer in writers):
                return touched
            for artifact in ("a", "b"):
                tags = sorted(store.tags(f"{artifact}/"), key=lambda tag: tag.created)
                for tag in tags[:-1]:  # the newest one is what its writer reads right now
                    store.remove(tag.name)
            touched += collect(store, now=turn % 2 == 0)
    raise AssertionError


def collect(store: artstore.Store, *, now: bool) -> int:
    """One collection; busy is a right answer, and so is that the plan is out of date."""
    try:
        done = store.gc(store.gc_plan(now=now), now=now)
    except (artstore.Busy, artstore.Conflict):
        return 0
    return len(done.versions)


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


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # that is what is tried here
def test_forked_children_read_and_commit(tmp_path: Path) -> None:
    """Workers of a data loader would hang in a lock, or read what the parent's descriptor stands at."""
    path, folder = tmp_path / "store", tmp_path / "folder"
    create(path)
    fill(folder, 1)
    stop = threading.Event()
    with opened(path) as store:
        store.commit(folder)
        version, files = store.tags()["m/v1"], files_of(folder)
        failures: list[bool] = []

        def read() -> None:
            while not stop.is_set():
                failures.extend([True] * (store.content(version) != files))

        def work() -> None:
            own = tmp_path / str(os.getpid())
            fill(own, os.getpid())
            for _ in range(3):
                assert store.content(version) == files
            made = store.commit(own, "child").version
            assert made is not None
            assert store.content(made) == files_of(own)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            assert [child(work) for _ in range(8)] == [0] * 8
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not failures
        assert len(store.tags()) == 9
        assert store.commit(folder).unchanged
    assert_sound(path)


def test_a_child_forked_within_a_commit_leaves_it_alone(tmp_path: Path) -> None:
    """A process that forks while it commits would end its own session, and collection take the commit's packs."""
    path, folder = tmp_path / "store", tmp_path / "folder"
    create(path)
    fill(folder, 1)
    with opened(path) as store, store.context.sessions.begin() as session:

        def work() -> None:
            session.close()
            assert [id for id, _ in store.context.sessions.running()] == [session.id]
            store.commit(folder)

        assert child(work) == 0
        assert [id for id, _ in store.context.sessions.running()] == [session.id]
        assert store.context.sessions.clean() == 0
        assert store.content(store.tags()["m/v1"]) == files_of(folder)


def read_all(store: artstore.Store) -> list[bytes]:
    """Every file of the version."""
    found: list[bytes] = []
    for path, _ in store.walk("folder/v1"):
        with store.open("folder/v1", path) as file:
            found.append(file.read())
    return found


UNPICKLED = """
import pickle, sys
store = pickle.load(open(sys.argv[1], "rb"))
with store.open("folder/v1", "f3") as file:
    sys.stdout.write(file.read().hex())
"""


def test_a_store_goes_to_other_processes(tmp_path: Path) -> None:
    """`DataLoader(num_workers=2)` with a dataset that holds a `Store` would fail to pickle, or hang."""
    folder = tmp_path / "folder"
    fill(folder, 1)
    with artstore.Store.init(tmp_path / "store") as store:
        store.commit(folder)
        expected = [data for _, data in sorted(files_of(folder).items())]
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(read_all, [store] * 4, chunksize=1) == [expected] * 4
        with pickle.loads(pickle.dumps(store)) as again:
            assert read_all(again) == expected
        (tmp_path / "pickled").write_bytes(pickle.dumps(store))
        words = [sys.executable, "-c", UNPICKLED, str(tmp_path / "pickled")]
        shown = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
        assert bytes.fromhex(shown) == (folder / "f3").read_bytes()
        assert read_all(store) == expected

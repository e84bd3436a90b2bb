"""Sessions as locked files: processes that die, clean-up that races, children that live on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from artstore.adapters.sessions import SESSION_ID_BYTES, FileSessions

# Forking beside threads is what is tried here; newer Pythons warn of it.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
HOLDER = """
import sys
from artstore.adapters.packs import FilePacks
from artstore.adapters.sessions import FileSessions
session = FileSessions(sys.argv[1]).begin()
sink = FilePacks(sys.argv[1]).create(session.next_pack_id())
sink.append([b"abc"])
print(session.id.hex(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name in ("packs", "tmp", "sessions"):
        (tmp_path / name).mkdir()
    return tmp_path


def holder(store: Path) -> tuple[subprocess.Popen[str], bytes]:
    """A process with a running session and a pack that it writes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, bytes.fromhex(process.stdout.readline())


def test_a_killed_writer_is_cleaned_up_after(store: Path) -> None:
    """The temporary pack of a killed commit would take its space for ever; that of a running one be deleted."""
    sessions = FileSessions(str(store))
    process, id = holder(store)
    with process:
        assert [found for found, _ in sessions.running()] == [id]
        assert sessions.clean() == 0
        assert len(os.listdir(store / "tmp")) == 1
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert sessions.running() == []
    assert sessions.clean() == 2
    assert os.listdir(store / "tmp") == os.listdir(store / "sessions") == []
    assert sessions.clean() == 0


def test_clean_up_touches_nothing_else(store: Path) -> None:
    """`gc` would delete files that are none of its business."""
    for name in ("notes.txt", "x.pack", "stdin-spool"):
        (store / "tmp" / name).write_bytes(b"")
        (store / "sessions" / name).write_bytes(b"")
    assert FileSessions(str(store)).clean() == 0
    assert FileSessions(str(store)).running() == []
    assert len(os.listdir(store / "tmp")) == len(os.listdir(store / "sessions")) == 3


def test_a_session_ends_with_its_process_not_with_its_children(store: Path) -> None:
    """A data loader's worker that outlives a killed commit would keep collection waiting."""
    sessions = FileSessions(str(store))
    release, hold = os.pipe()
    parent = os.fork()
    if parent == 0:
        session = sessions.begin()
        if os.fork() == 0:
            os.close(hold)
            os.read(release, 1)  # until the test closes its end
        os._exit(len(session.id) - SESSION_ID_BYTES)
    os.close(release)
    os.waitpid(parent, 0)
    try:
        # The child lets go before it does anything else, but it may not have run yet.
        while sessions.running():
            os.sched_yield()
        assert sessions.clean() == 1
    finally:
        os.close(hold)


def test_a_child_does_not_end_its_parent_s_session(store: Path) -> None:
    """A forked worker that exits would open the parent's packs to collection."""
    sessions = FileSessions(str(store))
    with sessions.begin() as session:
        pid = os.fork()
        if pid == 0:
            session.close()
            os._exit(0)
        os.waitpid(pid, 0)
        assert [id for id, _ in sessions.running()] == [session.id]
        assert sessions.clean() == 0


def test_sessions_begin_while_others_clean_up(store: Path) -> None:
    """A clean-up between a session's open and its lock would leave it running unseen."""
    sessions = FileSessions(str(store))
    stop = threading.Event()

    def clean() -> None:
        while not stop.is_set():
            sessions.clean()

    thread = threading.Thread(target=clean)
    thread.start()
    try:
        for _ in range(300):
            with sessions.begin() as session:
                assert session.id in {id for id, _ in FileSessions(str(store)).running()}
    finally:
        stop.set()
        thread.join()
    assert os.listdir(store / "sessions") == []


def test_what_a_killed_write_left_goes_after_a_day(store: Path) -> None:
    """Every killed `artstore config` or rebuilding would leave a file for ever, or lose a running one."""
    names = ["config.toml.0123456789abcdef.tmp", "tmp/index-0123456789abcdef", "config.toml", "tmp/index-mine"]
    for name in names:
        if name.startswith("tmp"):
            (store / name).mkdir()
            (store / name / "data.mdb").write_bytes(b"x")
        else:
            (store / name).write_bytes(b"x")
    sessions = FileSessions(str(store))
    assert sessions.clean() == 0
    for name in names:
        os.utime(store / name, (1_600_000_000, 1_600_000_000))
    assert sessions.clean() == 1  # the index is still written
    os.utime(store / "tmp/index-0123456789abcdef/data.mdb", (1_600_000_000, 1_600_000_000))
    assert sessions.clean() == 1
    assert [name for name in names if (store / name).exists()] == names[2:]

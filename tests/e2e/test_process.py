"""The command as a process: signals, pipes, terminals, what it prints when something is broken."""

from __future__ import annotations

import base64
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artstore.cli import main

if TYPE_CHECKING:
    from tests.e2e.conftest import Run

ARTSTORE = [sys.executable, "-m", "artstore"]
PATIENCE_S = 60


def wait_for_packs(store: Path) -> None:
    """Until a commit is writing."""
    deadline = time.monotonic() + PATIENCE_S
    while not list(store.glob("tmp/*.pack")):
        assert time.monotonic() < deadline, "the commit writes nothing"
        time.sleep(0.005)


@pytest.fixture
def big(home: Path) -> Path:
    """A folder that takes a while, since its data compresses, and slowly: enough to be interrupted in."""
    folder = home / "work" / "big"
    folder.mkdir()
    for number in range(24):
        (folder / f"{number:02}.bin").write_bytes(base64.b64encode(os.urandom(12 << 20)))
    return folder


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_commit_leaves_a_sound_store(
    run: Run, model: Path, big: Path, home: Path, sent: signal.Signals, code: int
) -> None:
    """Ctrl-C is how people stop things; what was there before must be, and nothing else."""
    run("commit", model)
    store = home / "xdg" / "data" / "artstore"
    process = subprocess.Popen([*ARTSTORE, "commit", "big"], stderr=subprocess.PIPE)
    wait_for_packs(store)
    process.send_signal(sent)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, err.decode()
    assert b"Traceback" not in err
    assert run("list", "-q").lines == ["llama/v1"]
    assert not list(store.glob("tmp/*.pack"))
    assert not list(store.glob("sessions/*"))
    run("check", "--data")


def test_a_closed_pipe_is_silent(run: Run, two_versions: Path) -> None:
    """`artstore ls … | head` must not end in an error message."""
    for arguments in ("cat llama:model.safetensors", "ls -R llama"):
        command = f"{sys.executable} -m artstore {arguments} | true; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
        assert done.stderr == b""
        assert done.returncode in (0, 141)
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"{sys.executable} -m artstore cat llama:model.safetensors | head -c 10; exit ${{PIPESTATUS[0]}}",
        ],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr, len(done.stdout)) == (141, b"", 10)


def test_help_loads_nothing_heavy(home: Path) -> None:
    """`artstore --help` and completion answer at once only while the engine stays out of them."""
    heavy = ("msgspec", "lmdb", "blake3", "zstandard", "rich", "numpy", "artstore.store", "artstore.wiring")
    code = f"""
import sys, contextlib, io
from artstore.cli import main
assert main(["--help"]) == 0
print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "Make versions" in done.stdout


def test_a_bug_is_one_line_and_a_file(run: Run, model: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who meets a bug gets something to report, not a screenful."""
    from artstore import Store

    def broken(self: Store) -> None:
        raise KeyError("oops")

    run("commit", model)
    monkeypatch.setattr(Store, "status", broken)
    answer = run("status", code=70)
    assert answer.err.count("\n") == 1
    assert "this is a bug: KeyError: 'oops'" in answer.err
    report = next((home / "xdg" / "state" / "artstore").glob("bug-*.txt"))
    assert str(report) in answer.err
    assert "Traceback" in report.read_text()
    assert json.loads(run("status", "--json", code=70).err)["error"]["code"] == "bug"


def test_errors_are_json_when_asked(run: Run, home: Path) -> None:
    """A script learns what went wrong without parsing prose."""
    error = json.loads(run("log", "x", "--store", home / "none", "--json", code=3).err)["error"]
    assert error["code"] == "not_found"
    assert "artstore init" in error["hint"]
    assert json.loads(run("--json", "nonsense", code=2).err)["error"]["code"] == "usage"


def test_a_named_store_must_be_there_and_the_default_one_appears(run: Run, model: Path, home: Path) -> None:
    """A typo in --store must not make a second, empty store."""
    run("commit", model, "--store", home / "typo", code=3)
    assert not (home / "typo").exists()
    assert "artstore commit DIR" in run("list", code=3).err
    run("init", home / "mine")
    run("commit", model, "--store", home / "mine")
    assert run("--store", home / "mine", "list", "-q").lines == ["llama/v1"]
    assert not (home / "xdg" / "data" / "artstore").exists()
    run("init", home / "mine", code=5)


def test_the_environment_names_the_default_store(
    run: Run, model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$ARTSTORE_HOME on a disk that isn't mounted must not fill the root disk."""
    monkeypatch.setenv("ARTSTORE_HOME", str(home / "disk" / "store"))
    assert "mounted" in run("commit", model, code=3).err
    (home / "disk").mkdir()
    run("commit", model)
    assert (home / "disk" / "store" / "config.toml").is_file()


def test_remarks_on_a_terminal_and_data_beside_it(run: Run, model: Path) -> None:
    """A person sees what to do next; the data on stdout stays clean; NO_COLOR is honoured."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "100"}
    process = subprocess.Popen([*ARTSTORE, "commit", "llama"], stdout=subprocess.PIPE, stderr=terminal, env=environment)
    os.close(terminal)
    seen = b""
    while True:
        try:
            block = os.read(controller, 4096)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        seen += block
    os.close(controller)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert out.decode().startswith("llama/v1 ")
    assert b"next: artstore alias set" in seen
    assert b"\x1b[3" not in seen


def test_colour_is_for_terminals_and_for_who_asks(run: Run, two_versions: Path) -> None:
    """Escape codes in a pipe break the next program."""
    assert "\x1b" not in run("diff", "llama").out
    assert "\x1b[32m" in run("diff", "llama", "--color").out
    assert "\x1b" not in run("--no-color", "diff", "llama").out


def test_names_cannot_drive_the_terminal(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file name with escape codes must not repaint the screen of who lists it; a pipe gets the bytes."""
    folder = home / "work" / "evil"
    folder.mkdir()
    (folder / "a\x1b[2Jb").write_text("")
    run("commit", folder)
    assert "\x1b[2J" in run("ls", "evil").out
    monkeypatch.setattr("artstore.cli.output.is_terminal", bool)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "a\\x1b[2Jb" in run("ls", "evil").out


def test_main_answers_in_a_thread(run: Run, model: Path) -> None:
    """Programs that embed the command may call it from anywhere; signals are then left alone."""
    import threading

    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["commit", str(model), "-q"])))
    thread.start()
    thread.join()
    assert codes == [0]

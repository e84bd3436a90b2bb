"""How much memory commits, listings and checkouts need: it must not grow with the data.

What counts is anonymous memory, sampled while a process works: pages of mapped files (the index) the system takes back.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from artstore import limits

MEMORY_BYTES_MAX = 400 * limits.MIB
SAMPLE_S = 0.02
FILES = 200_000
FILE_BYTES = 3 * limits.GIB
NEEDED_BYTES = 4 * FILE_BYTES  # the file, its packs, what is checked out, and room

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def peak_of(*words: str | Path) -> int:
    """Run a command to its end; the most anonymous memory it was seen to have."""
    peak = 0
    ended = threading.Event()
    arguments = [sys.executable, "-m", "artstore", *map(str, words)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
            ended.wait(SAMPLE_S)
    assert process.returncode == 0
    assert peak, "the process ended before it could be looked at"
    return peak


def anonymous_bytes(pid: int) -> int:
    """RssAnon of a process; 0 once it has ended."""
    found = re.search(r"^RssAnon:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def assert_little_memory(store: Path, *words: str | Path) -> None:
    """The command stays below the bound."""
    peak = peak_of("--store", store, *words)
    print(f"{words[0]}: {peak / limits.MIB:.0f} MiB")
    assert peak < MEMORY_BYTES_MAX, words


def test_a_directory_of_many_files(tmp_path: Path) -> None:
    """A dataset of a million small files would need more memory than a notebook's machine has."""
    folder, store, out = tmp_path / "folder", tmp_path / "store", tmp_path / "out"
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for number in range(FILES):
        file = os.open(f"{number * 7919 % FILES:08}.txt", os.O_WRONLY | os.O_CREAT, dir_fd=here)
        os.write(file, b"%d" % number)
        os.close(file)
    os.close(here)
    assert_little_memory(store, "init")
    assert_little_memory(store, "commit", folder)
    assert_little_memory(store, "commit", folder)
    (folder / "one more").write_bytes(b"x")
    assert_little_memory(store, "commit", folder)
    assert_little_memory(store, "ls", "-R", "folder")
    assert_little_memory(store, "diff", "folder/v1", "folder/v2")
    assert_little_memory(store, "diff", "folder/v1", folder)
    assert_little_memory(store, "checkout", "folder/v2", out)
    assert len(os.listdir(out)) == FILES + 1
    assert_little_memory(store, "checkout", "folder/v2", out)
    assert_little_memory(store, "check", "--data")
    assert_little_memory(store, "rm", "folder/v1", "--yes")
    assert_little_memory(store, "gc", "--yes", "--now")


def test_a_file_greater_than_memory_allows(tmp_path: Path) -> None:
    """A checkpoint of 30 GB would be killed by the system, for lack of memory, half way through its commit."""
    if os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize < NEEDED_BYTES:
        pytest.skip(f"needs {NEEDED_BYTES // limits.GIB} GiB of disk")
    folder, store, out = tmp_path / "folder", tmp_path / "store", tmp_path / "out"
    folder.mkdir()
    with (folder / "f").open("wb") as file:
        for _ in range(FILE_BYTES // limits.MIB):
            file.write(os.urandom(limits.MIB))
    assert_little_memory(store, "init")
    assert_little_memory(store, "commit", folder)
    assert_little_memory(store, "cat", "folder:f")
    assert_little_memory(store, "checkout", "folder", out)
    subprocess.run(["cmp", folder / "f", out / "f"], check=True)
    assert_little_memory(store, "checkout", "folder", out)
    (out / "f").unlink()
    assert_little_memory(store, "check", "--data")
    with (folder / "f").open("r+b") as file:
        file.write(b"changed")
    assert_little_memory(store, "commit", folder)
    assert_little_memory(store, "diff", "folder/v1", "folder/v2")
    for path in [folder / "f", *(store / "packs").rglob("*.pack")]:
        path.unlink()

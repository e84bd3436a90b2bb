"""`artstore bench mount` at a tiny scale: real mounts of artstore and of the tools of this machine."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

import artstore
import artstore_bench
import artstore_fuse
from artstore_bench import main
from artstore_bench.command import Command, Toolbox
from artstore_bench.corpus import ensure
from artstore_bench.method import ToolFailed
from artstore_bench.mounts.processes import MemoryWatch, family, used
from artstore_bench.mounts.reader import (
    ACCESSES,
    PAGE_BYTES,
    SLOT_BYTES,
    STRETCH_BYTES,
    Answer,
    Job,
    Step,
    find_memory,
    perform,
)
from artstore_bench.mounts.server import is_mounted, serving
from artstore_bench.mounts.session import MountSession
from artstore_bench.peers import SUBJECT, mountables
from artstore_bench.questions.mount import GROUPS
from artstore_bench.results import Document

SCALE = 0.001
ALL_QUESTIONS = {step.name for group in GROUPS for step in group.steps if not step.name.startswith("_")} | {
    "ready",
    "million",
}


def quiet(_: str) -> None:
    """Progress is of no interest here."""


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    """A work folder whose `artstore` is the one under test, wherever it is installed."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("NOTHING OF THE MOUNT WAS TESTED: this kernel has no FUSE")
    packages = (artstore, artstore_bench, artstore_fuse)
    roots = ":".join(str(Path(str(package.__file__)).parents[1]) for package in packages)
    program = tmp_path / "work" / "tools" / "bin" / SUBJECT
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{roots}" exec "{sys.executable}" -P -m artstore "$@"\n')
    program.chmod(0o755)
    return tmp_path / "work"


@pytest.mark.long
def test_all_questions_are_answered_through_a_real_mount(workdir: Path) -> None:
    """The figures that are published: none may be missing, none of something else, and nothing may stay mounted."""
    options = ["mount", "--peers", "plain", "--scale", str(SCALE), "--repeat", "1"]
    assert main([*options, "--workdir", str(workdir), "--out", str(workdir / "out")]) == 0
    document = msgspec.json.decode((workdir / "out" / "results.json").read_bytes(), type=Document)
    assert document.failures == []
    ours = {row.question: row for row in document.summary if row.tool == SUBJECT}
    assert ours.keys() == ALL_QUESTIONS
    theirs = {row.question for row in document.summary if row.tool == "plain"}
    assert ours.keys() - theirs == {"ready", "memory", "million"}
    read = {run.question: run.input_bytes for run in document.runs if run.tool == SUBJECT}
    assert read["cold"] == read["second"] == read["narrow"] == read["pair"] == read["mapped"] == 4 << 20
    assert read["raw"] == 2 << 20
    first, second = ours["cold"], ours["second"]
    assert first.requests
    assert second.requests == 0
    for question in ("random", "hit", "small"):
        assert 0 < (ours[question].p50_s or 0) <= (ours[question].p99_s or 0)
    for row in ours.values():
        assert row.rss_bytes > 0
    assert 0 < (ours["memory"].rss_anonymous_bytes or 0) <= ours["memory"].rss_bytes
    assert not (workdir / "run" / "mount").exists()
    assert os.fsencode(workdir) not in Path("/proc/self/mountinfo").read_bytes()
    text = (workdir / "out" / "results.md").read_text()
    assert "## Mount: speed" in text
    assert "## Mount: the server's CPU time" in text
    assert (workdir / "out" / "chart-mount.png").exists()


def test_each_mount_found_here_shows_what_was_stored(workdir: Path) -> None:
    """An adapter that mounts another folder, or the wrong way, would publish figures of something else."""
    toolbox = Toolbox(workdir)
    corpus = ensure("mount", folder=workdir / "corpora", scale=SCALE, tell=quiet)
    found = [tool for tool in mountables(toolbox).values() if tool.mount_version() is not None]
    assert {SUBJECT, "plain"} <= {tool.name for tool in found}
    for tool in found:
        # Every byte is compared, and ToolFailed raised if one is wrong.
        session = MountSession(tool, corpus, toolbox, workdir / "run" / tool.name)
        session.begin()
        assert not is_mounted(session.point)


def test_a_server_that_ends_is_a_failure_with_its_words(tmp_path: Path) -> None:
    """A tool that can't mount must be named with its reason, and not waited for."""
    command = Command(("sh", "-c", "echo no such archive >&2; exit 3"))
    point, log = tmp_path / "mount", tmp_path / "log"
    with (
        pytest.raises(ToolFailed, match="code 3: no such archive"),
        serving(command, point, point, toolbox=Toolbox(tmp_path), log=log),
    ):
        raise AssertionError("nothing was mounted")


def test_one_failing_mount_stops_no_other_one(workdir: Path) -> None:
    """One bad release of one peer must not cost the figures of all, and must not go unnoticed."""
    broken = workdir / "tools" / "bin" / "restic"
    broken.write_text('#!/bin/sh\n[ "$1" = version ] && echo restic 0 && exit 0\necho out of luck\nexit 3\n')
    broken.chmod(0o755)
    (workdir / "tools" / "bin" / SUBJECT).write_text("#!/bin/sh\nexit 1\n")
    options = ["mount", "--peers", "restic,plain", "--scale", str(SCALE), "--repeat", "1", "--workdir", str(workdir)]
    assert main([*options, "--out", str(workdir / "out")]) == 0
    document = msgspec.json.decode((workdir / "out" / "results.json").read_bytes(), type=Document)
    assert document.missing == [f"{SUBJECT} (mount)"]
    (failure,) = document.failures
    assert (failure.tool, "out of luck" in failure.message) == ("restic", True)
    assert {run.tool for run in document.runs} == {"plain"}


def job(*, limit_s: float = 60.0) -> Job:
    """Reading of real files, of which no server tells."""
    return Job(steps=[], pids=[], status=None, is_mount=False, limit_s=limit_s)


def do(access: str, paths: Sequence[Path], given: Job | None = None) -> Answer:
    """One access to these paths."""
    return perform(Step(access, access, tuple(map(str, paths))), given or job())


@pytest.fixture
def two_files(tmp_path: Path) -> list[Path]:
    """Three MiB and a bit, and one MiB."""
    paths = [tmp_path / "first", tmp_path / "second"]
    for path, size in zip(paths, ((3 << 20) + 12_345, 1 << 20), strict=True):
        path.write_bytes(random.Random(size).randbytes(size))
    return paths


@pytest.mark.parametrize("access", ["sequential", "pair"])
def test_every_byte_is_read_once(access: str, two_files: list[Path]) -> None:
    """A reader that stops early, or reads twice, would make up a speed."""
    answer = do(access, two_files)
    assert answer.bytes == (4 << 20) + 12_345
    assert answer.operations == 5
    assert answer.wall_s > 0


def test_a_sweep_through_memory_touches_all_words(two_files: list[Path]) -> None:
    """The same for what is mapped; what is left over after whole words is nobody's."""
    assert do("mapped", two_files).bytes == ((4 << 20) + 12_345) // 8 * 8


def test_random_misses_lie_apart(two_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pages of one chunk would count a hit as a miss."""
    places: list[int] = []
    read = os.preadv

    def noted(file: int, buffers: Sequence[bytearray], place: int) -> int:
        places.append(place)
        return read(file, buffers, place)

    monkeypatch.setattr(os, "preadv", noted)
    answer = do("scattered", two_files[:1])
    assert answer.operations == len(places) == 12
    assert answer.bytes == 12 * PAGE_BYTES
    assert sorted(place // STRETCH_BYTES for place in places) == list(range(12))
    assert places != sorted(places)
    assert answer.p50_s is not None
    assert answer.p99_s is not None
    assert answer.p50_s <= answer.p99_s
    places.clear()
    do("once", two_files[:1])
    before = list(places)
    places.clear()
    do("once_more", two_files[:1])
    assert not set(before) & set(places)
    assert {place // SLOT_BYTES for place in before} == {place // SLOT_BYTES for place in places}


def test_a_slow_mount_is_read_in_part(two_files: list[Path]) -> None:
    """A mount a hundred times slower must not take a hundred times as long; its speed is that of the part."""
    answer = do("sequential", two_files, job(limit_s=0.0))
    assert answer.bytes < 4 << 20


def test_folders_are_listed_and_looked_at(tmp_path: Path) -> None:
    """An operation is a file; else the figures per second would be of something else."""
    for number in range(20):
        (tmp_path / f"f{number}").write_bytes(b"x" * number)
    assert do("listed", [tmp_path]).operations == 20
    assert do("looked_at", [tmp_path]).operations == 20
    opened = do("opened", [tmp_path])
    assert (opened.operations, opened.bytes) == (20, sum(range(20)))
    assert do("listed_long", [tmp_path]).operations == 1


def test_memory_is_found_and_given_back() -> None:
    """The reader must not keep what the page cache is to be filled with, nor want more than there is."""
    before = MemoryWatch([os.getpid()])
    with before:
        pass
    find_memory(64 << 20)
    with MemoryWatch([os.getpid()]) as after:
        pass
    assert after.anonymous_bytes < before.anonymous_bytes + (32 << 20)
    assert after.peak_bytes >= before.anonymous_bytes + (32 << 20)


def test_every_step_names_an_access() -> None:
    """A misspelt one would fail after an hour."""
    assert {step.access for group in GROUPS for step in group.steps} == set(ACCESSES)


def test_a_servers_children_count_with_it() -> None:
    """A server that works in another process than the one that was started would seem to cost and hold nothing."""
    incoming, outgoing = os.pipe()
    child = os.fork()
    if not child:
        held = bytearray(64 << 20)
        while sum(os.times()[:2]) < 0.2:
            held[:] = held
        os.write(outgoing, b"x")
        signal.pause()
    try:
        pids = family(os.getpid())
        assert child in pids
        os.read(incoming, 1)
        spent = used([child])
        assert spent.user_s + spent.system_s > 0.1
        with MemoryWatch([child]) as watch:
            pass
        assert watch.peak_bytes > watch.anonymous_bytes > 64 << 20
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(incoming)
        os.close(outgoing)

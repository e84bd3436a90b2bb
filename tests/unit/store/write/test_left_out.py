"""What a commit could not read or was not to read: it must not be taken for absent, now or by the next commit."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from artstore import limits
from artstore.errors import BadInput, Busy, NotPermitted
from artstore.store.write import source
from artstore.testing.commit_bench import Bench


def refuse(monkeypatch: pytest.MonkeyPatch, refused: bytes, error: OSError) -> None:
    """Let one file's opening fail."""
    real = source.open_file

    def open_file(name: bytes, parent: int, *, follow: bool = False) -> int:
        if name == refused:
            raise error
        return real(name, parent, follow=follow)

    monkeypatch.setattr(source, "open_file", open_file)


def test_a_skipped_file_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the disk failed to give once would be missing from every later version, without a word."""
    bench.write("good", b"x")
    bench.write("weak", b"y")
    refuse(monkeypatch, b"weak", OSError(5, "Input/output error"))
    assert bench.commit(skip_unreadable=True).skipped == (os.fsencode(bench.folder / "weak"),)
    with pytest.raises(BadInput, match="weak can't be read"):
        bench.commit()
    monkeypatch.undo()
    assert set(bench.content(bench.commit().tree)) == {b"good", b"weak"}


def test_what_a_failing_commit_did_not_read_is_read_by_the_next(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders behind the first bad path, listed but not read, would be known as empty: their files would be lost."""
    monkeypatch.setattr(limits, "METAPACK_BYTES_TARGET", 50)  # so that pages become durable although the commit fails
    monkeypatch.setattr(limits, "BATCH_FILES_MAX", 8)
    bench.write("0/big", random.Random(0).randbytes(100_000))
    (bench.folder / "a").symlink_to("/outside")
    bench.write("b/data", b"precious")
    for number in range(40):
        folder = bench.folder / f"c{number:02}"
        folder.mkdir()
        (folder / "link").symlink_to(f"x{number}")
    with pytest.raises(BadInput, match="leads out"):
        bench.commit()
    (bench.folder / "a").unlink()
    assert bench.content(bench.commit().tree)[b"b/data"] == b"precious"


def test_too_many_open_files_are_nobodys_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --skip-unreadable a low `ulimit -n` would leave sound files out of the version."""
    bench.write("f", b"x")
    refuse(monkeypatch, b"f", OSError(24, "Too many open files"))
    with pytest.raises(Busy, match="too many files"):
        bench.commit(skip_unreadable=True)


def test_a_file_longer_than_it_says(bench: Bench) -> None:
    """Of a file that claims to be empty, as those of /proc do, only the first byte would be kept."""
    with pytest.raises(BadInput, match="changed while it was read"):
        bench.commit(Path("/proc/cpuinfo"))


def test_artignore_that_is_a_folder_or_a_link(bench: Bench) -> None:
    """A folder of that name would fail the commit; rules behind a link would be passed over and secrets committed."""
    bench.write("a/.artignore/x", b"1")
    bench.write("rules", b"secret\n")
    bench.write("b/secret", b"2")
    (bench.folder / "b/.artignore").symlink_to("../rules")
    content = bench.content(bench.commit().tree)
    assert content[b"a/.artignore/x"] == b"1"
    assert b"b/secret" not in content


def test_artignore_that_cant_be_read_ends_the_commit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its rules leave out would be committed, as if there were none."""
    bench.write(".artignore", b"secret\n")
    bench.write("secret", b"1")
    refuse(monkeypatch, b".artignore", PermissionError(13, "Permission denied"))
    with pytest.raises(NotPermitted, match="can't read"):
        bench.commit(skip_unreadable=True)

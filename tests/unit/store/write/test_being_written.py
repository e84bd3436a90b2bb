"""Commits of folders in which somebody writes."""

from __future__ import annotations

import json
import os

import pytest

from artstore.errors import Changing
from artstore.model import AS_BEFORE_COUNT, AS_BEFORE_PATHS
from artstore.store.write import source
from artstore.testing.commit_bench import Bench


def test_files_that_are_being_written_stay_as_they_were(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a log that never rests would never be a version, or be one with half of a line."""
    changing = bench.write("sub/log", b"one")
    bench.write("sub/other", b"1")
    open_elsewhere = bench.write("weights", b"w" * 100_000)
    assert bench.commit().version is not None
    bench.write("sub/other", b"2")
    changing.write_bytes(b"one, two, thr")
    open_elsewhere.write_bytes(b"half")
    new = bench.write("new", b"n")
    real = source.same_file

    def grown(before: os.stat_result, after: os.stat_result) -> bool:
        return before.st_ino != changing.stat().st_ino and real(before, after)

    monkeypatch.setattr(source, "same_file", grown)
    writing = frozenset(os.fsencode(path) for path in (open_elsewhere, new))
    with pytest.raises(Changing, match="log"):
        bench.commit(being_written=writing)
    result = bench.commit(keep_former=True, being_written=writing)
    assert bench.content(result.tree) == {
        b"sub": None,
        b"sub/log": b"one",
        b"sub/other": b"2",
        b"weights": b"w" * 100_000,
    }
    assert sorted(result.as_before) == [b"new", b"sub/log", b"weights"]
    assert result.version is not None
    said = bench.objects.version(result.version).metadata.source
    assert said[AS_BEFORE_COUNT] == 3
    assert sorted(json.loads(str(said[AS_BEFORE_PATHS]))) == ["new", "sub/log", "weights"]
    assert bench.commit(keep_former=True, being_written=writing).unchanged
    monkeypatch.setattr(source, "same_file", real)
    whole = bench.commit()
    assert bench.content(whole.tree) == {
        b"sub": None,
        b"sub/log": b"one, two, thr",
        b"sub/other": b"2",
        b"weights": b"half",
        b"new": b"n",
    }, "what stayed as it was isn't taken for what is there now"

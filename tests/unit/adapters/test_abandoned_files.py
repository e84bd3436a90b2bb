"""Temporary files of killed commands that belong to no session."""

from __future__ import annotations

import os
import time
from pathlib import Path

from artstore import limits
from artstore.adapters.sessions import FileSessions

LEFT = ("config.toml.0123456789abcdef.tmp", "refs.log.0123456789abcdef.tmp", "refs.log.new")
KEPT = ("config.toml", "config.toml.lock", "refs.log", "notes.tmp")


def test_only_what_nobody_can_be_writing_is_removed(tmp_path: Path) -> None:
    """A killed change of settings or rewrite of refs.log would leave its file for ever, or a running one lose it."""
    for name in ("sessions", "tmp"):
        (tmp_path / name).mkdir()
    for name in (*LEFT, *KEPT):
        (tmp_path / name).write_text("x")
    assert FileSessions(str(tmp_path)).clean() == 0
    old = time.time_ns() - limits.ABANDONED_NS - 1_000_000_000
    for name in (*LEFT, *KEPT):
        os.utime(tmp_path / name, ns=(old, old))
    assert FileSessions(str(tmp_path)).clean() == len(LEFT)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(KEPT)

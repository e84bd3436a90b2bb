"""Ctrl-C at any line of beginning or ending a session."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType

import pytest

from artstore.adapters import sessions
from artstore.adapters.sessions import FileSessions


class Interrupting:
    """Raises KeyboardInterrupt when the n-th line of the sessions' module is reached."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self, frame: FrameType, event: str, argument: object) -> Interrupting | None:
        del argument
        if frame.f_code.co_filename != sessions.__file__ or _is_within_del(frame):
            return None
        if event == "line":
            self._left -= 1
            if self._left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self

    @property
    def has_struck(self) -> bool:
        return self._left <= 0


def _is_within_del(frame: FrameType | None) -> bool:
    """What is raised there, Python only prints."""
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


def open_files() -> int:
    """Descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_held_afterwards(tmp_path: Path) -> None:
    """A notebook in which somebody pressed Ctrl-C would keep `gc` from freeing anything until it is closed."""
    for name in ("packs", "tmp", "sessions"):
        (tmp_path / name).mkdir()
    found = FileSessions(str(tmp_path))
    held = open_files()
    for at in range(1, 200):
        interrupting = Interrupting(at)
        sys.settrace(interrupting)
        try:
            with found.begin():
                pass
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        assert found.running() == [], at
        found.clean()
        assert os.listdir(tmp_path / "sessions") == [], at
        if not interrupting.has_struck:
            break
        # The line behind `os.open` is the first at which its result is known.
        assert open_files() - held <= 1, at
        held = open_files()
    else:
        pytest.fail("it never came to its end")
    assert at > 20


def test_a_session_that_is_dropped_ends(tmp_path: Path) -> None:
    """Who forgets to close a session would hold back collection as long as the process lives."""
    (tmp_path / "sessions").mkdir()
    found = FileSessions(str(tmp_path))
    session = found.begin()
    assert len(found.running()) == 1
    del session
    assert found.running() == []

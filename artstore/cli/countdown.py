"""How long a command waits, on stderr: every second on a terminal, now and then without one."""

from __future__ import annotations

import os
import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Final

from artstore.cli import text
from artstore.cli.output import is_terminal, write_stderr

if TYPE_CHECKING:
    from artstore.cli.output import Output

_PLAIN_EVERY_S: Final = 600
_ERASE: Final = "\r\x1b[K"


class Countdown(AbstractContextManager["Countdown"]):
    """Is called with the seconds that are left. With --quiet nothing is shown."""

    def __init__(self, output: Output, what: str) -> None:
        self._what = what
        self._shown = not output.quiet
        self._terminal = is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
        self._next = time.monotonic()

    def __call__(self, left: float) -> None:
        if not self._shown:
            return
        line = f"{self._what}: {text.seconds(max(1.0, left))} to go"
        if self._terminal:
            sys.stderr.write(_ERASE + line)
            sys.stderr.flush()
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + _PLAIN_EVERY_S
            write_stderr(line)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown and self._terminal:
            sys.stderr.write(_ERASE)
            sys.stderr.flush()

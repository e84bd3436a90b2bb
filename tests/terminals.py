"""Commands on a terminal, as somebody types there."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping


def typed(arguments: list[str], answers: list[str], *, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a command on a terminal of its own, and answer what it asks; its exit code and all that was seen."""
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "artstore", *arguments]

    # `setsid --ctty` makes it the terminal that getpass opens.
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], stdin=terminal, stdout=terminal, stderr=terminal, env=environment
    )
    os.close(terminal)
    seen = b""
    waiting, until = list(answers), time.monotonic() + 60
    asked = 0
    while time.monotonic() < until:
        if not select.select([main], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(main, 4096)
        except OSError:  # its end has been closed
            break
        if not piece:
            break
        seen += piece
        prompts = seen.count(b"passphrase: ") + seen.count(b"again: ")
        while asked < prompts and waiting:
            asked += 1
            os.write(main, waiting.pop(0).encode() + b"\n")
    os.close(main)
    return process.wait(10), seen.decode()

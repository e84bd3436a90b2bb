"""What a tool is asked to run, and where its programs lie. Starts nothing itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Command", "Toolbox"]


@dataclass(frozen=True, slots=True)
class Command:
    """One process: a list of arguments, never a shell line; `environment` is added to the toolbox's."""

    argv: tuple[str, ...]
    cwd: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The programs of one work folder: its private virtual environment goes before the PATH.

    The tools get a home of their own, so that they neither read the user's settings nor write to the user's caches.
    """

    folder: Path

    @property
    def venv(self) -> Path:
        """Where `--install-peers` puts what comes from PyPI."""
        return self.folder / "tools"

    @property
    def environment(self) -> dict[str, str]:
        """Everything a tool's process sees, before its own additions."""
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        path = f"{self.venv / 'bin'}:{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
        return {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "TMPDIR": str(home), "USER": "bench"}

    def which(self, program: str) -> str | None:
        """The full path of a program, or None."""
        return shutil.which(program, path=self.environment["PATH"])

    def first_line(self, argv: Sequence[str]) -> str | None:
        """The first line that a short command prints, or None if it is missing or fails."""
        done = self._run(argv)
        return None if done is None or done.returncode else next(iter(done.stdout.splitlines()), None)

    def output(self, argv: Sequence[str]) -> str:
        """All that a short command says, on whichever stream and whatever its exit code; nothing if it is missing."""
        done = self._run(argv)
        return "" if done is None else done.stdout + done.stderr

    def _run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
        program = self.which(argv[0])
        if program is None:
            return None
        command, environment = [program, *argv[1:]], self.environment
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
        except (OSError, subprocess.SubprocessError):
            return None

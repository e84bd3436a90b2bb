"""hf-xet, Hugging Face's engine, against a store in a local folder, without its SHA-256."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from artstore_bench.command import Command, Toolbox

_WORKER: Final = Path(__file__).with_name("hf_xet_worker.py")
_ASK_VERSION: Final = "import hf_xet, importlib.metadata as m; print('hf-xet', m.version('hf-xet'))"


@dataclass(frozen=True, slots=True)
class HfXet:
    """Has no command, so a small worker calls it, in whichever Python has the package; has no stat cache."""

    toolbox: Toolbox
    name: str = "hf-xet"

    def version(self) -> str | None:
        """The installed distribution's version."""
        return next(filter(None, (self._ask(python) for python in self._pythons())), None)

    def init(self, repo: Path) -> Sequence[Command]:
        """The store makes itself; only the folder is needed."""
        return [Command(("mkdir", str(repo / "store")))]

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """`upload_files` of all files below; the label is a list of names and hashes."""
        return [self._command(repo, "add", str(source), str(repo / f"{label}.json"))]

    def restore(self, repo: Path, *, label: str, dest: Path) -> Sequence[Command]:
        """`download_files` of that list."""
        return [self._command(repo, "restore", str(dest), str(repo / f"{label}.json"))]

    def known(self, repo: Path, *, source: Path) -> Sequence[Command]:
        """`hash_files`: cut and hash, without a look-up."""
        return [self._command(repo, "hash", str(source), str(repo / "hashed.json"))]

    def stored_paths(self, repo: Path) -> Sequence[Path]:
        """What a server would keep, and the lists; the client's shard cache beside it is left out."""
        return [repo / "store" / "xet" / "xorbs", *sorted(repo.glob("*.json"))]

    def _command(self, repo: Path, *arguments: str) -> Command:
        python = next((python for python in self._pythons() if self._ask(python)), sys.executable)
        home = {"HF_HOME": str(repo / "home")}
        # -I: else the worker's folder, where this very module is called hf_xet, would come before the package.
        return Command((python, "-I", str(_WORKER), f"local://{repo / 'store'}", *arguments), None, home)

    def _pythons(self) -> list[str]:
        return [str(self.toolbox.venv / "bin" / "python"), sys.executable]

    def _ask(self, python: str) -> str | None:
        return self.toolbox.first_line([python, "-c", _ASK_VERSION])

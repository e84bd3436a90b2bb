"""casync, with its default chunk sizes and a store folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artstore_bench.command import Command, Toolbox


@dataclass(frozen=True, slots=True)
class Casync:
    """Keeps each chunk as a file; has no stat cache."""

    toolbox: Toolbox
    name: str = "casync"

    def version(self) -> str | None:
        """The first line of `casync --version`."""
        return self.toolbox.first_line(["casync", "--version"])

    def init(self, repo: Path) -> Sequence[Command]:
        """The store folder."""
        return [Command(("mkdir", str(repo / "default.castr")))]

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """`casync make`."""
        return [self._command(repo, "make", str(self._index(repo, label)), str(source))]

    def restore(self, repo: Path, *, label: str, dest: Path) -> Sequence[Command]:
        """`casync extract`."""
        return [self._command(repo, "extract", str(self._index(repo, label)), str(dest))]

    def stored_paths(self, repo: Path) -> Sequence[Path]:
        """Chunks and indexes."""
        return [repo]

    def _index(self, repo: Path, label: str) -> Path:
        return repo / f"{label}.caidx"

    def _command(self, repo: Path, verb: str, *arguments: str) -> Command:
        return Command(("casync", verb, f"--store={repo / 'default.castr'}", *arguments))

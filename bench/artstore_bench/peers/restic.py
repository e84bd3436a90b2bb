"""restic, with its default compression and a cache folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artstore_bench.command import Command, Toolbox


@dataclass(frozen=True, slots=True)
class Restic:
    """Its encryption can't be switched off, so it is part of the figures. The cache is not counted as stored."""

    toolbox: Toolbox
    name: str = "restic"

    def version(self) -> str | None:
        """The first line of `restic version`."""
        return self.toolbox.first_line(["restic", "version"])

    def init(self, repo: Path) -> Sequence[Command]:
        """`restic init`."""
        return [self._command(repo, "init")]

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """`restic backup .` in the folder: the same path each time finds its parent snapshot."""
        return [self._command(repo, "backup", ".", "--tag", label, cwd=source)]

    def restore(self, repo: Path, *, label: str, dest: Path) -> Sequence[Command]:
        """`restic restore` of the snapshot tagged so."""
        return [self._command(repo, "restore", "latest", "--tag", label, "--target", str(dest))]

    def stored_paths(self, repo: Path) -> Sequence[Path]:
        """The repository."""
        return [repo / "repository"]

    def mount_version(self) -> str | None:
        """The same as `version`: the mount is part of the program."""
        return self.version()

    def mount(self, repo: Path, *, point: Path, label: str) -> Command:
        """`restic mount`, of all snapshots."""
        return self._command(repo, "mount", str(point))

    def mounted(self, repo: Path, *, point: Path, label: str) -> Path:
        """The newest snapshot; there is one."""
        return point / "snapshots" / "latest"

    def _command(self, repo: Path, *arguments: str, cwd: Path | None = None) -> Command:
        base = ("restic", "--quiet", "--repo", str(repo / "repository"), "--cache-dir", str(repo / "cache"))
        return Command((*base, *arguments), cwd, {"RESTIC_PASSWORD": "bench"})

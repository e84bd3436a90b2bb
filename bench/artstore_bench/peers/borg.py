"""borg, unencrypted, with `-C zstd,3` as artstore compresses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artstore_bench.command import Command, Toolbox


@dataclass(frozen=True, slots=True)
class Borg:
    """Its files cache lies in a folder of its own and is not counted as stored."""

    toolbox: Toolbox
    name: str = "borg"

    def version(self) -> str | None:
        """The first line of `borg --version`."""
        return self.toolbox.first_line(["borg", "--version"])

    def init(self, repo: Path) -> Sequence[Command]:
        """`borg init -e none`."""
        return [self._command(repo, "init", "--encryption", "none", str(repo / "repository"))]

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """`borg create -C zstd,3` in the folder."""
        archive = f"{repo / 'repository'}::{label}"
        return [self._command(repo, "create", "--compression", "zstd,3", archive, ".", cwd=source)]

    def restore(self, repo: Path, *, label: str, dest: Path) -> Sequence[Command]:
        """`borg extract` in a new folder."""
        extract = self._command(repo, "extract", f"{repo / 'repository'}::{label}", cwd=dest)
        return [Command(("mkdir", str(dest))), extract]

    def stored_paths(self, repo: Path) -> Sequence[Path]:
        """The repository."""
        return [repo / "repository"]

    def mount_version(self) -> str | None:
        """With the library through which it mounts, which is an extra of its package."""
        library = next(iter(re.findall(r"fuse: (\S+ \S+) \[", self.toolbox.output(["borg", "debug", "info"]))), None)
        return f"{self.version()}, {library}" if library else None

    def mount(self, repo: Path, *, point: Path, label: str) -> Command:
        """`borg mount -f` of the one archive."""
        return self._command(repo, "mount", "--foreground", f"{repo / 'repository'}::{label}", str(point))

    def mounted(self, repo: Path, *, point: Path, label: str) -> Path:
        """At its root."""
        return point

    def _command(self, repo: Path, *arguments: str, cwd: Path | None = None) -> Command:
        environment = {"BORG_BASE_DIR": str(repo / "base"), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        return Command(("borg", *arguments), cwd, environment)

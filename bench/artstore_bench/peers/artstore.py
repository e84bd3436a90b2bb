"""artstore itself, through its command line, as a user runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artstore_bench.command import Command, Toolbox


@dataclass(frozen=True, slots=True)
class Artstore:
    """Durable when `add` returns. All of the store counts, its index and stat cache too."""

    toolbox: Toolbox
    name: str = "artstore"

    def version(self) -> str | None:
        """The first line of `artstore --version`."""
        return self.toolbox.first_line(["artstore", "--version"])

    def init(self, repo: Path) -> Sequence[Command]:
        """`artstore init`."""
        return [self._command(repo, "init")]

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """`artstore commit` with a tag."""
        return [self._command(repo, "commit", str(source), "--tag", f"bench/{label}")]

    def restore(self, repo: Path, *, label: str, dest: Path) -> Sequence[Command]:
        """`artstore checkout` of the tag."""
        return [self._command(repo, "checkout", f"bench/{label}", str(dest))]

    def known(self, repo: Path, *, source: Path) -> Sequence[Command]:
        """`artstore commit --dry-run`: the caller gives a copy at a new path, which no stat cache knows."""
        return [self._command(repo, "commit", str(source), "--tag", "bench/known", "--dry-run")]

    def stored_paths(self, repo: Path) -> Sequence[Path]:
        """The whole store."""
        return [repo / "store"]

    def mount_version(self) -> str | None:
        """The same as `version`, if the release has a mount."""
        return self.version() if self.toolbox.first_line(["artstore", "mount", "--help"]) else None

    def mount(self, repo: Path, *, point: Path, label: str) -> Command:
        """`artstore mount --foreground`, with the cache and all else as by default; it shows every label at once."""
        return self._command(repo, "mount", str(point), "--foreground")

    def mounted(self, repo: Path, *, point: Path, label: str) -> Path:
        """Below `versions/`."""
        return point / "versions" / "bench" / label

    def _command(self, repo: Path, *arguments: str) -> Command:
        return Command(("artstore", "--store", str(repo / "store"), *arguments))


@dataclass(frozen=True, slots=True)
class Encrypted(Artstore):
    """artstore in a store that is encrypted: what that costs. Each command unlocks the store anew."""

    name: str = "encrypted"

    def version(self) -> str | None:
        """The same, if the release can encrypt."""
        told = self.toolbox.first_line(["artstore", "init", "--help"])
        help_text = self.toolbox.output(["artstore", "init", "--help"])
        return Artstore.version(self) if told is not None and "--encrypt" in help_text else None

    def init(self, repo: Path) -> Sequence[Command]:
        """`artstore init --encrypt`."""
        return [self._command(repo, "init", "--encrypt")]

    def _command(self, repo: Path, *arguments: str) -> Command:
        command = ("artstore", "--store", str(repo / "store"), *arguments)
        return Command(command, environment={"ARTSTORE_PASSPHRASE": "not a secret"})

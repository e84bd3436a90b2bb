"""git with LFS for every file; the source folder is git's work tree and gets no file of git's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from artstore_bench.command import Command, Toolbox

_SETTINGS: Final[Mapping[str, str]] = {
    "core.bare": "false",
    # A collection in the background would run beside the next tool.
    "gc.auto": "0",
    "filter.lfs.clean": "git-lfs clean -- %f",
    "filter.lfs.smudge": "git-lfs smudge -- %f",
    "filter.lfs.process": "git-lfs filter-process",
    "filter.lfs.required": "true",
    "user.name": "bench",
    "user.email": "bench@localhost",
}


@dataclass(frozen=True, slots=True)
class GitLfs:
    """The local object store only; nothing is pushed."""

    toolbox: Toolbox
    name: str = "git-lfs"

    def version(self) -> str | None:
        """The first line of `git-lfs version`."""
        return self.toolbox.first_line(["git-lfs", "version"]) if self.toolbox.which("git") else None

    def init(self, repo: Path) -> Sequence[Command]:
        """A repository apart from its work tree, with the filter for all files."""
        attributes = repo / "attributes"
        attributes.write_text("* filter=lfs diff=lfs merge=lfs -text\n")
        settings = {**_SETTINGS, "core.attributesFile": str(attributes)}
        setting = [Command(("git", "--git-dir", str(repo / "git"), "config", *pair)) for pair in settings.items()]
        return [Command(("git", "init", "--quiet", "--bare", str(repo / "git"))), *setting]

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """`git add`, `git commit`, `git tag`."""
        return [
            self._command(repo, source, "add", "--all", "."),
            self._command(repo, source, "commit", "--quiet", "--allow-empty", "--message", label),
            self._command(repo, source, "tag", label),
        ]

    def restore(self, repo: Path, *, label: str, dest: Path) -> Sequence[Command]:
        """All files of the tag into a new work tree, through an index of its own."""
        index = {"GIT_INDEX_FILE": str(repo / "restore.index")}
        return [
            Command(("mkdir", str(dest))),
            self._command(repo, dest, "read-tree", label, environment=index),
            self._command(repo, dest, "checkout-index", "--all", "--quiet", environment=index),
        ]

    def stored_paths(self, repo: Path) -> Sequence[Path]:
        """git's folder, the LFS objects in it."""
        return [repo / "git"]

    def _command(
        self, repo: Path, tree: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> Command:
        places = {"GIT_DIR": str(repo / "git"), "GIT_WORK_TREE": str(tree)}
        return Command(("git", *arguments), tree, {**places, **(environment or {})})

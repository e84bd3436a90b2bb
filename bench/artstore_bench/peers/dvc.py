"""dvc without git, copying, which is its default where the file system has no reflinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artstore_bench.command import Command, Toolbox


@dataclass(frozen=True, slots=True)
class Dvc:
    """Only adds what lies in its workspace, so the workspace is the folder that holds both repository and data."""

    toolbox: Toolbox
    name: str = "dvc"

    def version(self) -> str | None:
        """`dvc --version`, which is a bare number."""
        line = self.toolbox.first_line(["dvc", "--version"])
        return None if line is None else f"dvc {line}"

    def init(self, repo: Path) -> Sequence[Command]:
        """`dvc init --no-scm`, and a second workspace on the same cache, to restore into."""
        config = repo / "restored" / ".dvc" / "config"
        config.parent.mkdir(parents=True)
        config.write_text(f"[core]\n    no_scm = True\n[cache]\n    dir = {repo.parent / '.dvc' / 'cache'}\n")
        return [self._command(repo, "init", "--no-scm", "--quiet", cwd=repo.parent)]

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """`dvc add`; the label is a copy of the small file that it writes."""
        note = repo.parent / f"{source.name}.dvc"
        return [
            self._command(repo, "add", "--quiet", source.name, cwd=repo.parent),
            Command(("cp", str(note), str(_label(repo, label)))),
        ]

    def restore(self, repo: Path, *, label: str, dest: Path) -> Sequence[Command]:
        """`dvc checkout` in the second workspace, renamed to where it is wanted."""
        workspace = repo / "restored"
        return [
            Command(("cp", str(_label(repo, label)), str(workspace / "data.dvc"))),
            self._command(repo, "checkout", "--quiet", cwd=workspace),
            Command(("mv", str(workspace / "data"), str(dest))),
        ]

    def stored_paths(self, repo: Path) -> Sequence[Path]:
        """The cache, which is where dvc keeps versions, and the labels."""
        return [repo.parent / ".dvc" / "cache", *sorted(repo.glob("*.label"))]

    def _command(self, repo: Path, *arguments: str, cwd: Path) -> Command:
        environment = {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(repo / "site")}
        return Command(("dvc", *arguments), cwd, environment)


def _label(repo: Path, label: str) -> Path:
    """Not named `.dvc`: dvc reads every such file in its workspace, and two that name one output are an error."""
    return repo / f"{label}.label"

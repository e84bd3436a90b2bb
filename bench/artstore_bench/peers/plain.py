"""What needs no store: `cp`, `tar` into zstd, a folder as it is. They show what the disk and one compressor do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artstore_bench.command import Command, Toolbox


@dataclass(frozen=True, slots=True)
class Copy:
    """A whole copy for each label; reflinks are off, so that bytes are really copied."""

    toolbox: Toolbox
    name: str = "cp"

    def version(self) -> str | None:
        """The first line of `cp --version`."""
        return self.toolbox.first_line(["cp", "--version"])

    def init(self, repo: Path) -> Sequence[Command]:
        """Nothing but the folder."""
        return [Command(("mkdir", str(repo / "copies")))]

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """`cp -a`."""
        return [_copy(source, repo / "copies" / label)]

    def restore(self, repo: Path, *, label: str, dest: Path) -> Sequence[Command]:
        """`cp -a` back."""
        return [_copy(repo / "copies" / label, dest)]

    def stored_paths(self, repo: Path) -> Sequence[Path]:
        """The copies."""
        return [repo / "copies"]


@dataclass(frozen=True, slots=True)
class TarZstd:
    """A whole archive for each label: `tar | zstd -T0 -3`, with tar holding the pipe so that its errors count."""

    toolbox: Toolbox
    name: str = "tar-zstd"

    def version(self) -> str | None:
        """The first line of `zstd --version`."""
        line = self.toolbox.first_line(["zstd", "--version"])
        return line.strip("* ") if line is not None and self.toolbox.which("tar") else None

    def init(self, repo: Path) -> Sequence[Command]:
        """Nothing but the folder."""
        return [Command(("mkdir", str(repo / "archives")))]

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """`tar -c | zstd -T0 -3`."""
        return [Command(("tar", "-I", "zstd -T0 -3", "-cf", str(_archive(repo, label)), "-C", str(source), "."))]

    def restore(self, repo: Path, *, label: str, dest: Path) -> Sequence[Command]:
        """`zstd -d | tar -x`."""
        return [
            Command(("mkdir", str(dest))),
            Command(("tar", "-I", "zstd", "-xf", str(_archive(repo, label)), "-C", str(dest))),
        ]

    def stored_paths(self, repo: Path) -> Sequence[Path]:
        """The archives."""
        return [repo / "archives"]


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder itself, read where it lies, in the page cache: what a mount could reach at best."""

    toolbox: Toolbox
    name: str = "plain"

    def mount_version(self) -> str | None:
        """The file system of the work folder."""
        place = self.toolbox.folder
        return self.toolbox.first_line(["findmnt", "--noheadings", "--output", "FSTYPE", "-T", str(place)]) or "folder"

    def init(self, repo: Path) -> Sequence[Command]:
        """Nothing."""
        return []

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """A link to it."""
        return [Command(("ln", "--symbolic", str(source), str(repo / label)))]

    def mount(self, repo: Path, *, point: Path, label: str) -> None:
        """There is no server."""
        return

    def mounted(self, repo: Path, *, point: Path, label: str) -> Path:
        """Behind the link."""
        return (repo / label).resolve()


def _copy(source: Path, target: Path) -> Command:
    return Command(("cp", "-a", "--reflink=never", str(source), str(target)))


def _archive(repo: Path, label: str) -> Path:
    return repo / "archives" / f"{label}.tar.zst"

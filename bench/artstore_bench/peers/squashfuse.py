"""squashfuse_ll, which mounts a squashfs image: the fastest of the free ones, and it verifies nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artstore_bench.command import Command, Toolbox


@dataclass(frozen=True, slots=True)
class SquashFuse:
    """Images of zstd in blocks of 128 KiB, which is squashfs's default size, at the level of artstore's chunks."""

    toolbox: Toolbox
    name: str = "squashfuse_ll"

    def mount_version(self) -> str | None:
        """What both programs call themselves: one makes the image, the other one mounts it."""
        told = self.toolbox.output(["squashfuse_ll", "--help"]).splitlines()
        mounts = next((line for line in told if line.startswith("squashfuse ")), None)
        makes = self.toolbox.first_line(["mksquashfs", "-version"])
        return f"{mounts}, {makes}" if mounts and makes else None

    def init(self, repo: Path) -> Sequence[Command]:
        """An image makes itself."""
        return []

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """`mksquashfs -comp zstd`."""
        settings = ("-comp", "zstd", "-Xcompression-level", "3", "-b", "128K", "-no-xattrs", "-no-progress", "-quiet")
        return [Command(("mksquashfs", str(source), str(_image(repo, label)), *settings))]

    def mount(self, repo: Path, *, point: Path, label: str) -> Command:
        """`squashfuse_ll -f`, with all else as by default: several threads."""
        return Command(("squashfuse_ll", "-f", str(_image(repo, label)), str(point)))

    def mounted(self, repo: Path, *, point: Path, label: str) -> Path:
        """At its root."""
        return point


def _image(repo: Path, label: str) -> Path:
    return repo / f"{label}.squashfs"

"""What the benchmark asks of a tool: the smallest interface that answers every question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from artstore_bench.command import Command


class Peer(Protocol):
    """One tool. Its methods say what to run; the caller runs it, and only `add`, `restore` and `known` are timed.

    `repo` is a folder of its own, fresh for each repetition. `source` lies beside it, as `repo.parent/…`, and is not
    changed in content.
    """

    @property
    def name(self) -> str:
        """How `--peers` names it."""
        ...

    def version(self) -> str | None:
        """What it calls itself, or None if it is not on this machine."""
        ...

    def init(self, repo: Path) -> Sequence[Command]:
        """Make the repository; small files of configuration may be written directly."""
        ...

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """Store the folder `source` under a name."""
        ...

    def restore(self, repo: Path, *, label: str, dest: Path) -> Sequence[Command]:
        """Put what was stored under a name into `dest`, which does not exist yet but whose parent does."""
        ...

    def stored_paths(self, repo: Path) -> Sequence[Path]:
        """What restoring needs: counted as stored. Caches that the tool can lose are left out."""
        ...


@runtime_checkable
class KnowsData(Protocol):
    """A tool that can be asked to cut, hash and look up data that it already has."""

    def known(self, repo: Path, *, source: Path) -> Sequence[Command]:
        """Recognise all of `source`, from its bytes and not from a stat cache, and store nothing."""
        ...


@runtime_checkable
class Mountable(Protocol):
    """A tool that shows what it stored as a folder, without unpacking it.

    `repo` and `source` are as for a Peer; the repository is made once, and its mount is started anew for each group of
    questions.
    """

    @property
    def name(self) -> str:
        """How `--peers` names it."""
        ...

    def mount_version(self) -> str | None:
        """What it calls itself, or None if it, or its part that mounts, is not on this machine."""
        ...

    def init(self, repo: Path) -> Sequence[Command]:
        """Make the repository."""
        ...

    def add(self, repo: Path, *, source: Path, label: str) -> Sequence[Command]:
        """Store the folder `source` under a name."""
        ...

    def mount(self, repo: Path, *, point: Path, label: str) -> Command | None:
        """What mounts it at `point` and stays in the foreground until it is unmounted; None: there is no server."""
        ...

    def mounted(self, repo: Path, *, point: Path, label: str) -> Path:
        """Where the folder that was added under this name is then seen."""
        ...

"""How fast are versions read that lie in a repository, through the tool's mount?

Each group of questions gets a new mount of its own; within it the steps follow upon each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from artstore_bench.mounts.reader import Step
from artstore_bench.mounts.session import MountSession
from artstore_bench.results import Run

ROOTS_READ_AHEAD_KIB: Final = 1024
USERS_READ_AHEAD_KIB: Final = 128

_TEXTS: Final = ("text-0.bin", "text-1.bin")
_RAW: Final = ("raw.bin",)
_MANY: Final = ("many",)


@dataclass(frozen=True, slots=True)
class Group:
    """Steps on one mount; those whose name begins with `_` only prepare.

    `read_ahead_kib`: the kernel's, where it matters. `needs_server`: there is nothing to ask of the folder itself.
    """

    name: str
    steps: tuple[Step, ...]
    read_ahead_kib: int | None = None
    needs_server: bool = False


GROUPS: Final[Sequence[Group]] = (
    Group("ready", (), needs_server=True),
    Group(
        "cold",
        (Step("cold", "sequential", _TEXTS), Step("second", "sequential", _TEXTS)),
        read_ahead_kib=ROOTS_READ_AHEAD_KIB,
    ),
    Group("narrow", (Step("narrow", "sequential", _TEXTS),), read_ahead_kib=USERS_READ_AHEAD_KIB),
    Group("pair", (Step("pair", "pair", _TEXTS),), read_ahead_kib=ROOTS_READ_AHEAD_KIB),
    Group("raw", (Step("raw", "sequential", _RAW),), read_ahead_kib=ROOTS_READ_AHEAD_KIB),
    Group("random", (Step("random", "scattered", _TEXTS),)),
    Group("hit", (Step("_hit", "once", _TEXTS), Step("hit", "once_more", _TEXTS))),
    Group("mapped", (Step("mapped", "mapped", _TEXTS),), read_ahead_kib=ROOTS_READ_AHEAD_KIB),
    Group("list", (Step("list", "listed", _MANY), Step("stat", "looked_at", _MANY))),
    Group("ls", (Step("ls", "listed_long", _MANY),)),
    Group("small", (Step("_small", "opened", _MANY), Step("small", "opened", _MANY))),
    Group(
        "memory",
        (
            Step("_memory", "sequential", (*_TEXTS, *_RAW)),
            Step("_memory", "looked_at", _MANY),
            Step("_memory", "opened", _MANY),
            Step("_memory", "once", _TEXTS),
            Step("memory", "pair", _TEXTS),
        ),
        read_ahead_kib=ROOTS_READ_AHEAD_KIB,
        needs_server=True,
    ),
)


def ask(session: MountSession, group: Group, repetition: int) -> list[Run]:
    """All answers of a group, from a new mount."""
    with session.mounted(read_ahead_kib=group.read_ahead_kib) as mount:
        if mount.server is None and group.needs_server:
            return []
        if not group.steps:
            assert mount.server is not None
            return [session.ready(mount.server, repetition)]
        runs = session.ask(mount, group.steps, repetition)
    return [run for run in runs if not run.question.startswith("_")]

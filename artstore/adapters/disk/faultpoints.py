"""Named places where a test kills the process: the durable steps of a commit, in the order of the invariants.

`ARTSTORE_CRASH_AT=pack.renamed` kills at the first time that point is reached, `pack.renamed:3` at the third. It is
read once, at import; without it `reach` does nothing.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "ARTSTORE_CRASH_AT"

# Every point there is, so that a sweep meets each of them.
POINTS = (
    "pack.created",
    "pack.written",
    "pack.fsynced",
    "pack.renamed",
    "pack.sealed",
    "pack.deleted",
    "index.before_commit",
    "index.after_commit",
    "refslog.cut",
    "refslog.appended",
    "refslog.fsynced",
    "file.written",
    "file.renamed",
    "remote.written",
    "remote.renamed",
    "cache.written",
    "session.begun",
    "session.ended",
    "store.folders",
    "store.keyring",
    "store.configured",
)


def parse(text: str) -> tuple[str, int]:
    """The name of a point and at which time it kills, of `name[:count]`."""
    name, _, count = text.partition(":")
    return name, int(count) if count else 1


_name, _left = parse(os.environ.get(VARIABLE, ""))


def arm(text: str) -> None:
    """Kill this process where `text` says, as the variable does: a child that was forked off has imported this."""
    global _name, _left
    _name, _left = parse(text)


def reach(name: str) -> None:
    """Die here, by SIGKILL, if the environment asks for it."""
    if name == _name:
        _count_down()


def _count_down() -> None:
    global _left  # noqa: PLW0603 - the count belongs to the process that is to die
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

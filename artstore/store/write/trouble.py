"""What can't be committed as it is: which paths, why, what the options allow, and what to do about the rest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import BadInput, Changing

if TYPE_CHECKING:
    from artstore.store.commit import CommitOptions

UNREADABLE = "can't be read"
ODD = "is neither file, folder nor symlink"
CHANGING = "changed while it was read"
LEADS_OUT = "is a symlink that leads out of the folder"
AS_BEFORE = "is being written, and stays as it was before"
LOOP = "is a symlink to a folder it lies in"


class Trouble:
    """Paths by reason; bounded, the rest is counted. `skipped`: those that `fail` found the options to leave out."""

    def __init__(self, options: CommitOptions) -> None:
        self.paths: dict[str, list[bytes]] = {}
        self.counts: dict[str, int] = {}
        self.skipped: list[bytes] = []
        skip = options.skip_unreadable
        self._allowed = {UNREADABLE: skip, ODD: skip, CHANGING: options.allow_changing, AS_BEFORE: True}

    def add(self, reason: str, path: bytes) -> None:
        """Note a path."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        listed = self.paths.setdefault(reason, [])
        if len(listed) < limits.TROUBLE_PATHS_MAX:
            listed.append(path)

    @property
    def total(self) -> int:
        """Paths noted so far."""
        return sum(self.counts.values())

    @property
    def is_fatal(self) -> bool:
        """Will the commit fail anyway? Then the rest is only listed."""
        return any(not self._allowed.get(reason, False) for reason in self.counts)

    def fail(self) -> None:
        """BadInput with the paths that the options do not allow; Changing if these are all that is wrong."""
        for reason, hint in _HINTS.items():
            paths = self.paths.get(reason, [])
            if not paths:
                continue
            if self._allowed.get(reason, False):
                if reason != CHANGING:  # these are taken all the same
                    self.skipped.extend(paths)
                continue
            count = self.counts[reason]
            names = ", ".join(os.fsdecode(path) for path in paths[:5]) + (", …" if count > 5 else "")
            what = f"{names} {reason}" if count == 1 else f"{count} paths, each {reason}: {names}"
            kind = Changing if reason == CHANGING else BadInput  # it is the last one
            raise kind(f"nothing was committed: {what}", paths, hint=hint)


_HINTS = {
    UNREADABLE: "make them readable, or leave them out with --skip-unreadable",
    ODD: "--exclude them, or leave them out with --skip-unreadable",
    LEADS_OUT: "use --links follow to commit what they name, or --links keep to commit the links",
    LOOP: "use --links keep, or --exclude them",
    CHANGING: "commit when they are quiet, or use --allow-changing",
}

"""A real store and a folder beside it, as tests of commits use them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from artstore.adapters.clock import SystemClock
from artstore.model import Kind, Metadata
from artstore.store.commit import CommitOptions, CommitResult, Naming, Said, commit
from artstore.store.context import Context, Counters
from artstore.store.objects import Objects
from artstore.store.read import open_file, walk

SAID = Said("", "me", Metadata())


class LaterClock(SystemClock):
    """The time, moved on: files made a moment ago are old enough to be trusted."""

    ahead_ns = 10_000_000_000

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead_ns


@dataclass
class Bench:
    """A store and a folder beside it."""

    context: Context
    folder: Path
    objects: Objects = field(init=False)

    def __post_init__(self) -> None:
        self.objects = Objects(self.context)

    def commit(
        self, source: Path | None = None, *, tag: str | None = None, said: Said = SAID, **options: object
    ) -> CommitResult:
        """Commit the folder, or another path, as the next version of `m`."""
        naming = Naming(tag=tag) if tag else Naming(artifact="m")
        chosen = CommitOptions(**options)  # type: ignore[arg-type]  # the tests name real options
        return commit(
            self.context,
            self.objects,
            os.fsencode(source or self.folder),
            naming=naming,
            said=said,
            options=chosen,
            counters=Counters(),
        )

    def content(self, tree: bytes) -> dict[bytes, bytes | None]:
        """Everything in a tree: path → bytes, None for a folder, the target for a symlink."""
        found: dict[bytes, bytes | None] = {}
        for path, entry in walk(self.objects, tree):
            if entry.kind == Kind.DIR:
                found[path] = None
            elif entry.kind == Kind.SYMLINK:
                found[path] = entry.content.value
            else:
                found[path] = open_file(self.context, self.objects, entry.content, entry.size).read()
        return found

    def write(self, path: str, data: bytes) -> Path:
        """A file in the folder."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target

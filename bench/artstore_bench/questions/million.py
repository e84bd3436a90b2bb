"""How long until a store of a thousand tags, one of them on a million files, is mounted?

artstore alone is asked: to fill the others' repositories like this would take hours.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from artstore_bench.command import Command, Toolbox
from artstore_bench.method import ToolFailed, measure, sync
from artstore_bench.mounts.server import is_mounted, unmount
from artstore_bench.peers import SUBJECT
from artstore_bench.results import Run
from artstore_bench.trees import warm

TAGS_COUNT: Final = 1000
FOLDERS_COUNT: Final = 1000
FILES_PER_FOLDER: Final = 1000


@dataclass(frozen=True, slots=True)
class ManyVersions:
    """A store of many versions, in a folder of its own; `scale` lessens tags and folders."""

    place: Path
    toolbox: Toolbox
    scale: float

    @property
    def store(self) -> Path:
        """Its folder."""
        return self.place / "store"

    @property
    def tags_count(self) -> int:
        """How many names there are."""
        return max(3, round(TAGS_COUNT * self.scale))

    @property
    def folders_count(self) -> int:
        """How many folders of files the great version has."""
        return max(2, round(FOLDERS_COUNT * self.scale))

    def fill(self) -> None:
        """One version of a thousand folders, each of the same thousand files, and small ones for the other tags."""
        from artstore import Store

        folder = self.place / "folder"
        folder.mkdir(parents=True)
        for number in range(FILES_PER_FOLDER):
            (folder / f"f{number:04d}.txt").write_text(f"file {number}\n")
        with Store.init(str(self.store)) as store:
            store.commit(io.BytesIO(b"start\n"), name="start", tag="small/v1", author="bench")
            additions = [(f"d{number:04d}", str(folder)) for number in range(self.folders_count)]
            store.edit("small/v1", add=additions, tag="great/v1", author="bench")
            for number in range(2, self.tags_count):
                store.commit(io.BytesIO(b"%d\n" % number), name="number", tag=f"small/v{number}", author="bench")
        sync()

    def ask(self, repetition: int) -> Run:
        """The whole `artstore mount`, interpreter start included; then what it shows is looked at."""
        point = self.place / "mount"
        point.mkdir(exist_ok=True)
        warm([self.store])
        log = self.toolbox.folder / "logs" / "mount-million.log"
        try:
            sample = measure([self._command("mount", str(point))], toolbox=self.toolbox, log=log)
            self._compare(point / "versions")
            measure([self._command("umount", str(point))], toolbox=self.toolbox, log=log)
        finally:
            if is_mounted(point):
                unmount(point, self.toolbox, lazily=True)
        return Run(
            corpus="mount",
            question="million",
            tool=SUBJECT,
            repetition=repetition,
            wall_s=sample.wall_s,
            user_s=sample.user_s,
            system_s=sample.system_s,
            rss_bytes=sample.rss_bytes,
            others_share=0.0,  # Its own server is at work already, which the launcher takes for somebody else.
            input_bytes=0,
            operations=1,
        )

    def _compare(self, versions: Path) -> None:
        tags = len(os.listdir(versions / "small")) + len(os.listdir(versions / "great"))
        folders = os.listdir(versions / "great" / "v1")
        if tags < self.tags_count or len(folders) <= self.folders_count:
            raise ToolFailed(f"the mount shows {tags} tags and {len(folders)} folders")

    def _command(self, *arguments: str) -> Command:
        return Command(("artstore", "--store", str(self.store), *arguments))

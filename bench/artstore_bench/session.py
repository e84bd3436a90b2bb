"""One tool, one repetition, one fresh repository: what the questions have in hand when they ask."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artstore_bench.command import Command, Toolbox
from artstore_bench.corpus import Corpus
from artstore_bench.method import SETTLE_S, ToolFailed, measure, settle, sync
from artstore_bench.peers import Peer
from artstore_bench.results import Run
from artstore_bench.trees import Manifest, differences, switch, usage, warm


@dataclass(slots=True)
class LiveTree:
    """The folder that all tools work on in turn: always one of the corpus's versions, edited in place."""

    path: Path
    corpus: Corpus
    settle_s: float = SETTLE_S
    version: str | None = None

    @property
    def manifest(self) -> Manifest:
        """What the folder holds."""
        assert self.version is not None
        return self.corpus.manifests[self.version]

    def become(self, version: str) -> None:
        """Edit the folder into that version, and wait until the edit is old enough for stat caches."""
        if self.version == version:
            return
        before = None if self.version is None else self.manifest
        self.version = None  # If this is interrupted, the next one starts from nothing.
        switch(self.path, target=self.corpus.tree(version), manifest=self.corpus.manifests[version], before=before)
        self.version = version
        settle(self.settle_s)


@dataclass(frozen=True, slots=True)
class Session:
    """A peer with its repository, beside the live tree, in a folder that is emptied afterwards."""

    peer: Peer
    live: LiveTree
    toolbox: Toolbox
    repetition: int
    subject: str

    @property
    def repo(self) -> Path:
        """The peer's own folder."""
        return self.live.path.parent / "repo"

    def begin(self) -> None:
        """A fresh repository and the first version in the live tree."""
        self.clear()
        self.live.become("v1")
        self.repo.mkdir()
        self.untimed(self.peer.init(self.repo))

    def clear(self) -> None:
        """Remove everything beside the live tree."""
        folder = self.live.path.parent
        for path in folder.iterdir() if folder.exists() else ():
            if path == self.live.path:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def untimed(self, commands: Sequence[Command]) -> None:
        """Run something that is not part of any answer."""
        if commands:
            measure(commands, toolbox=self.toolbox, log=self._log("setup"))

    def timed(self, question: str, commands: Sequence[Command], *, inputs: Sequence[Path]) -> Run:
        """Warm the inputs, wait for the disk, measure, and look at what is stored before and after."""
        warm(inputs)
        sync()
        before = usage(self.peer.stored_paths(self.repo))
        sample = measure(commands, toolbox=self.toolbox, log=self._log(question))
        # Blocks are allocated when data is written out: `du` before that would count too little.
        sync()
        after = usage(self.peer.stored_paths(self.repo))
        return Run(
            corpus=self.subject,
            question=question,
            tool=self.peer.name,
            repetition=self.repetition,
            wall_s=sample.wall_s,
            user_s=sample.user_s,
            system_s=sample.system_s,
            rss_bytes=sample.rss_bytes,
            others_share=sample.others_share,
            input_bytes=self.live.manifest.size,
            stored_bytes=after.allocated_bytes,
            stored_bytes_apparent=after.apparent_bytes,
            added_bytes=after.allocated_bytes - before.allocated_bytes,
        )

    def verify(self, folder: Path) -> None:
        """The restored folder must be the live tree, bit for bit: a fast tool that loses data has no time."""
        wrong = differences(folder, self.live.manifest)
        if wrong:
            raise ToolFailed(f"restored {len(wrong)} files wrongly, the first is {wrong[0]}")

    def _log(self, question: str) -> Path:
        return self.toolbox.folder / "logs" / f"{self.subject}-{self.peer.name}-{question}-{self.repetition}.log"

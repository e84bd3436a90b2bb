"""Real stores in temporary folders, as tests open, kill, starve and reopen them."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from artstore import wiring
from artstore.adapters import store_folder
from artstore.adapters.clock import SystemClock
from artstore.adapters.lmdb_index.index import LmdbIndex
from artstore.adapters.packs import FilePacks
from artstore.adapters.sessions import FileSessions
from artstore.chunking import CHUNKER_ID
from artstore.errors import ArtstoreError
from artstore.format.ids import PLAIN, Ids
from artstore.model import Kind, Metadata
from artstore.ports import PackFiles
from artstore.store.commit import CommitResult, Naming, Said, commit
from artstore.store.context import Context
from artstore.store.objects import Objects
from artstore.store.read import open_file, walk


@dataclass(frozen=True)
class Opened:
    """A store as one process sees it."""

    context: Context
    objects: Objects

    def commit(self, folder: Path, artifact: str = "m") -> CommitResult:
        """The folder's next version."""
        naming, said = Naming(artifact=artifact), Said("", "me", Metadata())
        return commit(self.context, self.objects, os.fsencode(folder), naming=naming, said=said)

    def tags(self) -> dict[str, bytes]:
        """Names and versions."""
        with self.context.index.read() as reader:
            return {tag.name: tag.version for tag in reader.tags()}

    def content(self, version: bytes) -> dict[bytes, bytes]:
        """All files of a version, read and verified."""
        tree = self.objects.version(version).tree
        return {
            path: open_file(self.context, self.objects, entry.content, entry.size).read()
            for path, entry in walk(self.objects, tree)
            if entry.kind != Kind.DIR
        }


def create(path: Path, ids: Ids = PLAIN) -> None:
    """An empty store."""
    text = str(path)
    if ids is PLAIN:
        wiring.init(text)
        return
    store_folder.prepare(text, group=None)
    LmdbIndex(text, ids).close()
    store_folder.complete(text, chunker=CHUNKER_ID, group=None)


@contextmanager
def opened(path: Path, ids: Ids = PLAIN) -> Generator[Opened]:
    """Open a store, and close it again. The passphrase of one that is encrypted is where the environment says."""
    text = str(path)
    files = FilePacks(text)
    packs, ids = _as_config_says(text, files, ids)
    index = LmdbIndex(text, ids)
    context = Context(text, index, packs, FileSessions(text), SystemClock(), ids)
    objects = Objects(context)
    try:
        yield Opened(context, objects)
    finally:
        objects.close()
        files.close()
        index.close()


def _as_config_says(path: str, packs: PackFiles, ids: Ids) -> tuple[PackFiles, Ids]:
    try:
        if store_folder.load_config(path).keys is None:
            return packs, ids
    except ArtstoreError:  # no store, or one that is damaged: what it is tried with finds that out
        return packs, ids
    from artstore.store.sealed import SealedPacks
    from artstore.wiring import keys

    chain = keys.unlock(path)
    return SealedPacks(packs, chain), Ids(chain.keys.ids)


def files_of(folder: Path) -> dict[bytes, bytes]:
    """What a version of the folder has to hold."""
    return {os.fsencode(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

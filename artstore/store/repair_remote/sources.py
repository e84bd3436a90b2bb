"""Where an object that a remote should have can be had: here, in what is left of damaged packs, from other remotes.

Whatever is handed out was verified [I5].
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, Erased, NotPermitted, RemoteError
from artstore.format.frame import KIND_MASK
from artstore.model import ObjectKind
from artstore.store.check_remote.examine import frames_of
from artstore.store.fetch import Fetcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from artstore.model import Digest, TableEntry
    from artstore.ports import Remote
    from artstore.store.check_remote.examine import Examined
    from artstore.store.context import Context
    from artstore.store.objects import Objects


class Sources:
    """What one repair may take objects from. `versions`: those that need them: their sets tell where else they lie."""

    def __init__(
        self,
        context: Context,
        objects: Objects,
        remote: Remote,
        damaged: Sequence[Examined],
        versions: Sequence[Digest],
    ) -> None:
        self._here = Fetcher(replace(context, far=None))
        self._context = context
        self._objects = objects
        self._remote = remote
        self._damaged = damaged
        self._versions = versions
        self.trouble: list[str] = []  # why sources could not be asked

    def find(self, wanted: Iterable[TableEntry]) -> Iterator[tuple[TableEntry, bytes]]:
        """Those of these objects that can be had, each once. One that was purged here is not."""
        left = {entry.id: entry for entry in wanted}
        with self._context.index.read() as reader:
            erased = [id for id in left if reader.erased(id)]
        for id in erased:
            del left[id]
        for entry in list(left.values()):
            data = self._local(entry)
            if data is not None:
                del left[entry.id]
                yield entry, data
        for pack in self._damaged:
            for entry, data in frames_of(self._remote, pack, [id for id in left if id in pack.good], self._context.ids):
                if left.pop(entry.id, None) is not None:
                    yield entry, data
        for at in range(0, len(self._versions) if left else 0, limits.FAR_RECENT_VERSIONS):
            for version in self._versions[at : at + limits.FAR_RECENT_VERSIONS]:
                self._objects.fetcher.note_opened(version)
            for entry in list(left.values()):
                data = self._far(entry)
                if data is not None:
                    del left[entry.id]
                    yield entry, data

    def _local(self, entry: TableEntry) -> bytes | None:
        try:
            return self._here.one(kind_of(entry), entry.id)
        except (Corrupt, Erased):
            return None

    def _far(self, entry: TableEntry) -> bytes | None:
        far = self._objects.fetcher.far()
        if far is None:
            return None
        try:
            return far.many(kind_of(entry), [entry.id]).get(entry.id)
        except Corrupt:
            return None
        except (RemoteError, NotPermitted) as error:
            if error.message not in self.trouble:
                self.trouble.append(error.message)
            return None

    def close(self) -> None:
        """Let go of what was opened."""
        self._here.close()


def kind_of(entry: TableEntry) -> ObjectKind:
    """What an entry says that it is; its flags were checked when its table was read."""
    return ObjectKind(entry.flags & KIND_MASK)

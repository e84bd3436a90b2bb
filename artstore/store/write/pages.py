"""Where pages and documents go: looked up, and if they are new, into metadata packs.

With each pack goes what becomes true when it is durable: which packs a tree or recipe needs, rows of the stat cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.codec import Encoder
from artstore.model import ObjectKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from artstore.model import Digest
    from artstore.ports import IndexWriter
    from artstore.store.context import Context
    from artstore.store.write.packer import OpenPack, PackWriter

    Packs = set[int | OpenPack]

_NEED_BYTES = 512  # about what a set and its root take in memory
_NEED_PACK_BYTES = 64


class PageStore:
    """Stores each distinct page once, and tells in which pack each lies. Used by one thread."""

    def __init__(self, context: Context, packs: PackWriter | None) -> None:
        self.ids = context.ids
        self._index = context.index
        self._packs = packs  # None: a dry run, nothing is stored
        self._encoder = Encoder(context.level)
        self._recent: dict[bytes, OpenPack] = {}
        self._collectors: list[Packs] = []
        self._needs: list[tuple[bytes, Packs]] = []
        self._needs_bytes = self._rows_bytes = self._weighed = 0
        self.rows: list[tuple[bytes, bytes]] = []  # of the stat cache

    def collect_into(self, packs: Packs) -> None:
        """Until `collected`, add the pack of each page that is emitted to `packs`."""
        self._collectors.append(packs)

    def collected(self) -> None:
        """End the innermost `collect_into`."""
        self._collectors.pop()

    def emit(self, kind: ObjectKind, digest: Digest, data: bytes) -> None:
        """What the builders of trees and recipes call for each page."""
        pack = self._store(kind, digest, data)
        if pack is not None:
            self._collectors[-1].add(pack)

    def _store(self, kind: ObjectKind, digest: bytes, data: bytes) -> OpenPack | int | None:
        # Asked in this order, none is missed: the index knew a page before it was forgotten here.
        recent = self._recent.get(digest)
        if recent is not None:
            return recent
        with self._index.read() as reader:
            location = reader.find(digest)
        if location is not None:
            return location.pack
        if self._packs is None:
            return None
        codec, stored = self._encoder.encode(data)
        pack = self._recent[digest] = self._packs.add(digest, kind, len(data), codec, stored)
        return pack

    def put_document(self, kind: ObjectKind, digest: bytes, data: bytes) -> OpenPack | int:
        """Store a version; tells its pack."""
        pack = self._store(kind, digest, data)
        assert pack is not None
        return pack

    def forget(self, digests: Iterable[bytes]) -> None:
        """These pages are in the index now. May be called from another thread."""
        for digest in digests:
            self._recent.pop(digest, None)

    def needs(self, root: bytes, packs: Packs) -> None:
        """Note which packs the tree or recipe below `root` needs, itself included."""
        self._needs.append((root, packs))
        self._needs_bytes += _NEED_BYTES + _NEED_PACK_BYTES * len(packs)

    @property
    def notes_are_many(self) -> bool:
        """Should they be entered now, although no metadata pack is full? Pages that are known fill none."""
        self._rows_bytes += sum(len(record) for _, record in self.rows[self._weighed :])
        self._weighed = len(self.rows)
        return self._needs_bytes + self._rows_bytes >= limits.NOTES_BYTES_MAX

    def take_notes(self) -> Callable[[IndexWriter], None]:
        """What is to be entered into the index together with the metadata pack that is closed now."""
        needs, rows = self._needs, self.rows[:]
        self._needs = []
        self._needs_bytes = self._rows_bytes = self._weighed = 0
        self.rows.clear()  # its list is known to the directories that are open

        def note(writer: IndexWriter) -> None:
            for root, packs in needs:
                writer.put_page_packs(root, numbers(packs))
            for key, record in rows:
                writer.put_stat_blocks(key, [record])

        return note


def numbers(packs: Iterable[int | OpenPack]) -> set[int]:
    """The local numbers of packs which are all in the index by now."""
    found: set[int] = set()
    for pack in packs:
        number = pack if isinstance(pack, int) else pack.number
        assert number is not None  # I2: what a page needs is named before the page is
        found.add(number)
    return found

"""What stands outside of the versions: the folders of names, links, and the files that are made when they are opened.

Decides where each of these is, at the last look at the names. `view` gives them numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.model import Digest, ObjectKind
from artstore.revision import is_id_prefix
from artstore.store.followed import followed
from artstore_fuse.names import IDS, AliasRow, Folder, Link, Path, Place, VersionName, arrange, differences

if TYPE_CHECKING:
    from artstore.ports import Index, IndexReader

SYSTEM: Final = b".artstore"
Render = Callable[[], bytes]
_ID_HEX: Final = 64


class Places:
    """The names of one store that fit a pattern, and the files of `.artstore`. Not thread-safe."""

    def __init__(self, index: Index, pattern: str, virtual: Mapping[bytes, Render]) -> None:
        self._index = index
        self._pattern = pattern
        self._virtual = dict(sorted(virtual.items()))
        self._started = time.time_ns()
        self._sequence: int = -1
        self._names = Folder()

    def find(self, path: Path) -> Place | Render | None:
        """What stands at a path below the mount; a version may also be found in `ids` by its id or a part of that."""
        if path[:1] == (SYSTEM,):
            return Folder() if len(path) == 1 else self._virtual.get(path[1]) if len(path) == 2 else None
        place: Place | None = self._names
        for part in path:
            place = place.names.get(part) if isinstance(place, Folder) else None
        if place is None and len(path) == 2 and path[0] == IDS:
            return self._by_id(path[1])
        return place

    def names(self, path: Path) -> list[bytes]:
        """What stands in a folder, in order."""
        if path == (SYSTEM,):
            return list(self._virtual)
        place = self.find(path)
        names = list(place.names) if isinstance(place, Folder) else []
        return sorted([*names, SYSTEM]) if not path else names

    def time_of(self, place: Place | Render) -> int:
        """When it last changed, ns: of what tells no time it is the mount's beginning."""
        told = place.time if isinstance(place, Folder | Link) else 0
        return told or self._started

    def refresh(self) -> list[tuple[Path, bytes]]:
        """Look at the names again: (folder, name) of each that came, went or moved. Cheap when there are none."""
        with self._index.read() as reader:
            if reader.sequence == self._sequence:
                return []
            sequence = reader.sequence
            served = {row.alias: row.current for row in followed(reader).values() if row.current is not None}
            aliases = [
                AliasRow(alias.name, served.get(alias.name, alias.version), _moved(reader, alias.move))
                for alias in reader.aliases()
            ]
            names = arrange(reader.tags(), aliases, self._pattern)
        before, self._names, self._sequence = self._names, names, sequence  # a look that failed is repeated
        return list(differences(before, names))

    def _by_id(self, name: bytes) -> Place | None:
        """A version that has no name here, or a link to the one that this part of an id means."""
        text = name.decode("utf-8", "replace")
        if not is_id_prefix(text) or text != text.lower():
            return None
        whole, odd = divmod(len(text), 2)
        with self._index.read() as reader:
            found = [
                digest
                for digest, location in reader.ids_with_prefix(
                    bytes.fromhex(text[: 2 * whole]), int(text[-1], 16) if odd else None, limits.ID_CANDIDATES_MAX
                )
                if location.kind is ObjectKind.VERSION and self._is_shown(reader, digest)
            ]
        if len(found) != 1:
            return None
        return VersionName(found[0]) if len(text) == _ID_HEX else Link(found[0].hex().encode(), 0)

    def _is_shown(self, reader: IndexReader, version: Digest) -> bool:
        """Versions without a name are shown to who knows their id, unless only some names are."""
        ids = self._names.names.get(IDS)
        named = isinstance(ids, Folder) and version.hex().encode() in ids.names
        return named or (self._pattern == "*" and reader.version_set(version) is not None)


def _moved(reader: IndexReader, move: bytes) -> int:
    found = reader.move(move)
    return 0 if found is None else found.time

"""How the refs here and those at a remote stand to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore.store.remote.transfer import ref_at

if TYPE_CHECKING:
    from artstore.ports import IndexReader
    from artstore.store.remote.pull import RemoteRefs


@dataclass(slots=True)
class Compared:
    """Names by where they are; `differing`: they stand for something else on either side, or moved."""

    only_here: list[str] = field(default_factory=list[str])
    only_there: list[str] = field(default_factory=list[str])
    differing: list[str] = field(default_factory=list[str])


def ahead(reader: IndexReader, remote_id: bytes) -> list[str]:
    """Refs that were not seen at the remote as they are here; it is not asked."""
    return [name for name, id in _here(reader).items() if ref_at(reader, remote_id, name) != id]


def compare(reader: IndexReader, there: RemoteRefs) -> Compared:
    """The refs here against those at the remote."""
    here = _here(reader)
    aliases = {alias.name: alias.move for alias in there.aliases if alias.version}  # the others were removed there
    told = {tag.name: tag.version for tag in there.tags} | aliases
    return Compared(
        only_here=sorted(here.keys() - told.keys()),
        only_there=sorted(told.keys() - here.keys()),
        differing=sorted(name for name in here.keys() & told.keys() if here[name] != told[name]),
    )


def _here(reader: IndexReader) -> dict[str, bytes]:
    """What each ref here stands for: a tag's version, an alias's last move."""
    return {tag.name: tag.version for tag in reader.tags()} | {alias.name: alias.move for alias in reader.aliases()}

"""Names as such: which are free, what they are kept for, and what a ref may lead to. What tags and aliases stand on."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, Literal

from artstore.errors import Conflict
from artstore.model import Digest, PackState
from artstore.revision import artifact_of
from artstore.store.provisional import check_not_taken
from artstore.store.resolve import artifact_tags, check_version

if TYPE_CHECKING:
    from artstore.ports import IndexReader, IndexWriter

REMOVED_TAG: Final = "removed-tag/"


def removed_tag(reader: IndexReader, name: str) -> Digest | None:
    """The version that a removed tag of this name named, if there was one."""
    version = reader.journal(REMOVED_TAG + name)
    return None if version is None else Digest(version)


def hold(writer: IndexWriter, version: Digest) -> None:
    """Before a ref names a version: its packs exist, and collection lets go of them.

    A pack that is DELETING still has its file, since what is unlinked leaves the index first [I4].
    """
    for number in check_version(writer, version):
        row = writer.pack(number)
        if row is not None and row.state is not PackState.LIVE:
            writer.set_pack_state(number, PackState.LIVE, 0)


def check_free(reader: IndexReader, name: str, *, wanted: Literal["tag", "alias"]) -> None:
    """A ref is neither a ref of the other kind nor a folder of refs, nor lies below one; no push has taken its name."""
    check_not_taken(reader, name)
    if wanted == "tag" and next(iter(reader.moves(name)), None) is not None:
        raise Conflict(f"{name} is or was an alias and can't be a tag", hint="choose another name")
    if wanted == "alias" and (reader.tag(name) is not None or removed_tag(reader, name) is not None):
        raise Conflict(f"{name} is or was a tag and can't be an alias", hint="choose another name")
    below = next(
        chain((tag.name for tag in reader.tags(f"{name}/")), (a.name for a in reader.aliases(f"{name}/"))), None
    )
    if below is not None:
        raise Conflict(f"{name} can't be a ref: {below} lies below it", hint="choose another name")
    parts = name.split("/")
    for end in range(2, len(parts)):
        above = "/".join(parts[:end])
        if reader.tag(above) is not None or reader.alias(above) is not None:
            raise Conflict(f"{name} can't be a ref: {above} is one, and no folder", hint="choose another name")


def tag_of(reader: IndexReader, version: bytes, artifact: str) -> str | None:
    """The newest of the artifact's tags that names this version."""
    tags = (tag for tag in artifact_tags(reader, artifact) if tag.version == version)
    newest = max(tags, key=lambda tag: (tag.created, tag.name), default=None)
    return None if newest is None else newest.name


def shown(reader: IndexReader, version: bytes, alias: str) -> str:
    """How people call a version, next to an alias of its artifact."""
    return tag_of(reader, version, artifact_of(alias)) or short(version)


def short(version: bytes) -> str:
    """The beginning of its id."""
    return version.hex()[:8]

"""Tags that `commit` numbered and that lost at home get the next free number: there first, then here.

The new name is reserved here before it is written there, so that neither a commit nor a tag takes it meanwhile, and a
push that was killed in between goes on with the same number. Of several that renumber at once one wins each number.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Busy
from artstore.format.remote import ALIASES, TAGS, WRITE_BYTES, RemoteTag, encode_remote
from artstore.model import Digest, Tag
from artstore.revision import artifact_of, next_version_name, version_number
from artstore.store import identity, refs
from artstore.store.provisional import (
    Renumbering,
    forget_provisional,
    is_provisional,
    note_renumbered,
    renumbered,
    reserve,
    reserved,
)
from artstore.store.remote.documents import read_document
from artstore.store.remote.transfer import note_ref, ref_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.ports import IndexReader, IndexWriter, Remote
    from artstore.store.context import Context


@dataclass(frozen=True, slots=True)
class Renumbered:
    """A tag that lost its name, and the one it has now; `why` it lost."""

    old: str
    new: Tag
    why: str


@dataclass(frozen=True, slots=True)
class _Names:
    """An artifact's names at the remote, and when the one with the greatest number was made."""

    used: list[str]
    newest: int


class Renumberer:
    """For one push to the home of a store, called `home`."""

    def __init__(self, context: Context, remote: Remote, remote_id: bytes, home: str) -> None:
        self._context = context
        self._remote = remote
        self._remote_id = remote_id
        self._home = home

    def renumber(self, tag: Tag, there: RemoteTag, before_each: Callable[[], None]) -> Renumbered | None:
        """Another number for what `there` keeps from its own; None if somebody has said or removed this name.

        `before_each`: as for each write of a ref. Busy if others are quicker all the time.
        """
        gone: set[str] = set()
        for _ in range(limits.REMOTE_NUMBERS_MAX):
            new = self._reserve(tag, self._names(artifact_of(tag.name), there), gone)
            if new is None:
                return self._told(tag, there)
            before_each()
            value = RemoteTag(secrets.token_bytes(WRITE_BYTES), new.version, new.created)
            if self._remote.create(TAGS + new.name, encode_remote(value)) is None:
                found = read_document(self._remote, RemoteTag, TAGS + new.name)
                if found is None or found[0].version != tag.version:
                    gone.add(new.name)
                    continue
                new = Tag(new.name, new.version, found[0].created)  # our own, of a push that was killed
            with self._context.index.write() as writer:
                rename(writer, self._remote_id, Renumbering(tag.name, new.name, Digest(tag.version)), new.created)
            return self._told(tag, there)
        raise Busy(
            f"{self._remote.url}: others take numbers of {artifact_of(tag.name)} all the time", hint="push again"
        )

    def _told(self, tag: Tag, there: RemoteTag) -> Renumbered | None:
        """What became of it, by this push or by another one of this store."""
        with self._context.index.read() as reader:
            found = renumbered(reader, tag.name)
            new = None if found is None else reader.tag(found.new)
        if new is None or new.version != tag.version:
            return None
        lost = "is another version" if there.version else "was removed"
        return Renumbered(tag.name, new, f"{tag.name} {lost} at {self._home}")

    def _names(self, artifact: str, lost: RemoteTag) -> _Names:
        used = [
            found.key.removeprefix(prefix)
            for prefix in (TAGS, ALIASES)
            for found in self._remote.list(f"{prefix}{artifact}/")
        ]
        last = max(used, key=lambda name: version_number(artifact, name), default="")
        found = read_document(self._remote, RemoteTag, TAGS + last) if last else None
        return _Names(used, max(lost.created, 0 if found is None else found[0].created))

    def _reserve(self, tag: Tag, there: _Names, gone: set[str]) -> Tag | None:
        """The next name, kept free here: the one that is reserved already, unless that is `gone`.

        None if the tag isn't provisional any more.
        """
        artifact = artifact_of(tag.name)
        with self._context.index.write() as writer:
            known = writer.tag(tag.name)
            if known is None or known.version != tag.version or not is_provisional(writer, known):
                return None
            name = _begun(writer, self._remote_id, tag)
            if name is None or name in gone:
                name = next_version_name(artifact, [*refs.used_names(writer, artifact), *there.used])
                reserve(writer, self._remote_id, Renumbering(tag.name, name, Digest(tag.version)))
            newest = refs.newest_tag(writer, artifact)
        created = self._context.clock.now_ns()
        created = max(created, there.newest + 1, 0 if newest is None else newest.created + 1)
        return Tag(name, tag.version, created)


def rename(writer: IndexWriter, remote_id: bytes, renumbering: Renumbering, created: int) -> bool:
    """What has its new name at the remote gets it here, all in one transaction. False if it lost its old one meanwhile.

    What was made here after it, and isn't at the remote yet, counts as made after it still: an artifact's newest
    version doesn't become an older one by this.
    """
    old = writer.tag(renumbering.old)
    if old is None or old.version != renumbering.version or not is_provisional(writer, old):
        return False
    who = identity.user()
    artifact = artifact_of(old.name)
    later = [tag for tag in refs.artifact_tags(writer, artifact) if (tag.created, tag.name) > (old.created, old.name)]
    later = [tag for tag in later if tag.name != renumbering.new and ref_at(writer, remote_id, tag.name) is None]
    writer.remove_tag(old.name, time=created, who=who)  # at one time: so refs.log tells that it was renumbered
    writer.put_tag(Tag(renumbering.new, old.version, created))
    forget_provisional(writer, old.name)
    note_renumbered(writer, renumbering)
    note_ref(writer, remote_id, renumbering.new, old.version)
    for count, tag in enumerate(sorted(later, key=lambda tag: (tag.created, tag.name)), 1):
        writer.remove_tag(tag.name, time=created + count, who=who)
        writer.put_tag(Tag(tag.name, tag.version, created + count))
    return True


def complete(writer: IndexWriter, remote_id: bytes, tag: Tag) -> bool:
    """Is this tag of a remote the new name of one here, which a push had no time to give it? Then it has it now."""
    for remote, each in list(reserved(writer)):
        if (remote, each.new, each.version) == (remote_id, tag.name, tag.version):
            return rename(writer, remote_id, each, tag.created)
    return False


def _begun(reader: IndexReader, remote_id: bytes, tag: Tag) -> str | None:
    for remote, each in reserved(reader):
        if (remote, each.old, each.version) == (remote_id, tag.name, tag.version):
            return each.new
    return None

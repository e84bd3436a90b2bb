"""Names: tags, aliases and their moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from artstore.revision import artifact_of, check_ref_name
from artstore.store import identity, refs
from artstore.store.facade.base import Base, Rev
from artstore.store.refs import Absent

if TYPE_CHECKING:
    from artstore.model import Alias, Digest, Move, Tag
    from artstore.store.refs import Moved, RefRow, TagSet
    from artstore.store.remove import Removal


class Naming(Base):
    """What names versions."""

    def tags(self, prefix: str = "") -> list[Tag]:
        """Tags whose names begin so, by name."""
        with self.context.index.read() as reader:
            return list(reader.tags(prefix))

    def aliases(self, prefix: str = "") -> list[Alias]:
        """Aliases whose names begin so, by name."""
        with self.context.index.read() as reader:
            return list(reader.aliases(prefix))

    def refs(self, pattern: str | None = None) -> list[RefRow]:
        """Tags and aliases by name: all, those below an artifact, or those that a pattern with * and ? fits."""
        with self.context.index.read() as reader:
            return list(refs.list_refs(reader, pattern))

    def tag(self, name: str, revision: Rev | None = None) -> TagSet:
        """Give a version (else the newest of the name's artifact) an immutable name. Idempotent; Conflict if taken."""
        with self.context.index.write() as writer:
            wanted = artifact_of(check_ref_name(name)) if revision is None else revision
            version = self.resolve_in(writer, wanted, check_ref_name(name)).version
            return refs.set_tag(writer, name, version, now=self.context.clock.now_ns())

    def set_alias(self, name: str, revision: Rev, *, expected: Rev | Absent | None = None, reason: str = "") -> Moved:
        """Make an alias or move it; a bare `v4` means the alias's own artifact's.

        `expected` swaps only if it stands there now (ABSENT: if there is none); else Conflict.
        """
        with self.context.index.write() as writer:
            target = self.resolve_in(writer, revision, check_ref_name(name)).version
            if expected is not None and not isinstance(expected, Absent):
                expected = self.resolve_in(writer, expected, name).version
            return refs.set_alias(writer, name, target, if_current=expected, reason=reason, **self._mover())

    def remove(self, *names: str, reason: str = "") -> Removal:
        """Remove tags, aliases, and by its id a version with all its tags: all of them or, if one can't be, none.

        Content stays until nothing leads to it and `gc` runs; a tag's name stays reserved, an alias's history stays.
        NotFound for an unknown name; Conflict, with the reason, for a version that is needed.
        """
        from artstore.store.remove import remove

        who, host = identity.user(), identity.host()
        return remove(self.context, self.objects, names, who=who, host=host, reason=reason)

    def alias_log(self, name: str) -> list[Move]:
        """The moves of an alias, newest first, be it removed by now."""
        with self.context.index.read() as reader:
            return [move for _, move in refs.alias_log(reader, name)]

    def rollback(self, name: str, to: Rev | None = None, *, expected: Rev | None = None, reason: str = "") -> Moved:
        """Move an alias back to where it stood before its newest forward move, and further each time; or `to` there.

        Conflict when there is nowhere to go; never to a version that was rolled back from.
        """
        check_ref_name(name)
        with self.context.index.write() as writer:
            target = None if to is None else self.resolve_in(writer, to, name).version
            current = None if expected is None else self.resolve_in(writer, expected, name).version
            return refs.rollback(writer, name, to=target, if_current=current, reason=reason, **self._mover())

    def rollback_target(self, name: str, to: Rev | None = None) -> Digest:
        """Where `rollback` would go now; errors as `rollback`."""
        check_ref_name(name)
        with self.context.index.read() as reader:
            target = None if to is None else self.resolve_in(reader, to, name).version
            return refs.rollback_target(reader, name, to=target).target

    def name_of(self, version: bytes, beside: str = "") -> str | None:
        """A tag of a version: the newest in the artifact of the ref `beside`, else the newest of all."""
        with self.context.index.read() as reader:
            own = refs.tag_of(reader, version, artifact_of(beside)) if "/" in beside else None
            if own is not None:
                return own
            tags = [tag for tag in reader.tags() if tag.version == version]
        return max(tags, key=lambda tag: (tag.created, tag.name)).name if tags else None

    def _mover(self) -> _Mover:
        return {"who": identity.user(), "host": identity.host(), "now": self.context.clock.now_ns()}


class _Mover(TypedDict):
    who: str
    host: str
    now: int

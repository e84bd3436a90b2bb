"""Names: tags, aliases and their moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.revision import artifact_of, check_ref_name
from artstore.store import aliases, identity, provisional, refs
from artstore.store.aliases import Absent
from artstore.store.facade.base import Base, Rev

if TYPE_CHECKING:
    from artstore.model import Alias, Digest, Move, Tag
    from artstore.ports import IndexReader
    from artstore.store.aliases import Moved, Mover, Planned, Planner
    from artstore.store.followed import Followed
    from artstore.store.provisional import Renumbering
    from artstore.store.refs import RefRow, TagSet
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
        """Give a version (else the newest of the name's artifact) an immutable name. Idempotent; Conflict if taken.

        A name that `commit` chose is kept for good if it is said here, and a push doesn't renumber it.
        """
        with self.context.index.write() as writer:
            wanted = artifact_of(check_ref_name(name)) if revision is None else revision
            version = self.resolve_in(writer, wanted, check_ref_name(name)).version
            return refs.set_tag(writer, name, version, now=self.context.clock.now_ns())

    def dismiss(self, name: str) -> Renumbering:
        """Let a tag that was renumbered not answer with its new name any more; what that is is returned.

        From then on its old name is free for what others gave it to, and the next `pull` brings that. NotFound if it
        was not renumbered.
        """
        with self.context.index.write() as writer:
            return provisional.dismiss(writer, check_ref_name(name))

    def set_alias(
        self,
        name: str,
        revision: Rev,
        *,
        expected: Rev | Absent | None = None,
        reason: str = "",
        local: bool = False,
    ) -> Moved:
        """Make an alias or move it; a bare `v4` means the alias's own artifact's.

        `expected` swaps only if it stands there now (ABSENT: if there is none); else Conflict. An alias that was pushed
        moves at the home remote first, and nothing moves if that can't be reached (RemoteError); `local`: it moves here
        only, until the next contact.
        """
        check_ref_name(name)

        def plan(reader: IndexReader) -> Planned:
            target = self.resolve_in(reader, revision, name).version
            current = expected
            if current is not None and not isinstance(current, Absent):
                current = self.resolve_in(reader, current, name).version
            return aliases.plan_alias(reader, name, target, if_current=current, reason=reason, **self._mover())

        return self._move(name, plan, local=local)

    def remove_alias(self, name: str, *, reason: str = "", local: bool = False) -> Removal:
        """Remove an alias; its history stays. Where it moves, and `local`: as `set_alias`."""
        from artstore.store.remove import alias_removal

        def plan(reader: IndexReader) -> Planned:
            return aliases.plan_alias_removal(reader, name, reason=reason, **self._mover())

        return alias_removal(self.context, self._move(check_ref_name(name), plan, local=local))

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

    def rollback(
        self, name: str, to: Rev | None = None, *, expected: Rev | None = None, reason: str = "", local: bool = False
    ) -> Moved:
        """Move an alias back to where it stood before its newest forward move, and further each time; or `to` there.

        Conflict when there is nowhere to go; never to a version that was rolled back from. Where it moves, and `local`:
        as `set_alias`; then it goes back from where home stands.
        """
        check_ref_name(name)

        def plan(reader: IndexReader) -> Planned:
            target = None if to is None else self.resolve_in(reader, to, name).version
            current = None if expected is None else self.resolve_in(reader, expected, name).version
            mover = self._mover()
            return aliases.plan_alias_rollback(reader, name, to=target, if_current=current, reason=reason, **mover)

        return self._move(name, plan, local=local, back=to is None)

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

    def followed(self) -> dict[str, Followed]:
        """What followers on this machine serve, by alias."""
        from artstore.store import followed

        with self.context.index.read() as reader:
            return followed.followed(reader)

    def put_followed(self, row: Followed) -> None:
        """Note what one serves: its versions are neither evicted nor collected from now on, and mounts show it."""
        from artstore.store import followed

        with self.context.index.write() as writer:
            followed.put_followed(writer, row)

    def drop_followed(self, alias: str) -> None:
        """Nobody follows an alias any more."""
        from artstore.store import followed

        with self.context.index.write() as writer:
            followed.drop_followed(writer, alias)

    def _move(self, name: str, planner: Planner, *, local: bool, back: bool = False) -> Moved:
        """Decide on an alias and move it, here: this class knows no remote. `back`: it is a rollback."""
        del name, local, back
        with self.context.index.write() as writer:
            return aliases.enter(writer, planner(writer))

    def _mover(self) -> Mover:
        return {"who": identity.user(), "host": identity.host(), "now": self.context.clock.now_ns()}

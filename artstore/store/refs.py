"""Tags and aliases: making, moving, removing and listing them.

Each operation works inside the write transaction it is given and checks everything there: who comes second sees what
the first one did [I3]. Nothing here knows the clock, the user or the machine; they are arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import translate
from heapq import merge
from itertools import chain
from typing import TYPE_CHECKING, Literal

from artstore.errors import Conflict, NotFound
from artstore.format import reflog
from artstore.model import Alias, Digest, Tag
from artstore.revision import artifact_of, check_artifact_name, check_ref_name, next_version_name
from artstore.store import provisional
from artstore.store.aliases import (
    ABSENT,
    Absent,
    Moved,
    Mover,
    alias_log,
    enter,
    plan_alias,
    plan_alias_removal,
    plan_alias_rollback,
    restore_history,
    restore_moves,
    rollback_target,
)
from artstore.store.names import REMOVED_TAG, check_free, hold, removed_tag, short, tag_of
from artstore.store.resolve import Resolved, artifact_tags, is_known, newest_tag, parse, resolve

if TYPE_CHECKING:
    from artstore.ports import IndexReader, IndexWriter

__all__ = [
    "ABSENT",
    "Absent",
    "Moved",
    "RefRow",
    "Resolved",
    "TagSet",
    "alias_log",
    "artifact_tags",
    "is_known",
    "list_refs",
    "log_records",
    "newest_tag",
    "next_tag_name",
    "parse",
    "remove_alias",
    "remove_tag",
    "removed_tag",
    "removed_tags",
    "reserve_name",
    "resolve",
    "restore_history",
    "restore_moves",
    "restore_tag",
    "rollback",
    "rollback_target",
    "set_alias",
    "set_tag",
    "tag_of",
    "used_names",
]


@dataclass(frozen=True, slots=True)
class TagSet:
    """What `set_tag` did. `existed`: the tag named this version already and nothing changed."""

    name: str
    version: Digest
    created: int
    existed: bool


@dataclass(frozen=True, slots=True)
class RefRow:
    """One line of `list`. `time`: a tag's creation, an alias's last move (ns). `seq` counts an alias's moves."""

    name: str
    kind: Literal["tag", "alias"]
    version: Digest
    time: int
    seq: int = 0


def next_tag_name(reader: IndexReader, artifact: str) -> str:
    """The name the artifact's next version gets, `ARTIFACT/vN`: one that no ref has or had."""
    return next_version_name(artifact, used_names(reader, artifact))


def used_names(reader: IndexReader, artifact: str) -> Iterator[str]:
    """All names of an artifact that refs have, had or are about to get."""
    prefix = f"{check_artifact_name(artifact)}/"
    return chain(
        (tag.name for tag in reader.tags(prefix)),
        (alias.name for alias in reader.aliases(prefix)),
        (key.removeprefix(REMOVED_TAG) for key in reader.journal_keys(REMOVED_TAG + prefix)),
        provisional.taken(reader, prefix),
    )


def set_tag(writer: IndexWriter, name: str, version: Digest, *, now: int) -> TagSet:
    """Give a version an immutable name, which is not provisional then. Idempotent.

    Raises Conflict if the name is taken, or was ever used for another version; NotFound if the version isn't here.
    """
    check_ref_name(name)
    known = writer.tag(name)
    if known is not None and known.version == version:
        provisional.keep_name(writer, name)
        return TagSet(name, version, known.created, existed=True)
    if known is not None:
        raise Conflict(
            f"{name} exists and names version {short(known.version)}",
            hint=f"a tag never changes; use another name, for instance {next_tag_name(writer, artifact_of(name))}",
        )
    check_free(writer, name, wanted="tag")
    formerly = removed_tag(writer, name)
    if formerly is not None and formerly != version:
        raise Conflict(
            f"{name} was the name of version {short(formerly)}, which was removed",
            hint=f"a name is never used for something else; {next_tag_name(writer, artifact_of(name))} is free",
        )
    hold(writer, version)
    newest = newest_tag(writer, artifact_of(name))
    created = now if newest is None else max(now, newest.created + 1)
    writer.put_tag(Tag(name, version, created))
    if formerly is not None:
        writer.put_journal(REMOVED_TAG + name, None)
    return TagSet(name, version, created, existed=False)


def remove_tag(writer: IndexWriter, name: str, *, now: int, who: str) -> Tag:
    """Remove a tag and return what it was. Its name stays reserved for that version."""
    tag = writer.tag(name)
    if tag is None:
        raise NotFound(f"there is no tag {name}", hint="`artstore list` shows the refs")
    writer.remove_tag(name, time=now, who=who)
    writer.put_journal(REMOVED_TAG + name, tag.version)
    provisional.forget_provisional(writer, name)
    return tag


def removed_tags(reader: IndexReader) -> Iterator[tuple[str, Digest]]:
    """Names that tags had and nothing has now, with the versions they are kept for, in name order."""
    for key in reader.journal_keys(REMOVED_TAG):
        version = reader.journal(key)
        if version is not None:
            yield key.removeprefix(REMOVED_TAG), Digest(version)


def reserve_name(writer: IndexWriter, name: str, version: Digest) -> None:
    """Keep the name of a tag that was removed for its version: what `remove_tag` noted, when an index is rebuilt."""
    writer.put_journal(REMOVED_TAG + name, version)


def log_records(reader: IndexReader) -> Iterator[reflog.Record]:
    """What refs.log has to say that leads to this index: removed tags too, since their names are never used again.

    One that was renumbered was removed at the very time at which its new tag was made: that tells it from others.
    """
    for name, version in removed_tags(reader):
        yield reflog.TagSet(Tag(name, version, 0))
        yield reflog.TagRemoved(name, 0, "")
    for each in provisional.all_renumbered(reader):
        new = reader.tag(each.new)
        yield reflog.TagSet(Tag(each.old, each.version, 0))
        yield reflog.TagRemoved(each.old, 0 if new is None else new.created, "")
    yield from reader.ref_records()


def restore_tag(writer: IndexWriter, tag: Tag) -> None:
    """Bring back a tag that was removed, as it was: its place among its artifact's tags too. Idempotent.

    Raises Conflict if the name is used otherwise by now; NotFound if the version isn't here.
    """
    if writer.tag(tag.name) is None:
        check_free(writer, tag.name, wanted="tag")
        hold(writer, Digest(tag.version))
    writer.put_tag(tag)
    writer.put_journal(REMOVED_TAG + tag.name, None)


def set_alias(
    writer: IndexWriter,
    name: str,
    target: Digest,
    *,
    if_current: Digest | Absent | None = None,
    reason: str = "",
    who: str,
    host: str,
    now: int,
) -> Moved:
    """Move an alias forward, or make it; as `plan_alias`."""
    mover: Mover = {"who": who, "host": host, "now": now}
    return enter(writer, plan_alias(writer, name, target, if_current=if_current, reason=reason, **mover))


def rollback(
    writer: IndexWriter,
    name: str,
    *,
    to: Digest | None = None,
    if_current: Digest | Absent | None = None,
    reason: str = "",
    who: str,
    host: str,
    now: int,
) -> Moved:
    """Move an alias back; as `plan_alias_rollback`."""
    mover: Mover = {"who": who, "host": host, "now": now}
    return enter(writer, plan_alias_rollback(writer, name, to=to, if_current=if_current, reason=reason, **mover))


def remove_alias(
    writer: IndexWriter,
    name: str,
    *,
    if_current: Digest | Absent | None = None,
    reason: str = "",
    who: str,
    host: str,
    now: int,
) -> Moved:
    """Remove an alias; its history stays and goes on if it is made again."""
    mover: Mover = {"who": who, "host": host, "now": now}
    return enter(writer, plan_alias_removal(writer, name, if_current=if_current, reason=reason, **mover))


def list_refs(reader: IndexReader, pattern: str | None = None) -> Iterator[RefRow]:
    """Refs in name order: all, those that a pattern with `*`, `?`, `[…]` fits, or a ref or all below an artifact."""
    literal = re.split(r"[*?\[]", pattern or "", maxsplit=1)[0]
    tags = (RefRow(tag.name, "tag", Digest(tag.version), tag.created) for tag in reader.tags(literal))
    aliases = (_alias_row(reader, alias) for alias in reader.aliases(literal))
    rows = merge(tags, aliases, key=lambda row: row.name)
    if not pattern:
        return rows
    if literal == pattern:
        return (row for row in rows if row.name == pattern or row.name.startswith(pattern.rstrip("/") + "/"))
    fits = re.compile(translate(pattern)).match
    return (row for row in rows if fits(row.name))


def _alias_row(reader: IndexReader, alias: Alias) -> RefRow:
    move = reader.move(alias.move)
    return RefRow(alias.name, "alias", Digest(alias.version), 0 if move is None else move.time, alias.seq)

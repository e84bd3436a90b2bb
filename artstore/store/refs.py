"""Tags and aliases: making, moving, removing and listing them.

Each operation works inside the write transaction it is given and checks everything there: who comes second sees what
the first one did [I3]. Nothing here knows the clock, the user or the machine; they are arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import translate
from heapq import merge
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, Literal

from artstore import limits
from artstore.errors import Conflict, NotFound
from artstore.format import reflog
from artstore.model import Alias, Digest, Move, PackState, Tag
from artstore.planning.rollback import Refusal, RollbackPlan, plan_rollback
from artstore.revision import artifact_of, check_artifact_name, check_ref_name, next_version_name
from artstore.store.resolve import (
    Resolved,
    artifact_tags,
    check_version,
    is_known,
    newest_tag,
    parse,
    resolve,
)

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
    "restore_moves",
    "restore_tag",
    "rollback",
    "rollback_target",
    "set_alias",
    "set_tag",
    "tag_of",
]

_REMOVED_TAG = "removed-tag/"


class Absent(Enum):
    """Expected by a compare-and-swap: the alias names nothing yet."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class TagSet:
    """What `set_tag` did. `existed`: the tag named this version already and nothing changed."""

    name: str
    version: Digest
    created: int
    existed: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of an alias. None as `source` or `target`: it named nothing before, or was removed.

    `changed` is False when it stood there already; then `seq` and `time` are those of its last move. `skipped`:
    versions that a rollback passed over since they were collected.
    """

    alias: str
    source: Digest | None
    target: Digest | None
    seq: int
    time: int
    rollback: bool = False
    changed: bool = True
    skipped: tuple[Digest, ...] = ()


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
    prefix = f"{check_artifact_name(artifact)}/"
    return next_version_name(
        artifact,
        chain(
            (tag.name for tag in reader.tags(prefix)),
            (alias.name for alias in reader.aliases(prefix)),
            (key.removeprefix(_REMOVED_TAG) for key in reader.journal_keys(_REMOVED_TAG + prefix)),
        ),
    )


def set_tag(writer: IndexWriter, name: str, version: Digest, *, now: int) -> TagSet:
    """Give a version an immutable name. Idempotent.

    Raises Conflict if the name is taken, or was ever used for another version; NotFound if the version isn't here.
    """
    check_ref_name(name)
    known = writer.tag(name)
    if known is not None and known.version == version:
        return TagSet(name, version, known.created, existed=True)
    if known is not None:
        raise Conflict(
            f"{name} exists and names version {_short(known.version)}",
            hint=f"a tag never changes; use another name, for instance {next_tag_name(writer, artifact_of(name))}",
        )
    _check_free(writer, name, wanted="tag")
    formerly = removed_tag(writer, name)
    if formerly is not None and formerly != version:
        raise Conflict(
            f"{name} was the name of version {_short(formerly)}, which was removed",
            hint=f"a name is never used for something else; {next_tag_name(writer, artifact_of(name))} is free",
        )
    _hold(writer, version)
    newest = newest_tag(writer, artifact_of(name))
    created = now if newest is None else max(now, newest.created + 1)
    writer.put_tag(Tag(name, version, created))
    if formerly is not None:
        writer.put_journal(_REMOVED_TAG + name, None)
    return TagSet(name, version, created, existed=False)


def remove_tag(writer: IndexWriter, name: str, *, now: int, who: str) -> Tag:
    """Remove a tag and return what it was. Its name stays reserved for that version."""
    tag = writer.tag(name)
    if tag is None:
        raise NotFound(f"there is no tag {name}", hint="`artstore list` shows the refs")
    writer.remove_tag(name, time=now, who=who)
    writer.put_journal(_REMOVED_TAG + name, tag.version)
    return tag


def removed_tag(reader: IndexReader, name: str) -> Digest | None:
    """The version that a removed tag of this name named, if there was one."""
    version = reader.journal(_REMOVED_TAG + name)
    return None if version is None else Digest(version)


def removed_tags(reader: IndexReader) -> Iterator[tuple[str, Digest]]:
    """Names that tags had and nothing has now, with the versions they are kept for, in name order."""
    for key in reader.journal_keys(_REMOVED_TAG):
        version = reader.journal(key)
        if version is not None:
            yield key.removeprefix(_REMOVED_TAG), Digest(version)


def reserve_name(writer: IndexWriter, name: str, version: Digest) -> None:
    """Keep the name of a tag that was removed for its version: what `remove_tag` noted, when an index is rebuilt."""
    writer.put_journal(_REMOVED_TAG + name, version)


def log_records(reader: IndexReader) -> Iterator[reflog.Record]:
    """What refs.log has to say that leads to this index: removed tags too, since their names are never used again."""
    for name, version in removed_tags(reader):
        yield reflog.TagSet(Tag(name, version, 0))
        yield reflog.TagRemoved(name, 0, "")
    yield from reader.ref_records()


def restore_tag(writer: IndexWriter, tag: Tag) -> None:
    """Bring back a tag that was removed, as it was: its place among its artifact's tags too. Idempotent.

    Raises Conflict if the name is used otherwise by now; NotFound if the version isn't here.
    """
    if writer.tag(tag.name) is None:
        _check_free(writer, tag.name, wanted="tag")
        _hold(writer, Digest(tag.version))
    writer.put_tag(tag)
    writer.put_journal(_REMOVED_TAG + tag.name, None)


def restore_moves(writer: IndexWriter, name: str, moves: Sequence[Move]) -> None:
    """Go on with an alias as others did: moves that follow upon those here, oldest first.

    Raises Conflict if they don't, or the name is a tag's; NotFound if the version it stands at then isn't here.
    """
    if writer.alias(name) is None:
        _check_free(writer, name, wanted="alias")
    if moves and moves[-1].target:
        _hold(writer, Digest(moves[-1].target))
    for move in moves:
        writer.put_move(move)


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
    """Move an alias forward, or make it. `if_current` swaps only if it stands there (None: wherever it stands).

    Raises Conflict if it stands elsewhere or the name is a tag's; NotFound if the version isn't here.
    """
    check_ref_name(name)
    alias = writer.alias(name)
    _check_current(writer, name, alias, if_current)
    if alias is not None and alias.version == target:
        return _unmoved(writer, alias)
    if alias is None:
        _check_free(writer, name, wanted="alias")
    return _put_move(writer, name, target, reason=reason, who=who, host=host, now=now)


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
    """Move an alias back: see `planning.rollback`. Raises Conflict when there is nowhere to go."""
    alias = writer.alias(name)
    if alias is None:
        raise _no_alias(name)
    _check_current(writer, name, alias, if_current)
    plan = rollback_target(writer, name, to=to)
    if plan.target == alias.version:
        return _unmoved(writer, alias)
    return _put_move(
        writer, name, plan.target, reason=reason, who=who, host=host, now=now, rollback=True, skipped=plan.skipped
    )


def rollback_target(reader: IndexReader, name: str, *, to: Digest | None = None) -> RollbackPlan:
    """Where `rollback` would go, changing nothing. Errors as `rollback`."""
    alias = reader.alias(name)
    if alias is None:
        raise _no_alias(name)
    moves = [move for _, move in islice(reader.moves(name), limits.ROLLBACK_MOVES_MAX)]
    plan = plan_rollback(moves, available=lambda version: reader.version_set(version) is not None, to=to)
    if isinstance(plan, RollbackPlan):
        return plan
    if plan is Refusal.CURRENT:
        return RollbackPlan(Digest(alias.version))
    where = "" if to is None else f" to {_shown(reader, to, name)}"
    raise Conflict(
        f"{name} can't be rolled back{where}: {plan.value} (it is at {_shown(reader, alias.version, name)})",
        hint=f"`artstore alias log {name}` shows where it was, `artstore alias set {name} REV` moves it anywhere",
    )


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
    alias = writer.alias(name)
    if alias is None:
        raise _no_alias(name)
    _check_current(writer, name, alias, if_current)
    return _put_move(writer, name, None, reason=reason, who=who, host=host, now=now)


def alias_log(reader: IndexReader, name: str) -> Iterator[tuple[Digest, Move]]:
    """The moves of an alias with their ids, newest first, be it removed by now; NotFound if there never was one."""
    moves = reader.moves(name)
    first = next(moves, None)
    if first is None:
        raise _no_alias(name)
    return chain([first], moves)


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


def tag_of(reader: IndexReader, version: bytes, artifact: str) -> str | None:
    """The newest of the artifact's tags that names this version."""
    tags = (tag for tag in artifact_tags(reader, artifact) if tag.version == version)
    newest = max(tags, key=lambda tag: (tag.created, tag.name), default=None)
    return None if newest is None else newest.name


def _put_move(
    writer: IndexWriter,
    name: str,
    target: Digest | None,
    *,
    reason: str,
    who: str,
    host: str,
    now: int,
    rollback: bool = False,
    skipped: tuple[Digest, ...] = (),
) -> Moved:
    if target is not None:
        _hold(writer, target)
    last = next(iter(writer.moves(name)), None)
    source, seq, previous = (b"", 1, b"") if last is None else (last[1].target, last[1].seq + 1, bytes(last[0]))
    move = Move(name, seq, source, target or b"", now, who, host, reason, rollback, previous)
    writer.put_move(move)
    return Moved(name, Digest(source) if source else None, target, seq, now, rollback, skipped=skipped)


def _unmoved(reader: IndexReader, alias: Alias) -> Moved:
    version = Digest(alias.version)
    move = reader.move(alias.move)
    return Moved(alias.name, version, version, alias.seq, 0 if move is None else move.time, changed=False)


def _hold(writer: IndexWriter, version: Digest) -> None:
    """Before a ref names a version: its packs exist, and collection lets go of them.

    A pack that is DELETING still has its file, since what is unlinked leaves the index first [I4].
    """
    for number in check_version(writer, version):
        row = writer.pack(number)
        if row is not None and row.state is not PackState.LIVE:
            writer.set_pack_state(number, PackState.LIVE, 0)


def _check_current(reader: IndexReader, name: str, alias: Alias | None, expected: Digest | Absent | None) -> None:
    if expected is None or (alias is None and expected is ABSENT):
        return
    if alias is not None and alias.version == expected:
        return
    stands = "names nothing" if alias is None else f"is at {_shown(reader, alias.version, name)}"
    wanted = "nothing" if isinstance(expected, Absent) else _shown(reader, expected, name)
    raise Conflict(f"{name} {stands}, not at {wanted}", hint=f"look at `artstore alias log {name}`, then decide again")


def _check_free(reader: IndexReader, name: str, *, wanted: Literal["tag", "alias"]) -> None:
    """A ref is neither a ref of the other kind nor a folder of refs, nor lies below one."""
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


def _alias_row(reader: IndexReader, alias: Alias) -> RefRow:
    move = reader.move(alias.move)
    return RefRow(alias.name, "alias", Digest(alias.version), 0 if move is None else move.time, alias.seq)


def _no_alias(name: str) -> NotFound:
    return NotFound(f"there is no alias {name}", hint="`artstore list` shows the refs")


def _shown(reader: IndexReader, version: bytes, alias: str) -> str:
    return tag_of(reader, version, artifact_of(alias)) or _short(version)


def _short(version: bytes) -> str:
    return version.hex()[:8]

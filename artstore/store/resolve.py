"""From a revision to a version: what refs, histories and ids of one snapshot of the index make of it.

Precedence: next to an alias a bare last part means its artifact's; an exact ref beats an artifact, which beats an id
prefix; a tag beats an alias. A version that was collected is said to be so, never guessed around.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, assert_never

from artstore import limits
from artstore.errors import Ambiguous, BadName, Corrupt, NotFound
from artstore.model import Digest, ObjectKind, Tag, Version
from artstore.revision import (
    LATEST,
    Ancestor,
    AtTime,
    MovesAgo,
    Revision,
    artifact_of,
    format_revision,
    format_time,
    is_id_prefix,
    parse_revision,
)
from artstore.store.provisional import refuse_renumbered, renumbered

if TYPE_CHECKING:
    from artstore.ports import IndexReader

LoadVersion = Callable[[Digest], Version]
_CANDIDATES_SHOWN = 8
_SIMILAR_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a revision means now. `tag` or `alias` led there (neither for an id); `time` echoes an `@{time}`, in ns."""

    version: Digest
    tag: str | None
    alias: str | None
    path: bytes | None
    time: int | None = None


@dataclass(frozen=True, slots=True)
class _Base:
    version: Digest | None  # None for an alias that was removed: its history may still be asked
    tag: str | None = None
    alias: str | None = None


def parse(reader: IndexReader, text: str) -> Revision:
    """Parse what a user wrote, `art://` URLs included, which need the refs to be split."""
    return parse_revision(text, lambda name: is_known(reader, name))


def resolve(
    reader: IndexReader, revision: Revision, *, load_version: LoadVersion, relative_to: str | None = None
) -> Resolved:
    """The version that a revision means; `relative_to` is the alias it stands next to.

    Raises NotFound (with names that come near), Ambiguous (with the candidates), BadName for a step that can't be,
    Conflict for a tag that was renumbered.
    """
    base = _find_base(reader, revision.base, relative_to)
    if base is None:
        raise _not_found(reader, revision.base)
    version = base.version
    echoed: int | None = None
    for step in revision.steps:
        match step:
            case Ancestor(count):
                version = _ancestor(reader, _standing(version, revision), count, load_version)
            case MovesAgo(count):
                version = _moves_ago(reader, _alias_of(base, revision), count)
            case AtTime(time):
                version, echoed = _at_time(reader, _alias_of(base, revision), time), time
            case _:
                assert_never(step)
    return Resolved(_standing(version, revision), base.tag, base.alias, revision.path, echoed)


def newest_tag(reader: IndexReader, artifact: str) -> Tag | None:
    """The artifact's newest tag: the greatest (created, name)."""
    return max(artifact_tags(reader, artifact), key=lambda tag: (tag.created, tag.name), default=None)


def artifact_tags(reader: IndexReader, artifact: str) -> Iterator[Tag]:
    """The artifact's own tags, in name order; not those of artifacts below it."""
    return (tag for tag in reader.tags(f"{artifact}/") if artifact_of(tag.name) == artifact)


def is_known(reader: IndexReader, name: str) -> bool:
    """Is this a tag, an alias, `ARTIFACT/latest`, an artifact with tags, or a tag that was renumbered?"""
    if "/" in name:
        if reader.tag(name) is not None or reader.alias(name) is not None or renumbered(reader, name) is not None:
            return True
        if name.endswith(f"/{LATEST}"):
            return next(artifact_tags(reader, artifact_of(name)), None) is not None
    return next(artifact_tags(reader, name), None) is not None


def _find_base(reader: IndexReader, name: str, relative_to: str | None) -> _Base | None:
    if relative_to is not None and "/" not in name:
        sibling = _find_ref(reader, f"{artifact_of(relative_to)}/{name}")
        if sibling is not None:
            return sibling
    found = _find_ref(reader, name) if "/" in name else None
    if found is not None:
        return found
    newest = newest_tag(reader, name)
    if newest is not None:
        return _Base(Digest(newest.version), tag=newest.name)
    return _find_id(reader, name)


def _find_ref(reader: IndexReader, name: str) -> _Base | None:
    tag = reader.tag(name)
    if tag is not None:
        return _Base(Digest(tag.version), tag=name)
    alias = reader.alias(name)
    if alias is not None:
        return _Base(Digest(alias.version), alias=name)
    if name.endswith(f"/{LATEST}"):
        newest = newest_tag(reader, artifact_of(name))
        return None if newest is None else _Base(Digest(newest.version), tag=newest.name)
    if next(iter(reader.moves(name)), None) is not None:
        return _Base(None, alias=name)
    refuse_renumbered(reader, name)
    return None


def _find_id(reader: IndexReader, text: str) -> _Base | None:
    if not is_id_prefix(text):
        return None
    whole, odd = divmod(len(text), 2)
    prefix, nibble = bytes.fromhex(text[: 2 * whole]), int(text[-1], 16) if odd else None
    found = reader.ids_with_prefix(prefix, nibble, limits.ID_CANDIDATES_MAX)
    # A version without a set belongs to a commit that was never finished, or to one that is being collected.
    versions = [
        digest
        for digest, location in found
        if location.kind is ObjectKind.VERSION and reader.version_set(digest) is not None
    ]
    if len(versions) > 1:
        shown = [version.hex() for version in versions[:_CANDIDATES_SHOWN]]
        raise Ambiguous(text, shown)
    return _Base(versions[0]) if versions else None


def _standing(version: Digest | None, revision: Revision) -> Digest:
    if version is None:
        raise NotFound(
            f"{revision.base} was removed and names nothing now",
            hint=f"`artstore alias log {revision.base}` shows what it named",
        )
    return version


def _alias_of(base: _Base, revision: Revision) -> str:
    if base.alias is None:
        what = f"the tag {base.tag}" if base.tag is not None else "a version id"
        raise BadName(
            f"{format_revision(revision)!r} asks for the past of {what}, which never moves",
            hint="@{…} goes with an alias; ~N gives the parents of a version",
        )
    return base.alias


def _moves_ago(reader: IndexReader, alias: str, count: int) -> Digest:
    move = next(islice((move for _, move in reader.moves(alias)), count, None), None)
    if move is None:
        known = sum(1 for _ in reader.moves(alias))
        raise NotFound(f"{alias} has moved {known} times", hint=f"its history ends with {alias}@{{{known - 1}}}")
    if not move.target:
        raise NotFound(
            f"{alias}@{{{count}}} names nothing: it was removed then", hint=f"see `artstore alias log {alias}`"
        )
    return _still_here(reader, Digest(move.target), f"{alias}@{{{count}}}")


def _at_time(reader: IndexReader, alias: str, time: int) -> Digest:
    move = next((move for _, move in reader.moves(alias) if move.time <= time), None)
    if move is None or not move.target:
        raise NotFound(f"{alias} named nothing at {format_time(time)}", hint=f"see `artstore alias log {alias}`")
    return _still_here(reader, Digest(move.target), f"{alias}@{{{format_time(time)}}}")


def _ancestor(reader: IndexReader, version: Digest, count: int, load_version: LoadVersion) -> Digest:
    if count > limits.ANCESTORS_MAX:
        raise BadName(f"~{count} goes back too far", hint=f"at most ~{limits.ANCESTORS_MAX}")
    for done in range(count):
        parents = load_version(version).parents
        if not parents:
            raise NotFound(
                f"{version.hex()[:8]} has no parent", hint=f"its history ends {done} versions back, at ~{done}"
            )
        version = _still_here(reader, Digest(parents[0]), f"the parent of {version.hex()[:8]}")
    return version


def _still_here(reader: IndexReader, version: Digest, what: str) -> Digest:
    if reader.version_set(version) is None:
        raise NotFound(f"{what}, version {version.hex()}, was collected", hint="`artstore list` shows what is here")
    return version


def _not_found(reader: IndexReader, name: str) -> NotFound:
    refs = chain((tag.name for tag in reader.tags()), (alias.name for alias in reader.aliases()))
    names = list(islice(refs, limits.SIMILAR_NAMES_MAX))
    artifact = f"{name}/"
    below = [each for each in names if each.startswith(artifact)]
    if below:
        return NotFound(f"{name} has no tag of its own", hint=f"there is {_listed(below)}")
    near = [each for each in names if each.rpartition("/")[2] == name]
    near += difflib.get_close_matches(name, sorted({*names, *map(artifact_of, names)}), _SIMILAR_SHOWN)
    return NotFound(
        f"there is no tag, alias, artifact or version {name}",
        hint=f"did you mean {_listed(near)}?" if near else "`artstore list` shows what is here",
    )


def _listed(names: list[str]) -> str:
    return " or ".join(dict.fromkeys(names[:_SIMILAR_SHOWN]))


def check_version(reader: IndexReader, version: Digest) -> tuple[int, ...]:
    """The packs of a version that a ref may name; NotFound if it isn't in this store, Corrupt if a pack is missing."""
    packs = reader.version_set(version)
    if packs is None:
        raise NotFound(f"version {version.hex()} is not in this store", hint="`artstore list` shows what is here")
    for number in packs:
        if reader.pack(number) is None:
            raise Corrupt(f"version {version.hex()} needs pack {number}, which is missing", digest=version)
    return tuple(packs)

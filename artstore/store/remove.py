"""Removes names: tags, aliases, all tags of a version, or what a retention policy lets go. Content is freed by `gc`.

What was removed is noted, so that `gc --undo` can bring it back. A version that an alias names, or that is an input of
a version that stays, does not lose its last name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore.errors import Conflict, NotFound
from artstore.format.undo import RemovedRef
from artstore.model import Alias, Digest, Tag
from artstore.planning.retention import Policy, RetentionPlan, plan_retention
from artstore.revision import is_id_prefix
from artstore.store import refs
from artstore.store.collect import records
from artstore.store.collect.view import Facts, alias_histories, judge
from artstore.store.provisional import refuse_renumbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from artstore.ports import IndexReader, IndexWriter
    from artstore.store.aliases import Moved
    from artstore.store.context import Context
    from artstore.store.objects import Objects


@dataclass(frozen=True, slots=True)
class Removal:
    """What was removed; `unnamed`: versions that lost their last name by it."""

    tags: tuple[Tag, ...]
    aliases: tuple[Alias, ...]
    unnamed: tuple[Digest, ...]


def remove(
    context: Context, objects: Objects, names: Sequence[str], *, who: str, host: str, reason: str = ""
) -> Removal:
    """Remove tags, aliases, and by its id a version with all its tags: all of them or, if one can't be, none.

    NotFound for an unknown name; Conflict, with the reason, for a version that is needed, or a tag that was renumbered.
    """
    facts = Facts(objects)
    facts.learn(context)
    with context.index.write() as writer:
        now = context.clock.now_ns()
        found = [_find(writer, objects, name) for name in dict.fromkeys(names)]
        tags = {tag.name: tag for each in found if not isinstance(each, Alias) for tag in each}
        aliases = [each for each in found if isinstance(each, Alias)]
        for alias in aliases:
            refs.remove_alias(writer, alias.name, reason=reason, who=who, host=host, now=now)
        _remove_tags(writer, tags.values(), now, who)
        unnamed = _unnamed(writer, (*tags.values(), *aliases))
        _refuse_needed(writer, facts, [version for version in unnamed if _had_tag(tags.values(), version)], now)
    return Removal(tuple(tags.values()), tuple(aliases), unnamed)


def alias_removal(context: Context, moved: Moved) -> Removal:
    """What an alias's removal by this move has left without a name."""
    assert moved.source is not None
    assert moved.target is None
    alias = Alias(moved.alias, moved.source, moved.seq, b"")
    with context.index.read() as reader:
        return Removal((), (alias,), _unnamed(reader, (alias,)))


def plan_removal(context: Context, objects: Objects, policy: Policy, *, artifacts: Sequence[str] = ()) -> RetentionPlan:
    """What a retention policy removes, of all artifacts or of some. Corrupt if a version that stays can't be judged."""
    facts = Facts(objects)
    facts.learn(context)
    with context.index.read() as reader:
        return _plan(reader, facts, policy, artifacts, context.clock.now_ns())


def apply_policy(
    context: Context,
    objects: Objects,
    policy: Policy,
    plan: RetentionPlan,
    *,
    artifacts: Sequence[str] = (),
    who: str,
) -> Removal:
    """Remove what the plan told of and the policy still lets go, in one transaction."""
    facts = Facts(objects)
    facts.learn(context)
    shown = {tag.name for tag in plan.removed}
    with context.index.write() as writer:
        now = context.clock.now_ns()
        fresh = _plan(writer, facts, policy, artifacts, now)
        tags = tuple(tag for tag in fresh.removed if tag.name in shown)
        _remove_tags(writer, tags, now, who)
        unnamed = _unnamed(writer, tags)
    return Removal(tags, (), unnamed)


def _plan(reader: IndexReader, facts: Facts, policy: Policy, artifacts: Sequence[str], now: int) -> RetentionPlan:
    versions, _ = judge(reader, facts, now=now)
    chosen = frozenset(artifacts)
    for artifact in artifacts:
        if next(refs.artifact_tags(reader, artifact), None) is None:
            raise NotFound(f"there is no artifact {artifact}", hint="`artstore list` shows the refs")
    return plan_retention(
        tags=reader.tags(),
        histories=alias_histories(reader),
        versions=versions,
        policy=policy,
        now=now,
        applies=lambda artifact: not chosen or artifact in chosen,
    )


def _find(reader: IndexReader, objects: Objects, name: str) -> tuple[Tag, ...] | Alias:
    """A tag, an alias, or all tags of the version with this id."""
    tag = reader.tag(name)
    if tag is not None:
        return (tag,)
    alias = reader.alias(name)
    if alias is not None:
        return alias
    refuse_renumbered(reader, name)
    if not is_id_prefix(name) or refs.is_known(reader, name):
        raise NotFound(f"there is no tag or alias {name}", hint="`artstore list` shows the refs")
    version = refs.resolve(reader, refs.parse(reader, name), load_version=objects.version).version
    tags = tuple(tag for tag in reader.tags() if tag.version == version)
    if not tags:
        raise NotFound(f"version {version.hex()} has no name left to remove", hint="`artstore gc` tells what holds it")
    return tags


def _remove_tags(writer: IndexWriter, tags: Iterable[Tag], now: int, who: str) -> None:
    for tag in tags:
        refs.remove_tag(writer, tag.name, now=now, who=who)
        records.note_removed(writer, RemovedRef(tag.name, False, tag.version, tag.created, now))


def _unnamed(reader: IndexReader, removed: Iterable[Tag | Alias]) -> tuple[Digest, ...]:
    """The versions of these that nothing names any more."""
    versions = dict.fromkeys(Digest(ref.version) for ref in removed)
    for tag in reader.tags():
        versions.pop(Digest(tag.version), None)
    return tuple(versions)


def _had_tag(tags: Iterable[Tag], version: Digest) -> bool:
    return any(tag.version == version for tag in tags)


def _refuse_needed(reader: IndexReader, facts: Facts, unnamed: Sequence[Digest], now: int) -> None:
    """Conflict if a version that lost its last tag is needed by what stays; raised in the transaction, it undoes it."""
    if not unnamed:
        return
    for alias in reader.aliases():
        if alias.version in unnamed:
            raise Conflict(
                f"version {alias.version.hex()[:8]} can't lose its last tag: {alias.name} names it",
                hint=f"move {alias.name} first, or remove it too",
            )
    versions, roots = judge(reader, facts, now=now, undo_ns=0, strict=False)
    for version in roots.kept:
        for source in versions[version].inputs:
            if source in unnamed and version not in unnamed:
                raise Conflict(
                    f"version {source.hex()[:8]} can't lose its last tag: it is an input of {_called(reader, version)}",
                    hint="remove that one first",
                )


def _called(reader: IndexReader, version: Digest) -> str:
    tag = next((tag for tag in reader.tags() if tag.version == version), None)
    return version.hex()[:8] if tag is None else tag.name

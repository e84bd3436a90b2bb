"""What a collection would do, told before it does anything: versions, paths, bytes and dates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.tree import iter_entries, lookup
from artstore.model import Digest, Kind
from artstore.planning.gc import Freed, plan_gc
from artstore.planning.roots import Why
from artstore.store import refs
from artstore.store.collect import records
from artstore.store.collect.leftovers import find_leftovers
from artstore.store.collect.live import Needed
from artstore.store.collect.repack import mark
from artstore.store.collect.view import Facts, look
from artstore.store.read import check_depth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.model import Entry
    from artstore.ports import IndexReader
    from artstore.store.collect.view import Sight
    from artstore.store.context import Context
    from artstore.store.objects import Objects

Freeing = Freed


@dataclass(frozen=True, slots=True)
class GoingVersion:
    """A version that nothing leads to. `tags` named it once; `since`: when it was first seen so (ns), None now;
    `readable`: its document is sound.
    """

    version: Digest
    tags: tuple[str, ...]
    created: int
    size: int
    files: int
    since: int | None
    readable: bool = True


@dataclass(frozen=True, slots=True)
class OnlyPath:
    """A path whose content no version that stays has at that place; of a folder nothing below it is listed."""

    path: bytes
    kind: Kind
    size: int
    files: int


@dataclass(frozen=True, slots=True)
class GcPlan:
    """What `gc` would do now. Bytes are those of packs: `freed_now` at once, `freed_later` when the undo window of each
    is over (ascending), `waiting` as soon as running sessions have ended, `repacked` (part of the others) by rewriting
    mostly dead packs, `leftovers` (part of `freed_now`) of killed commands. `young`: unnamed versions that stay since
    they are younger than the undo window.
    """

    at_once: bool
    versions: tuple[GoingVersion, ...]
    young: int
    freed_now: int
    freed_later: tuple[Freeing, ...]
    waiting: int
    repacked: int
    leftovers: int
    notes: tuple[str, ...] = ()
    facts: Facts | None = field(default=None, repr=False, compare=False)

    @property
    def is_empty(self) -> bool:
        """Would nothing go, now or later?"""
        return not (self.versions or self.freed_now or self.freed_later or self.waiting)

    @property
    def ids(self) -> frozenset[Digest]:
        """The versions that were shown to whom confirms the plan."""
        return frozenset(going.version for going in self.versions)


def gc_plan(context: Context, objects: Objects, *, now: bool = False) -> GcPlan:
    """Look at the store; nothing is changed. `now`: give up the undo window, for versions and for packs.

    Corrupt when a version that stays can't be judged. Time: versions, and if any of them went since the last run, the
    pages of those that share a pack with it.
    """
    undo_ns = 0 if now else limits.UNDO_NS
    facts = Facts(objects)
    facts.learn(context)
    with context.index.read() as reader:
        sight = look(context, reader, facts, undo_ns=undo_ns)
        packs = plan_gc(sight.view, undo_ns=undo_ns)
        names = _former_tags(reader, sight.gone)
        young = sum(1 for reason in sight.roots.kept.values() if reason.why is Why.YOUNG)
        suspects = frozenset(records.suspects(reader) | _newly_partial(sight))
    gain, notes = _gain(context, objects, facts, suspects, undo_ns)
    leftovers = find_leftovers(context).size
    versions = tuple(_going(objects, sight, version, names.get(version, ())) for version in sight.roots.gone)
    freed_now, waiting, later = packs.freed_now + leftovers, packs.waiting, packs.freed_later
    if gain and not now:
        later = (*later, Freeing(sight.view.now + limits.UNDO_NS, gain))
    elif sight.view.running:
        waiting += gain
    else:
        freed_now += gain
    return GcPlan(now, versions, young, freed_now, _merged(later), waiting, gain, leftovers, notes, facts)


def only_paths(context: Context, objects: Objects, plan: GcPlan, version: Digest) -> Iterator[OnlyPath]:
    """The topmost paths of a version in the plan that are lost with it, in path order; read as they are asked for.

    Compared with the versions that stay and share a pack with it: others can't share anything.
    """
    with context.index.read() as reader:
        own = frozenset(reader.version_set(version) or ())
        staying = [
            each
            for each in reader.versions()
            if each not in plan.ids and not own.isdisjoint(reader.version_set(each) or ())
        ]
    trees = {objects.version(each).tree for each in staying}
    yield from _only_below(objects, objects.version(version).tree, trees, b"", 1)


def _only_below(objects: Objects, tree: bytes, others: set[bytes], prefix: bytes, depth: int) -> Iterator[OnlyPath]:
    check_depth(depth, prefix)
    if tree in others:
        return
    for entry in iter_entries(tree, objects.load):
        same_place = [found for other in others if (found := lookup(other, entry.name, objects.load)) is not None]
        if any(found.content == entry.content for found in same_place):
            continue
        path = prefix + entry.name
        folders = {found.content.value for found in same_place if found.kind == Kind.DIR}
        if entry.kind == Kind.DIR and folders:
            yield from _only_below(objects, entry.content.value, folders, path + b"/", depth + 1)
        else:
            yield _only(path, entry)


def _only(path: bytes, entry: Entry) -> OnlyPath:
    return OnlyPath(path, Kind(entry.kind), entry.size, entry.files)


def _former_tags(reader: IndexReader, gone: frozenset[Digest]) -> dict[Digest, tuple[str, ...]]:
    names: dict[Digest, tuple[str, ...]] = {}
    for name, version in refs.removed_tags(reader):
        if version in gone:
            names[version] = (*names.get(version, ()), name)
    return names


def _newly_partial(sight: Sight) -> set[int]:
    """Packs which a version that stays and one that goes use both."""
    kept = {number for packs in sight.view.kept.values() for number in packs}
    new = [packs for version, packs in sight.view.gone.items() if version not in sight.view.gone_since]
    return {number for packs in new for number in packs if number in kept}


def _gain(
    context: Context, objects: Objects, facts: Facts, suspects: frozenset[int], undo_ns: int
) -> tuple[int, tuple[str, ...]]:
    """Bytes that rewriting would save, and what stands in its way."""
    if not suspects:
        return 0, ()
    try:
        with Needed(objects) as needed:
            marked = mark(context, objects, facts, needed, suspects, undo_ns=undo_ns)
    except (Corrupt, OSError) as error:  # a damaged page, or no room for temporary files
        return 0, (str(error),)
    return sum(pack.size - marked.live[pack.number] for pack in marked.packs), ()


def _going(objects: Objects, sight: Sight, version: Digest, tags: tuple[str, ...]) -> GoingVersion:
    since = sight.view.gone_since.get(version)
    try:
        document = objects.version(version)
    except Corrupt:
        return GoingVersion(version, tags, 0, 0, 0, since, readable=False)
    return GoingVersion(version, tags, document.created, document.size, document.files, since)


def _merged(freed: tuple[Freeing, ...]) -> tuple[Freeing, ...]:
    sizes: dict[int, int] = {}
    for each in freed:
        sizes[each.at] = sizes.get(each.at, 0) + each.size
    return tuple(Freeing(at, size) for at, size in sorted(sizes.items()))

"""What changed between two versions, or between a version and a folder, and how many bytes modified files share.

Renames and the walk are decided in `artstore.planning.diff`; here trees are listed and chunks counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import NotFound
from artstore.format.recipe import recipe_summary
from artstore.format.tree import iter_entries
from artstore.model import Entry, Form, Kind
from artstore.planning.diff import Change, ChangeKind, diff_trees
from artstore.planning.ignore import IgnoreStack
from artstore.store.content import iter_content
from artstore.store.local_tree import LocalTree, local_chunks
from artstore.store.read import entry_at, split_path
from artstore.store.trouble import translate
from artstore.store.write import source

if TYPE_CHECKING:
    from artstore.store.objects import Objects

Chunks = Iterable[tuple[bytes, int]]


@dataclass(frozen=True, slots=True)
class Compared:
    """A change; of a modified file also the bytes of its new content whose chunks the old one has."""

    change: Change
    shared: int | None = None


def diff_versions(objects: Objects, a_tree: bytes, b_tree: bytes, path: bytes = b"") -> Iterator[Compared]:
    """Changes from tree `a_tree` to `b_tree`, at and below `path` only; NotFound if neither has it."""

    def children(id: bytes) -> Iterator[Entry]:
        return iter_entries(id, objects.load)

    names = split_path(path)
    if names:
        found = [_find(objects, tree, names) for tree in (a_tree, b_tree)]
        if found == [None, None]:
            entry_at(objects, b_tree, path)  # tells what is missing
        before, after = (_listed(entry) for entry in found)
    else:
        before, after = children(a_tree), children(b_tree)
    for change in diff_trees(before, after, children):
        yield Compared(_below(names[:-1], change), _shared_by(objects, change))


def diff_folder(
    objects: Objects,
    tree: bytes,
    folder: str | bytes,
    path: bytes = b"",
    *,
    excludes: Iterable[str] = (),
    default_ignores: bool = True,
) -> Iterator[Compared]:
    """Changes from a tree to a local folder, as a commit of that folder would make them; at and below `path` only.

    What a commit ignores is ignored here. Files are compared by content, never by time.
    """
    names = split_path(path)
    local = LocalTree(objects)
    rules = IgnoreStack.create(excludes, defaults=default_ignores)
    top = local.top(os.fsencode(folder), tree, rules)
    before = _find(objects, tree, names)
    after: Entry | None = top
    for name in names:
        after = local.child(after, name) if after is not None and after.kind == Kind.DIR else None
    if before is None and after is None:
        entry_at(objects, tree, path)
    if names:
        befores, afters = _listed(before), _listed(after)
    else:
        befores, afters = local.children(tree), local.children(top.content.value)
    for change in diff_trees(befores, afters, local.children):
        change = _below(names[:-1], change)
        if change.target is not None and local.is_placeholder(change.target.content) and _is_modified_file(change):
            yield Compared(change, _shared_with_file(objects, change, os.fsencode(folder) + b"/" + change.path))
        else:
            yield Compared(change, _shared_by(objects, change))


def shared_bytes(objects: Objects, source: Entry, target: Entry) -> int:
    """Bytes of `target`, a file, that lie in chunks which `source` has too, at whatever place."""
    if source.content == target.content:
        return target.size
    return _shared(lambda: _chunks(objects, source), _count(objects, source), lambda: _chunks(objects, target))


def _shared(sources: Callable[[], Chunks], count: int, targets: Callable[[], Chunks]) -> int:
    """Bytes of targets whose id is among the `count` sources; if these are too many, a part of all ids at a time."""
    parts = -(-count // limits.COMPARED_CHUNKS_MAX)
    shared = 0
    for part in range(parts):
        known = {id for id, _ in sources() if int.from_bytes(id[:4], "big") % parts == part}
        shared += sum(raw for id, raw in targets() if id in known)
    return shared


def _chunks(objects: Objects, entry: Entry) -> Chunks:
    return ((id, raw) for _, id, raw in iter_content(objects.load, entry.content, entry.size))


def _count(objects: Objects, entry: Entry) -> int:
    form = entry.content.form
    if form == Form.RECIPE:
        return recipe_summary(entry.content.value, objects.load).chunks
    return 1 if form == Form.CHUNK else 0


def _is_modified_file(change: Change) -> bool:
    return (
        change.kind is ChangeKind.MODIFIED
        and change.source is not None
        and change.source.kind in {Kind.FILE, Kind.EXEC}
        and change.target is not None
        and change.target.kind in {Kind.FILE, Kind.EXEC}
    )


def _shared_by(objects: Objects, change: Change) -> int | None:
    if not _is_modified_file(change) or change.source is None or change.target is None:
        return None
    return shared_bytes(objects, change.source, change.target)


def _shared_with_file(objects: Objects, change: Change, path: bytes) -> int:
    before, after = change.source, change.target
    assert before is not None
    assert after is not None
    try:
        above = source.open_directory(os.path.dirname(path), None, follow=True)
        try:
            descriptor = source.open_file(os.path.basename(path), above)
        finally:
            os.close(above)
    except OSError as error:
        raise translate(error, "read", path) from error
    try:
        return _shared(
            lambda: _chunks(objects, before),
            _count(objects, before),
            lambda: local_chunks(descriptor, after.size, objects.ids),
        )
    finally:
        os.close(descriptor)


def _below(folders: list[bytes], change: Change) -> Change:
    """The change with paths that start at the version's top."""
    if not folders:
        return change
    prefix = b"/".join(folders) + b"/"
    came_from = None if change.source_path is None else prefix + change.source_path
    return replace(change, path=prefix + change.path, source_path=came_from)


def _find(objects: Objects, tree: bytes, names: list[bytes]) -> Entry | None:
    try:
        return entry_at(objects, tree, b"/".join(names))
    except NotFound:
        return None


def _listed(entry: Entry | None) -> Iterator[Entry]:
    return iter(() if entry is None else (entry,))

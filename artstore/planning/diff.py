"""What changed between two trees: added, removed, modified, of another type, renamed.

Pure: entries in, changes out; who calls gives a way to list a directory by its id. Equal ids are equal directories, so
that only what differs is read. Changes of entries on both sides stream in path order; what is on one side only is held
to find what was renamed, up to a bound; then come renamed and added entries in path order, then removed ones. Beyond
the bound nothing more is held and nothing more is called renamed.

Renamed means exactly the same content under another path: a file, a link, or a directory with all below it. Empty
files and directories are never called renamed: they all look the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from artstore import limits
from artstore.errors import Corrupt
from artstore.model import Digest, Entry, Kind

ListDirectory = Callable[[Digest], Iterable[Entry]]


class ChangeKind(Enum):
    """What happened to a path."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"  # a file's content or executable bit, a link's target
    RETYPED = "retyped"  # file, link and directory replaced each other; what is below a directory follows
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `path` is where it is now (where it was, if removed); `source_path` is set for what was renamed.

    Directories appear only when they are empty (or became so, or ceased to be), retyped, or renamed as a whole.
    """

    kind: ChangeKind
    path: bytes
    source: Entry | None = None
    target: Entry | None = None
    source_path: bytes | None = None


def diff_trees(
    source: Iterable[Entry],
    target: Iterable[Entry],
    children: ListDirectory,
    *,
    renames: bool = True,
    held_max: int = limits.RENAME_ENTRIES_MAX,
) -> Iterator[Change]:
    """Changes from one directory to another, both given as entries in name order.

    Applying all changes to the source gives the target. Corrupt if the trees are deeper than trees can be.
    """
    removed: list[_Node] = []
    added: list[_Node] = []
    for change in _walk(source, target, children):
        if not renames or change.kind in (ChangeKind.MODIFIED, ChangeKind.RETYPED):
            yield from _expand(change, children)
            continue
        entry = change.source or change.target
        assert entry is not None
        (removed if change.kind is ChangeKind.REMOVED else added).append(_Node(change.path, entry))
        if len(removed) + len(added) > held_max:
            renames = False
            yield from _plain(removed, added, children)
            removed, added = [], []
    if removed and added:
        yield from _Renames(removed, children, held_max - len(added)).match(added)
    else:
        yield from _plain(removed, added, children)


@dataclass(slots=True)
class _Node:
    """An entry on one side only. `used`: it was renamed; `used_below`: how many below it were."""

    path: bytes
    entry: Entry
    parent: _Node | None = None
    children: list[_Node] | None = None
    used: bool = False
    used_below: int = 0

    def is_free(self) -> bool:
        """May it be renamed as a whole? Once it may not, it never will."""
        node: _Node | None = self
        if self.used_below:
            return False
        while node is not None:
            if node.used:
                return False
            node = node.parent
        return True

    def use(self) -> None:
        self.used = True
        node = self.parent
        while node is not None:
            node.used_below += 1
            node = node.parent


_Key = tuple[bool, bytes]


@dataclass(slots=True)
class _Renames:
    """Everything that was removed, by content. An added directory is looked for before what is in it."""

    removed: list[_Node]
    children: ListDirectory
    budget: int
    by_content: dict[_Key, deque[_Node]] = field(default_factory=dict[_Key, "deque[_Node]"])
    by_name: dict[tuple[_Key, bytes], deque[_Node]] = field(default_factory=dict[tuple[_Key, bytes], "deque[_Node]"])

    def match(self, added: list[_Node]) -> Iterator[Change]:
        self._index()
        stack = added[::-1]
        while stack:
            node = stack.pop()
            found = self._find(node)
            if found is not None:
                found.use()
                yield Change(ChangeKind.RENAMED, node.path, found.entry, node.entry, found.path)
                continue
            below = [] if node.entry.kind != Kind.DIR else self._list(node)
            if below:
                stack.extend(reversed(below))
            else:
                yield Change(ChangeKind.ADDED, node.path, target=node.entry)
        yield from self._left()

    def _index(self) -> None:
        """All that was removed, level by level, as far as the budget goes."""
        queue = deque(self.removed)
        count = len(queue)
        while queue:
            node = queue.popleft()
            key = _key(node.entry)
            if key is not None:
                self.by_content.setdefault(key, deque()).append(node)
                self.by_name.setdefault((key, node.entry.name), deque()).append(node)
            if node.entry.kind == Kind.DIR and count < self.budget:
                node.children = self._list(node)
                count += len(node.children)
                queue.extend(node.children)

    def _find(self, node: _Node) -> _Node | None:
        key = _key(node.entry)
        if key is None:
            return None
        for candidates in (self.by_name.get((key, node.entry.name)), self.by_content.get(key)):
            while candidates:
                found = candidates.popleft()
                if found.is_free():
                    return found
        return None

    def _left(self) -> Iterator[Change]:
        stack = self.removed[::-1]
        while stack:
            node = stack.pop()
            if node.used:
                continue
            if node.children:
                stack.extend(reversed(node.children))
            else:
                yield from _expand(Change(ChangeKind.REMOVED, node.path, source=node.entry), self.children)

    def _list(self, node: _Node) -> list[_Node]:
        _check_depth(node.path)
        return [
            _Node(node.path + b"/" + entry.name, entry, node)
            for entry in self.children(Digest(node.entry.content.value))
        ]


def _key(entry: Entry) -> _Key | None:
    """By what an entry is recognised elsewhere; None for what is empty."""
    return (entry.kind == Kind.DIR, entry.content.value) if entry.size else None


@dataclass(slots=True)
class _Folder:
    """A directory being compared. `source` and `target` are set when it was a directory before and after."""

    prefix: bytes
    pairs: Iterator[tuple[Entry | None, Entry | None]]
    source: Entry | None = None
    target: Entry | None = None
    had_entries: bool = False
    has_entries: bool = False

    def emptied(self) -> Iterator[Change]:
        """An empty directory stands for itself, one with entries doesn't: so it comes or goes by becoming one."""
        if self.source is None or self.target is None or self.had_entries == self.has_entries:
            return
        path = self.prefix.removesuffix(b"/")
        if self.had_entries:
            yield Change(ChangeKind.ADDED, path, target=self.target)
        else:
            yield Change(ChangeKind.REMOVED, path, source=self.source)


def _walk(source: Iterable[Entry], target: Iterable[Entry], children: ListDirectory) -> Iterator[Change]:
    """Changes, directories on one side only as one each."""
    stack = [_Folder(b"", _pairs(source, target))]
    while stack:
        folder = stack[-1]
        old, new = next(folder.pairs, (None, None))
        entry = new or old
        if entry is None:
            yield from folder.emptied()
            stack.pop()
            continue
        folder.had_entries |= old is not None
        folder.has_entries |= new is not None
        path = folder.prefix + entry.name
        if old is None or new is None:
            yield Change(ChangeKind.ADDED if old is None else ChangeKind.REMOVED, path, old, new)
        elif old.kind != new.kind or old.content != new.content:
            yield from _differing(path, old, new)
            if Kind.DIR in (old.kind, new.kind):
                _check_depth(path)
                pairs = _pairs(_below(old, children), _below(new, children))
                both = (old, new) if old.kind == new.kind else (None, None)
                stack.append(_Folder(path + b"/", pairs, *both))


def _differing(path: bytes, old: Entry, new: Entry) -> Iterator[Change]:
    if _type(old) != _type(new):
        yield Change(ChangeKind.RETYPED, path, old, new)
    elif old.kind != Kind.DIR:
        yield Change(ChangeKind.MODIFIED, path, old, new)


def _pairs(source: Iterable[Entry], target: Iterable[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Entries of both sides by name, in name order."""
    sources, targets = iter(source), iter(target)
    old, new = next(sources, None), next(targets, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.name < new.name):
            yield old, None
            old = next(sources, None)
        elif old is None or new.name < old.name:
            yield None, new
            new = next(targets, None)
        else:
            yield old, new
            old, new = next(sources, None), next(targets, None)


def _plain(removed: list[_Node], added: list[_Node], children: ListDirectory) -> Iterator[Change]:
    for node in added:
        yield from _expand(Change(ChangeKind.ADDED, node.path, target=node.entry), children)
    for node in removed:
        yield from _expand(Change(ChangeKind.REMOVED, node.path, source=node.entry), children)


def _expand(change: Change, children: ListDirectory) -> Iterator[Change]:
    """An added or removed directory as all that is below it, streamed; anything else as it is."""
    adds = change.kind is ChangeKind.ADDED
    entry = change.target if adds else change.source
    if change.kind not in (ChangeKind.ADDED, ChangeKind.REMOVED) or entry is None or entry.kind != Kind.DIR:
        yield change
        return
    stack = [(change.path, entry, iter(children(Digest(entry.content.value))))]
    is_empty = True
    while stack:
        path, folder, entries = stack[-1]
        below = next(entries, None)
        if below is None:
            if is_empty:
                yield Change(change.kind, path, *((None, folder) if adds else (folder, None)))
            is_empty = False
            stack.pop()
            continue
        name = path + b"/" + below.name
        is_empty = below.kind == Kind.DIR
        if is_empty:
            _check_depth(name)
            stack.append((name, below, iter(children(Digest(below.content.value)))))
        else:
            yield Change(change.kind, name, *((None, below) if adds else (below, None)))


def _below(entry: Entry, children: ListDirectory) -> Iterable[Entry]:
    return children(Digest(entry.content.value)) if entry.kind == Kind.DIR else ()


def _type(entry: Entry) -> Kind:
    """Kinds that replace each other by modification are one type."""
    return Kind.FILE if entry.kind == Kind.EXEC else Kind(entry.kind)


def _check_depth(path: bytes) -> None:
    if path.count(b"/") >= limits.PATH_DEPTH_MAX:
        raise Corrupt(f"a tree is more than {limits.PATH_DEPTH_MAX} directories deep")

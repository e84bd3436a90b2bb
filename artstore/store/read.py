"""Reading versions: finding an entry by its path, walking a tree, opening a file.

Streams: of a directory no more is held than one page of each level.
"""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import BadName, Corrupt, NotFound, UsageError
from artstore.format.tree import iter_entries, lookup, tree_summary
from artstore.model import Content, Entry, Form, Kind, Version
from artstore.store.content import VerifiedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore.store.context import Context
    from artstore.store.objects import Objects

_COMPARED_NAMES_MAX = 2048  # names of a directory searched for one that was meant


def split_path(path: bytes) -> list[bytes]:
    """The names along a path within a version; empty ones and `.` are skipped. BadName for `..`."""
    names = [name for name in path.split(b"/") if name not in {b"", b"."}]
    if b".." in names:
        raise BadName(f"the path {_show(path)} leads upwards; paths start at the version's top")
    return names


def open_file(context: Context, objects: Objects, content: Content, size: int) -> VerifiedFile:
    """A file of a version for reading; UsageError if the content is a directory's or a symbolic link's."""
    del context  # everything needed is behind `objects`
    if content.form not in {Form.EMPTY, Form.CHUNK, Form.RECIPE}:
        raise UsageError("only files can be read; this is a folder or a symbolic link")
    return VerifiedFile(objects, content, size)


def root_entry(objects: Objects, tree: bytes) -> Entry:
    """The top directory of a tree, as an entry without a name."""
    summary = tree_summary(tree, objects.load)
    return Entry(b"", Kind.DIR, summary.size, Content(Form.TREE, summary.root), summary.files)


def entry_at(objects: Objects, where: Version | bytes, path: bytes) -> Entry:
    """The entry at `path` in a version or the tree with this id; the empty path is the top directory.

    NotFound tells the first part that is missing and names like it. Symbolic links are not followed.
    """
    tree = where.tree if isinstance(where, Version) else where
    names = split_path(path)
    if not names:
        return root_entry(objects, tree)
    for depth, name in enumerate(names[:-1]):
        entry = _child(objects, tree, names, depth)
        if entry.kind != Kind.DIR:
            kind = "a symbolic link" if entry.kind == Kind.SYMLINK else "a file"
            raise NotFound(f"{_show(b'/'.join([*names[:depth], name]))} is {kind}: nothing lies below it")
        tree = entry.content.value
    return _child(objects, tree, names, len(names) - 1)


def walk(objects: Objects, tree: bytes, path: bytes = b"") -> Iterator[tuple[bytes, Entry]]:
    """(path, entry) of everything below `path`, each directory before what it holds, names in order.

    Paths start at the tree's top. If `path` is no directory, it is all there is.
    """
    start = b"/".join(split_path(path))
    top = entry_at(objects, tree, start)
    if top.kind != Kind.DIR:
        yield start, top
        return
    prefix = start + b"/" if start else b""
    open_folders = [(prefix, iter_entries(top.content.value, objects.load))]
    while open_folders:
        prefix, entries = open_folders[-1]
        for entry in entries:
            below = prefix + entry.name
            yield below, entry
            if entry.kind == Kind.DIR:
                check_depth(len(open_folders), below)
                open_folders.append((below + b"/", iter_entries(entry.content.value, objects.load)))
                break
        else:
            open_folders.pop()


def check_depth(depth: int, path: bytes) -> None:
    """Corrupt for a tree deeper than any that a commit makes."""
    if depth > limits.PATH_DEPTH_MAX:
        raise Corrupt(f"the tree has more than {limits.PATH_DEPTH_MAX} levels below {_show(path[:200])}")


def _child(objects: Objects, tree: bytes, names: list[bytes], depth: int) -> Entry:
    entry = lookup(tree, names[depth], objects.load)
    if entry is not None:
        return entry
    parent = b"/".join(names[:depth])
    near = [_show(name) for name in _like(objects, tree, names[depth])]
    place = f"in {_show(parent)}" if parent else "at the top"
    raise NotFound(
        f"there is no {_show(names[depth])} {place}", hint=f"did you mean {', '.join(near)}?" if near else None
    )


def _like(objects: Objects, tree: bytes, name: bytes) -> list[bytes]:
    entries = islice(iter_entries(tree, objects.load), _COMPARED_NAMES_MAX)
    by_text = {entry.name.decode(errors="surrogateescape"): entry.name for entry in entries}
    near = get_close_matches(name.decode(errors="surrogateescape"), by_text, n=limits.SUGGESTIONS_MAX)
    return [by_text[text] for text in near]


def _show(path: bytes) -> str:
    """A path as messages name it."""
    return repr(path.decode(errors="backslashreplace"))

"""A version made from another one by naming what to add and what to remove: the rest of its content isn't read.

Memory: the edits. Pages: those on the way to each edit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import BadInput, NotFound
from artstore.format.tree import TreeBuilder, lookup
from artstore.format.tree_edit import edit_tree
from artstore.model import Content, Entry, Form, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from artstore.format.ids import Ids
    from artstore.format.page import Emit
    from artstore.format.tree import TreeSummary
    from artstore.model import Digest, ObjectKind

    Load = Callable[[ObjectKind, Digest], bytes]


@dataclass(slots=True)
class _Node:
    """What changes below one directory: by name an entry, None (to be removed), or a node for a sub-directory.

    `anew`: what the base has there was removed.
    """

    children: dict[bytes, Entry | _Node | None] = field(default_factory=lambda: {})
    anew: bool = False


def parts_of(path: bytes) -> list[bytes]:
    """A path's names; BadInput if it leads elsewhere, or deeper than a folder may lie."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts:
        raise BadInput(
            f"{os.fsdecode(path)!r} is no path within a version", [path], hint="write a relative path, without .."
        )
    if len(parts) >= limits.PATH_DEPTH_MAX:
        raise BadInput(f"{os.fsdecode(path[:200])!r} lies more than {limits.PATH_DEPTH_MAX} folders deep", [path])
    return parts


def apply_edits(
    base: bytes,
    added: Sequence[tuple[bytes, Entry]],
    removed: Sequence[bytes],
    load: Load,
    emit: Emit,
    ids: Ids,
) -> TreeSummary:
    """The tree `base` with paths removed (NotFound if absent), then entries put at paths (missing folders are made).

    The order in which they are named means nothing. A file takes a file's place; BadInput for what would take a
    folder's, or put a folder where a file is, unless that is removed.
    """
    root = _Node()
    for parts in sorted(map(parts_of, removed)):  # a folder before what lies in it
        if _find(base, parts, load) is None:
            raise NotFound(f"{_shown(parts)} isn't in the base version", hint="see `artstore ls REV`")
        node = _node(root, parts, adding=False)
        if node is not None:
            node.children[parts[-1]] = None
    for parts, entry in sorted(((parts_of(path), entry) for path, entry in added), key=lambda each: each[0]):
        _refuse_to_hide(base, root, parts, entry, load)
        node = _node(root, parts, adding=True)
        if node is None or isinstance(node.children.get(parts[-1]), Entry):
            raise BadInput(f"{_shown(parts)} lies at or below something else that is added", [b"/".join(parts)])
        renamed = Entry(parts[-1], entry.kind, entry.size, entry.content, entry.files)
        node.children[parts[-1]] = renamed
    return _rewrite(base, root, load, emit, ids)


def _node(root: _Node, parts: list[bytes], *, adding: bool) -> _Node | None:
    """What changes in the folder of a path; None if all of that folder is added, or, unless adding, removed."""
    node = root
    for part in parts[:-1]:
        removed = part in node.children and node.children[part] is None
        child = node.children.get(part)
        if isinstance(child, Entry) or (removed and not adding):
            return None
        if child is None:
            child = node.children[part] = _Node(anew=removed)
        node = child
    return node


def _refuse_to_hide(tree: bytes, root: _Node, parts: list[bytes], entry: Entry, load: Load) -> None:
    """BadInput if more of the base than a file of the same path would be gone, or a file become a folder."""
    node: _Node | None = root
    for depth, part in enumerate(parts, 1):
        if node is not None and part in node.children:
            child = node.children[part]
            if not isinstance(child, _Node) or child.anew:
                return  # removed; or added, which is told elsewhere
            node = child
        else:
            node = None
        known = lookup(tree, part, load)
        if known is None:
            return
        if depth < len(parts) and known.kind != Kind.DIR:
            raise _hidden(parts, parts[:depth], "is a file in the base version, and can't become a folder")
        if depth == len(parts) and _hides(known, entry):
            what = "folder" if known.kind == Kind.DIR else "file"
            raise _hidden(parts, parts, f"is a {what} in the base version, and all of it would be replaced")
        tree = known.content.value


def _hides(known: Entry, entry: Entry) -> bool:
    is_folder = Kind.DIR in (known.kind, entry.kind)
    return is_folder and (known.kind, known.content) != (entry.kind, entry.content)


def _hidden(parts: list[bytes], there: list[bytes], what: str) -> BadInput:
    return BadInput(
        f"{_shown(parts)} can't be added: {_shown(there)} {what}",
        [b"/".join(parts)],
        hint=f"--remove {_shown(there)} too, or add it elsewhere",
    )


def _shown(parts: list[bytes]) -> str:
    return os.fsdecode(b"/".join(parts))


def _find(tree: bytes, parts: list[bytes], load: Load) -> Entry | None:
    entry: Entry | None = None
    for part in parts:
        if entry is not None:
            if entry.kind != Kind.DIR:
                return None
            tree = entry.content.value
        entry = lookup(tree, part, load)
        if entry is None:
            return None
    return entry


def _rewrite(tree: bytes | None, node: _Node, load: Load, emit: Emit, ids: Ids) -> TreeSummary:
    """As deep as the longest path, which PATH_DEPTH_MAX bounds."""
    edits: list[tuple[bytes, Entry | None]] = []
    for name, child in sorted(node.children.items(), key=lambda item: item[0]):
        if isinstance(child, _Node):
            below = lookup(tree, name, load) if tree is not None and not child.anew else None
            subtree = below.content.value if below is not None and below.kind == Kind.DIR else None
            summary = _rewrite(subtree, child, load, emit, ids)
            child = Entry(name, Kind.DIR, summary.size, Content(Form.TREE, summary.root), summary.files)
        edits.append((name, child))
    if tree is None:
        builder = TreeBuilder(emit, ids)
        for _, entry in edits:
            if entry is not None:
                builder.add(entry)
        return builder.finish()
    return edit_tree(tree, edits, load, emit, ids)

"""What one page needs, as a list: its chunks and the pages below it, each with what this page says of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.page import hits
from artstore.format.recipe import RecipeLeaf, decode_recipe_page
from artstore.format.tree import page_branch
from artstore.format.tree_page import TreeLeaf, decode_tree_page
from artstore.model import Digest, Entry, Form, ObjectKind, RecipeBranch, TreeBranch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ITEM_BYTES_MAX = limits.SYMLINK_BYTES_MAX + limits.NAME_BYTES_MAX + 64  # an entry of a tree


@dataclass(frozen=True, slots=True)
class ChunkWanted:
    """A chunk that a file at `path` needs, with the size it should have."""

    id: bytes
    raw: int
    path: bytes


@dataclass(frozen=True, slots=True)
class PageWanted:
    """A page that something names: an entry if it is a root, else a branch of a page of level + 1.

    `total`: what that branch says of it; `end`: the first name that isn't in it any more. `depth`: folders above.
    `is_last`: no page of its level follows, so that it may end anywhere.
    """

    kind: ObjectKind
    id: bytes
    path: bytes
    depth: int = 0
    entry: Entry | None = None
    level: int | None = None
    total: TreeBranch | RecipeBranch | None = None
    end: bytes | None = None
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page says of itself: what the branch that names it should say, and its greatest name.

    `goes_on`: it holds an item behind which it should have ended; `is_full`: another page may follow where it ends.
    """

    level: int
    total: TreeBranch | RecipeBranch
    last: bytes
    goes_on: bool = False
    is_full: bool = True


@dataclass(frozen=True, slots=True)
class PageView:
    """One page, taken apart."""

    facts: PageFacts
    chunks: list[ChunkWanted]
    below: Iterator[PageWanted]


def take_apart(wanted: PageWanted, data: bytes) -> PageView:
    """A page's needs; Corrupt if it is none."""
    return _tree_view(wanted, data) if wanted.kind is ObjectKind.TREE_PAGE else _recipe_view(wanted, data)


def flaw(wanted: PageWanted, facts: PageFacts) -> str | None:
    """What is wrong with a page in the place where it is named; None if nothing is."""
    total = facts.total
    if facts.goes_on:
        return "goes on behind where a page ends"
    if not wanted.is_last and not facts.is_full:
        return "ends before a page ends"
    if wanted.level is not None:
        fits = facts.level == wanted.level and total == wanted.total
        return None if fits and (wanted.end is None or facts.last < wanted.end) else "is not what the page above says"
    items = total.entries if isinstance(total, TreeBranch) else total.chunks
    if items < 2 and (facts.level > 0 or isinstance(total, RecipeBranch)):
        return "is a root with a single item"
    entry = wanted.entry
    if entry is None:
        return None
    if total.size != entry.size or (isinstance(total, TreeBranch) and total.files != entry.files):
        return f"has {total.size} bytes, and its entry says {entry.size}"
    return None


def _split(level: int, keys: Sequence[bytes], size: int) -> tuple[bool, bool]:
    """`goes_on` and `is_full` of a page of `size` bytes with these keys.

    The item that didn't fit into a page full of bytes isn't known here: the longest there may be is taken for it.
    """
    count = len(keys)
    goes_on = any(hits(level, key) for key in keys[limits.PAGE_ENTRIES_MIN - 1 : -1])
    is_full = (
        count == limits.PAGE_ENTRIES_MAX
        or (count >= limits.PAGE_ENTRIES_MIN and hits(level, keys[-1]))
        or size + _ITEM_BYTES_MAX > limits.PAGE_BYTES_MAX
    )
    return goes_on, is_full


def _tree_view(wanted: PageWanted, data: bytes) -> PageView:
    page = decode_tree_page(data)
    total = page_branch(page, wanted.id)
    if isinstance(page, TreeLeaf):
        prefix = wanted.path + b"/" if wanted.path else b""
        entries = page.entries
        chunks = [
            ChunkWanted(entry.content.value, entry.size, prefix + entry.name)
            for entry in entries
            if entry.content.form == Form.CHUNK
        ]
        last = entries[-1].name if entries else b""
        split = _split(0, [entry.name for entry in entries], len(data))
        return PageView(PageFacts(0, total, last, *split), chunks, _roots(entries, prefix, wanted.depth))
    ends = [*(branch.first for branch in page.branches[1:]), wanted.end]
    final = page.branches[-1]
    below = (
        PageWanted(
            wanted.kind,
            branch.child,
            wanted.path,
            wanted.depth,
            level=page.level - 1,
            total=branch,
            end=end,
            is_last=wanted.is_last and branch is final,
        )
        for branch, end in zip(page.branches, ends, strict=True)
    )
    split = _split(page.level, [branch.first for branch in page.branches], len(data))
    return PageView(PageFacts(page.level, total, final.first, *split), [], below)


def _roots(entries: list[Entry], prefix: bytes, depth: int) -> Iterator[PageWanted]:
    for entry in entries:
        if entry.content.form == Form.TREE:
            yield PageWanted(ObjectKind.TREE_PAGE, entry.content.value, prefix + entry.name, depth + 1, entry)
        elif entry.content.form == Form.RECIPE:
            yield PageWanted(ObjectKind.RECIPE_PAGE, entry.content.value, prefix + entry.name, depth, entry)


def _recipe_view(wanted: PageWanted, data: bytes) -> PageView:
    page = decode_recipe_page(data)
    id = Digest(wanted.id)
    if isinstance(page, RecipeLeaf):
        size = sum(chunk.raw for chunk in page.chunks)
        chunks = [ChunkWanted(chunk.id, chunk.raw, wanted.path) for chunk in page.chunks]
        split = _split(0, [chunk.id for chunk in chunks], 0)
        return PageView(PageFacts(0, RecipeBranch(id, size, len(chunks)), b"", *split), chunks, iter(()))
    size = sum(branch.size for branch in page.branches)
    count = sum(branch.chunks for branch in page.branches)
    final = page.branches[-1]
    below = (
        PageWanted(
            wanted.kind,
            branch.child,
            wanted.path,
            wanted.depth,
            level=page.level - 1,
            total=branch,
            is_last=wanted.is_last and branch is final,
        )
        for branch in page.branches
    )
    split = _split(page.level, [branch.child for branch in page.branches], 0)
    return PageView(PageFacts(page.level, RecipeBranch(id, size, count), b"", *split), [], below)

"""What one page needs, as a list: its chunks and the pages below it, each with what this page says of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore.format.recipe import RecipeLeaf, decode_recipe_page
from artstore.format.tree import page_branch
from artstore.format.tree_page import TreeLeaf, decode_tree_page
from artstore.model import Digest, Entry, Form, ObjectKind, RecipeBranch, TreeBranch

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    """

    kind: ObjectKind
    id: bytes
    path: bytes
    depth: int = 0
    entry: Entry | None = None
    level: int | None = None
    total: TreeBranch | RecipeBranch | None = None
    end: bytes | None = None


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page says of itself: what the branch that names it should say, and its greatest name."""

    level: int
    total: TreeBranch | RecipeBranch
    last: bytes


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
        return PageView(PageFacts(0, total, last), chunks, _roots(entries, prefix, wanted.depth))
    ends = [*(branch.first for branch in page.branches[1:]), wanted.end]
    below = (
        PageWanted(wanted.kind, branch.child, wanted.path, wanted.depth, None, page.level - 1, branch, end)
        for branch, end in zip(page.branches, ends, strict=True)
    )
    return PageView(PageFacts(page.level, total, page.branches[-1].first), [], below)


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
        return PageView(PageFacts(0, RecipeBranch(id, size, len(chunks)), b""), chunks, iter(()))
    size = sum(branch.size for branch in page.branches)
    count = sum(branch.chunks for branch in page.branches)
    below = (
        PageWanted(wanted.kind, branch.child, wanted.path, wanted.depth, None, page.level - 1, branch)
        for branch in page.branches
    )
    return PageView(PageFacts(page.level, RecipeBranch(id, size, count), b""), [], below)

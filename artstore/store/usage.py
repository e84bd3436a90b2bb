"""How much each version takes on disk: what would go if it alone went, and what it shares with others.

Exact, by chunks and pages, and each directory and recipe is read once or twice however many versions share it:
first the distinct directories are found; then, from the top down, each passes on the set of versions that need it to
what it names. Files and chunks go through a sorter that spills to disk, so memory grows with the number of distinct
directories and of distinct sets of versions, not with files or chunks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from artstore import limits
from artstore.format.recipe import iter_chunks
from artstore.format.tree import iter_entries
from artstore.model import Digest, Form, ObjectKind
from artstore.store.spill import Masks, Sorter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from artstore.store.context import Context
    from artstore.store.objects import Objects

_OVERHEAD_BYTES = limits.FRAME_HEADER_BYTES + limits.TABLE_ENTRY_BYTES
_BATCH = 512  # recipes whose root pages are held, ids looked up at once


@dataclass(frozen=True, slots=True)
class VersionUsage:
    """One version: `size` of its files; of what its objects take stored, `exclusive` is needed by no other one."""

    version: Digest
    size: int
    exclusive: int
    shared: int


@dataclass(frozen=True, slots=True)
class Usage:
    """All versions asked for: `stored` by their objects together, `packs` bytes of all packs of the store."""

    versions: tuple[VersionUsage, ...]
    stored: int
    packs: int


def usage(context: Context, objects: Objects, versions: Sequence[bytes]) -> Usage:
    """Stored bytes of each version (headers and table rows included), `exclusive` among the versions given.

    What is damaged or erased counts as nothing when it is a chunk; a page that can't be read raises.
    """
    versions = list(dict.fromkeys(versions))
    documents = [objects.version(version) for version in versions]
    masks = Masks()
    with Sorter(masks) as found, Sorter(masks) as recipes:
        roots: dict[bytes, int] = {}
        for position, (version, document) in enumerate(zip(versions, documents, strict=True)):
            found.add(version, 1 << position)
            roots[document.tree] = roots.get(document.tree, 0) | 1 << position
        _pass_down(objects, roots, found, recipes)
        for batch in _batches(recipes):
            _add_recipes(objects, batch, found)
        by_mask = _measure(context, found)
    with context.index.read() as reader:
        packs = sum(pack.size for pack in reader.packs())
    rows = [
        _row(Digest(version), document.size, 1 << position, by_mask)
        for position, (version, document) in enumerate(zip(versions, documents, strict=True))
    ]
    return Usage(tuple(rows), sum(by_mask.values()), packs)


def _row(version: Digest, size: int, bit: int, by_mask: dict[int, int]) -> VersionUsage:
    exclusive = by_mask.get(bit, 0)
    total = sum(stored for mask, stored in by_mask.items() if mask & bit)
    return VersionUsage(version, size, exclusive, total - exclusive)


def _pass_down(objects: Objects, roots: dict[bytes, int], found: Sorter, recipes: Sorter) -> None:
    """Tell every directory, then every file, which versions need it."""
    needs = dict(roots)
    for tree in reversed(_folders(objects, roots)):
        mask = needs.pop(tree)

        def load(kind: ObjectKind, id: Digest, mask: int = mask) -> bytes:
            found.add(id, mask)
            return objects.load(kind, id)

        for entry in iter_entries(tree, load):
            form, value = entry.content.form, entry.content.value
            if form == Form.TREE:
                needs[value] = needs.get(value, 0) | mask
            elif form == Form.RECIPE:
                recipes.add(value, mask)
            elif form == Form.CHUNK:
                found.add(value, mask)


def _folders(objects: Objects, roots: Iterable[bytes]) -> list[bytes]:
    """All distinct directories, each behind all that it holds: who goes backwards meets parents first."""
    order: list[bytes] = []
    seen: set[bytes] = set()
    for root in roots:
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, _below(objects, root))]
        while stack:
            tree, rest = stack[-1]
            for child in rest:
                if child not in seen:
                    seen.add(child)
                    stack.append((child, _below(objects, child)))
                    break
            else:
                order.append(tree)
                stack.pop()
    return order


def _below(objects: Objects, tree: bytes) -> Iterator[bytes]:
    return (entry.content.value for entry in iter_entries(tree, objects.load) if entry.content.form == Form.TREE)


def _add_recipes(objects: Objects, batch: Sequence[tuple[bytes, int]], found: Sorter) -> None:
    """Tell the chunks and pages of some recipes which versions need them; their roots are read together."""
    pages = objects.fetcher.many(ObjectKind.RECIPE_PAGE, [root for root, _ in batch])
    for root, mask in batch:

        def load(kind: ObjectKind, id: Digest, mask: int = mask) -> bytes:
            found.add(id, mask)
            return pages[id] if id in pages else objects.load(kind, id)

        for _, chunk in iter_chunks(root, load):
            found.add(chunk.id, mask)


def _measure(context: Context, found: Sorter) -> dict[int, int]:
    """Stored bytes by the set of versions that need them."""
    by_mask: dict[int, int] = {}
    for batch in _batches(found):
        with context.index.read() as reader:
            places = reader.find_many([id for id, _ in batch])
        for (_, mask), place in zip(batch, places, strict=True):
            if place is not None:
                by_mask[mask] = by_mask.get(mask, 0) + place.stored + _OVERHEAD_BYTES
    return by_mask


def _batches(pairs: Iterable[tuple[bytes, int]]) -> Iterator[list[tuple[bytes, int]]]:
    rest = iter(pairs)
    while batch := list(islice(rest, _BATCH)):
        yield batch

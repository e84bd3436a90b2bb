"""A tree met folder by folder: what the survey and the restoring both walk along, in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.format.tree import iter_entries
from artstore.model import Kind
from artstore.store.read import check_depth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from artstore.model import Entry
    from artstore.store.checkout.folders import Folder
    from artstore.store.objects import Objects

    Enter = Callable[[Folder, Entry], Folder | None]
    Leave = Callable[[Folder], None]


def traverse(
    objects: Objects, top: Folder, entries: Iterable[Entry], *, enter: Enter, leave: Leave | None = None
) -> Iterator[tuple[Folder, Entry]]:
    """(folder, entry) of all that is no directory, each directory's content where its name stands.

    `enter` gives the folder for a directory, or None to pass it over; `leave` is called when one has ended.
    """
    stack = [(top, iter(entries))]
    while stack:
        folder, rest = stack[-1]
        for entry in rest:
            if entry.kind != Kind.DIR:
                yield folder, entry
                continue
            check_depth(len(stack), folder.path(entry.name))
            below = enter(folder, entry)
            if below is not None:
                stack.append((below, iter_entries(entry.content.value, objects.load)))
                break
        else:
            stack.pop()
            if leave is not None:
                leave(folder)

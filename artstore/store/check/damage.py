"""Which copies of objects can't be read, and where a good copy of an object lies.

Decides nothing: what is damaged is noted here by whoever reads packs, and asked for by whoever looks through versions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore.model import PackState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from artstore.model import Location
    from artstore.ports import Index, IndexReader

_NONE: frozenset[int] = frozenset()


@dataclass(slots=True)
class Damage:
    """`lost`: packs (by number) of which nothing can be read; `bad`: single copies, by id and pack number."""

    lost: set[int] = field(default_factory=set[int])
    bad: set[tuple[bytes, int]] = field(default_factory=set[tuple[bytes, int]])

    def __bool__(self) -> bool:
        return bool(self.lost or self.bad)

    def spares(self, id: bytes, place: Location) -> bool:
        """Can this copy be read, as far as is known?"""
        return place.pack not in self.lost and (id, place.pack) not in self.bad

    @property
    def packs(self) -> set[int]:
        """Every pack with something damaged in it."""
        return self.lost | {pack for _, pack in self.bad}


def good_copies(
    index: Index, ids: Sequence[bytes], damage: Damage, prefer: Collection[int] = _NONE
) -> list[Location | None]:
    """For each id a copy that can be read, in one of the packs `prefer` if there is a choice; None if all are lost."""
    with index.read() as reader:
        found = reader.find_many(ids)
        if not damage and not prefer:
            return found
        return [
            place
            if place is None or (damage.spares(id, place) and (not prefer or place.pack in prefer))
            else _choose(reader, id, damage, prefer)
            for id, place in zip(ids, found, strict=True)
        ]


def _choose(reader: IndexReader, id: bytes, damage: Damage, prefer: Collection[int]) -> Location | None:
    good = [place for place in reader.copies(id) if damage.spares(id, place) and _is_visible(reader, place)]
    preferred = [place for place in good if place.pack in prefer]
    return next(iter([*preferred, *good]), None)


def _is_visible(reader: IndexReader, place: Location) -> bool:
    row = reader.pack(place.pack)
    return row is not None and row.state is not PackState.DELETING

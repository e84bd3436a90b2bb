"""Which objects of packs are read together, from a disk or from a remote: neighbours come in one read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from artstore.model import Location

    Found = tuple[bytes, Location]


@dataclass(frozen=True, slots=True)
class Run:
    """Objects that lie close together in one pack: `size` bytes from `offset` hold all their frames."""

    pack: int
    offset: int
    size: int
    objects: tuple[Found, ...]


def plan_runs(
    found: Iterable[Found],
    *,
    hole_bytes_max: int = limits.READ_LOCAL_HOLE_BYTES_MAX,
    run_bytes_max: int = limits.READ_RANGE_BYTES_MAX,
) -> Iterator[Run]:
    """The fewest reads which bring these objects, in pack order.

    Nothing longer than `hole_bytes_max` is read over; no read is longer than `run_bytes_max`, but for one object.
    """
    pending: list[Found] = []
    pack = start = end = -1
    for id, place in sorted(found, key=lambda each: (each[1].pack, each[1].offset)):
        stop = end_of(place)
        near = place.pack == pack and place.offset - end <= hole_bytes_max
        if not near or stop - start > run_bytes_max:
            if pending:
                yield Run(pack, start, end - start, tuple(pending))
            pending = []
            pack, start, end = place.pack, place.offset, stop
        pending.append((id, place))
        end = max(end, stop)
    if pending:
        yield Run(pack, start, end - start, tuple(pending))


def end_of(place: Location) -> int:
    """The offset behind an object's frame."""
    return place.offset + limits.FRAME_HEADER_BYTES + place.stored

"""What a repair of a remote did, and what is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artstore.store.check.report import Hurt
    from artstore.store.check_remote.report import FarProblem


@dataclass(slots=True)
class RemoteRepairReport:
    """`done`: False for what would be done. `found`: what was wrong; `remaining`: what is so still.

    `replaced`: packs that no set names any more, and `listed`: those that collection was told of; `packs`,
    `sent_bytes`: new ones; `objects`: sent in them; `shards`: made anew; `sets`: that name something else now,
    `sets_rebuilt`: that could not be read, or be mended; `refs`, `moves`: written again. `lost`: what can't be had from
    anywhere that was `asked`, `lost_objects`: how many objects that are. `notes`: what else is to be known.
    """

    done: bool
    found: tuple[FarProblem, ...] = ()
    remaining: tuple[FarProblem, ...] = ()
    replaced: list[str] = field(default_factory=list[str])
    listed: list[str] = field(default_factory=list[str])
    packs: int = 0
    sent_bytes: int = 0
    objects: int = 0
    shards: int = 0
    sets: int = 0
    sets_rebuilt: int = 0
    refs: list[str] = field(default_factory=list[str])
    moves: int = 0
    lost: list[Hurt] = field(default_factory=list["Hurt"])
    lost_objects: int = 0
    asked: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    requests: int = 0
    seconds: float = 0.0

    @property
    def is_sound(self) -> bool:
        """Is nothing wrong there any more?"""
        return not self.remaining and not self.lost and (self.done or not self.found)

"""What the rebuilding of an index found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artstore.model import PackId
    from artstore.store.check.report import Hurt


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """Counts of what the new index knows, and what is amiss.

    `scanned`: packs whose tables are damaged, so that their objects were searched for and verified. `unreadable`: packs
    in which nothing was found; their files stay. `hurt`: what can't be read of versions that refs lead to. `partial`:
    versions that nothing leads to and that aren't whole, most likely collected ones; the index leaves them out.
    `notes`: what a person should know, in sentences.
    """

    packs: int
    objects: int
    versions: int
    refs: int
    scanned: tuple[PackId, ...]
    unreadable: tuple[PackId, ...]
    hurt: tuple[Hurt, ...]
    partial: int
    notes: tuple[str, ...]
    seconds: float

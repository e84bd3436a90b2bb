"""How commands tell what damage hurts: versions and paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore import limits
from artstore.cli import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from artstore.cli.documents import HurtItem, ProblemItem, RepairItem
    from artstore.store.check import Hurt, Problem
    from artstore.store.repair import RepairReport


def repair_item(report: RepairReport) -> RepairItem:
    """What a repair of the store did."""
    from artstore.cli.documents import RepairItem

    return RepairItem(
        packs_rewritten=report.rewritten,
        packs_dropped=report.dropped,
        quarantined=report.quarantined,
        lost=[id.hex() for id in report.lost],
        lost_more=report.lost_more,
        hurt=[hurt_item(hurt) for hurt in report.hurt],
        refs_restored=report.refs_restored,
        remaining=[problem_item(problem) for problem in report.remaining],
        needs_rebuild=report.needs_rebuild,
    )


def problem_item(problem: Problem) -> ProblemItem:
    """One thing that is wrong here."""
    from artstore.cli.documents import ProblemItem

    return ProblemItem(
        kind=problem.kind.value,
        message=problem.message,
        pack=None if problem.pack is None else problem.pack.hex(),
        object=None if problem.digest is None else problem.digest.hex(),
        hurt=[hurt_item(hurt) for hurt in problem.hurt],
        hurt_more=problem.hurt_more,
    )


def hurt_item(hurt: Hurt) -> HurtItem:
    """A path that can't be read."""
    from artstore.cli.documents import HurtItem

    return HurtItem(version=hurt.version.hex(), path=text.name(hurt.path), refs=list(hurt.refs))


def hurt_lines(hurt: Iterable[HurtItem], more: int) -> Iterator[str]:
    """A line for each path, up to a bound."""
    shown = list(hurt)
    for item in shown[: limits.PATHS_SHOWN_MAX]:
        name = ", ".join(item.refs) or item.version[: text.ID_SHOWN_HEX]
        yield f"    {name}:{text.printable(item.path)}" if item.path else f"    {name}, all of it"
    rest = len(shown) - limits.PATHS_SHOWN_MAX + more
    if rest > 0 and len(shown) + more > limits.PATHS_SHOWN_MAX:
        yield f"    … and {text.count(rest, 'path')} more (--json lists them)"

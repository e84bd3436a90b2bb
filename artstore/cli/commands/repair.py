"""`repair`: what is damaged here is had from remotes, what is damaged at a remote from here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.commands.damage import hurt_item, hurt_lines, problem_item, repair_item
from artstore.cli.commands.scrub import repair_there
from artstore.cli.invocation import Invocation
from artstore.cli.params import rate_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore import Store
    from artstore.cli.documents import LocalRepairDocument
    from artstore.store.check import CheckReport
    from artstore.store.repair import RepairReport
    from artstore.store.repair.refill import RefillReport

EXIT_DAMAGED = 6


@click.command(
    "repair",
    cls=Command,
    examples=[
        ("artstore repair", "this store, with what its remotes have"),
        ("artstore repair --remote origin", "a remote, with what is here and elsewhere"),
        ("artstore repair --remote origin --dry-run", "what that would do"),
    ],
)
@click.option("--remote", metavar="NAME", help="What is damaged there; else what is damaged here.")
@click.option("--data", is_flag=True, help="With --remote: read all packs there first, not only what a check found.")
@click.option("--pack", "packs", metavar="KEY", multiple=True, help="With --remote: read this one there, too.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be done.")
@rate_option
@click.pass_obj
def repair_command(
    invocation: Invocation,
    remote: str | None,
    data: bool,
    packs: tuple[str, ...],
    dry_run: bool,
    limit_rate: int | None,
) -> int:
    """Mend what is damaged, here or at a remote.

    Here: all data is read, what is damaged is taken out of use, and what is lost by that comes from any remote that has
    it. At a remote: what checks by this store have found damaged is sent again in new packs, and all versions there
    name these. Exit 6 if something can't be mended: it is listed, with what to do.
    """
    if (data or packs) and remote is None:
        raise click.UsageError("--data and --pack go with --remote: here all data is read in any case")
    store = invocation.open_store()
    if remote is not None:
        sound = repair_there(invocation, store, remote, data=data, packs=packs, dry_run=dry_run, limit_rate=limit_rate)
    else:
        sound = _repair_here(invocation, store, dry_run=dry_run, limit_rate=limit_rate)
    return 0 if sound else EXIT_DAMAGED


def _repair_here(invocation: Invocation, store: Store, *, dry_run: bool, limit_rate: int | None) -> bool:
    begun = time.monotonic()
    with invocation.work("check") as counters:
        report = store.check(data=True, resume=False, counters=counters)
    repaired: RepairReport | None = None
    refilled: RefillReport | None = None
    if not dry_run:
        if not report.is_sound:
            with invocation.work("repair") as counters:
                repaired = store.repair(report, counters=counters)
        if store.lost_objects():
            with invocation.work("repair") as counters:
                refilled = store.repair_from_remotes(limit_rate=limit_rate, counters=counters)
    document = _document(store, report, repaired, refilled, done=not dry_run, seconds=time.monotonic() - begun)
    output = invocation.output
    output.document(document, lines=lambda: _lines(document), ids=lambda: [item.version for item in document.hurt])
    if document.repair is not None and document.repair.needs_rebuild:
        output.note("next: artstore check --rebuild-index, then artstore repair")
    elif document.hurt and document.done:
        output.note("next: artstore repair again when a remote has it; or commit the same files again, where they are")
    return document.sound


def _document(
    store: Store,
    report: CheckReport,
    repaired: RepairReport | None,
    refilled: RefillReport | None,
    *,
    done: bool,
    seconds: float,
) -> LocalRepairDocument:
    from artstore.cli.documents import LocalRepairDocument

    hurt = report.hurt if not done else () if refilled is None else refilled.hurt
    if refilled is None and repaired is not None:
        hurt = repaired.hurt
    sound = not hurt and (done or report.is_sound) and not (repaired is not None and _remains(repaired, refilled))
    return LocalRepairDocument(
        done=done,
        sound=sound,
        problems=[problem_item(problem) for problem in report.problems],
        problems_more=report.problems_more,
        repair=None if repaired is None else repair_item(repaired),
        wanted=store.lost_objects() if refilled is None else refilled.wanted,
        objects=0 if refilled is None else refilled.objects,
        bytes=0 if refilled is None else refilled.bytes,
        packs=0 if refilled is None else refilled.packs,
        hurt=[hurt_item(each) for each in hurt],
        asked=[] if refilled is None else refilled.asked,
        notes=[] if refilled is None else refilled.trouble,
        seconds=round(seconds, 3),
    )


def _remains(repaired: RepairReport, refilled: RefillReport | None) -> bool:
    """Is anything left that remotes didn't mend?"""
    mended = refilled is not None and not refilled.hurt
    names = ("name", "index")
    return any(not mended or problem.kind in names for problem in repaired.remaining)


def _lines(document: LocalRepairDocument) -> Iterator[str]:
    for problem in document.problems:
        yield f"{problem.kind}: {text.printable(problem.message)}"
    if not document.problems and not document.wanted:
        yield f"nothing to repair · {text.seconds(document.seconds)}"
        return
    if document.repair is not None:
        yield (
            f"{text.count(document.repair.packs_rewritten, 'pack')} rewritten, {document.repair.packs_dropped:,} "
            f"dropped, {text.count(document.repair.quarantined, 'damaged copy', 'damaged copies')} taken out of use"
        )
    if document.wanted:
        came = f"{document.objects:,} of {text.count(document.wanted, 'lost object')} came from remotes"
        yield f"{came}, {text.size(document.bytes)}" if document.done else f"lost: {document.wanted:,} before"
    for note in document.notes:
        yield f"note: {text.printable(note)}"
    if document.hurt and document.done:
        yield "what can't be read still; it was looked here, and at " + (", ".join(document.asked) or "no remote")
    elif document.hurt:
        yield "what can't be read"
    yield from hurt_lines(document.hurt, 0)
    state = "all is well now" if document.sound else "not all is well" if document.done else "nothing was done"
    yield f"{state} · {text.seconds(document.seconds)}"

"""Verify a store: `check`, with repair and the rebuilding of its index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.commands.damage import hurt_item, hurt_lines, problem_item, repair_item
from artstore.cli.commands.scrub import check_there
from artstore.cli.invocation import Invocation
from artstore.cli.params import DURATION, rate_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore import Store
    from artstore.cli.documents import CheckDocument, RebuildItem, RepairItem
    from artstore.cli.output import Output
    from artstore.store.check import CheckReport
    from artstore.store.rebuild import RebuildReport
    from artstore.store.repair import RepairReport

EXIT_DAMAGED = 6
_SECOND_NS = 1_000_000_000


@click.command(
    "check",
    cls=Command,
    examples=[
        ("artstore check", "structure, in seconds"),
        ("artstore check --data", "read and verify every chunk"),
        ("artstore check --data --max-duration 1h", "as much as fits; the next one goes on"),
        ("artstore check --remote origin", "what lies at a remote, without reading it all"),
        ("artstore check --remote origin --data --max-duration 30min", "read a part of it; the next one goes on"),
        ("artstore check --repair", "read all, and mend what can be mended"),
        ("artstore check --rebuild-index", "make the index anew, from the packs and refs.log alone"),
    ],
)
@click.option("--data", is_flag=True, help="Read and verify every chunk.")
@click.option("--max-duration", metavar="TIME", type=DURATION, help="With --data: stop after 90s, 30min, 2h …")
@click.option("--restart", is_flag=True, help="With --data: from the beginning, not where the last one stopped.")
@click.option("--repair", is_flag=True, help="Read all data, and take what is damaged out of use.")
@click.option("--rebuild-index", is_flag=True, help="First make the index anew from packs and refs.log.")
@click.option("--remote", metavar="NAME", help="What lies at a remote, instead of the store.")
@rate_option
@click.pass_obj
def check_command(
    invocation: Invocation,
    data: bool,
    max_duration: int | None,
    restart: bool,
    repair: bool,
    rebuild_index: bool,
    remote: str | None,
    limit_rate: int | None,
) -> int:
    """Verify the store, or a remote; rebuild the store's index; repair it.

    Exit 6 if anything is wrong. Names every version and path that is hurt. After --repair the next commit of the
    same files stores again what was damaged; `artstore repair` takes it from a remote.
    """
    if remote is not None and (repair or rebuild_index):
        raise click.UsageError("--remote goes with --data alone; artstore repair --remote mends it")
    if limit_rate is not None and remote is None:
        raise click.UsageError("--limit-rate goes with --remote")
    if (max_duration is not None or restart) and not (data or repair):
        raise click.UsageError("--max-duration and --restart go with --data")
    rebuilt = _rebuild(invocation) if rebuild_index else None
    store = invocation.open_store()
    seconds = None if max_duration is None else max_duration / _SECOND_NS
    if remote is not None:
        sound = check_there(
            invocation,
            store,
            remote,
            data=data,
            max_duration=seconds,
            resume=not restart,
            limit_rate=limit_rate,
        )
        return 0 if sound else EXIT_DAMAGED
    with invocation.work("check") as counters:
        report = store.check(data=data or repair, max_duration=seconds, resume=not restart, counters=counters)
    repaired = _repair(invocation, store, report) if repair and not report.is_sound else None
    document = _document(report, rebuilt, repaired)
    output = invocation.output
    output.document(document, lines=lambda: _lines(document), ids=lambda: _hurt_ids(document))
    _next_step(output, document)
    sound = document.sound or (repaired is not None and not repaired.hurt and not repaired.remaining)
    return 0 if sound else EXIT_DAMAGED


def _repair(invocation: Invocation, store: Store, report: CheckReport) -> RepairReport:
    with invocation.work("repair") as counters:
        return store.repair(report, counters=counters)


def _rebuild(invocation: Invocation) -> RebuildReport:
    from artstore import Store

    with invocation.work("rebuild") as counters:
        return Store.rebuild_index(invocation.store, passphrase=invocation.asks_passphrase, counters=counters)


def _document(report: CheckReport, rebuilt: RebuildReport | None, repaired: RepairReport | None) -> CheckDocument:
    from artstore.cli.documents import CheckDocument

    return CheckDocument(
        sound=report.is_sound,
        data=report.data,
        finished=report.finished,
        resumed=report.resumed,
        packs=report.packs,
        objects=report.objects,
        bytes=report.bytes,
        versions=report.versions,
        refs=report.refs,
        leftovers=report.leftovers,
        problems=[problem_item(problem) for problem in report.problems],
        problems_more=report.problems_more,
        rebuild=None if rebuilt is None else _rebuild_item(rebuilt),
        repair=None if repaired is None else repair_item(repaired),
        seconds=round(report.seconds, 3),
    )


def _rebuild_item(report: RebuildReport) -> RebuildItem:
    from artstore.cli.documents import RebuildItem

    return RebuildItem(
        packs=report.packs,
        objects=report.objects,
        versions=report.versions,
        refs=report.refs,
        unreadable=[pack.hex() for pack in report.unreadable],
        hurt=[hurt_item(hurt) for hurt in report.hurt],
        notes=list(report.notes),
    )


def _lines(document: CheckDocument) -> Iterator[str]:
    if document.rebuild is not None:
        yield from _rebuild_lines(document.rebuild)
    for problem in document.problems:
        yield f"{problem.kind}: {text.printable(problem.message)}"
        yield from hurt_lines(problem.hurt, problem.hurt_more)
    if document.problems_more:
        yield f"… and {text.count(document.problems_more, 'problem')} more"
    read = f", {text.size(document.bytes)} verified" if document.data else ""
    state = "sound" if document.sound else text.count(len(document.problems) + document.problems_more, "problem")
    packs, objects = text.count(document.packs, "pack"), text.count(document.objects, "object")
    yield (
        f"{state} · {packs}, {objects}, {text.count(document.versions, 'version')}, "
        f"{text.count(document.refs, 'ref')}{read} · {text.seconds(document.seconds)}"
    )
    if document.repair is not None:
        yield from _repair_lines(document.repair)


def _rebuild_lines(item: RebuildItem) -> Iterator[str]:
    packs, versions = text.count(item.packs, "pack"), text.count(item.versions, "version")
    yield f"made the index anew: {packs}, {versions}, {text.count(item.refs, 'ref')}"
    for pack in item.unreadable:
        yield f"nothing was found in pack {pack}; its file stays"
    for note in item.notes:
        yield text.printable(note)


def _repair_lines(item: RepairItem) -> Iterator[str]:
    yield (
        f"repaired: {text.count(item.packs_rewritten, 'pack')} rewritten, {item.packs_dropped:,} dropped, "
        f"{text.count(item.quarantined, 'damaged copy', 'damaged copies')} taken out of use, "
        f"{text.count(item.refs_restored, 'ref')} restored"
    )
    if item.lost:
        lost = len(item.lost) + item.lost_more
        yield f"{text.count(lost, 'object')} lost, until a commit of the same files stores them again:"
        yield from hurt_lines(item.hurt, 0)
    for problem in item.remaining:
        yield f"not mended: {text.printable(problem.message)}"


def _hurt_ids(document: CheckDocument) -> list[str]:
    return list(dict.fromkeys(item.version for problem in document.problems for item in problem.hurt))


def _next_step(output: Output, document: CheckDocument) -> None:
    if not document.finished:
        output.note("time ran out; next: artstore check --data, which goes on from there")
    elif document.repair is not None and document.repair.needs_rebuild:
        output.note("next: artstore check --rebuild-index")
    elif document.repair is not None and document.repair.lost:
        output.note("next: artstore repair, if a remote has it; or commit the same files again, where they still are")
    elif not document.sound and document.repair is None:
        output.note("next: artstore repair")
    if document.leftovers:
        output.note(f"{text.count(document.leftovers, 'pack')} of killed commands; `artstore gc --yes` removes them")

"""`check --remote` and `repair --remote`: what lies at a remote, verified and mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.cli import text
from artstore.cli.commands.damage import hurt_item, hurt_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from artstore import Store
    from artstore.cli.documents import FarCheckDocument, FarProblemItem, FarRepairDocument
    from artstore.cli.invocation import Invocation
    from artstore.store.check_remote import FarProblem, RemoteCheckReport
    from artstore.store.repair_remote import RemoteRepairReport

_PACKS_NAMED_MAX = 3
# What to do about what a repair from here leaves.
_NEXT = {
    "gc-state": "nobody can push or collect until it is there as it was; restore it if the bucket keeps old versions",
    "tag": "`artstore repair --remote` from a store that pushed or pulled it; if no store has it, delete the object "
    "there, and push what is to have the name",
    "alias": "`artstore repair --remote` from the store that moved it last; if no store has, delete the object there, "
    "and push it from the one that knows its latest move",
    "history": "`artstore repair --remote` from a store that has the alias",
    "set": "`artstore repair --remote` from a store that has all of the version: `artstore pull` brings it",
    "set-missing": "`artstore push --all` from a store that has it",
}


def check_there(
    invocation: Invocation,
    store: Store,
    remote: str,
    *,
    data: bool,
    max_duration: float | None,
    resume: bool,
    limit_rate: int | None,
) -> bool:
    """Look for damage at a remote, and tell it; is it sound?"""
    with invocation.work("check") as counters:
        report = store.check_at_remote(
            remote,
            data=data,
            max_duration=max_duration,
            resume=resume,
            limit_rate=limit_rate,
            counters=counters,
        )
    document = _check_document(remote, report)
    output = invocation.output
    output.document(
        document, lines=lambda: _check_lines(document), ids=lambda: [each.key for each in document.problems]
    )
    if not document.finished:
        output.note(f"time ran out; next: artstore check --remote {remote} --data, which goes on from there")
    if not document.sound:
        output.note(f"next: artstore repair --remote {remote}, from a store that has what is damaged")
    return report.is_sound


def repair_there(
    invocation: Invocation,
    store: Store,
    remote: str,
    *,
    data: bool,
    packs: Sequence[str],
    dry_run: bool,
    limit_rate: int | None,
) -> bool:
    """Mend what is damaged at a remote, and tell it; is all well?"""
    with invocation.work("repair") as counters:
        report = store.repair_at_remote(
            remote, data=data, packs=packs, dry_run=dry_run, limit_rate=limit_rate, counters=counters
        )
    document = _repair_document(remote, report)
    invocation.output.document(document, lines=lambda: _repair_lines(document), ids=lambda: document.replaced)
    return document.sound


def _check_document(remote: str, report: RemoteCheckReport) -> FarCheckDocument:
    from artstore.cli.documents import FarCheckDocument

    return FarCheckDocument(
        remote=remote,
        sound=report.is_sound,
        data=report.data,
        finished=report.finished,
        resumed=report.resumed,
        refs=report.refs,
        versions=report.versions,
        moves=report.moves,
        packs=report.packs,
        shards=report.shards,
        bytes=report.bytes,
        read_packs=report.read_packs,
        read_bytes=report.read_bytes,
        objects=report.objects,
        left_packs=report.left_packs,
        left_bytes=report.left_bytes,
        unneeded=report.unneeded,
        unnamed=report.unnamed,
        foreign=report.foreign,
        problems=[_problem(problem) for problem in report.problems],
        problems_more=report.problems_more,
        requests=report.requests,
        notes=list(report.notes),
        seconds=round(report.seconds, 3),
    )


def _repair_document(remote: str, report: RemoteRepairReport) -> FarRepairDocument:
    from artstore.cli.documents import FarRepairDocument

    return FarRepairDocument(
        remote=remote,
        done=report.done,
        sound=report.is_sound,
        found=[_problem(problem) for problem in report.found],
        remaining=[_problem(problem) for problem in report.remaining],
        replaced=report.replaced,
        listed=report.listed,
        packs=report.packs,
        sent_bytes=report.sent_bytes,
        objects=report.objects,
        shards=report.shards,
        sets=report.sets,
        sets_rebuilt=report.sets_rebuilt,
        refs=report.refs,
        moves=report.moves,
        lost=[hurt_item(hurt) for hurt in report.lost],
        lost_objects=report.lost_objects,
        asked=report.asked,
        requests=report.requests,
        notes=list(dict.fromkeys(report.notes)),
        seconds=round(report.seconds, 3),
    )


def _problem(problem: FarProblem) -> FarProblemItem:
    from artstore.cli.documents import FarProblemItem

    return FarProblemItem(
        kind=problem.kind.value,
        key=problem.key,
        message=problem.message,
        alias=problem.alias or None,
        hurt=[hurt_item(hurt) for hurt in problem.hurt],
        hurt_more=problem.hurt_more,
    )


def _check_lines(document: FarCheckDocument) -> Iterator[str]:
    yield from _problem_lines(document.problems)
    if document.problems_more:
        yield f"… and {text.count(document.problems_more, 'problem')} more"
    state = "sound" if document.sound else text.count(len(document.problems) + document.problems_more, "problem")
    versions = text.count(document.versions, "version")
    yield (
        f"{document.remote}: {state} · {text.count(document.refs, 'name')}, {versions}, "
        f"{text.count(document.packs, 'pack')}, {text.size(document.bytes)} · "
        f"{text.count(document.requests, 'request')}, {text.seconds(document.seconds)}"
    )
    if document.data:
        left = ", all that there is" if document.finished and not document.resumed else ""
        if document.left_packs:
            left = f"; {text.size(document.left_bytes)} in {text.count(document.left_packs, 'pack')} left"
        elif document.resumed:
            left = ", the last of this round"
        objects = text.count(document.objects, "object")
        yield f"{text.size(document.read_bytes)} in {text.count(document.read_packs, 'pack')} read, {objects}{left}"
    if document.foreign:
        verbs = ("isn't", "is") if document.foreign == 1 else ("aren't", "are")
        yield f"{text.count(document.foreign, 'object')} {verbs[0]} artstore's, and {verbs[1]} left alone"
    for note in document.notes:
        yield f"note: {text.printable(note)}"


def _repair_lines(document: FarRepairDocument) -> Iterator[str]:
    if not document.found:
        yield f"{document.remote}: nothing to repair · {text.count(document.requests, 'request')}"
        return
    yield from _problem_lines(document.found)
    done = document.done
    if document.objects:
        verb = "sent" if done else "to be sent"
        objects = text.count(document.objects, "object")
        yield f"{verb}: {objects}, {text.size(document.sent_bytes)} in {text.count(document.packs, 'new pack')}"
    if document.shards:
        yield f"{text.count(document.shards, 'shard')} {'made' if done else 'to be made'} anew"
    changed = document.sets + document.sets_rebuilt
    if changed:
        named = "name what is sound now" if done else "to be changed"
        yield f"{text.count(changed, 'set')} {named}"
    if document.moves:
        yield f"{text.count(document.moves, 'move')} {'written' if done else 'to be written'} again"
    for name in document.refs:
        yield f"{name} {'is written' if done else 'would be written'} again"
    if document.replaced:
        yield f"{text.count(len(document.replaced), 'damaged pack')} out of use: gc --remote deletes them in time"
    yield from _lost_lines(document)
    for problem in document.remaining:
        yield f"not mended: {text.printable(problem.message)}"
        if problem.kind in _NEXT:
            yield f"    {_NEXT[problem.kind]}"
    for note in document.notes:
        yield f"note: {text.printable(note)}"
    state = "all is well now" if document.sound else "not all is well" if done else "nothing was done"
    yield f"{document.remote}: {state} · {text.count(document.requests, 'request')}, {text.seconds(document.seconds)}"


def _lost_lines(document: FarRepairDocument) -> Iterator[str]:
    if not document.lost:
        return
    yield f"{text.count(document.lost_objects, 'object')} can't be had; it was looked here, and at:"
    yield from (f"    {url}" for url in document.asked)
    yield "what needs them:"
    yield from hurt_lines(document.lost, 0)
    damaged = [problem.key for problem in document.remaining if problem.kind in ("pack", "pack-missing")]
    which = "".join(f" --pack {key}" for key in damaged[:_PACKS_NAMED_MAX])
    if not damaged or len(damaged) > _PACKS_NAMED_MAX:
        which = " --data"
    yield f"next: artstore repair --remote {document.remote}{which}, from a store that has these"


def _problem_lines(problems: Iterable[FarProblemItem]) -> Iterator[str]:
    for problem in problems:
        yield f"{problem.kind}: {text.printable(problem.message)}"
        yield from hurt_lines(problem.hurt, problem.hurt_more)

"""Keep the store well: `gc`, `purge`."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

import click

from artstore import limits
from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.commands.remote_gc import collect_remote, collect_remote_now
from artstore.cli.commands.remote_repack import change_grace, repack_remote
from artstore.cli.invocation import Invocation
from artstore.cli.params import DURATION, REVISION, Whole
from artstore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from artstore import GcPlan, GcResult, PurgePlan, Store
    from artstore.cli.documents import FreedItem, GoingItem
    from artstore.cli.output import Output
    from artstore.planning.retention import Policy
    from artstore.store.collect import Freeing
    from artstore.store.purge import PathIn


@click.command(
    "gc",
    cls=Command,
    examples=[
        ("artstore gc", "what would go, and when its space is free"),
        ("artstore gc --yes", "let it go; for seven days `artstore gc --undo` brings it back"),
        ("artstore gc --yes --now", "free at once what nothing leads to"),
        ("artstore gc --keep-last 5 --keep-within 30d --keep-tagged", "remove old tags first"),
        ("artstore gc --remote origin", "at a remote, whoever else is at it; run it daily"),
        ("artstore gc --remote origin --repack", "rewrite packs there that are mostly dead, or small"),
    ],
)
@click.argument("artifacts", metavar="[ARTIFACT]...", nargs=-1, type=REVISION)
@click.option("-y", "--yes", is_flag=True, help="Do it.")
@click.option("-n", "--dry-run", is_flag=True, help="Only tell, as without --yes.")
@click.option("--now", is_flag=True, help="Free at once: no undo. Refused while commits run (exit 8).")
@click.option("--undo", is_flag=True, help="Bring back what was removed and collected in the last seven days.")
@click.option("--keep-last", metavar="N", type=Whole(min=1), help="Keep the newest N tags of each artifact.")
@click.option("--keep-tagged", is_flag=True, help="Keep tags that somebody named: all but vN.")
@click.option("--keep-within", metavar="TIME", type=DURATION, help="Keep tags younger than 30d, 12h …")
@click.option("--remote", metavar="NAME", help="At a remote: what no name there leads to.")
@click.option("--repack", is_flag=True, help="There: rewrite packs that are mostly dead, or small.")
@click.option("--grace", metavar="TIME", type=DURATION, help="There: change how long garbage waits, 24h at first.")
@click.pass_obj
def gc_command(
    invocation: Invocation,
    artifacts: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    now: bool,
    undo: bool,
    keep_last: int | None,
    keep_tagged: bool,
    keep_within: int | None,
    remote: str | None,
    repack: bool,
    grace: int | None,
) -> None:
    """Free what no name leads to.

    Lists versions and paths that would go; nothing goes without --yes. With a --keep rule, tags that no rule keeps are
    removed first, of all artifacts or of those named; an alias's versions and inputs of others always stay.

    With --remote nothing here changes. A run there deletes what an earlier one found to be garbage, a day later at the
    earliest, and asks first; pushes, reads and other collections may go on meanwhile. With --now names can't be written
    there while it waits for half a day and deletes all garbage at once; Ctrl-C ends that. --repack fetches what it
    rewrites and isn't here, and tells how much that is before it asks. A shorter --grace is in force when the longer
    one is over.
    """
    from artstore.planning.retention import Policy

    policy = Policy(keep_last=keep_last, keep_tagged=keep_tagged, keep_within=keep_within)
    if artifacts and policy.is_empty:
        raise click.UsageError("ARTIFACT goes with --keep-last, --keep-tagged or --keep-within")
    if undo and (now or yes or dry_run or not policy.is_empty):
        raise click.UsageError("--undo goes alone")
    if yes and dry_run:
        raise click.UsageError("--yes and --dry-run contradict each other")
    store = invocation.open_store()
    if remote is not None:
        if undo or artifacts or not policy.is_empty or now + repack + (grace is not None) > 1:
            raise click.UsageError("--remote goes with --yes, --dry-run, and one of --now, --repack, --grace alone")
        if grace is not None:
            if yes or dry_run:
                raise click.UsageError("--remote goes with --grace alone")
            change_grace(invocation, store, remote, grace)
        else:
            act = collect_remote_now if now else repack_remote if repack else collect_remote
            act(invocation, store, remote, yes=yes, dry_run=dry_run)
        return
    if repack or grace is not None:
        raise click.UsageError("--repack and --grace go with --remote")
    if undo:
        _undo(invocation, store)
        return
    _collect(invocation, store, policy, artifacts, yes=yes, now=now)


@click.command(
    "purge",
    cls=Command,
    examples=[
        ("artstore purge people/anna.csv --all-versions --reason 'erasure request 17'", "from all versions"),
        ("artstore purge data/v3:people/anna.csv", "from one; what others use stays"),
    ],
)
@click.argument("what", metavar="PATH|REV:PATH", type=REVISION)
@click.option("--all-versions", is_flag=True, help="PATH in every version of the store.")
@click.option("--reason", metavar="TEXT", default="", help="Why, for the record.")
@click.option("-y", "--yes", is_flag=True, help="Do it, don't ask.")
@click.option("-n", "--dry-run", is_flag=True, help="Only tell.")
@click.pass_obj
def purge_command(invocation: Invocation, what: str, all_versions: bool, reason: str, yes: bool, dry_run: bool) -> None:
    """Erase a path's content for good, from one or all versions.

    From every pack that holds it. Versions keep their ids; reading the path then says that it was erased. What any
    other path uses stays, and is listed. There is no undo.
    """
    store = invocation.open_store()
    if all_versions:
        plan = store.purge_plan(what)
    else:
        found = store.resolve(what) if ":" in what else None
        if found is None or not found.path:
            raise UsageError(f"{what!r} names no path of a version", hint="write REV:PATH, or PATH --all-versions")
        plan = store.purge_plan(found.path, [found.version])
    if dry_run:
        _print_purge(invocation.output, store, plan, freed=None)
        return
    if not yes:
        _tell_purge(invocation, store, plan)
    invocation.confirm("Erase it? There is no undo.", yes=yes, what="purge")
    with invocation.work("purge"):
        result = store.purge(plan, reason=reason)
    _print_purge(invocation.output, store, plan, freed=result.freed_bytes)


def _collect(
    invocation: Invocation,
    store: Store,
    policy: Policy,
    artifacts: Sequence[str],
    *,
    yes: bool,
    now: bool,
) -> None:
    output = invocation.output
    retention = None if policy.is_empty else store.retention_plan(policy, artifacts)
    removed = [] if retention is None else [tag.name for tag in retention.removed]
    plan = store.gc_plan(now=now)
    if not yes:
        _print_plan(output, plan, _going(store, plan, output, verbose=invocation.verbose), removed)
        if removed or not plan.is_empty:
            output.note("nothing is gone yet; the same with --yes lets it go")
        return
    if retention is not None and removed:
        store.retain(policy, retention, artifacts)
        plan = store.gc_plan(now=now)
    going = _going(store, plan, output, verbose=invocation.verbose)
    with invocation.work("gc"):
        result = store.gc(plan, now=now)
    _print_result(output, result, going, removed, plan.young)
    if (result.versions or removed) and not now:
        output.note("next: artstore gc --undo, if that was a mistake")


def _going(store: Store, plan: GcPlan, output: Output, *, verbose: int) -> list[GoingItem]:
    from artstore.cli.documents import GoingItem

    shown = limits.PATHS_LISTED_MAX if output.json or verbose else limits.PATHS_SHOWN_MAX
    items: list[GoingItem] = []
    for going in plan.versions:
        found = list(islice(store.lost_paths(plan, going.version), shown + 1)) if going.readable else []
        items.append(
            GoingItem(
                version=going.version.hex(),
                tags=list(going.tags),
                created=text.rfc3339(going.created) if going.readable else None,
                files=going.files,
                bytes=going.size,
                paths=[text.name(each.path) for each in found[:shown]],
                paths_more=len(found) > shown,
            )
        )
    return items


def _print_plan(output: Output, plan: GcPlan, going: list[GoingItem], removed: list[str]) -> None:
    from artstore.cli.documents import GcDocument

    document = GcDocument(
        done=False,
        removed_tags=removed,
        versions=going,
        young=plan.young,
        freed_bytes=plan.freed_now,
        freed_later=_later(plan.freed_later),
        waiting_bytes=plan.waiting,
        repacked_bytes=plan.repacked,
        notes=list(plan.notes),
    )
    output.document(document, lines=lambda: _gc_lines(document, "would go"), ids=lambda: _ids(going))


def _print_result(output: Output, result: GcResult, going: list[GoingItem], removed: list[str], young: int) -> None:
    from artstore.cli.documents import GcDocument

    document = GcDocument(
        done=True,
        removed_tags=removed,
        versions=going,
        young=young,
        freed_bytes=result.freed_bytes,
        freed_later=_later(result.freed_later),
        waiting_bytes=result.waiting,
        repacked_bytes=result.repacked_bytes - result.rewritten_bytes,
        notes=result.notes,
    )
    output.document(document, lines=lambda: _gc_lines(document, "gone"), ids=lambda: _ids(going))


def _gc_lines(document: GcDocument, word: str) -> Iterator[str]:
    if document.removed_tags:
        yield f"{text.count(len(document.removed_tags), 'tag')} {word}: {', '.join(document.removed_tags)}"
    for item in document.versions:
        name = ", ".join(item.tags) or "without a name"
        made = item.created[:19] + "Z" if item.created else "unreadable"
        files = text.count(item.files, "file")
        yield f"{word}: {name} {item.version[: text.ID_SHOWN_HEX]} · {made} · {text.size(item.bytes)} in {files}"
        for path in item.paths:
            yield f"    {text.printable(path)}"
        if item.paths_more:
            yield "    … and more (-v lists them)"
    if document.young:
        yield f"{text.count(document.young, 'version')} without a name, younger than 7 days, to be gone then"
    yield _frees(document)
    for note in document.notes:
        yield f"not done: {note}"


def _frees(document: GcDocument) -> str:
    """`frees 0 B now, 412 GB on 2026-11-30`."""
    verb = "freed" if document.done else "frees"
    parts = [f"{text.size(document.freed_bytes)} now"]
    parts += [f"{text.size(item.bytes)} on {item.at[:10]}" for item in document.freed_later]
    if document.waiting_bytes:
        parts.append(f"{text.size(document.waiting_bytes)} when running commits have ended")
    return f"{verb} {', '.join(parts)}"


def _later(freed: Iterable[Freeing]) -> list[FreedItem]:
    from artstore.cli.documents import FreedItem

    return [FreedItem(at=text.rfc3339(each.at), bytes=each.size) for each in freed]


def _ids(going: list[GoingItem]) -> list[str]:
    return [item.version for item in going]


def _undo(invocation: Invocation, store: Store) -> None:
    from artstore.cli.documents import LostItem, UndoDocument

    result = store.gc_undo()
    document = UndoDocument(
        tags=sorted(result.tags),
        aliases=sorted(result.aliases),
        versions=[version.hex() for version in result.versions],
        revived_bytes=result.revived_bytes,
        lost=[LostItem(name=name, why=why) for name, why in result.lost],
    )

    def lines() -> Iterator[str]:
        for name in (*document.tags, *document.aliases):
            yield f"back: {name}"
        kept = text.count(len(document.versions), "version")
        yield f"{kept} brought back, {text.size(document.revived_bytes)} kept from being freed"
        for item in document.lost:
            yield f"lost: {item.name}: {text.printable(item.why)}"

    invocation.output.document(document, lines=lines, ids=lambda: [*document.tags, *document.aliases])


def _tell_purge(invocation: Invocation, store: Store, plan: PurgePlan) -> None:
    """What is about to be erased, for whom is asked; on stderr, since stdout tells what was done."""
    for line in _purge_lines(store, plan, freed=None):
        invocation.output.warn(line)


def _print_purge(output: Output, store: Store, plan: PurgePlan, *, freed: int | None) -> None:
    from artstore.cli.documents import PlaceItem, PurgeDocument

    def items(places: Iterable[PathIn]) -> list[PlaceItem]:
        return [PlaceItem(version=place.version.hex(), path=text.name(place.path)) for place in places]

    document = PurgeDocument(
        done=freed is not None,
        path=text.name(plan.path),
        places=items(plan.places),
        chunks=plan.chunks,
        bytes=plan.size,
        kept_chunks=plan.kept_chunks,
        kept_bytes=plan.kept_size,
        sharers=items(plan.sharers),
        freed_bytes=freed or 0,
    )
    lines = _purge_lines(store, plan, freed=freed)
    output.document(document, lines=lambda: lines, ids=lambda: [place.version for place in document.places])


def _purge_lines(store: Store, plan: PurgePlan, *, freed: int | None) -> Iterator[str]:
    word = "would erase" if freed is None else "erased"
    path = text.printable(os.fsdecode(plan.path))
    versions = text.count(len(plan.places), "version")
    yield f"{word} {path} from {versions}: {text.size(plan.size)} in {text.count(plan.chunks, 'chunk')}"
    for place in plan.places[: limits.PATHS_SHOWN_MAX]:
        yield f"    {_named(store, place)}"
    if plan.kept_chunks:
        yield f"kept {text.size(plan.kept_size)} that other paths use:"
        for place in plan.sharers[: limits.PATHS_SHOWN_MAX]:
            yield f"    {_named(store, place)}"
    if freed is not None:
        yield f"the store is {text.size(freed)} smaller"


def _named(store: Store, place: PathIn) -> str:
    name = store.name_of(place.version) or text.short_id(place.version)
    return f"{name}:{text.printable(os.fsdecode(place.path))}"


if TYPE_CHECKING:
    from artstore.cli.documents import GcDocument

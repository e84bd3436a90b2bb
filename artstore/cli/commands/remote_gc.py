"""`gc --remote`: a run of collection at a remote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.cli import text
from artstore.cli.countdown import Countdown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from artstore import Store
    from artstore.cli.documents import PacksItem, RemoteGcDocument
    from artstore.cli.invocation import Invocation
    from artstore.model import Listed
    from artstore.store.remote.collect import RemoteGcPlan, RemoteGcResult

_NS = 10**9
_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S


def collect_remote(invocation: Invocation, store: Store, remote: str, *, yes: bool, dry_run: bool) -> None:
    """Tell what a run would do, and do it if that is wanted."""
    output = invocation.output
    with invocation.work("gc"):
        plan = store.remote_gc_plan(remote)
    document = _document(remote, plan, None)
    gone = [pack.key for pack in plan.step.deleting]
    if dry_run or not plan.changes:
        output.document(document, lines=lambda: _lines(document), ids=lambda: gone)
        return
    if not yes:
        for line in _lines(document):
            output.warn(line)
    invocation.confirm(f"Do that at {remote}?", yes=yes, what="gc --remote")
    with invocation.work("gc"):
        result = store.remote_gc(remote, plan=plan)
    done = _document(remote, plan, result)
    output.document(done, lines=lambda: _lines(done), ids=lambda: gone)


def collect_remote_now(invocation: Invocation, store: Store, remote: str, *, yes: bool, dry_run: bool) -> None:
    """Hold the remote, wait, free all garbage there."""
    output = invocation.output
    with invocation.work("gc"):
        plan = store.remote_gc_plan(remote, looking=True)
    step = plan.step
    garbage = [*step.deleting, *step.begun, *step.waiting, *step.young, *step.left]
    gone = [pack.key for pack in garbage]
    import msgspec

    told = msgspec.structs.replace(_document(remote, plan, None), deleted=_packs(garbage))
    wait = plan.state.grace_in_force / 2
    packs = text.count(told.deleted.packs, "pack")
    lines = [
        f"{remote}: {text.size(told.deleted.bytes)} in {packs} would go, as far as no push says that it needs them",
        f"names can't be written there for {span(wait)} and as long as it takes (exit 8); until then Ctrl-C ends it",
    ]
    if dry_run:
        output.document(told, lines=lambda: lines, ids=lambda: gone)
        return
    if not yes:
        for line in lines:
            output.warn(line)
    invocation.confirm(f"Do that at {remote}?", yes=yes, what="gc --remote --now")
    with Countdown(output, f"{remote} is held") as left:
        result = store.remote_gc_now(remote, left=left)
    done = _document(remote, result.plan, result)
    output.document(done, lines=lambda: _lines(done), ids=lambda: [pack.key for pack in result.plan.step.deleting])


def _document(remote: str, plan: RemoteGcPlan, result: RemoteGcResult | None) -> RemoteGcDocument:
    from artstore.cli.documents import RemoteGcDocument

    step = plan.step
    times = [since + plan.grace for since in step.after.listed.values() if since is not None]
    return RemoteGcDocument(
        remote=remote,
        done=result is not None,
        versions=plan.versions,
        unnamed=plan.unnamed,
        deleted=_packs(step.deleting),
        listed=_packs(step.begun),
        waiting=_packs(step.waiting),
        spared=_packs(step.spared),
        young=_packs(step.young),
        left=_packs(step.left),
        next=text.time(min(times) * _NS) if times else None,
        grace_s=plan.grace,
        requests=plan.requests + (0 if result is None else result.requests),
        notes=[] if result is None else result.notes,
        lifted=plan.lifts or None,
    )


def _packs(packs: Sequence[Listed]) -> PacksItem:
    from artstore.cli.documents import PacksItem

    return PacksItem(packs=len(packs), bytes=sum(pack.size for pack in packs))


def _lines(document: RemoteGcDocument) -> Iterator[str]:
    grace = span(document.grace_s)
    deleted, listed = ("deleted", "listed") if document.done else ("to be deleted", "to be listed")
    named, unnamed = text.count(document.versions, "version"), text.count(document.unnamed, "version")
    yield f"{document.remote}: {named} with names, which stay; {unnamed} without"
    if document.lifted:
        verb = "is let go" if document.done else "would be let go"
        yield f"{document.lifted} has held it for too long, and must have died: it {verb}"
    yield from _line(deleted, document.deleted, "")
    yield from _line(listed, document.listed, f", and deleted by a run that begins {grace} after the next one")
    when = f" until {document.next}" if document.next else f" until {grace} after the next run"
    yield from _line("waiting", document.waiting, when)
    yield from _line("needed again", document.spared, "")
    yield from _line("too young", document.young, f": less than {grace} old, a push may be at it")
    yield from _line("left for later", document.left, ": the list is full")
    nothing = not (document.deleted.packs or document.listed.packs or document.waiting.packs or document.young.packs)
    if nothing:
        yield "there is no garbage"
    yield text.count(document.requests, "request")
    for note in document.notes:
        yield f"note: {note}"


def span(seconds: float) -> str:
    """`1 day`, `12 h`, `10:00`."""
    if seconds % _DAY_S == 0:
        return text.count(int(seconds // _DAY_S), "day")
    return f"{int(seconds // _HOUR_S)} h" if seconds % _HOUR_S == 0 else text.seconds(seconds)


def _line(what: str, packs: PacksItem, more: str) -> Iterator[str]:
    if packs.packs:
        yield f"{what}: {text.size(packs.bytes)} in {text.count(packs.packs, 'pack')}{more}"

"""`gc --remote --repack` and `--grace`: packs at a remote are rewritten; how long garbage waits there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.cli import text
from artstore.cli.commands.remote_gc import span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore import Store
    from artstore.cli.documents import RemoteRepackDocument
    from artstore.cli.invocation import Invocation
    from artstore.cli.output import Output
    from artstore.store.remote.repack import RemoteRepackPlan, RemoteRepackResult

_NS = 10**9


def repack_remote(invocation: Invocation, store: Store, remote: str, *, yes: bool, dry_run: bool) -> None:
    """Tell what is to be rewritten and what that takes, and do it if that is wanted."""
    output = invocation.output
    with invocation.transfer("repack") as counters, store.remote_repack(remote, counters=counters) as job:
        plan = job.plan()
        result = job.run(plan) if yes and not plan.is_empty else None
    if result is not None:
        _print(output, _document(remote, plan, result))
        return
    document = _document(remote, plan, None)
    if dry_run or plan.is_empty:
        _print(output, document)
        return
    for line in _lines(document):
        output.warn(line)
    invocation.confirm(f"Do that at {remote}?", yes=yes, what="gc --remote --repack")
    # What the plan was made of isn't kept while somebody thinks about it: a session here would hold back collection.
    with invocation.transfer("repack") as counters, store.remote_repack(remote, counters=counters) as job:
        result = job.run(job.plan())
    _print(output, _document(remote, result.plan, result))


def change_grace(invocation: Invocation, store: Store, remote: str, grace_ns: int) -> None:
    """Say how long garbage waits there from now on."""
    from artstore.cli.documents import RemoteGraceDocument

    grace = grace_ns // _NS
    before, former = store.set_remote_grace(grace, remote=remote)
    in_force = grace if former is None else former.grace
    document = RemoteGraceDocument(remote=remote, before_s=before, grace_s=grace, in_force_s=in_force)

    def lines() -> Iterator[str]:
        yield f"{remote}: garbage waits for {span(grace)}; until now {span(before)}"
        if former is not None:
            yield f"that holds from a run on that begins {span(former.grace)} after the next one"

    invocation.output.document(document, lines=lines, ids=lambda: [str(grace)])


def _print(output: Output, document: RemoteRepackDocument) -> None:
    output.document(document, lines=lambda: _lines(document), ids=lambda: [])


def _document(remote: str, plan: RemoteRepackPlan, result: RemoteRepackResult | None) -> RemoteRepackDocument:
    from artstore.cli.documents import PacksItem, RemoteRepackDocument

    planned = result is None
    return RemoteRepackDocument(
        remote=remote,
        done=not planned,
        versions=plan.versions,
        packs=PacksItem(packs=plan.packs, bytes=plan.bytes),
        dead=plan.dead,
        small=plan.small,
        old=PacksItem(packs=plan.dead + plan.small, bytes=plan.old_bytes)
        if result is None
        else PacksItem(packs=result.packs, bytes=result.old_bytes),
        new=PacksItem(packs=0, bytes=plan.live_bytes)
        if result is None
        else PacksItem(packs=result.new_packs, bytes=result.new_bytes),
        fetched_bytes=plan.fetch_bytes if result is None else result.fetched_bytes,
        sets=plan.touched if result is None else result.sets,
        requests=plan.requests if result is None else result.requests,
        spent=plan.spent,
        left={} if result is None else result.left,
        left_packs=plan.left,
        untold=plan.untold,
    )


def _lines(document: RemoteRepackDocument) -> Iterator[str]:
    versions = text.count(document.versions, "version")
    yield f"{document.remote}: {versions} with names, {_packs(document.packs.packs, document.packs.bytes)}"
    if document.untold:
        yield f"left alone: {text.count(document.untold, 'pack')} of which no shard tells what they hold"
    if not (document.dead or document.small):
        yield f"there is nothing to be rewritten; {text.count(document.spent, 'request')}"
        return
    word = "rewritten" if document.done else "to be rewritten"
    why = f"{document.dead:,} mostly dead, {document.small:,} small"
    yield f"{word}: {_packs(document.old.packs, document.old.bytes)} ({why})"
    if document.done:
        yield f"written in their place: {_packs(document.new.packs, document.new.bytes)}"
        yield f"fetched: {text.size(document.fetched_bytes)}; {text.count(document.sets, 'set')} replaced"
        yield f"{text.count(document.spent + document.requests, 'request')}"
        yield "the old packs go with the next runs of `artstore gc --remote`"
    else:
        yield f"to be written in their place: {text.size(document.new.bytes)}"
        yield f"to be fetched: {text.size(document.fetched_bytes)}; {text.count(document.sets, 'set')} to be replaced"
        yield f"about {text.count(document.requests, 'request')}; finding this out took {document.spent:,}"
    if document.left_packs:
        yield f"left for another run: {text.count(document.left_packs, 'pack')}"
    for what, why in document.left.items():
        yield f"left alone: {what}: {text.printable(why)}"


def _packs(packs: int, size: int) -> str:
    return f"{text.size(size)} in {text.count(packs, 'pack')}"

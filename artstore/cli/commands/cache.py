"""What of remotes is kept here: `prefetch`, `evict`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.invocation import Invocation
from artstore.cli.params import REVISION, rate_option

if TYPE_CHECKING:
    from artstore.store.remote.evict import EvictResult


@click.command(
    "prefetch",
    cls=Command,
    examples=[
        ("artstore prefetch llama/production", "before the network goes, or the job begins"),
        ("artstore prefetch llama/v3:tokenizer", "a part of it"),
    ],
)
@click.argument("revisions", metavar="REV[:PATH]...", nargs=-1, required=True, type=REVISION)
@rate_option
@click.pass_obj
def prefetch_command(invocation: Invocation, revisions: tuple[str, ...], limit_rate: int | None) -> None:
    """Bring versions' data here before anybody reads it.

    It comes into the cache, of which `cache.size` says how much it holds; more is refused before anything is fetched
    (exit 9). What must never go again is for `pull`.
    """
    from artstore.cli.documents import PrefetchDocument

    store = invocation.open_store()
    started = time.monotonic()
    with invocation.transfer("prefetch") as counters:
        results = [store.prefetch(revision, limit_rate=limit_rate, counters=counters) for revision in revisions]
    seconds = time.monotonic() - started
    chunks, fetched = sum(each.chunks for each in results), sum(each.fetched for each in results)
    size = sum(each.fetched_bytes for each in results)
    came = f"{fetched:,} fetched, {text.size(size)}" if fetched else "all here"
    invocation.output.document(
        PrefetchDocument(chunks=chunks, fetched=fetched, fetched_bytes=size, seconds=seconds),
        lines=lambda: [f"{text.count(chunks, 'chunk')}, {came} · {text.seconds(seconds)}"],
        ids=lambda: [str(fetched)],
    )


@click.command(
    "evict",
    cls=Command,
    examples=[
        ("artstore evict llama/v1 llama/v2", "what only these need"),
        ("artstore evict --all", "all that the home remote has, and the cache"),
    ],
)
@click.argument("revisions", metavar="[REV...]", nargs=-1, type=REVISION)
@click.option("--all", "everything", is_flag=True, help="All versions, and the cache.")
@click.option("--to", "remote", metavar="NAME", help="The remote that has to have them; else the home.")
@click.pass_obj
def evict_command(invocation: Invocation, revisions: tuple[str, ...], everything: bool, remote: str | None) -> None:
    """Free the room of what a remote has.

    Packs go once the remote is seen to have all that they hold, under names that stand there now. Versions stay as
    they are: what is read of them comes from the remote again. `local.keep` = all prevents it.
    """
    from artstore.cli.documents import EvictDocument, KeptItem

    if everything == bool(revisions):
        raise click.UsageError("name versions, or say --all")
    store = invocation.open_store()
    started = time.monotonic()
    result = store.evict(revisions, source=remote)
    seconds = time.monotonic() - started
    kept = [KeptItem(version=version.hex(), why=why) for version, why in sorted(result.kept.items())]
    invocation.output.document(
        EvictDocument(
            packs=result.packs,
            freed_bytes=result.freed_bytes,
            waiting_bytes=result.waiting_bytes,
            cache_bytes=result.cache_bytes,
            kept=kept,
            seconds=seconds,
        ),
        lines=lambda: [f"{_freed(result)} · {text.seconds(seconds)}"],
        ids=lambda: [str(result.freed_bytes + result.cache_bytes)],
    )
    for item in kept:
        invocation.output.warn(f"artstore: {item.version[:8]} stays: {item.why}")


def _freed(result: EvictResult) -> str:
    parts = [f"{text.count(result.packs, 'pack')} evicted, {text.size(result.freed_bytes)} freed"]
    if result.waiting_bytes:
        parts.append(f"{text.size(result.waiting_bytes)} more when running commands have ended (`artstore gc`)")
    if result.cache_bytes:
        parts.append(f"{text.size(result.cache_bytes)} of the cache freed")
    return ", ".join(parts)

"""Versions to and from remotes: `push`, `fetch`, `pull`, `clone`."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.commands.copies import copy_lines, push_more, warned_of
from artstore.cli.commands.remote import place_options
from artstore.cli.invocation import Invocation
from artstore.cli.params import rate_option
from artstore.errors import ArtstoreError, Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore import RemotePlace, Store
    from artstore.cli.documents import ConflictItem, FetchDocument, PullDocument
    from artstore.store.remote.names import Conflicting
    from artstore.store.remote.pull import PullResult


@click.command(
    "push",
    cls=Command,
    examples=[
        ("artstore push", "all tags and aliases that are new, to the home, then to its mirrors"),
        ("artstore push llama/v3 llama/production", "these"),
        ("artstore push llama --to nas", "all of an artifact, to another remote, or what home has of it to a mirror"),
    ],
)
@click.argument("names", metavar="[REF|ARTIFACT...]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All names, each looked at anew; without, new ones only.")
@click.option("--to", "remotes", metavar="NAME", multiple=True, help="A remote, or several; else home and its mirrors.")
@rate_option
@click.pass_obj
def push_command(
    invocation: Invocation, names: tuple[str, ...], everything: bool, remotes: tuple[str, ...], limit_rate: int | None
) -> int:
    """Upload versions and their names to remotes.

    Only what the remote lacks is sent; killed anywhere, the next push goes on. A name that stands for something else
    there is left alone and told: exit 5; but a number that `commit` chose gives way at the home, and the next one is
    told. A mirror gets what home has by then; one that can't be reached is told (exit 7), and the next push catches it
    up.
    """
    from artstore.cli.documents import PushDocument, RenumberedItem

    if everything and names:
        raise click.UsageError("--all and names exclude each other")
    store = invocation.open_store()
    started = time.monotonic()
    first, *others = _order(store, remotes)
    with invocation.transfer("push") as counters:
        result = store.push(names, to=first, anew=everything, limit_rate=limit_rate, counters=counters)
    told = [*result.written, *result.unchanged] if names else []
    copies = [
        push_more(invocation, store, other, told, anew=everything, limit_rate=limit_rate)
        for other in ([] if names and not told else others)
    ]
    seconds = time.monotonic() - started
    sent = (
        f"{text.count(result.packs, 'pack')} sent, {text.size(result.sent_bytes)}"
        if result.packs
        else "nothing to send"
    )
    invocation.output.document(
        PushDocument(
            written=result.written,
            unchanged=result.unchanged,
            conflicts=_conflicts(result.conflicts),
            renumbered=[
                RenumberedItem(old=each.old, new=each.new.name, version=each.new.version.hex(), why=each.why)
                for each in result.renumbered
            ],
            versions=result.versions,
            packs=result.packs,
            sent_bytes=result.sent_bytes,
            requests=result.requests,
            puts=result.puts,
            freed_bytes=result.freed_bytes,
            seconds=seconds,
            mirrors=[copy.item for copy in copies],
        ),
        lines=lambda: [
            *(f"{each.old} is {each.new.name} now: {each.why}" for each in result.renumbered),
            *(f"{name} is there now" for name in result.written),
            *([f"{text.size(result.freed_bytes)} freed here: the disk is nearly full"] if result.freed_bytes else []),
            f"{_told(result.written, result.unchanged)} · {sent} · {text.seconds(seconds)}",
            *(line for copy in copies for line in copy_lines(copy)),
        ],
        ids=lambda: result.written,
    )
    code = _warned(invocation, result.conflicts)
    return next((each for each in (code, *(warned_of(invocation, copy) for copy in copies)) if each), 0)


@click.command(
    "fetch",
    cls=Command,
    examples=[
        ("artstore fetch", "all names of the home remote, and what its versions consist of"),
        ("artstore fetch llama --from nas", "of one artifact, from another remote"),
    ],
)
@click.argument("names", metavar="[REF|ARTIFACT...]", nargs=-1)
@click.option("--from", "remote", metavar="NAME", help="A remote; else the home.")
@rate_option
@click.pass_obj
def fetch_command(invocation: Invocation, names: tuple[str, ...], remote: str | None, limit_rate: int | None) -> int:
    """Bring names of a remote here, without their data.

    Versions can be listed, compared, mounted and checked out at once; their data comes when it is read. A name that
    stands for something else here is left alone and told: exit 5.
    """
    from artstore.cli.documents import FetchDocument

    store = invocation.open_store()
    started = time.monotonic()
    with invocation.transfer("fetch") as counters:
        result = store.fetch(names, source=remote, limit_rate=limit_rate, counters=counters)
    return _came(invocation, FetchDocument, result, time.monotonic() - started)


@click.command(
    "pull",
    cls=Command,
    examples=[
        ("artstore pull", "everything that the home remote has and this store hasn't"),
        ("artstore pull llama/production", "one alias with its version"),
    ],
)
@click.argument("names", metavar="[REF|ARTIFACT...]", nargs=-1)
@click.option("--from", "remote", metavar="NAME", help="A remote; else the home.")
@rate_option
@click.pass_obj
def pull_command(invocation: Invocation, names: tuple[str, ...], remote: str | None, limit_rate: int | None) -> int:
    """Bring names of a remote here, with all their data.

    Every byte is verified; what was pulled can be read without the remote. A name that stands for something else here
    is left alone and told: exit 5.
    """
    from artstore.cli.documents import PullDocument

    store = invocation.open_store()
    started = time.monotonic()
    with invocation.transfer("pull") as counters:
        result = store.pull(names, source=remote, limit_rate=limit_rate, counters=counters)
    return _came(invocation, PullDocument, result, time.monotonic() - started)


@click.command(
    "clone",
    cls=Command,
    examples=[
        ("artstore clone s3://models/art", "into the default store, which must not exist yet"),
        ("artstore clone s3://models/art --full", "with all data, to work without the remote"),
        ("artstore --store /data/art clone file:///mnt/nas/art", "into a store elsewhere"),
    ],
)
@click.argument("url")
@click.option("--full", is_flag=True, help="With all data; without, data comes when it is read.")
@rate_option
@place_options
@click.pass_obj
def clone_command(invocation: Invocation, url: str, place: RemotePlace, full: bool, limit_rate: int | None) -> int:
    """Make a store of what a remote has.

    The remote becomes its home, by the name of origin. All names are there at once; data comes when it is read.
    """
    from artstore import Store, wiring
    from artstore.cli.documents import CloneDocument

    path = wiring.place_of(invocation.store)
    started = time.monotonic()
    was_there = wiring.is_store(path)
    try:
        with invocation.transfer("clone") as counters:
            store, result = Store.clone(
                place, path, full=full, limit_rate=limit_rate, passphrase=invocation.asks_passphrase, counters=counters
            )
    except (ArtstoreError, KeyboardInterrupt):
        if not was_there and wiring.is_store(path):
            shown, verb = invocation.output.show(path), "pull" if full else "fetch"
            invocation.output.warn(f"artstore: what came is kept; `artstore --store {shown} {verb}` goes on")
        raise
    with store:
        seconds = time.monotonic() - started
        shown = invocation.output.show(store.path)
        invocation.output.document(
            CloneDocument(
                store=text.name(os.fsencode(store.path)),
                url=place.url,
                written=result.written,
                versions=result.versions,
                packs=result.packs,
                received_bytes=result.received_bytes,
                requests=result.requests,
                seconds=seconds,
            ),
            lines=lambda: [f"{shown} is a store now", _pulled(result, seconds)],
            ids=lambda: [shown],
        )
    return _warned(invocation, result.conflicts)


def _order(store: Store, remotes: Sequence[str]) -> list[str]:
    """Where a push goes, one after the other: the home first, since mirrors take what it has."""
    known = list(store.remotes())
    home = known[:1]
    wanted = remotes or [*home, *store.mirrors()]
    missing = [name for name in wanted if name not in known]
    if missing or not wanted:
        raise NotFound(
            f"there is no remote {missing[0]!r}" if missing else "this store has no remote",
            hint=f"there are {', '.join(known)}" if known else "`artstore remote add NAME URL` adds one",
        )
    return sorted(dict.fromkeys(wanted), key=lambda name: name not in home)


def _came(invocation: Invocation, kind: type[FetchDocument | PullDocument], result: PullResult, seconds: float) -> int:
    invocation.output.document(
        kind(
            written=result.written,
            swapped=result.swapped,
            unchanged=result.unchanged,
            conflicts=_conflicts(result.conflicts),
            versions=result.versions,
            packs=result.packs,
            received_bytes=result.received_bytes,
            requests=result.requests,
            seconds=seconds,
        ),
        lines=lambda: [
            *(f"{name} is moved there, too" for name in result.swapped),
            *(f"{name} is here now" for name in result.written),
            _pulled(result, seconds),
        ],
        ids=lambda: result.written,
    )
    return _warned(invocation, result.conflicts)


def _pulled(result: PullResult, seconds: float) -> str:
    came = "nothing to fetch"
    if result.packs:
        came = f"{text.count(result.packs, 'pack')} fetched, {text.size(result.received_bytes)}"
    return f"{_told(result.written, result.unchanged)} · {came} · {text.seconds(seconds)}"


def _told(written: Sequence[str], unchanged: Sequence[str]) -> str:
    new = text.count(len(written), "name")
    return f"{new} written, {len(unchanged)} unchanged" if written or unchanged else "no names"


def _conflicts(conflicts: Sequence[Conflicting]) -> list[ConflictItem]:
    from artstore.cli.documents import ConflictItem

    return [ConflictItem(name=conflict.name, why=conflict.why) for conflict in conflicts]


def _warned(invocation: Invocation, conflicts: Sequence[Conflicting]) -> int:
    for conflict in conflicts:
        invocation.output.warn(f"artstore: {conflict.name} was left alone: {conflict.why}")
    return Conflict.exit_code if conflicts else 0

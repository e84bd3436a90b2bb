"""Folders that become versions by themselves: `watch`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from artstore import limits
from artstore.cli import text
from artstore.cli.command import Group
from artstore.cli.commands.daemon import require_daemon, tell_daemon, told_by_daemon
from artstore.cli.invocation import Invocation
from artstore.cli.params import DURATION, Rate
from artstore.errors import BadInput, Conflict

if TYPE_CHECKING:
    from artstore.cli.documents import WatchedItem
    from artstore_daemon.places import Places
    from artstore_daemon.settings import WatchSpec

_NS = 1e9


@click.group(
    "watch",
    cls=Group,
    examples=[
        ("artstore watch add ~/runs/llama --push origin", "each time it is quiet it becomes llama/vN, there, too"),
        ("artstore watch add ./out --artifact llama --each 'checkpoint-*'", "one version per checkpoint"),
        ("artstore watch list", "what is watched"),
        ("artstore daemon start", "who does it"),
    ],
)
def watch_command() -> None:
    """Folders that become versions by themselves.

    The daemon commits a folder when it has been quiet for a while and no file in it is open for writing.
    """


@watch_command.command(
    "add",
    examples=[
        ("artstore watch add ~/runs/llama", "as the artifact llama"),
        ("artstore watch add ./out --artifact llama --each 'checkpoint-*' --ready trainer_state.json", "of a trainer"),
        ("artstore watch add /mnt/nas/data --poll 5min --push origin --only 22:00-06:00", "a share, pushed at night"),
    ],
)
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--artifact", metavar="NAME", help="Of which the folder becomes versions; else its name.")
@click.option("--settle", metavar="TIME", type=DURATION, default="2s", show_default=True, help="Quiet before a commit.")
@click.option(
    "--every", metavar="TIME", type=DURATION, default="15min", show_default=True, help="At the latest, quiet or not."
)
@click.option("--each", metavar="PATTERN", help="Each sub-folder like this is a version, ARTIFACT/<its name>.")
@click.option("--ready", metavar="FILE", help="Only once this file is in it.")
@click.option("--exclude", metavar="PATTERN", multiple=True, help="Leave out, as in .artignore; several times.")
@click.option("--keep-last", metavar="N", type=click.IntRange(1), help="Remove the names of older versions.")
@click.option("--push", metavar="REMOTE", multiple=True, help="Push versions there; several times.")
@click.option("--only", metavar="HOURS", help="Pushes begin in these hours: 22:00-06:00.")
@click.option("--limit-rate", metavar="RATE", type=Rate(), help="Of pushes: 10M, in bytes per second.")
@click.option("--poll", metavar="TIME", type=DURATION, help="Look that often, whatever the system tells.")
@click.pass_obj
def add_command(
    invocation: Invocation,
    directory: str,
    artifact: str | None,
    settle: int,
    every: int,
    each: str | None,
    ready: str | None,
    exclude: tuple[str, ...],
    keep_last: int | None,
    push: tuple[str, ...],
    only: str | None,
    limit_rate: int | None,
    poll: int | None,
) -> None:
    """Watch a folder from now on.

    Files that editors and downloads leave until they rename them are left out; symlinks are kept as they are.
    """
    require_daemon()
    from artstore.revision import artifact_name_from_folder
    from artstore_daemon import settings

    folder = os.path.realpath(directory)
    spec = settings.WatchSpec(
        artifact=artifact or artifact_name_from_folder(os.path.basename(folder)),
        folder=folder,
        settle_s=settle / _NS,
        every_s=every / _NS,
        exclude=exclude,
        each=each,
        ready=ready,
        keep_last=keep_last,
        push=push,
        only=only,
        limit_rate=limit_rate,
        poll_s=None if poll is None else max(poll / _NS, limits.WATCH_LOOK_S),
    )
    store = invocation.open_store(create=True)
    settings.add_watch(store.path, spec)
    name = f"{spec.artifact}/<folder>" if each else f"{spec.artifact}/vN"
    _done(invocation, spec, f"{invocation.output.show(folder)} becomes {name} from now on")


@watch_command.command("list", examples=[("artstore watch list", "folders, and how changes are heard of")])
@click.pass_obj
def list_command(invocation: Invocation) -> None:
    """All watched folders."""
    require_daemon()
    from artstore.cli.documents import WatchListDocument
    from artstore_daemon import settings

    store = _places(invocation).store
    told = told_by_daemon(store) or {"watches": []}
    why = {watch["artifact"]: watch["why"] for watch in told["watches"] if watch["how"].startswith("polled")}
    items = [_item(spec, why.get(spec.artifact)) for spec in settings.watches(store).values()]
    if not items:
        invocation.output.note("nothing is watched: `artstore watch add DIR` begins")
    rows = [(item.artifact, item.folder, _details(item)) for item in items]
    invocation.output.document(
        WatchListDocument(watches=items),
        lines=lambda: [text.printable(line) for line in text.table(rows)],
        ids=lambda: [item.artifact for item in items],
    )


@watch_command.command("remove", examples=[("artstore watch remove llama", "its versions stay")])
@click.argument("watched", metavar="ARTIFACT|DIR")
@click.pass_obj
def remove_command(invocation: Invocation, watched: str) -> None:
    """Watch a folder no more; its versions stay."""
    require_daemon()
    from artstore_daemon import settings

    store = _places(invocation).store
    spec = settings.find_watch(store, watched)
    settings.change_watch(store, spec.artifact, lambda _: None)
    _done(invocation, spec, f"{invocation.output.show(spec.folder)} isn't watched any more", removed=True)


@watch_command.command("pause", examples=[("artstore watch pause llama", "until `resume`")])
@click.argument("watched", metavar="ARTIFACT|DIR")
@click.pass_obj
def pause_command(invocation: Invocation, watched: str) -> None:
    """Leave a folder alone until `resume`."""
    _pause(invocation, watched, paused=True)


@watch_command.command("resume", examples=[("artstore watch resume llama", "what changed meanwhile is committed")])
@click.argument("watched", metavar="ARTIFACT|DIR")
@click.pass_obj
def resume_command(invocation: Invocation, watched: str) -> None:
    """Go on with a folder."""
    _pause(invocation, watched, paused=False)


@watch_command.command("now", examples=[("artstore watch now llama", "without waiting until it is quiet")])
@click.argument("watched", metavar="[ARTIFACT|DIR]", required=False)
@click.pass_obj
def now_command(invocation: Invocation, watched: str | None) -> None:
    """Commit a watched folder, or all, now.

    A running daemon is told to; without one it is done here. Exit 2 if a folder can't be committed as it is; the others
    are. Those that are paused are left alone.
    """
    require_daemon()
    from artstore.cli.documents import WatchNowDocument
    from artstore_daemon import lock, settings
    from artstore_daemon.engine import is_there

    places = _places(invocation)
    named = None if watched is None else settings.find_watch(places.store, watched)
    if named is not None and named.paused:
        raise Conflict(f"{named.artifact} is paused", hint=f"`artstore watch resume {named.artifact}` first")
    found = settings.watches(places.store)
    specs = [named] if named is not None else [spec for spec in found.values() if not spec.paused]
    running = lock.holder(places.lock) is not None
    errors: list[Exception] = []
    if named is None and len(specs) < len(found):
        paused = [name for name, spec in found.items() if spec.paused]
        invocation.output.note(f"paused, and left alone: {', '.join(paused)}")
    if running:
        from artstore_daemon.client import Client

        client = Client(places.answering())
        errors += [_absent(spec.folder) for spec in specs if not is_there(spec)]
        specs = [spec for spec in specs if is_there(spec)]
        for spec in specs:
            client.post(f"/v1/watches/{spec.artifact}/now")
        tags: list[str] = []
    else:
        tags = [tag for spec in specs for tag in _commit(invocation, spec, errors)]
    names = [spec.artifact for spec in specs]
    lines = [f"the daemon commits {name}" for name in names] if running else tags
    invocation.output.document(
        WatchNowDocument(artifacts=names, daemon=running, tags=tags),
        lines=lambda: lines or ([] if found else ["nothing is watched"]),
        ids=lambda: names if running else tags,
    )
    for error in errors[1:]:
        invocation.output.note(str(error))
    for error in errors:
        raise error


def _commit(invocation: Invocation, spec: WatchSpec, errors: list[Exception]) -> list[str]:
    """Commit a folder here, or each part of it: one that can't be doesn't keep the others from it."""
    from artstore_daemon.engine import commit_folder
    from artstore_daemon.machine.folder import Outcome
    from artstore_daemon.watch.looking import parts_of

    store = invocation.open_store()
    tags: list[str] = []
    for part in parts_of(spec.folder, spec.each):
        done = commit_folder(store, spec, part, patient=True)
        where = os.path.join(spec.folder, part) if part else spec.folder
        if done.tag is not None:
            tags.append(done.tag)
        elif done.outcome is Outcome.UNREADY:
            lacks = f"has no {spec.ready} yet, or nothing at all" if spec.ready else "is empty"
            invocation.output.note(f"{invocation.output.show(where)} {lacks}: no version of it")
        elif done.outcome is not Outcome.DONE:
            errors.append(done.cause or (BadInput(done.error) if done.error else _absent(where)))
    return tags


def _absent(folder: str) -> BadInput:
    return BadInput(f"{folder} isn't there", [os.fsencode(folder)], hint="mount its disk, or `artstore watch remove`")


def _pause(invocation: Invocation, watched: str, *, paused: bool) -> None:
    require_daemon()
    from artstore_daemon import settings

    store = _places(invocation).store
    spec = settings.find_watch(store, watched)
    settings.pause_watch(store, spec.artifact, paused=paused)
    spec = settings.find_watch(store, spec.artifact)
    shown = invocation.output.show(spec.folder)
    _done(invocation, spec, f"{shown} is left alone" if paused else f"{shown} is watched again")


def _done(invocation: Invocation, spec: WatchSpec, line: str, *, removed: bool = False) -> None:
    from artstore.cli.documents import WatchDocument

    running = tell_daemon(invocation)
    document = WatchDocument(watch=_item(spec), removed=removed, daemon=running)
    invocation.output.document(document, lines=lambda: [line], ids=lambda: [spec.artifact])
    if not running and not removed:
        invocation.output.note("no daemon runs: `artstore daemon start`, or `artstore watch now`")


def _item(spec: WatchSpec, why: str | None = None) -> WatchedItem:
    """A watched folder. `why`: it is polled, as the daemon says."""
    from artstore.cli.documents import WatchedItem
    from artstore_daemon.engine import is_there
    from artstore_daemon.watch.looking import why_polled

    return WatchedItem(
        artifact=spec.artifact,
        folder=spec.folder,
        settle_s=spec.settle_s,
        every_s=spec.every_s,
        each=spec.each,
        ready=spec.ready,
        exclude=list(spec.exclude),
        keep_last=spec.keep_last,
        push=list(spec.push),
        only=spec.only,
        limit_rate=spec.limit_rate,
        paused=spec.paused,
        polled="it was asked for" if spec.poll_s is not None else why or why_polled(spec.folder),
        there=is_there(spec),
    )


def _details(item: WatchedItem) -> str:
    said = [f"each {item.each}" if item.each else "", f"when {item.ready} is there" if item.ready else ""]
    said += [f"to {', '.join(item.push)}" if item.push else "", f"only {item.only}" if item.only else ""]
    said += [f"last {item.keep_last}" if item.keep_last else "", "paused" if item.paused else ""]
    said += [f"polled: {item.polled}" if item.polled else "", "" if item.there else "isn't there"]
    return "; ".join(filter(None, said))


def _places(invocation: Invocation) -> Places:
    from artstore_daemon.places import places_of

    return places_of(invocation.store)

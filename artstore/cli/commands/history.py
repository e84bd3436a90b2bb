"""Versions and the store at a glance: `log`, `show`, `status`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from artstore import limits
from artstore.cli import text
from artstore.cli.command import Command
from artstore.cli.commands.daemon import daemon_rows, daemon_state
from artstore.cli.invocation import Invocation
from artstore.cli.params import REVISION, Whole
from artstore.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from artstore import LogEntry, RemoteStatus, Store
    from artstore.cli.documents import MirrorStatusItem, RemoteStatusItem, VersionItem
    from artstore.cli.output import Output


@click.command(
    "log",
    cls=Command,
    examples=[
        ("artstore log llama", "the history of an artifact"),
        ("artstore log -n 3", "the three newest versions of all"),
        ("artstore log llama/production", "what production was made of"),
    ],
)
@click.argument("revision", metavar="[REV]", required=False, type=REVISION)
@click.option("-n", "--max-count", metavar="N", type=Whole(min=1), help="At most N versions.")
@click.pass_obj
def log_command(invocation: Invocation, revision: str | None, max_count: int | None) -> None:
    """Versions, newest first.

    Those of all tags, or REV and its first parents. A parent that was collected ends the history.
    """
    from artstore.cli.documents import LogHead

    output = invocation.output
    seen = output.stream(
        islice(invocation.open_store().log(revision), max_count),
        head=LogHead(),
        key="versions",
        encode=version_item,
        line=lambda entry: "\n".join(_log_lines(output, entry)),
        id=lambda entry: entry.id.hex(),
    )
    if not seen:
        output.note("no versions yet; next: artstore commit DIR")


@click.command(
    "show",
    cls=Command,
    examples=[
        ("artstore show llama/v2", "its parameters, metrics, inputs"),
        ("artstore show --json llama", "for a script"),
    ],
)
@click.argument("revision", metavar="REV", default="", type=REVISION)
@click.pass_obj
def show_command(invocation: Invocation, revision: str) -> None:
    """Everything recorded about one version.

    Without REV, the newest of all.
    """
    from artstore.cli.documents import ShowDocument

    store = invocation.open_store()
    entry = next(iter(store.log(revision or None)), None)
    if entry is None:
        raise NotFound("there are no versions yet", hint="`artstore commit DIR` makes one")
    item = version_item(entry)
    data = entry.version.metadata
    output = invocation.output
    document = ShowDocument(
        **{name: getattr(item, name) for name in item.__struct_fields__},
        tree=entry.version.tree.hex(),
        inputs=data.inputs,
        source=data.source,
        environment=data.environment,
    )
    output.document(document, lines=lambda: _show_lines(output, document), ids=lambda: [entry.id.hex()])


@click.command(
    "status",
    cls=Command,
    examples=[
        ("artstore status", "the default store"),
        ("artstore --store /data/art status", "another one"),
        ("artstore status --remote", "what is to be pushed and pulled"),
    ],
)
@click.option("--remote", "ask", is_flag=True, help="Ask the home remote for its names.")
@click.pass_obj
def status_command(invocation: Invocation, ask: bool) -> None:
    """The store, its remote and daemon on one screen."""
    from artstore.cli.documents import StatusDocument

    store = invocation.open_store()
    status = store.status()
    remote = store.remote_status(ask=ask)
    if ask and remote is None:
        raise NotFound("this store has no remote", hint="`artstore remote add NAME URL` adds one")
    document = StatusDocument(
        store=text.name(status.path.encode("utf-8", "surrogateescape")),
        id=status.id,
        shared=status.group,
        encrypted=status.encrypted,
        tags=status.tags,
        aliases=status.aliases,
        packs=status.packs,
        stored_bytes=status.stored_bytes,
        condemned_bytes=status.condemned_bytes,
        disk_free_bytes=status.disk_free_bytes,
        sessions=status.sessions,
        newest=status.newest,
        elsewhere=status.elsewhere,
        cached_bytes=status.cached_bytes,
        cache_bytes_max=status.cache_bytes_max,
        remote=None if remote is None else _remote_item(remote),
        mirrors=_mirror_items(store, ask=ask),
        daemon=daemon_state(store.path),
    )
    output = invocation.output
    rows = [
        (
            "store",
            output.show(status.path)
            + (", encrypted" if status.encrypted else "")
            + (f", shared by {status.group}" if status.group else ""),
        ),
        ("versions", f"{text.count(status.tags, 'tag')}, {text.count(status.aliases, 'alias', 'aliases')}"),
        ("newest", status.newest or "none yet; next: artstore commit DIR"),
        ("stored", f"{text.size(status.stored_bytes)} in {text.count(status.packs, 'pack')}"),
        ("disk", f"{text.size(status.disk_free_bytes)} free"),
        ("running", text.count(status.sessions, "writer") if status.sessions else "no writer"),
        ("remote", "none set up" if remote is None else output.show(_remote_line(remote))),
        *(("mirror", output.show(_mirror_line(each))) for each in document.mirrors),
        *daemon_rows(document.daemon, output.show),
    ]
    if status.elsewhere or status.cached_bytes:
        kept = f"{text.size(status.cached_bytes)} of at most {text.size(status.cache_bytes_max)}"
        rows.append(("cache", f"{kept}; {text.count(status.elsewhere, 'version')} not all here"))
    if status.condemned_bytes:
        rows.append(("to be freed", f"{text.size(status.condemned_bytes)}; `artstore gc --undo` keeps it"))
    if status.readonly:
        rows.append(("access", "you can read it, not write"))
    output.document(document, lines=lambda: text.table(rows), ids=lambda: [status.id])


def _remote_item(remote: RemoteStatus) -> RemoteStatusItem:
    from artstore.cli.documents import RemoteStatusItem

    return RemoteStatusItem(
        name=remote.name,
        url=remote.url,
        only_here=remote.only_here,
        only_there=remote.only_there,
        differing=remote.differing,
        held=remote.held,
        mirror=remote.is_mirror,
    )


def _mirror_items(store: Store, *, ask: bool) -> list[MirrorStatusItem]:
    from artstore.cli.documents import MirrorStatusItem

    if not ask:
        return [
            MirrorStatusItem(name=name, behind=store.known_behind(name), conflicts=None, error=None)
            for name in store.mirrors()
        ]
    return [
        MirrorStatusItem(
            name=each.name, behind=each.behind, conflicts=[told.name for told in each.conflicts], error=each.error
        )
        for each in store.mirror_status()
    ]


def _mirror_line(mirror: MirrorStatusItem) -> str:
    """`nas: 2 names behind, llama/production differs`."""
    if mirror.error is not None:
        return f"{mirror.name}: {mirror.error}"
    told = [f"{text.count(len(mirror.behind), 'name')} behind" if mirror.behind else "has all that is known of"]
    if mirror.conflicts is not None and not mirror.behind:
        told = ["has all"]
    if mirror.conflicts:
        told.append(f"{', '.join(mirror.conflicts[: limits.SUGGESTIONS_MAX])} differ")
    return f"{mirror.name}: {', '.join(told)}"


def _remote_line(remote: RemoteStatus) -> str:
    """`origin s3://models/art: 2 names to push, 1 to pull`."""
    told = [f"{text.count(len(remote.only_here), 'name')} to push" if remote.only_here else "nothing to push"]
    if remote.only_there:
        told.append(f"{text.count(len(remote.only_there), 'name')} to pull")
    if remote.differing:
        told.append(f"{', '.join(remote.differing[: limits.SUGGESTIONS_MAX])} differ")
    if remote.is_mirror:
        told.append("a mirror: names are written at its home")
    if remote.held is not None:
        told.append(f"held by {remote.held}: nobody else may write names there")
    return f"{remote.name} {remote.url}: {', '.join(told)}"


def version_item(entry: LogEntry) -> VersionItem:
    """A version as documents show it."""
    from artstore.cli.documents import VersionItem

    version = entry.version
    return VersionItem(
        version=entry.id.hex(),
        tags=list(entry.tags),
        aliases=list(entry.aliases),
        parents=[parent.hex() for parent in version.parents],
        created=text.rfc3339(version.created),
        author=version.author,
        message=version.message,
        files=version.files,
        bytes=version.size,
        params=version.metadata.params,
        metrics=version.metadata.metrics,
        labels=version.metadata.labels,
    )


def _log_lines(output: Output, entry: LogEntry) -> Iterator[str]:
    version = entry.version
    name = output.style(entry.tags[-1] if entry.tags else "(no tag)", bold=True)
    names = [*entry.tags[:-1], *(output.style(alias, fg="cyan") for alias in entry.aliases)]
    extra = f" ({', '.join(names)})" if names else ""
    yield (
        f"{name} {output.style(text.short_id(entry.id), fg='yellow')}{extra} · {text.time(version.created)} · "
        f"{output.show(version.author)} · {text.size(version.size)} in {text.count(version.files, 'file')}"
    )
    for line in version.message.splitlines():
        yield f"    {output.show(line)}"
    told = {**version.metadata.params, **version.metadata.metrics}
    if told:
        yield "    " + "  ".join(f"{output.show(key)}={output.show(str(value))}" for key, value in told.items())


def _show_lines(output: Output, document: ShowDocument) -> Iterator[str]:
    rows = [
        ("version", document.version),
        ("tags", ", ".join(document.tags) or "none"),
        *([("aliases", ", ".join(document.aliases))] if document.aliases else []),
        ("parents", ", ".join(document.parents) or "none"),
        ("tree", document.tree),
        ("created", document.created),
        ("author", output.show(document.author)),
        ("content", f"{text.size(document.bytes)} in {text.count(document.files, 'file')}"),
    ]
    yield from text.table(rows)
    if document.message:
        yield ""
        for line in document.message.splitlines():
            yield f"    {output.show(line)}"
    for title in ("params", "metrics", "inputs", "source", "environment", "labels"):
        values: dict[str, object] = getattr(document, title)
        if values:
            yield ""
            yield f"{title}:"
            yield from text.table([("  " + output.show(key), output.show(str(value))) for key, value in values.items()])


if TYPE_CHECKING:
    from artstore.cli.documents import ShowDocument

"""Daemon and store as documents. Nothing here changes anything.

What asks the store blocks, and may be asked on any thread; what asks the daemon is for its own loop.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from artstore import __version__
from artstore_daemon.api import documents

if TYPE_CHECKING:
    from artstore import Store
    from artstore_daemon.api.decoding import Page
    from artstore_daemon.daemon import Daemon, Happening
    from artstore_daemon.tasks.following import Following
    from artstore_daemon.tasks.sending import Sending
    from artstore_daemon.tasks.watching import Watching

_NS = 1e9


def status(daemon: Daemon, *, store_id: str) -> documents.Status:
    """The daemon at a glance."""
    return documents.Status(
        version=__version__,
        store=daemon.store.path,
        store_id=store_id,
        process=os.getpid(),
        started=daemon.started,
        quiet=daemon.is_quiet,
        watches=watches(daemon),
        follows=follows(daemon),
    )


def watches(daemon: Daemon) -> list[documents.WatchItem]:
    """All watched folders."""
    return [_watch(daemon, watching) for watching in daemon.watchings]


def follows(daemon: Daemon) -> list[documents.FollowItem]:
    """All followed aliases."""
    return [_follow(daemon, following) for following in daemon.followings]


def happening(told: Happening) -> documents.HappeningItem:
    """One event."""
    return documents.HappeningItem(number=told.number, time=told.time, kind=told.kind, name=told.name, text=told.text)


def versions(store: Store, page: Page) -> documents.Versions:
    """A page of tags."""
    found = [tag for tag in store.tags(page.artifact + "/" if page.artifact else "") if tag.name > page.after]
    items = [
        documents.VersionItem(tag=tag.name, id=bytes(tag.version).hex(), created=tag.created / _NS)
        for tag in found[: page.limit]
    ]
    return documents.Versions(versions=items, next=items[-1].tag if len(found) > page.limit else None)


def version(store: Store, revision: str) -> documents.Version:
    """One version. NotFound, Ambiguous."""
    id = store.resolve(revision).version
    found = store.version(id.hex())
    metadata = found.metadata
    return documents.Version(
        id=id.hex(),
        tags=[tag.name for tag in store.tags() if tag.version == id],
        parents=[bytes(parent).hex() for parent in found.parents],
        created=found.created / _NS,
        author=found.author,
        message=found.message,
        files=found.files,
        size=found.size,
        here=store.is_here(id.hex()),
        params=dict(metadata.params),
        metrics=dict(metadata.metrics),
        inputs=dict(metadata.inputs),
        labels=dict(metadata.labels),
    )


def refs(store: Store) -> documents.Refs:
    """All aliases that stand somewhere."""
    return documents.Refs(
        aliases=[
            documents.RefItem(alias=alias.name, id=bytes(alias.version).hex(), moves=alias.seq)
            for alias in store.aliases()
            if alias.version
        ]
    )


def _watch(daemon: Daemon, watching: Watching) -> documents.WatchItem:
    said = watching.status
    return documents.WatchItem(
        artifact=watching.spec.artifact,
        folder=watching.spec.folder,
        how=said.how,
        why=said.why,
        pending=watching.is_pending,
        next=_time(daemon, watching.next_at),
        commits=said.commits,
        last_tag=said.last_tag,
        last_commit=said.last_commit,
        error=said.error,
        as_before=said.kept,
        pushes=[_push(daemon, each) for each in daemon.sendings if each.spec.artifact == watching.spec.artifact],
    )


def _push(daemon: Daemon, sending: Sending) -> documents.PushItem:
    return documents.PushItem(
        remote=sending.remote,
        waiting=len(sending.state.waiting),
        pushing=sending.pushing,
        error=sending.state.error,
        next=_time(daemon, sending.next_at),
        lost=list(sending.state.lost),
    )


def _follow(daemon: Daemon, following: Following) -> documents.FollowItem:
    state = following.state
    return documents.FollowItem(
        alias=following.spec.alias,
        to=following.spec.to,
        hook=following.spec.hook,
        phase=state.phase.value,
        current=state.current,
        previous=state.previous,
        wanted=state.wanted,
        looked=following.looked,
        error=state.error or following.look_error,
        next=_time(daemon, following.next_at),
    )


def _time(daemon: Daemon, at: float | None) -> float | None:
    """A moment of the daemon's clock as people count."""
    return None if at is None else daemon.clock.time() + at - daemon.clock.now()

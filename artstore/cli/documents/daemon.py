"""Documents about the daemon, what it watches, and what it follows."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from artstore.cli.documents.base import Document


class WatchedItem(Document, frozen=True, kw_only=True):
    """A folder that becomes versions of an artifact."""

    artifact: str
    folder: str
    settle_s: float
    every_s: float
    each: Annotated[str | None, Meta(description="A pattern of sub-folders, each of which becomes one version.")]
    ready: Annotated[str | None, Meta(description="A file that has to be there first.")]
    exclude: list[str]
    keep_last: int | None
    push: Annotated[list[str], Meta(description="Remotes that versions are pushed to.")]
    only: Annotated[str | None, Meta(description="Hours in which pushes begin.")]
    limit_rate: Annotated[int | None, Meta(description="Bytes a second of pushes.")]
    paused: bool
    polled: Annotated[str | None, Meta(description="Why it is looked through again and again, if it is.")] = None
    there: Annotated[bool, Meta(description="Is there such a folder, on the disk that it was on?")] = True


class WatchListDocument(Document, frozen=True, kw_only=True):
    """All watched folders, in the order in which they were added."""

    schema: Literal["artstore/watch-list/v1"] = "artstore/watch-list/v1"
    watches: list[WatchedItem]


class WatchDocument(Document, frozen=True, kw_only=True):
    """A folder is watched now, or was changed, or isn't watched any more."""

    schema: Literal["artstore/watch/v1"] = "artstore/watch/v1"
    watch: WatchedItem
    removed: bool
    daemon: Annotated[bool, Meta(description="Does a daemon run, which has been told?")]


class WatchNowDocument(Document, frozen=True, kw_only=True):
    """Watched folders were committed, or the daemon was told to."""

    schema: Literal["artstore/watch-now/v1"] = "artstore/watch-now/v1"
    artifacts: list[str]
    daemon: Annotated[bool, Meta(description="Does the daemon do it? Else it was done, and `tags` tells.")]
    tags: list[str]


class FollowItem(Document, frozen=True, kw_only=True):
    """An alias that is followed."""

    alias: str
    to: Annotated[str | None, Meta(description="A symlink that leads to its version's files.")]
    hook: str | None
    remote: str | None
    poll_s: float
    paused: bool
    current: Annotated[str | None, Meta(description="Id of the version that is served here.")]
    previous: Annotated[str | None, Meta(description="Id of the one before.")]


class FollowDocument(Document, frozen=True, kw_only=True):
    """Followed aliases: one that was added or removed, or all."""

    schema: Literal["artstore/follow/v1"] = "artstore/follow/v1"
    follows: list[FollowItem]
    removed: bool
    daemon: bool


class DaemonDocument(Document, frozen=True, kw_only=True):
    """The daemon of a store."""

    schema: Literal["artstore/daemon/v1"] = "artstore/daemon/v1"
    running: bool
    process: int | None
    log: str
    socket: str
    watches: list[str]
    follows: list[str]

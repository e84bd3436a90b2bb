"""What the API says and takes. Sizes are bytes, times seconds since 1970, ids hex; fields are only ever added."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from artstore import limits

_NO_NUL: Final = r"^[^\x00]*$"  # which no path, pattern or command has
Text = Annotated[str, Meta(max_length=4096, pattern=_NO_NUL)]
Absolute = Annotated[
    str, Meta(min_length=1, max_length=4096, pattern=_NO_NUL, examples=["/srv/run"], description="An absolute path.")
]
Name = Annotated[str, Meta(min_length=1, max_length=400)]
Seconds = Annotated[float, Meta(gt=0, le=1e9)]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is told."""


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is asked for."""


class PushItem(Answer, frozen=True, kw_only=True):
    """What one watch pushes to one remote."""

    remote: str
    waiting: int
    pushing: str | None
    error: str | None
    next: Annotated[float | None, Meta(description="When it is tried again, if it waits for that.")]
    lost: Annotated[list[str], Meta(description="Names that are another's there.")]


class WatchItem(Answer, frozen=True, kw_only=True):
    """A watched folder, and how it stands."""

    artifact: str
    folder: str
    how: Annotated[str, Meta(description="What tells of changes: inotify, polling, or `paused`, `gone`.")]
    why: Annotated[str | None, Meta(description="Why it is polled, or what can't be heard of.")]
    pending: Annotated[bool, Meta(description="Is there anything that isn't in a version yet?")]
    next: Annotated[float | None, Meta(description="When something is tried next.")]
    commits: int
    last_tag: str | None
    last_commit: float | None
    error: str | None
    as_before: Annotated[list[str], Meta(description="Files that are being written, and are as they were before.")]
    pushes: list[PushItem]


class FollowItem(Answer, frozen=True, kw_only=True):
    """A followed alias, and how it stands."""

    alias: str
    to: str | None
    hook: str | None
    phase: str
    current: Annotated[str | None, Meta(description="The version that is served here.")]
    previous: str | None
    wanted: Annotated[str | None, Meta(description="What the alias names.")]
    looked: float | None
    error: str | None
    next: float | None


class Status(Answer, frozen=True, kw_only=True):
    """The daemon at a glance."""

    version: str
    store: str
    store_id: str
    process: int
    started: float
    quiet: Annotated[bool, Meta(description="Is all that is known of committed and pushed?")]
    watches: list[WatchItem]
    follows: list[FollowItem]


class Watches(Answer, frozen=True, kw_only=True):
    """All watched folders."""

    watches: list[WatchItem]


class Follows(Answer, frozen=True, kw_only=True):
    """All followed aliases."""

    follows: list[FollowItem]


class VersionItem(Answer, frozen=True, kw_only=True):
    """A version by its tag."""

    tag: str
    id: str
    created: float


class Versions(Answer, frozen=True, kw_only=True):
    """A page of tags, by name; `next`: what `after` has to be for the following one."""

    versions: list[VersionItem]
    next: str | None


class Version(Answer, frozen=True, kw_only=True):
    """Everything recorded about one version."""

    id: str
    tags: list[str]
    parents: list[str]
    created: float
    author: str
    message: str
    files: int
    size: int
    here: Annotated[bool, Meta(description="Can all of it be read without a remote?")]
    params: dict[str, str | int | float | bool | None]
    metrics: dict[str, int | float]
    inputs: dict[str, str]
    labels: dict[str, str | int | float | bool | None]


class RefItem(Answer, frozen=True, kw_only=True):
    """An alias, and where it stands."""

    alias: str
    id: str
    moves: int


class Refs(Answer, frozen=True, kw_only=True):
    """All aliases."""

    aliases: list[RefItem]


class HappeningItem(Answer, frozen=True, kw_only=True):
    """Something that has happened; the `data` of an event."""

    number: Annotated[int, Meta(description="Grows by one with each.")]
    time: float
    kind: Annotated[
        str,
        Meta(description="`version`, `pushed`, `refused`, `switched`, `error` or `recovered`; there may be others."),
    ]
    name: Annotated[str, Meta(description="The tag or alias it is about.")]
    text: str


class Asked(Answer, frozen=True, kw_only=True):
    """What was told to begin."""

    names: list[str]


class Problem(Answer, frozen=True, kw_only=True):
    """What went wrong (RFC 9457, `application/problem+json`), with artstore's own words for it."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Meta(description="What happened, to what.")]
    code: Annotated[str, Meta(description="Which error it is, also in later releases.")]
    exit_code: Annotated[int, Meta(description="What the command line would end with.")]
    hint: Annotated[str | None, Meta(description="What to do next.")] = None


class NewWatch(Body, frozen=True, kw_only=True):
    """A folder to be watched, as `artstore watch add` takes it."""

    artifact: Name
    folder: Absolute
    settle_s: Annotated[Seconds | None, Meta(description="For how long it has to be quiet.")] = None
    every_s: Annotated[Seconds | None, Meta(description="How long one that never is may wait.")] = None
    exclude: Annotated[list[Text], Meta(description="Patterns of what is left out, as in `.artignore`.")] = []
    each: Annotated[Text | None, Meta(description="A pattern of sub-folders: each is one version.")] = None
    ready: Annotated[Text | None, Meta(description="A file that has to be there first.")] = None
    keep_last: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None, Meta(description="How many versions keep their names here.")
    ] = None
    push: Annotated[list[Name], Meta(description="Names of remotes.")] = []
    only: Annotated[Text | None, Meta(description="When pushes begin, as 22:00-06:00.")] = None
    limit_rate: Annotated[
        Annotated[int, Meta(ge=1, le=1 << 50)] | None, Meta(description="Of pushes, in bytes a second.")
    ] = None
    poll_s: Annotated[
        Seconds | None,
        Meta(description=f"How often to look, whatever the system tells; {limits.WATCH_LOOK_S:g} at least."),
    ] = None


class ChangedWatch(Body, frozen=True, kw_only=True):
    """What may be changed of a watch."""

    paused: bool


class NewFollow(Body, frozen=True, kw_only=True):
    """An alias to be followed, as `artstore follow` takes it."""

    alias: Name
    to: Annotated[Absolute | None, Meta(description="A symlink to the version's files; else the mount alone.")] = None
    hook: Annotated[Text | None, Meta(description="A command that is run after each switch.")] = None
    remote: Annotated[Name | None, Meta(description="The one that is asked; else the default one.")] = None
    poll_s: Annotated[
        Seconds | None, Meta(description=f"How often the remote is asked; {limits.FOLLOW_POLL_S_MIN:g} at least.")
    ] = None

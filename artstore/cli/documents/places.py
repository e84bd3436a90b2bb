"""Documents about a store as a whole, and the machine it is on."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from artstore.cli.documents.base import Document, Scalar


class InitDocument(Document, frozen=True, kw_only=True):
    """A store was created."""

    schema: Literal["artstore/init/v1"] = "artstore/init/v1"
    store: Annotated[str, Meta(description="Its folder.")]
    id: Annotated[str, Meta(description="The store's id.")]
    shared: Annotated[str | None, Meta(description="The group that may write, or null.")]
    encrypted: bool


class RemoteStatusItem(Document, frozen=True, kw_only=True):
    """The home remote."""

    name: str
    url: str
    only_here: Annotated[list[str], Meta(description="Names that were not seen there as they are here.")]
    only_there: Annotated[list[str] | None, Meta(description="Names that aren't here; null unless it was asked.")]
    differing: Annotated[list[str] | None, Meta(description="Names that stand for something else there; the same.")]
    held: Annotated[
        str | None,
        Meta(description="Who collects there at once, so that nobody else may write names; null unless asked."),
    ]
    mirror: Annotated[bool, Meta(description="Is it a mirror, and its home not known here?")]


class MirrorStatusItem(Document, frozen=True, kw_only=True):
    """A mirror of home."""

    name: str
    behind: Annotated[
        list[str], Meta(description="Names that it lacks: of home's if it was asked, else of this store's.")
    ]
    conflicts: Annotated[list[str] | None, Meta(description="What it has and home hasn't; null unless it was asked.")]
    error: Annotated[str | None, Meta(description="Why it can't be asked, or takes no copies.")]


class DaemonStateItem(Document, frozen=True, kw_only=True):
    """A daemon that runs."""

    process: int
    quiet: Annotated[bool, Meta(description="Is all that is known of committed and pushed?")]
    watches: list[str]
    follows: list[str]
    pending: Annotated[list[str], Meta(description="Watched artifacts with something that isn't in a version yet.")]
    waiting: Annotated[int, Meta(description="Names to be pushed.")]
    errors: list[str]
    remarks: Annotated[list[str], Meta(description="Folders that aren't there, or are polled, and why.")]
    next: Annotated[str | None, Meta(description="When something is tried next.")]


class StatusDocument(Document, frozen=True, kw_only=True):
    """The store on one screen."""

    schema: Literal["artstore/status/v1"] = "artstore/status/v1"
    store: str
    id: str
    shared: Annotated[str | None, Meta(description="The group that may write, or null.")]
    encrypted: Annotated[bool, Meta(description="Is all that it writes sealed, here and at remotes?")]
    tags: int
    aliases: int
    packs: int
    stored_bytes: Annotated[int, Meta(description="Bytes of all packs.")]
    condemned_bytes: Annotated[int, Meta(description="Bytes of packs that gc will free; `gc --undo` keeps them.")]
    disk_free_bytes: int
    sessions: Annotated[int, Meta(description="Commits and other writers that run now.")]
    newest: Annotated[str | None, Meta(description="The newest tag.")]
    elsewhere: Annotated[int, Meta(description="Versions of which a part lies at a remote alone.")]
    cached_bytes: Annotated[int, Meta(description="What is kept of remotes.")]
    cache_bytes_max: Annotated[int, Meta(description="The most that may be kept: `cache.size`.")]
    remote: Annotated[RemoteStatusItem | None, Meta(description="The home remote; null: none is set up.")]
    mirrors: list[MirrorStatusItem]
    daemon: Annotated[DaemonStateItem | None, Meta(description="null: no daemon runs.")]


class ConfigItem(Document, frozen=True, kw_only=True):
    """One setting."""

    key: str
    value: Scalar
    default: Scalar
    about: str


class ConfigDocument(Document, frozen=True, kw_only=True):
    """Settings of the store."""

    schema: Literal["artstore/config/v1"] = "artstore/config/v1"
    store: str
    settings: list[ConfigItem]


class FindingItem(Document, frozen=True, kw_only=True):
    """One thing that doctor looked at."""

    name: str
    state: Literal["ok", "warning", "problem", "absent"]
    found: str
    hint: Annotated[str | None, Meta(description="What mends it, or null.")]


class DoctorDocument(Document, frozen=True, kw_only=True):
    """This machine and store."""

    schema: Literal["artstore/doctor/v1"] = "artstore/doctor/v1"
    findings: list[FindingItem]

"""Documents about remotes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from artstore.cli.documents.base import Document, Id


class ConflictItem(Document, frozen=True, kw_only=True):
    """A ref that was left alone."""

    name: str
    why: str


class RemoteItem(Document, frozen=True, kw_only=True):
    """A remote."""

    name: str
    url: str
    home: Annotated[bool, Meta(description="Is it the one that decides names?")]
    mirror: Annotated[bool, Meta(description="Does it take copies of another remote, and decides nothing?")]
    epoch: Annotated[int, Meta(description="The promotion that made its home the home; 0: none did.")]
    behind: Annotated[
        list[str] | None, Meta(description="Of a mirror: names that it is to get; null unless it was asked.")
    ] = None
    conflicts: Annotated[
        list[ConflictItem] | None,
        Meta(description="Of a mirror: what it has and home hasn't; null unless it was asked."),
    ] = None
    grace_s: Annotated[int | None, Meta(description="How long garbage waits there; null unless it was asked.")] = None
    grace_before_s: Annotated[
        int | None, Meta(description="A longer one that is still waited for, since it was lowered.")
    ] = None
    held: Annotated[
        str | None, Meta(description="Who collects there at once, so that nobody else may write names; the same.")
    ] = None
    error: Annotated[str | None, Meta(description="Why it can't be asked, or takes no copies.")] = None
    endpoint: Annotated[str | None, Meta(description="The service, if it isn't AWS's.")]
    region: str | None
    profile: Annotated[str | None, Meta(description="Whose credentials, as the AWS files name them.")]
    addressing: str | None
    ca: str | None
    single_writer: Annotated[bool, Meta(description="Did `remote check` find that only one machine may write?")]


class RemoteDocument(Document, frozen=True, kw_only=True):
    """A remote was added or removed."""

    schema: Literal["artstore/remote/v1"] = "artstore/remote/v1"
    remote: RemoteItem
    removed: bool


class RemoteListDocument(Document, frozen=True, kw_only=True):
    """All remotes, in the order in which they were added."""

    schema: Literal["artstore/remote-list/v1"] = "artstore/remote-list/v1"
    remotes: list[RemoteItem]


class PromoteDocument(Document, frozen=True, kw_only=True):
    """A mirror is home now."""

    schema: Literal["artstore/promote/v1"] = "artstore/promote/v1"
    name: str
    epoch: Annotated[int, Meta(description="The promotion's number.")]
    changed: Annotated[bool, Meta(description="False: it had been made before, and this store follows.")]
    copied: Annotated[list[str], Meta(description="Names that were brought over from the old home.")]
    conflicts: Annotated[list[ConflictItem], Meta(description="What one of both has and the other hasn't.")]
    notes: Annotated[list[str], Meta(description="Remotes that couldn't be told.")]
    seconds: Annotated[float, Meta(description="How long it took.")]


class TrialItem(Document, frozen=True, kw_only=True):
    """One thing that was tried."""

    name: str
    ok: bool
    told: str


class RemoteCheckDocument(Document, frozen=True, kw_only=True):
    """What a remote can do."""

    schema: Literal["artstore/remote-check/v1"] = "artstore/remote-check/v1"
    name: str
    url: str
    trials: list[TrialItem]
    usable: bool
    single_writer: Annotated[bool, Meta(description="Only one machine may write.")]
    seconds: Annotated[float, Meta(description="How long it took.")]


class RenumberedItem(Document, frozen=True, kw_only=True):
    """A tag that has another name now."""

    old: Annotated[str, Meta(description="The name that `commit` chose.")]
    new: str
    version: Id
    why: str


class CopiedItem(Document, frozen=True, kw_only=True):
    """What was copied to a mirror."""

    name: str
    written: list[str]
    unchanged: int
    conflicts: Annotated[list[ConflictItem], Meta(description="What it has and home hasn't.")]
    packs: int
    sent_bytes: int
    requests: int
    error: Annotated[str | None, Meta(description="Why it is behind, until the next push.")] = None


class SettleDocument(Document, frozen=True, kw_only=True):
    """Names of a mirror gave way to home's."""

    schema: Literal["artstore/settle/v1"] = "artstore/settle/v1"
    mirror: CopiedItem


class PushDocument(Document, frozen=True, kw_only=True):
    """What was pushed."""

    schema: Literal["artstore/push/v1"] = "artstore/push/v1"
    written: Annotated[list[str], Meta(description="Names that were written at the remote.")]
    unchanged: list[str]
    conflicts: Annotated[list[ConflictItem], Meta(description="Names that stand for something else there.")]
    renumbered: Annotated[
        list[RenumberedItem], Meta(description="Tags that `commit` numbered, and that others were quicker with.")
    ]
    versions: Annotated[int, Meta(description="Versions that are at the remote by this.")]
    packs: int
    sent_bytes: int
    requests: int
    puts: Annotated[int, Meta(description="How many of them wrote something.")]
    freed_bytes: Annotated[int, Meta(description="Of packs evicted since the disk is nearly full: `disk.min_free`.")]
    mirrors: Annotated[list[CopiedItem], Meta(description="What was copied to mirrors after that.")]
    seconds: Annotated[float, Meta(description="How long it took.")]


class PullDocument(Document, frozen=True, kw_only=True):
    """What was pulled."""

    schema: Literal["artstore/pull/v1"] = "artstore/pull/v1"
    written: Annotated[list[str], Meta(description="Names that came or moved here.")]
    swapped: Annotated[list[str], Meta(description="Aliases that had been moved here only, and are moved there now.")]
    unchanged: list[str]
    conflicts: Annotated[list[ConflictItem], Meta(description="Names that stand for something else here.")]
    versions: Annotated[int, Meta(description="Versions that are here by this.")]
    packs: int
    received_bytes: int
    requests: int
    seconds: Annotated[float, Meta(description="How long it took.")]


class FetchDocument(Document, frozen=True, kw_only=True):
    """What was fetched: names, and what versions consist of."""

    schema: Literal["artstore/fetch/v1"] = "artstore/fetch/v1"
    written: Annotated[list[str], Meta(description="Names that came or moved here.")]
    swapped: Annotated[list[str], Meta(description="Aliases that had been moved here only, and are moved there now.")]
    unchanged: list[str]
    conflicts: Annotated[list[ConflictItem], Meta(description="Names that stand for something else here.")]
    versions: Annotated[int, Meta(description="Versions that are known here by this.")]
    packs: Annotated[int, Meta(description="Packs that came, of trees, recipes and documents.")]
    received_bytes: int
    requests: int
    seconds: Annotated[float, Meta(description="How long it took.")]


class CloneDocument(Document, frozen=True, kw_only=True):
    """A store was made from a remote."""

    schema: Literal["artstore/clone/v1"] = "artstore/clone/v1"
    store: str
    url: str
    written: Annotated[list[str], Meta(description="Names that came.")]
    versions: int
    packs: int
    received_bytes: int
    requests: int
    seconds: Annotated[float, Meta(description="How long it took.")]


class PrefetchDocument(Document, frozen=True, kw_only=True):
    """What was brought here."""

    schema: Literal["artstore/prefetch/v1"] = "artstore/prefetch/v1"
    chunks: Annotated[int, Meta(description="Chunks that the versions, or the parts of them, consist of.")]
    fetched: Annotated[int, Meta(description="Chunks that came by this.")]
    fetched_bytes: int
    seconds: Annotated[float, Meta(description="How long it took.")]


class KeptItem(Document, frozen=True, kw_only=True):
    """A version whose packs stay."""

    version: str
    why: str


class EvictDocument(Document, frozen=True, kw_only=True):
    """What was evicted."""

    schema: Literal["artstore/evict/v1"] = "artstore/evict/v1"
    packs: int
    freed_bytes: int
    waiting_bytes: Annotated[int, Meta(description="Bytes that are free when running commands have ended.")]
    cache_bytes: Annotated[int, Meta(description="Bytes of the cache that were freed.")]
    kept: Annotated[list[KeptItem], Meta(description="Versions whose packs stay, and why.")]
    seconds: Annotated[float, Meta(description="How long it took.")]

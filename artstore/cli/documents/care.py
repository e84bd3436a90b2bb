"""Documents about keeping a store well: collected, erased, verified, repaired."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from artstore.cli.documents.base import Bytes, Document, Files, Id, Path, Seconds


class GoingItem(Document, frozen=True, kw_only=True):
    """A version that collection frees."""

    version: Id
    tags: Annotated[list[str], Meta(description="Names it had.")]
    created: Annotated[str | None, Meta(description="When it was made; null if its document can't be read.")]
    files: Files
    bytes: Bytes
    paths: Annotated[list[str], Meta(description="The topmost paths that no version which stays has.")]
    paths_more: Annotated[bool, Meta(description="True: there are more paths than are listed.")]


class FreedItem(Document, frozen=True, kw_only=True):
    """Bytes that become free later."""

    at: Annotated[str, Meta(description="From when on a gc frees them.")]
    bytes: int


class GcDocument(Document, frozen=True, kw_only=True):
    """What a collection frees, or would free."""

    schema: Literal["artstore/gc/v1"] = "artstore/gc/v1"
    done: Annotated[bool, Meta(description="False: this is a plan, nothing was changed.")]
    removed_tags: Annotated[list[str], Meta(description="Tags that the retention rules let go.")]
    versions: list[GoingItem]
    young: Annotated[int, Meta(description="Versions without a name that stay: they are younger than 7 days.")]
    freed_bytes: Annotated[int, Meta(description="Freed now.")]
    freed_later: list[FreedItem]
    waiting_bytes: Annotated[int, Meta(description="Free as soon as running commits have ended.")]
    repacked_bytes: Annotated[int, Meta(description="Part of it that is won by rewriting mostly dead packs.")]
    notes: Annotated[list[str], Meta(description="What could not be done, and why.")]


class PacksItem(Document, frozen=True, kw_only=True):
    """Packs and shards at a remote."""

    packs: int
    bytes: Bytes


class RemoteGcDocument(Document, frozen=True, kw_only=True):
    """What a run of collection at a remote does, or would do."""

    schema: Literal["artstore/remote-gc/v1"] = "artstore/remote-gc/v1"
    remote: str
    done: Annotated[bool, Meta(description="False: this is a plan, nothing was changed.")]
    versions: Annotated[int, Meta(description="Versions that names there lead to: all of them stays.")]
    unnamed: Annotated[int, Meta(description="Versions there that no name leads to.")]
    deleted: Annotated[PacksItem, Meta(description="Deleted now.")]
    listed: Annotated[PacksItem, Meta(description="Found to be garbage now, and deleted by a later run.")]
    waiting: Annotated[PacksItem, Meta(description="Found to be garbage before, and deleted by a later run.")]
    spared: Annotated[PacksItem, Meta(description="Needed again.")]
    young: Annotated[PacksItem, Meta(description="Garbage, or of a push that is under way: younger than `grace_s`.")]
    left: Annotated[PacksItem, Meta(description="Garbage for which there is no room in the list yet.")]
    next: Annotated[str | None, Meta(description="When a run deletes something, at the earliest.")]
    grace_s: Annotated[int, Meta(description="Seconds from being seen as garbage to being deleted.")]
    requests: Annotated[int, Meta(description="Sent for it.")]
    notes: list[str]
    lifted: Annotated[str | None, Meta(description="Who held the remote and must have died; null: nobody.")] = None


class RemoteRepackDocument(Document, frozen=True, kw_only=True):
    """Packs at a remote that are rewritten, or would be."""

    schema: Literal["artstore/remote-repack/v1"] = "artstore/remote-repack/v1"
    remote: str
    done: Annotated[bool, Meta(description="False: this is a plan, nothing was changed.")]
    versions: Annotated[int, Meta(description="Versions that names there lead to.")]
    packs: PacksItem
    dead: Annotated[int, Meta(description="Packs to be rewritten of which less than 60 % is needed.")]
    small: Annotated[int, Meta(description="Packs to be rewritten that are smaller than 1 MiB.")]
    old: Annotated[PacksItem, Meta(description="Rewritten: left to collection.")]
    new: Annotated[PacksItem, Meta(description="Written in their place; of a plan, bytes alone are known.")]
    fetched_bytes: Annotated[int, Meta(description="Fetched, since they aren't here.")]
    sets: Annotated[int, Meta(description="Versions whose sets are replaced.")]
    requests: Annotated[int, Meta(description="Sent for it; of a plan, about as many as it will take.")]
    spent: Annotated[int, Meta(description="Requests sent to find out what is to be done.")]
    left: Annotated[dict[str, str], Meta(description="Packs, and ids of versions, that were left alone, and why.")]
    left_packs: Annotated[int, Meta(description="Packs for which there was no room in this run.")]
    untold: Annotated[int, Meta(description="Packs left alone, since no shard tells what they hold.")]


class RemoteGraceDocument(Document, frozen=True, kw_only=True):
    """How long garbage waits at a remote."""

    schema: Literal["artstore/remote-grace/v1"] = "artstore/remote-grace/v1"
    remote: str
    before_s: Seconds
    grace_s: Seconds
    in_force_s: Annotated[float, Meta(description="Seconds that packs wait until the change is in force.")]


class LostItem(Document, frozen=True, kw_only=True):
    """A name that can't be brought back."""

    name: str
    why: str


class UndoDocument(Document, frozen=True, kw_only=True):
    """What `gc --undo` brought back."""

    schema: Literal["artstore/gc-undo/v1"] = "artstore/gc-undo/v1"
    tags: list[str]
    aliases: list[str]
    versions: Annotated[list[str], Meta(description="Ids of versions that had been collected.")]
    revived_bytes: int
    lost: list[LostItem]


class PlaceItem(Document, frozen=True, kw_only=True):
    """A path in a version."""

    version: Id
    path: Path


class PurgeDocument(Document, frozen=True, kw_only=True):
    """Content was erased, or would be."""

    schema: Literal["artstore/purge/v1"] = "artstore/purge/v1"
    done: Annotated[bool, Meta(description="False: this is a plan, nothing was erased.")]
    path: Path
    places: Annotated[list[PlaceItem], Meta(description="Where the path was found.")]
    chunks: Annotated[int, Meta(description="Chunks erased for good.")]
    bytes: Annotated[int, Meta(description="Their bytes, uncompressed.")]
    kept_chunks: Annotated[int, Meta(description="Chunks kept, since other paths use them.")]
    kept_bytes: int
    sharers: Annotated[list[PlaceItem], Meta(description="Some of these other paths.")]
    freed_bytes: Annotated[int, Meta(description="Bytes that the store got smaller by.")]


class HurtItem(Document, frozen=True, kw_only=True):
    """A path that can't be read."""

    version: Id
    path: Annotated[str, Meta(description="Empty: the whole version.")]
    refs: Annotated[list[str], Meta(description="Names that lead to the version.")]


class ProblemItem(Document, frozen=True, kw_only=True):
    """One thing that is wrong."""

    kind: str
    message: str
    pack: str | None
    object: Annotated[str | None, Meta(description="Id of the damaged object, or null.")]
    hurt: list[HurtItem]
    hurt_more: int


class RebuildItem(Document, frozen=True, kw_only=True):
    """What a new index knows."""

    packs: int
    objects: int
    versions: int
    refs: int
    unreadable: Annotated[list[str], Meta(description="Packs in which nothing was found; their files stay.")]
    hurt: Annotated[list[HurtItem], Meta(description="What can't be read of versions that have a name.")]
    notes: list[str]


class RepairItem(Document, frozen=True, kw_only=True):
    """What a repair did."""

    packs_rewritten: int
    packs_dropped: int
    quarantined: Annotated[int, Meta(description="Damaged copies taken out of use.")]
    lost: Annotated[
        list[str], Meta(description="Ids without another copy; a commit that meets them stores them again.")
    ]
    lost_more: int
    hurt: Annotated[list[HurtItem], Meta(description="What can't be read until then.")]
    refs_restored: int
    remaining: Annotated[list[ProblemItem], Meta(description="What a repair can't mend.")]
    needs_rebuild: Annotated[bool, Meta(description="True: run check --rebuild-index.")]


class CheckDocument(Document, frozen=True, kw_only=True):
    """What a check looked at, and what is wrong."""

    schema: Literal["artstore/check/v1"] = "artstore/check/v1"
    sound: bool
    data: Annotated[bool, Meta(description="True: chunks were read and verified, not the structure alone.")]
    finished: Annotated[bool, Meta(description="False: time ran out; the next check goes on from there.")]
    resumed: bool
    packs: int
    objects: int
    bytes: int
    versions: int
    refs: int
    leftovers: Annotated[int, Meta(description="Packs of killed commands; harmless, gc removes them.")]
    problems: list[ProblemItem]
    problems_more: int
    rebuild: Annotated[RebuildItem | None, Meta(description="What --rebuild-index found, else null.")]
    repair: Annotated[RepairItem | None, Meta(description="What --repair did, else null.")]
    seconds: Seconds

"""Documents about what lies at remotes, verified and repaired; and about a store that is repaired with their help."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from artstore.cli.documents.base import Bytes, Document, Seconds
from artstore.cli.documents.care import HurtItem, ProblemItem, RepairItem


class FarProblemItem(Document, frozen=True, kw_only=True):
    """One thing that is wrong at a remote."""

    kind: str
    key: Annotated[str, Meta(description="Of the object there, below the remote's URL.")]
    message: str
    alias: Annotated[str | None, Meta(description="Whose history it is in, or null.")]
    hurt: Annotated[list[HurtItem], Meta(description="What needs it; without a path where that isn't known here.")]
    hurt_more: int


class FarCheckDocument(Document, frozen=True, kw_only=True):
    """What a check of a remote looked at, and what is wrong there."""

    schema: Literal["artstore/check-at-remote/v1"] = "artstore/check-at-remote/v1"
    remote: str
    sound: bool
    data: Annotated[bool, Meta(description="True: packs were read and verified, not names and sizes alone.")]
    finished: Annotated[bool, Meta(description="False: time ran out; the next check goes on from there.")]
    resumed: bool
    refs: Annotated[int, Meta(description="Tags, aliases and tombstones.")]
    versions: Annotated[int, Meta(description="That names there lead to.")]
    moves: int
    packs: Annotated[int, Meta(description="That these versions need, or where aliases were, or inputs.")]
    shards: int
    bytes: Annotated[int, Meta(description="Of these packs and shards.")]
    read_packs: Annotated[int, Meta(description="Read and verified now.")]
    read_bytes: Bytes
    objects: Annotated[int, Meta(description="In them.")]
    left_packs: Annotated[int, Meta(description="For the next check.")]
    left_bytes: Bytes
    unneeded: Annotated[int, Meta(description="Packs and shards that no name needs; `gc --remote` frees them.")]
    unnamed: Annotated[int, Meta(description="Sets of versions that no name leads to.")]
    foreign: Annotated[int, Meta(description="Objects that aren't artstore's; they are left alone.")]
    problems: list[FarProblemItem]
    problems_more: int
    requests: int
    notes: list[str]
    seconds: Seconds


class FarRepairDocument(Document, frozen=True, kw_only=True):
    """What a repair of a remote did, or would do."""

    schema: Literal["artstore/repair-at-remote/v1"] = "artstore/repair-at-remote/v1"
    remote: str
    done: Annotated[bool, Meta(description="False: this is a plan, nothing was changed.")]
    sound: Annotated[bool, Meta(description="True: nothing is wrong there any more.")]
    found: Annotated[list[FarProblemItem], Meta(description="What was wrong.")]
    remaining: Annotated[list[FarProblemItem], Meta(description="What is so still.")]
    replaced: Annotated[list[str], Meta(description="Damaged packs and shards that nothing names any more.")]
    listed: Annotated[list[str], Meta(description="Those of them that collection was told of.")]
    packs: Annotated[int, Meta(description="New packs.")]
    sent_bytes: int
    objects: Annotated[int, Meta(description="Sent again in them.")]
    shards: Annotated[int, Meta(description="Made anew.")]
    sets: Annotated[int, Meta(description="That name what is sound now.")]
    sets_rebuilt: Annotated[int, Meta(description="That were written from what is here.")]
    refs: Annotated[list[str], Meta(description="Names that were written again.")]
    moves: int
    lost: Annotated[list[HurtItem], Meta(description="What can't be had from anywhere that was asked.")]
    lost_objects: int
    asked: Annotated[list[str], Meta(description="Remotes that were asked, beside this store.")]
    requests: int
    notes: list[str]
    seconds: Seconds


class LocalRepairDocument(Document, frozen=True, kw_only=True):
    """What a repair of the store did, or would do."""

    schema: Literal["artstore/repair/v1"] = "artstore/repair/v1"
    done: Annotated[bool, Meta(description="False: this is a plan, nothing was changed.")]
    sound: Annotated[bool, Meta(description="True: nothing is wrong any more.")]
    problems: Annotated[list[ProblemItem], Meta(description="What was found.")]
    problems_more: int
    repair: Annotated[RepairItem | None, Meta(description="What was taken out of use here; null if nothing was.")]
    wanted: Annotated[int, Meta(description="Objects without a sound copy here.")]
    objects: Annotated[int, Meta(description="Those of them that came from remotes.")]
    bytes: Annotated[int, Meta(description="Theirs, uncompressed.")]
    packs: Annotated[int, Meta(description="New packs that hold them.")]
    hurt: Annotated[list[HurtItem], Meta(description="What can't be read still.")]
    asked: Annotated[list[str], Meta(description="Remotes that were asked.")]
    notes: list[str]
    seconds: Seconds

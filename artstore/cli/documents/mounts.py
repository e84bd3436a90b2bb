"""Documents about mounts."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from artstore.cli.documents.base import Document


class MountDocument(Document, frozen=True, kw_only=True):
    """A store was mounted."""

    schema: Literal["artstore/mount/v1"] = "artstore/mount/v1"
    path: Annotated[str, Meta(description="Where it is mounted.")]
    store: Annotated[str, Meta(description="The store's folder.")]
    id: Annotated[str, Meta(description="The store's id.")]
    pid: Annotated[int | None, Meta(description="The process that serves it; null when it can't be told.")]
    already: Annotated[bool, Meta(description="It was mounted there before, with the options of then.")]
    log: Annotated[str | None, Meta(description="Where it writes what happens; null with --foreground: to stderr.")]


class UmountDocument(Document, frozen=True, kw_only=True):
    """A mount was taken away."""

    schema: Literal["artstore/umount/v1"] = "artstore/umount/v1"
    path: Annotated[str, Meta(description="Where it was mounted.")]
    id: Annotated[str | None, Meta(description="The store's id.")]
    how: Annotated[Literal["clean", "lazy", "force"], Meta(description="How it was unmounted.")]


class MountItem(Document, frozen=True, kw_only=True):
    """One mount."""

    path: Annotated[str, Meta(description="Where it is mounted.")]
    id: Annotated[str | None, Meta(description="The store's id.")]
    store: Annotated[str | None, Meta(description="The store's folder; null when another user mounted it.")]
    state: Annotated[
        Literal["alive", "dead", "hung", "hidden"],
        Meta(description="dead: its server is gone; hung: no answer; hidden: another user's."),
    ]
    pid: Annotated[int | None, Meta(description="The process that serves it.")]
    started: Annotated[str | None, Meta(description="Since when.")]
    log: Annotated[str | None, Meta(description="Where it writes what happens.")]


class MountsDocument(Document, frozen=True, kw_only=True):
    """What artstore has mounted on this machine."""

    schema: Literal["artstore/mounts/v1"] = "artstore/mounts/v1"
    mounts: list[MountItem]

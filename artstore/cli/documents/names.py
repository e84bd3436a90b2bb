"""Documents about names: tags, aliases and their moves."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from artstore.cli.documents.base import Bytes, Document, Files, Id, Time


class RefItem(Document, frozen=True, kw_only=True):
    """A tag or an alias."""

    name: str
    kind: Literal["tag", "alias"]
    version: Id
    created: Annotated[str, Meta(description="When the tag was made, or the alias last moved.")]
    files: Files
    bytes: Bytes


class ListHead(Document, frozen=True, kw_only=True):
    """Head of a list."""

    schema: Literal["artstore/list/v1"] = "artstore/list/v1"


class ListDocument(ListHead, frozen=True, kw_only=True):
    """Tags and aliases, by name."""

    refs: list[RefItem]


class ResolveDocument(Document, frozen=True, kw_only=True):
    """What a revision means now."""

    schema: Literal["artstore/resolve/v1"] = "artstore/resolve/v1"
    revision: str
    version: Id
    ref: Annotated[str | None, Meta(description="The tag or alias it was found by, or null.")]


class TagDocument(Document, frozen=True, kw_only=True):
    """A version got a tag, or a renumbered one was dismissed."""

    schema: Literal["artstore/tag/v1"] = "artstore/tag/v1"
    tag: Annotated[str, Meta(description="Its tag; with --dismiss the one that it has now.")]
    version: Id
    created: Annotated[str | None, Meta(description="When the tag was made; null if it was removed since.")]
    dismissed: Annotated[str | None, Meta(description="With --dismiss: the name that is free now; else null.")]


class MoveItem(Document, frozen=True, kw_only=True):
    """One move of an alias."""

    seq: int
    source: Annotated[str | None, Meta(description="Version id it came from; null at first.")]
    target: Annotated[str | None, Meta(description="Version id it went to; null when it was removed.")]
    time: Time
    who: str
    host: str
    reason: str
    rollback: bool


class AliasDocument(Document, frozen=True, kw_only=True):
    """An alias was moved, or stood there already."""

    schema: Literal["artstore/alias-set/v1"] = "artstore/alias-set/v1"
    alias: str
    source: Annotated[str | None, Meta(description="Version id it stood on; null when it is new.")]
    target: Annotated[str, Meta(description="Version id it stands on.")]
    seq: int
    changed: bool


class AliasLogDocument(Document, frozen=True, kw_only=True):
    """The history of an alias, newest first."""

    schema: Literal["artstore/alias-log/v1"] = "artstore/alias-log/v1"
    alias: str
    moves: list[MoveItem]


class AliasItem(Document, frozen=True, kw_only=True):
    """Where an alias stands."""

    alias: str
    version: Id
    tag: Annotated[str | None, Meta(description="A tag of that version.")]
    seq: int


class AliasListDocument(Document, frozen=True, kw_only=True):
    """Aliases, by name."""

    schema: Literal["artstore/alias-list/v1"] = "artstore/alias-list/v1"
    aliases: list[AliasItem]


class RollbackDocument(Document, frozen=True, kw_only=True):
    """An alias went back to where it stood, or would go."""

    schema: Literal["artstore/rollback/v1"] = "artstore/rollback/v1"
    alias: str
    source: Annotated[str, Meta(description="A tag of the version it was at, or its id.")] = msgspec.field(name="from")
    target: Annotated[str, Meta(description="A tag of the version it went to, or its id.")] = msgspec.field(name="to")
    version: Id
    moved: Annotated[bool, Meta(description="False with --check.")]
    complete: Annotated[bool | None, Meta(description="With --check: is all of the target in this store? Else null.")]


class RmDocument(Document, frozen=True, kw_only=True):
    """Names were removed."""

    schema: Literal["artstore/rm/v1"] = "artstore/rm/v1"
    removed: list[str]
    already: Annotated[list[str], Meta(description="With --remote: names that had been removed there before.")]
    remote: Annotated[str | None, Meta(description="The remote at which they were removed; null: here.")]
    unnamed: Annotated[list[str], Meta(description="Ids of versions that have no name left; `gc` frees them.")]

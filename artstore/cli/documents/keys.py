"""Documents about who may open an encrypted store."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from artstore.cli.documents.base import Document, Time


class KeyItem(Document, frozen=True, kw_only=True):
    """One who may open it."""

    id: str
    label: str
    created: Time
    current: Annotated[bool, Meta(description="Is it the one that the store was opened with?")]


class KeyListDocument(Document, frozen=True, kw_only=True):
    """The keys of a store."""

    schema: Literal["artstore/key/list/v1"] = "artstore/key/list/v1"
    store: str
    keys: list[KeyItem]


class KeyDocument(Document, frozen=True, kw_only=True):
    """The keys were changed."""

    schema: Literal["artstore/key/v1"] = "artstore/key/v1"
    store: str
    id: Annotated[str | None, Meta(description="The key that was added or removed, or null.")]
    epoch: Annotated[int, Meta(description="How many keys data was sealed by so far; what is new is by the last.")]
    unreached: Annotated[list[str], Meta(description="Remotes that get the keyring when they are next written to.")]

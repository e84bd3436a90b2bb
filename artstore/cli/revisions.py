"""How what a revision led to is called, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.cli import text

if TYPE_CHECKING:
    from artstore import Resolved


def name_of(found: Resolved) -> str:
    """The tag or alias that led there, else the beginning of the id."""
    return found.tag or found.alias or text.short_id(found.version)


def remark_of(found: Resolved) -> str | None:
    """What a person should see about how the revision was read: the moment of an `@{time}`, with its zone."""
    return None if found.time is None else f"{found.alias} at {text.rfc3339(found.time)}"

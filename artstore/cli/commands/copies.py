"""What a push does after the first remote: the others, each of which may fail without the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore.cli import text
from artstore.errors import ArtstoreError, Conflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore import Store
    from artstore.cli.documents import CopiedItem
    from artstore.cli.invocation import Invocation


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of one; `error`: why it is behind."""

    item: CopiedItem
    error: ArtstoreError | None


def push_more(
    invocation: Invocation,
    store: Store,
    name: str,
    names: Sequence[str],
    *,
    anew: bool,
    limit_rate: int | None,
) -> Copied:
    """Push there, too. What goes wrong is handed back: what was pushed before stands."""
    from artstore.cli.documents import ConflictItem, CopiedItem

    try:
        with invocation.transfer(f"push to {name}") as counters:
            result = store.push(names, to=name, anew=anew, limit_rate=limit_rate, counters=counters)
    except ArtstoreError as error:
        empty = CopiedItem(
            name=name, written=[], unchanged=0, conflicts=[], packs=0, sent_bytes=0, requests=0, error=error.message
        )
        return Copied(empty, error)
    item = CopiedItem(
        name=name,
        written=result.written,
        unchanged=len(result.unchanged),
        conflicts=[ConflictItem(name=each.name, why=each.why) for each in result.conflicts],
        packs=result.packs,
        sent_bytes=result.sent_bytes,
        requests=result.requests,
    )
    return Copied(item, None)


def copy_lines(copied: Copied) -> list[str]:
    """For people."""
    item = copied.item
    if copied.error is not None:
        return []
    sent = f"{text.count(item.packs, 'pack')} sent, {text.size(item.sent_bytes)}" if item.packs else "nothing to send"
    return [f"{item.name}: {text.count(len(item.written), 'name')} written, {item.unchanged} unchanged · {sent}"]


def warned_of(invocation: Invocation, copied: Copied) -> int:
    """Tell what went wrong; the exit code."""
    item, error = copied.item, copied.error
    if error is not None:
        hint = f"; {error.hint}" if error.hint else ""
        invocation.output.warn(
            f"artstore: {item.name} is behind, and the next push catches it up: {error.message}{hint}"
        )
        return error.exit_code
    for conflict in item.conflicts:
        invocation.output.warn(f"artstore: {conflict.name} at {item.name} was left alone: {conflict.why}")
    return Conflict.exit_code if item.conflicts else 0

"""Brings back what was removed within the undo window: packs, versions, tags and aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Conflict, NotFound
from artstore.model import Digest, PackState, Tag
from artstore.planning.gc import plan_undo
from artstore.store import refs
from artstore.store.collect import records
from artstore.store.collect.view import Facts, look

if TYPE_CHECKING:
    from artstore.format.undo import RemovedRef
    from artstore.ports import IndexWriter
    from artstore.store.context import Context
    from artstore.store.objects import Objects


@dataclass(frozen=True, slots=True)
class UndoResult:
    """What is back: refs by name, versions that had been collected, bytes of packs that would have been freed. `lost`:
    refs that can't be brought back, with the reason.
    """

    tags: tuple[str, ...]
    aliases: tuple[str, ...]
    versions: tuple[Digest, ...]
    revived_bytes: int
    lost: tuple[tuple[str, str], ...]


def undo(context: Context, objects: Objects, *, who: str, host: str) -> UndoResult:
    """Undo `rm`, retention and `gc` as far as the packs are still here, in one transaction. Idempotent.

    A removed tag comes back as it was; an alias by a move to where it stood, unless it was made again meanwhile.
    """
    facts = Facts(objects)
    facts.learn(context)
    with context.index.write() as writer:
        sight = look(context, writer, facts, strict=False)
        versions, packs = plan_undo(sight.view)
        collected = tuple(version for version in versions if version in sight.view.gone_since)
        revived = 0
        for number in packs:
            row = writer.pack(number)
            assert row is not None
            revived += row.size
            writer.set_pack_state(number, PackState.LIVE, 0)
        records.put_witnesses(writer, packs, None)
        records.put_gone(writer, sight.view.gone_since, None)
        back, lost = _restore_refs(writer, frozenset(collected), sight.view.now, who, host)
    tags = tuple(ref.name for ref in back if not ref.is_alias)
    aliases = tuple(ref.name for ref in back if ref.is_alias)
    return UndoResult(tags, aliases, collected, revived, tuple(lost))


def _restore_refs(
    writer: IndexWriter, collected: frozenset[Digest], now: int, who: str, host: str
) -> tuple[list[RemovedRef], list[tuple[str, str]]]:
    back: list[RemovedRef] = []
    lost: list[tuple[str, str]] = []
    # The latest first: of an alias removed twice, what it named last comes back.
    for key, ref in reversed(list(records.removed_refs(writer))):
        if ref.removed + limits.UNDO_NS <= now and ref.version not in collected:
            continue
        try:
            if _restore(writer, ref, now, who, host):
                back.append(ref)
        except (Conflict, NotFound) as error:
            lost.append((ref.name, error.message))
        writer.put_journal(key, None)
    return back[::-1], lost[::-1]


def _restore(writer: IndexWriter, ref: RemovedRef, now: int, who: str, host: str) -> bool:
    """False if the name is in use again, for the same thing or on purpose."""
    version = Digest(ref.version)
    if ref.is_alias:
        if writer.alias(ref.name) is not None:
            return False
        refs.set_alias(
            writer, ref.name, version, if_current=refs.ABSENT, reason="brought back", who=who, host=host, now=now
        )
        return True
    tag = writer.tag(ref.name)
    if tag is not None and tag.version == version:
        return False
    refs.restore_tag(writer, Tag(ref.name, ref.version, ref.created))
    return True

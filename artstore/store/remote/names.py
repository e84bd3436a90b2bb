"""Refs at a remote: written by compare-and-swap, never over what another writer has written; and read.

A tag is created once. An alias goes forward along its chain of moves: who finds a move there that he doesn't have has
lost, and is told.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Protocol

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.remote import (
    ALIASES,
    TAGS,
    WRITE_BYTES,
    RemoteAlias,
    RemoteTag,
    encode_remote,
    move_key,
)
from artstore.format.version import decode_move, encode_move
from artstore.model import Alias, Digest, Move, Tag
from artstore.store.remote.documents import read_checked, read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from artstore.format.ids import Ids
    from artstore.ports import IndexReader, Remote
    from artstore.store.context import Context
    from artstore.store.remote.renumber import Renumbered, Renumberer

_MEND = "push from where the alias was moved"


@dataclass(frozen=True, slots=True)
class Conflicting:
    """A ref that stands for something else elsewhere, and why it was left alone."""

    name: str
    why: str


@dataclass(slots=True)
class Wanted:
    """Refs to be pushed, and the versions they lead to.

    `needed`: those without which nothing may be written; `ids`: of each ref its version, or an alias's last move;
    `planned`: last moves of aliases that aren't made here yet.
    """

    tags: list[Tag] = field(default_factory=list[Tag])
    aliases: list[Alias] = field(default_factory=list[Alias])
    ids: dict[str, bytes] = field(default_factory=dict[str, bytes])
    planned: dict[str, tuple[Digest, Move]] = field(default_factory=dict[str, tuple[Digest, Move]])
    _versions: dict[str, set[Digest]] = field(default_factory=dict[str, set[Digest]])

    @property
    def versions(self) -> set[Digest]:
        return {version for versions in self._versions.values() for version in versions}

    @property
    def needed(self) -> set[Digest]:
        refs: list[Tag | Alias] = [*self.tags, *self.aliases]
        return {Digest(ref.version) for ref in refs if ref.version}

    def add_tag(self, tag: Tag) -> None:
        """A tag and its version."""
        self.tags.append(tag)
        self.ids[tag.name] = tag.version
        self._versions[tag.name] = {Digest(tag.version)}

    def add_alias(self, reader: IndexReader, alias: Alias) -> None:
        """An alias, and what it may be rolled back to."""
        self.aliases.append(alias)
        self.ids[alias.name] = alias.move
        moves = islice(reader.moves(alias.name), limits.ROLLBACK_MOVES_MAX)
        self._versions[alias.name] = {Digest(move.target) for _, move in moves if move.target}

    def add_move(self, reader: IndexReader, name: str, planned: tuple[Digest, Move] | None, known: bytes) -> None:
        """An alias, be it removed, with a move that isn't made here yet. `known`: the last one that is there."""
        moves = [] if planned is None else [planned]
        moves += islice(reader.moves(name), limits.ROLLBACK_MOVES_MAX)
        id, last = moves[0]
        self.aliases.append(Alias(name, last.target, last.seq, id))
        self.ids[name] = id
        if planned is not None:
            self.planned[name] = planned
        new = takewhile(lambda each: each[0] != known, moves)
        self._versions[name] = {Digest(move.target) for _, move in new if move.target}

    def add_versions(self, versions: Iterable[Digest]) -> None:
        """Versions that no ref is written for."""
        self._versions |= {version.hex(): {version} for version in versions}

    def rename(self, old: Tag, new: Tag) -> None:
        """A tag that got another name."""
        self.tags[[tag.name for tag in self.tags].index(old.name)] = new
        self.ids[new.name] = self.ids.pop(old.name)
        self._versions[new.name] = self._versions.pop(old.name)

    def drop(self, is_settled: Callable[[str, bytes], bool]) -> list[str]:
        """Leave out the refs of which that is so; their names."""
        names = [name for name, id in self.ids.items() if is_settled(name, id)]
        for name in names:
            del self.ids[name], self._versions[name]
        self.tags = [tag for tag in self.tags if tag.name in self.ids]
        self.aliases = [alias for alias in self.aliases if alias.name in self.ids]
        return names


class Outcome(Protocol):
    """What is told of each ref."""

    written: list[str]
    unchanged: list[str]
    conflicts: list[Conflicting]
    renumbered: list[Renumbered]


def put_refs(
    context: Context,
    remote: Remote,
    wanted: Wanted,
    outcome: Outcome,
    before_each: Callable[[], None],
    renumberer: Renumberer | None = None,
) -> bool:
    """Write tags, the older ones first, then aliases; was anything changed? `before_each` is called before each is
    swapped. What `renumberer` gives another name has that in `wanted` from then on.
    """
    outcome.written.clear()
    outcome.unchanged.clear()
    outcome.conflicts.clear()
    for tag in sorted(wanted.tags, key=lambda tag: (tag.created, tag.name)):
        with context.index.read() as reader:
            fresh = reader.tag(tag.name) or tag  # when it was made may be told anew by what was renumbered before it
        lost = _put_tag(remote, fresh, outcome, before_each)
        if lost is None:
            continue
        found = None if renumberer is None else renumberer.renumber(fresh, lost, before_each)
        if found is None:
            outcome.conflicts.append(Conflicting(tag.name, _why(lost)))
            continue
        wanted.rename(tag, found.new)
        outcome.renumbered.append(found)
        outcome.written.append(found.new.name)
    for alias in wanted.aliases:
        with context.index.read() as reader:
            planned = wanted.planned.get(alias.name)
            moves = [*([] if planned is None else [planned]), *reader.moves(alias.name)]
        _put_alias(context, remote, alias, moves, outcome, before_each)
    return bool(outcome.written)


def _put_tag(remote: Remote, tag: Tag, outcome: Outcome, before_each: Callable[[], None]) -> RemoteTag | None:
    """What stands there in its place, if it lost."""
    before_each()
    value = RemoteTag(secrets.token_bytes(WRITE_BYTES), tag.version, tag.created)
    if remote.create(TAGS + tag.name, encode_remote(value)) is not None:
        outcome.written.append(tag.name)
        return None
    found = read_document(remote, RemoteTag, TAGS + tag.name)
    there = RemoteTag(b"", b"", 0) if found is None else found[0]
    if there.version == tag.version:
        outcome.unchanged.append(tag.name)
        return None
    return there


def _why(there: RemoteTag) -> str:
    if there.version:
        return f"there it names version {there.version.hex()[:8]}"
    return "there it was removed, and a name is never used again"


def _put_alias(
    context: Context,
    remote: Remote,
    alias: Alias,
    moves: list[tuple[Digest, Move]],
    outcome: Outcome,
    before_each: Callable[[], None],
) -> None:
    """`moves`: those of the alias here, newest first."""
    key = ALIASES + alias.name
    while True:
        found = read_document(remote, RemoteAlias, key)
        there = None if found is None else found[0]
        known = [bytes(id) for id, _ in moves]
        if there is not None and there.move == alias.move:
            outcome.unchanged.append(alias.name)
            return
        if there is not None and there.move not in known:
            outcome.conflicts.append(Conflicting(alias.name, f"there it was moved by others, to move {there.seq}"))
            return
        new = moves if there is None else moves[: known.index(there.move)]
        for id, move in reversed(new):
            document = encode_move(move, context.ids)
            assert document.id == id
            remote.put(move_key(id), document.data)
        before_each()
        value = encode_remote(RemoteAlias(secrets.token_bytes(WRITE_BYTES), alias.version, alias.seq, alias.move))
        done = remote.create(key, value) if found is None else remote.swap(key, value, found[1].etag)
        if done is not None:
            outcome.written.append(alias.name)
            return
        # Lost, or won and overtaken: what stands there now tells, and seq has grown, so that this ends.


def read_move(remote: Remote, id: bytes, ids: Ids) -> Move:
    """A move at a remote. Corrupt if it is missing or isn't the one of this id."""

    def check(data: bytes) -> Move:
        if ids.move(data) != id:
            raise Corrupt("it is not the move of this id", hint=_MEND)
        return decode_move(data)

    found = read_checked(remote, move_key(id), check)
    if found is None:
        raise Corrupt(f"{remote.url}/{move_key(id)} is missing", hint=_MEND)
    return found[0]

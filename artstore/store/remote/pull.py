"""Fetch and pull: refs of a remote and the versions they lead to come here, verified.

A fetch brings names, documents, trees and recipes: chunks come when they are read. A pull brings these, too. Either
into an empty store is a clone. Packs first, refs last [I1, I2, I3]: killed anywhere, what came stays and is not fetched
again. What differs here stays as it is, and is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import ArtstoreError, Corrupt, NotFound
from artstore.format.remote import (
    ALIASES,
    TAGS,
    WRITE_BYTES,
    RemoteAlias,
    RemoteSet,
    RemoteTag,
    encode_remote,
    set_key,
)
from artstore.model import Alias, Digest, Move, Tag
from artstore.store import refs
from artstore.store.check.survey import Surveyor
from artstore.store.commit import revive
from artstore.store.lost import heal_sets
from artstore.store.partial import is_partial, mark_partial, mark_whole
from artstore.store.provisional import is_provisional, keep_name, renumbered
from artstore.store.remote.documents import MEND, read_documents
from artstore.store.remote.local_moves import gives_way, overrule
from artstore.store.remote.names import Conflicting, read_move
from artstore.store.remote.renumber import complete
from artstore.store.remote.transfer import live_packs, note_ref, ref_at, store_pack
from artstore.store.remote.transfers import Transfer, Transfers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from artstore.ports import IndexReader, Remote, Session
    from artstore.store.context import Context, Counters
    from artstore.store.objects import Objects

_AGAIN = "push it again from elsewhere"


@dataclass(slots=True)
class PullResult:
    """What a pull did: refs that came or moved, that stood here already, that were left alone; versions and packs.

    `swapped`: aliases that had been moved here only, and are moved there now, too.
    """

    written: list[str] = field(default_factory=list[str])
    unchanged: list[str] = field(default_factory=list[str])
    conflicts: list[Conflicting] = field(default_factory=list[Conflicting])
    swapped: list[str] = field(default_factory=list[str])
    versions: int = 0
    packs: int = 0
    received_bytes: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class RemoteRefs:
    """What names stand at a remote."""

    tags: tuple[Tag, ...]
    aliases: tuple[Alias, ...]


def read_refs(remote: Remote, patterns: Sequence[str] = (), known: Mapping[str, Tag] | None = None) -> RemoteRefs:
    """The refs of a remote: all, or those that a pattern fits, or that stand below an artifact. NotFound for none.

    `known`: tags that were there once, as they were; unless they have been removed, they are there for ever.
    """
    listed = matching(remote, TAGS, patterns)
    same = {name: tag for name, size in listed.items() if (tag := (known or {}).get(name)) and size == _size_there(tag)}
    tags = [name for name in listed if name not in same]
    aliases = list(matching(remote, ALIASES, patterns))
    for pattern in patterns:
        if not any(fits(name, pattern) for name in (*listed, *aliases)):
            raise NotFound(
                f"there is nothing of the name {pattern} at {remote.url}", hint="`artstore list` shows what is here"
            )
    tags_there = zip(tags, read_documents(remote, RemoteTag, [TAGS + name for name in tags]), strict=True)
    aliases_there = zip(aliases, read_documents(remote, RemoteAlias, [ALIASES + name for name in aliases]), strict=True)
    told_tags = [(name, found[0]) for name, found in tags_there if found]
    told_aliases = [(name, found[0]) for name, found in aliases_there if found]
    new = [Tag(name, told.version, told.created) for name, told in told_tags if told.version]
    return RemoteRefs(
        tuple(sorted([*same.values(), *new], key=lambda tag: tag.name)),
        tuple(Alias(name, told.version, told.seq, told.move) for name, told in told_aliases),
    )


def known_tags(reader: IndexReader, remote_id: bytes) -> dict[str, Tag]:
    """The tags of this store that were seen at a remote as they are here."""
    return {tag.name: tag for tag in reader.tags() if ref_at(reader, remote_id, tag.name) == tag.version}


class _GoneError(Corrupt):
    """A pack isn't there, although a set named it."""


class Puller:
    """One pull of refs of a remote into a store."""

    def __init__(
        self, context: Context, objects: Objects, remote: Remote, remote_id: bytes, counters: Counters
    ) -> None:
        self._context = context
        self._objects = objects
        self._remote = remote
        self._remote_id = remote_id
        self._counters = counters
        self._result = PullResult()

    def pull(self, wanted: RemoteRefs, *, whole: bool) -> PullResult:
        """Bring what these refs lead to, and enter them; `whole`: chunks too. Corrupt if something is damaged there."""
        with self._context.sessions.begin() as session:
            chains = {alias.name: self._chain(alias) for alias in wanted.aliases}
            versions = {Digest(tag.version) for tag in wanted.tags}
            versions |= {Digest(alias.version) for alias in wanted.aliases if alias.version}
            before = _past(chains.values()) - versions
            try:
                sets, past = self._bring(session, versions, before, whole=whole)
            except _GoneError:  # rewritten since its set was read, and collected
                sets, past = self._bring(session, versions, before, whole=whole)
            self._enter(sets, whole=whole)
            self._enter(past, whole=False)
            for tag in wanted.tags:
                self._put_tag(tag)
            for alias in wanted.aliases:
                self._put_alias(alias, chains[alias.name])
            with self._context.index.write() as writer:
                came: list[Tag | Alias] = [*wanted.tags, *wanted.aliases]
                for ref in came:
                    if ref.name in self._result.written or ref.name in self._result.unchanged:
                        id = ref.version if isinstance(ref, Tag) else ref.move
                        note_ref(writer, self._remote_id, ref.name, id)
                        keep_name(writer, ref.name)
        return self._result

    # --- versions

    def _bring(
        self, session: Session, versions: set[Digest], past: set[Digest], *, whole: bool
    ) -> tuple[dict[Digest, RemoteSet], dict[Digest, RemoteSet]]:
        """Fetch the packs of versions, and of those that aliases may be rolled back to; the sets of each."""
        sets = self._sets(versions, whole=whole)
        before = self._sets(past, whole=False, needed=False)
        keys = {key for told in (*sets.values(), *before.values()) for key in told.meta}
        self._fetch(session, keys.union(*(told.data for told in sets.values() if whole)))
        return sets, before

    def _sets(self, versions: Iterable[Digest], *, whole: bool, needed: bool = True) -> dict[Digest, RemoteSet]:
        """The sets of the versions that aren't here, or not `whole`, and of their inputs as far as these are there."""
        sets: dict[Digest, RemoteSet] = {}
        required = set(versions) if needed else set[Digest]()
        asked: set[Digest] = set()
        left: list[Digest] = list(versions)
        while order := sorted({each for each in left if each not in asked and not self._is_here(each, whole=whole)}):
            asked.update(order)
            answers = read_documents(self._remote, RemoteSet, map(set_key, order))
            left = []
            for version, found in zip(order, answers, strict=True):
                if found is None:
                    if version in required:
                        raise Corrupt(
                            f"version {version.hex()} has no set at {self._remote.url}",
                            hint=_AGAIN,
                        )
                    continue
                sets[version] = found[0]
                left += [Digest(id) for id in sets[version].inputs]
        return sets

    def _is_here(self, version: Digest, *, whole: bool) -> bool:
        with self._context.index.read() as reader:
            return reader.version_set(version) is not None and not (whole and is_partial(reader, version))

    def _fetch(self, session: Session, keys: set[str]) -> None:
        with self._context.index.read() as reader:
            here = {at.key for at in live_packs(reader, self._remote_id).values()}
        coming = sorted(keys - here)
        sizes = self._sizes(coming) if self._counters.wants_total else None
        if sizes is not None:
            self._counters.bytes_total = self._counters.bytes_done + sum(sizes.values())
        transfers = [
            Transfer((sizes or {}).get(key) or _about(key), partial(self._receive, session, key)) for key in coming
        ]
        for came in Transfers(self._remote, self._context.flow, self._counters).run(transfers, lambda size: size):
            self._result.packs += 1
            self._result.received_bytes += came

    def _sizes(self, keys: Sequence[str]) -> dict[str, int] | None:
        """How large packs are, from listings of what was pushed with them; None if that would be many requests."""
        folders = {key.rpartition("/")[0] + "/" for key in keys}
        if len(folders) > limits.REMOTE_SIZE_LISTS_MAX:
            return None
        wanted = set(keys)
        found = (each for folder in sorted(folders) for each in self._remote.list(folder))
        return {each.key: each.size for each in found if each.key in wanted}

    def _receive(self, session: Session, key: str) -> int:
        """Fetch one pack; its bytes. One that came damaged is asked for once more: it may have been the network."""
        try:
            size = self._receive_once(session, key)
        except Corrupt:
            self._context.flow.repeated()
            try:
                size = self._receive_once(session, key)
            except Corrupt as error:
                raise Corrupt(f"{self._remote.url}/{key}: {error.message}", digest=error.digest, hint=MEND) from error
        if size is None:
            raise _GoneError(f"{key} is missing at {self._remote.url}", hint="push again from where its versions are")
        return size

    def _receive_once(self, session: Session, key: str) -> int | None:
        came = self._remote.stream(key)
        if came is None:
            return None
        store_pack(self._context, session, key, came, self._remote_id)
        return came.size

    def _enter(self, sets: dict[Digest, RemoteSet], *, whole: bool) -> None:
        """A set here for each version, once all it needs is found to be here, chunks only if `whole` [I2]."""
        surveyor = Surveyor(self._context.index, self._objects, partial=True)
        for version in sets:
            survey = surveyor.version(version)
            if not survey.is_sound:
                complaint = next(iter(survey.complaints.values()))
                raise self._not_whole(version, complaint.message, complaint.digest)
            if whole and not survey.is_whole:
                raise self._not_whole(version, "packs that its set names don't hold all its chunks", version)
            with self._context.index.write() as writer:
                revive(writer, survey.packs)
                heal_sets(writer)
                writer.put_set(version, survey.packs.union(writer.version_set(version) or ()))
                if survey.is_whole:
                    mark_whole(writer, version)
                else:
                    mark_partial(writer, version, self._remote_id)
            self._result.versions += 1

    def _not_whole(self, version: Digest, why: str, digest: Digest) -> Corrupt:
        return Corrupt(f"version {version.hex()} is not whole at {self._remote.url}: {why}", digest=digest, hint=_AGAIN)

    # --- names

    def _put_tag(self, tag: Tag) -> None:
        with self._context.index.write() as writer:
            here = writer.tag(tag.name)
            if here is not None:
                same = here.version == tag.version
                why = f"here it names version {here.version.hex()[:8]}"
                if not same and is_provisional(writer, here):
                    why += ", and is provisional: `artstore push` to the home gives that its next number"
                self._tell(tag.name, same, why)
                return
            if complete(writer, self._remote_id, tag):
                self._result.written.append(tag.name)
                return
            lost = renumbered(writer, tag.name)
            if lost is not None:
                why = f"what it named here is {lost.new} now: `artstore tag --dismiss {tag.name}` lets it come"
                self._tell(tag.name, False, why)
                return
            if refs.removed_tag(writer, tag.name) is not None:
                self._tell(tag.name, False, "it was removed here: `artstore gc --undo`, or `artstore tag`")
                return
            try:
                refs.restore_tag(writer, tag)
            except ArtstoreError as error:
                self._tell(tag.name, False, error.message)
                return
        self._result.written.append(tag.name)

    def _chain(self, alias: Alias) -> list[tuple[bytes, Move]]:
        """The moves of an alias that aren't here, oldest first."""
        chain: list[tuple[bytes, Move]] = []
        id = alias.move
        with self._context.index.read() as reader:
            while id and reader.move(id) is None:
                move = read_move(self._remote, id, self._context.ids)
                if move.alias != alias.name or (chain and move.seq != chain[-1][1].seq - 1):
                    raise Corrupt(f"the history of {alias.name} at {self._remote.url} is damaged")
                chain.append((id, move))
                id = move.previous
        return chain[::-1]

    def _put_alias(self, alias: Alias, chain: Sequence[tuple[bytes, Move]]) -> None:
        with self._context.index.write() as writer:
            why = overrule(writer, self._remote_id, alias, chain) or self._obstacle(writer, alias, chain)
            if why is None and chain:
                moves = [move for _, move in chain]
                try:
                    if _is_new(chain) and gives_way(writer, self._remote_id, alias.name):
                        refs.restore_history(writer, alias.name, moves)
                    else:
                        refs.restore_moves(writer, alias.name, moves)
                except ArtstoreError as error:
                    why = error.message
            if why is not None:
                self._tell(alias.name, False, why)
                return
        if chain:
            self._result.written.append(alias.name)
        else:
            self._result.unchanged.append(alias.name)

    def _obstacle(self, reader: IndexReader, alias: Alias, chain: Sequence[tuple[bytes, Move]]) -> str | None:
        """Why an alias can't go on here as it did there."""
        if reader.tag(alias.name) is not None:
            return "here it is a tag"
        last = next(iter(reader.moves(alias.name)), None)
        if not chain or last is None:
            return None
        if chain[0][1].previous == bytes(last[0]) or (
            _is_new(chain) and gives_way(reader, self._remote_id, alias.name)
        ):
            return None
        why = f"it was moved here, too: here {last[1].seq} moves, there {alias.seq}"
        if _is_new(chain) and ref_at(reader, self._remote_id, alias.name) is None:
            why += f"; `artstore alias rm {alias.name}` lets it come"
        return why

    def _tell(self, name: str, same: bool, why: str) -> None:
        if same:
            self._result.unchanged.append(name)
        else:
            self._result.conflicts.append(Conflicting(name, why))


def _is_new(chain: Sequence[tuple[bytes, Move]]) -> bool:
    """Is nothing of this history here?"""
    return not chain[0][1].previous


def _about(key: str) -> int:
    """How large a pack is at most, as a rule."""
    return limits.PACK_BYTES_TARGET if key.startswith("p/") else limits.METAPACK_BYTES_TARGET


def _past(chains: Iterable[Sequence[tuple[bytes, Move]]]) -> set[Digest]:
    """The versions that aliases were at lately: what a rollback may go back to."""
    moves = (move for chain in chains for _, move in chain[-limits.ALIAS_MOVES_KEPT :])
    return {Digest(move.target) for move in moves if move.target}


def matching(remote: Remote, prefix: str, patterns: Sequence[str]) -> dict[str, int]:
    """Names that are listed, and how large what tells of them is."""
    sizes = {found.key.removeprefix(prefix): found.size for found in remote.list(prefix)}
    return {
        name: size for name, size in sizes.items() if not patterns or any(fits(name, pattern) for pattern in patterns)
    }


def _size_there(tag: Tag) -> int:
    """How large a tag is at a remote; one that was removed is smaller by its version."""
    return len(encode_remote(RemoteTag(bytes(WRITE_BYTES), tag.version, tag.created)))


def fits(name: str, pattern: str) -> bool:
    """Does a pattern mean this name, or what stands below it?"""
    return name.startswith(pattern.rstrip("/") + "/") or fnmatchcase(name, pattern)

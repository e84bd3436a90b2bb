"""Names of home as a mirror is to have them: what differs is found, then written by compare-and-swap.

A tag is written as it stands at home, a tombstone too. An alias only goes forward along home's chain of moves, all of
which are there before it [I3]. What a mirror has and home hasn't is left alone and told, unless somebody has said that
it is to give way.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.errors import Corrupt, NotFound
from artstore.format.remote import ALIASES, TAGS, WRITE_BYTES, RemoteAlias, RemoteTag, encode_remote, move_key
from artstore.format.version import encode_move
from artstore.model import Digest, Move
from artstore.planning.copies import Decided, Step, plan_alias, plan_tag
from artstore.store.remote.documents import read_as_they_lie, read_document, read_documents
from artstore.store.remote.names import Conflicting, read_move
from artstore.store.remote.pull import fits, matching
from artstore.store.remote.transfer import note_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from artstore.ports import IndexReader, IndexWriter, Remote
    from artstore.store.context import Context

_SAME: Final = "same-at/"
_TOMBSTONE_BYTES_MAX: Final = len(encode_remote(RemoteTag(bytes(WRITE_BYTES), b"", 1 << 62)))


@dataclass(frozen=True, slots=True)
class TagCopy:
    """A tag as it is to be; `etag`: of what it replaces, if it does; `stands`: it is so already, and what it leads to
    is looked at all the same.
    """

    name: str
    tag: RemoteTag
    etag: str | None
    stands: bool = False


@dataclass(frozen=True, slots=True)
class AliasCopy:
    """An alias as it is to be; `moves`: those of its chain that the mirror may lack, oldest first; the rest as of
    tags.
    """

    name: str
    alias: RemoteAlias
    moves: tuple[tuple[bytes, Move], ...]
    etag: str | None
    stands: bool = False


@dataclass(slots=True)
class Copies:
    """What is to be written; names that stand there as at home, with what they stand for; and those left alone."""

    tags: list[TagCopy] = field(default_factory=list[TagCopy])
    aliases: list[AliasCopy] = field(default_factory=list[AliasCopy])
    same: dict[str, bytes] = field(default_factory=dict[str, bytes])
    conflicts: list[Conflicting] = field(default_factory=list[Conflicting])

    def needed(self) -> dict[Digest, set[str]]:
        """Versions without which a name may not be written, and these names."""
        found: dict[Digest, set[str]] = {}
        for name, version in [
            *((each.name, each.tag.version) for each in self.tags),
            *((each.name, each.alias.version) for each in self.aliases),
        ]:
            if version:
                found.setdefault(Digest(version), set()).add(name)
        return found

    def past(self) -> set[Digest]:
        """Versions that aliases may be rolled back to."""
        moves = (move for each in self.aliases for _, move in each.moves[-limits.ROLLBACK_MOVES_MAX :])
        return {Digest(id) for move in moves for id in (move.source, move.target) if id}

    def parts(self) -> Iterator[Copies]:
        """The same in parts, whose sets fit into memory: the tags, older ones first, then aliases."""
        tags = sorted(self.tags, key=lambda each: (each.tag.created, each.name))
        for at in range(0, len(tags), limits.REMOTE_COPIES_AT_ONCE):
            yield Copies(tags=tags[at : at + limits.REMOTE_COPIES_AT_ONCE])
        for alias in self.aliases:
            yield Copies(aliases=[alias])

    def leave(self, names: Collection[str], why: str) -> None:
        """Don't write these."""
        self.tags = [each for each in self.tags if each.name not in names]
        self.aliases = [each for each in self.aliases if each.name not in names]
        self.conflicts += [Conflicting(name, why) for name in sorted(names)]


@dataclass(frozen=True, slots=True)
class Written:
    """Names that were written; is that all? Else others have written one of them meanwhile, and it is planned anew."""

    names: list[str]
    is_all: bool


class NameCopier:
    """Copies names from home to one mirror. `discard`: of these, what home hasn't gives way; `anew`: what is known to
    stand there is looked at, too.
    """

    def __init__(
        self,
        context: Context,
        home: Remote,
        mirror: Remote,
        *,
        home_id: bytes,
        mirror_id: bytes,
        discard: Collection[str] = (),
        anew: bool = False,
    ) -> None:
        self._context = context
        self._home = home
        self._mirror = mirror
        self._home_id = home_id
        self._mirror_id = mirror_id
        self._discard = frozenset(discard)
        self._anew = anew

    def plan(self, patterns: Sequence[str] = ()) -> Copies:
        """What differs. `patterns` as for a push; NotFound if home has nothing of that name."""
        copies = Copies()
        tags, aliases = ((matching(self._home, kind, patterns), kind) for kind in (TAGS, ALIASES))
        for pattern in patterns:
            if not any(fits(name, pattern) for name in (*tags[0], *aliases[0], *self._discard)):
                raise NotFound(
                    f"home has nothing of the name {pattern}, and a mirror takes copies only",
                    hint="`artstore push` it to the home first",
                )
        self._plan_tags(copies, tags[0], matching(self._mirror, TAGS, patterns))
        self._plan_aliases(copies, aliases[0], matching(self._mirror, ALIASES, patterns))
        return copies

    def write(self, copies: Copies, before_each: Callable[[], None]) -> Written:
        """Write what is to be; `before_each` is called before each name is swapped."""
        names: list[str] = []
        for tag in [each for each in copies.tags if not each.stands]:
            before_each()
            value = encode_remote(RemoteTag(secrets.token_bytes(WRITE_BYTES), tag.tag.version, tag.tag.created))
            if not self._put(TAGS + tag.name, value, tag.etag) and not self._has(tag):
                return Written(names, False)
            names.append(tag.name)
        for alias in [each for each in copies.aliases if not each.stands]:
            for id, move in alias.moves:  # I3: the whole chain, then the alias that ends it
                document = encode_move(move, self._context.ids)
                assert document.id == id
                self._mirror.put(move_key(id), document.data)
            before_each()
            told = alias.alias
            value = encode_remote(RemoteAlias(secrets.token_bytes(WRITE_BYTES), told.version, told.seq, told.move))
            if not self._put(ALIASES + alias.name, value, alias.etag) and not self._has(alias):
                return Written(names, False)
            names.append(alias.name)
        return Written(names, True)

    def note(self, copies: Copies, written: Collection[str]) -> None:
        """Remember what stands there as at home: tags of which nothing has to be asked again."""
        stands = {each.name: each.tag.version for each in copies.tags if each.name in written}
        stands |= {each.name: each.alias.move for each in copies.aliases if each.name in written} | copies.same
        with self._context.index.write() as writer:
            for name, id in stands.items():
                self._note(writer, name, id)

    # --- tags

    def _plan_tags(self, copies: Copies, home: dict[str, int], mirror: dict[str, int]) -> None:
        with self._context.index.read() as reader:
            names = [name for name in sorted({*home, *mirror}) if not self._is_same(reader, name, home, mirror, copies)]
        at_home = read_documents(self._home, RemoteTag, [TAGS + name for name in names])
        at_mirror = read_as_they_lie(self._mirror, RemoteTag, [TAGS + name for name in names])
        for name, ours, theirs in zip(names, at_home, at_mirror, strict=True):
            tag, copy = ours and ours[0], None if theirs is None else theirs.value
            etag = None if theirs is None else theirs.etag
            decided = _unreadable(theirs.why) if theirs is not None and theirs.value is None else plan_tag(tag, copy)
            if decided.step is Step.CONFLICT and name not in self._discard:
                copies.conflicts.append(Conflicting(name, decided.why))
            elif decided.step is Step.NOTHING:
                if tag is not None and tag.version:
                    copies.same[name] = tag.version
                    if self._anew:
                        copies.tags.append(TagCopy(name, tag, etag, stands=True))
            else:
                # A stray that gives way leaves a tombstone, by which home's own tag of that name may come one day.
                gone = RemoteTag(b"", b"", copy.created if copy is not None else 0)
                copies.tags.append(TagCopy(name, tag or gone, etag))

    def _is_same(
        self, reader: IndexReader, name: str, home: dict[str, int], mirror: dict[str, int], copies: Copies
    ) -> bool:
        """Is that known without asking? A tag changes once in its life, by a tombstone, which is smaller."""
        size = home.get(name)
        if size is None or size != mirror.get(name) or self._anew or name in self._discard:
            return False
        if size <= _TOMBSTONE_BYTES_MAX:
            return True
        version = reader.journal(self._same_key(name))
        if version is not None:
            copies.same[name] = version
        return version is not None

    # --- aliases

    def _plan_aliases(self, copies: Copies, home: Iterable[str], mirror: Iterable[str]) -> None:
        names = sorted({*home, *mirror})
        at_home = read_documents(self._home, RemoteAlias, [ALIASES + name for name in names])
        at_mirror = read_as_they_lie(self._mirror, RemoteAlias, [ALIASES + name for name in names])
        for name, ours, theirs in zip(names, at_home, at_mirror, strict=True):
            alias, copy = ours and ours[0], None if theirs is None else theirs.value
            etag = None if theirs is None else theirs.etag
            chain, goes_on = ((), True) if alias is None else self._chain(name, alias, copy)
            decided = plan_alias(alias, copy, goes_on=goes_on)
            if theirs is not None and theirs.value is None:
                decided = _unreadable(theirs.why)
            discarded = alias is not None and name in self._discard
            if decided.step is Step.CONFLICT and not discarded:
                copies.conflicts.append(Conflicting(name, decided.why))
            elif decided.step is not Step.NOTHING and alias is not None:
                copies.aliases.append(AliasCopy(name, alias, chain, etag))
            elif alias is not None:
                copies.same[name] = alias.move
                if self._anew:
                    copies.aliases.append(AliasCopy(name, alias, (), etag, stands=True))

    def _chain(
        self, name: str, home: RemoteAlias, mirror: RemoteAlias | None
    ) -> tuple[tuple[tuple[bytes, Move], ...], bool]:
        """Home's moves behind the one that the mirror stands at, all of them if it isn't one of them; and is it?"""
        chain: deque[tuple[bytes, Move]] = deque()
        id = home.move
        goes_on = mirror is None
        with self._context.index.read() as reader:
            while id:
                if mirror is not None and id == mirror.move:
                    goes_on = True
                    break
                move = reader.move(Digest(id)) or read_move(self._home, id, self._context.ids)
                if move.alias != name or (chain and move.seq != chain[0][1].seq - 1):
                    raise Corrupt(f"the history of {name} at {self._home.url} is damaged")
                chain.appendleft((id, move))
                id = move.previous
        return tuple(chain), goes_on

    # --- what is known

    def _put(self, key: str, value: bytes, etag: str | None) -> bool:
        done = self._mirror.create(key, value) if etag is None else self._mirror.swap(key, value, etag)
        return done is not None

    def _has(self, copy: TagCopy | AliasCopy) -> bool:
        """Has somebody else copied the same meanwhile?"""
        if isinstance(copy, TagCopy):
            tag = read_document(self._mirror, RemoteTag, TAGS + copy.name)
            return tag is not None and (tag[0].version, tag[0].created) == (copy.tag.version, copy.tag.created)
        alias = read_document(self._mirror, RemoteAlias, ALIASES + copy.name)
        return alias is not None and alias[0].move == copy.alias.move

    def _same_key(self, name: str) -> str:
        return f"{_SAME}{self._home_id.hex()}/{self._mirror_id.hex()}/{name}"

    def _note(self, writer: IndexWriter, name: str, id: bytes) -> None:
        tag, alias = writer.tag(name), writer.alias(name)
        if (tag is not None and tag.version == id) or (alias is not None and alias.move == id):
            note_ref(writer, self._mirror_id, name, id)
        if alias is None and writer.journal(self._same_key(name)) != (id or None):
            writer.put_journal(self._same_key(name), id or None)


def _unreadable(why: str) -> Decided:
    """It may have been a stray: who says that it is to give way settles it, as all that home hasn't."""
    return Decided(Step.CONFLICT, f"it can't be read there, {why}: `artstore remote settle` puts home's in its place")

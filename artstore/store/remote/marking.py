"""What the refs of a remote need: the versions they lead to, and the sets of these, read there and now."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.remote import RemoteSet, set_key
from artstore.model import Digest
from artstore.store.remote.documents import read_documents
from artstore.store.remote.names import read_move
from artstore.store.remote.pull import known_tags, read_refs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from artstore.model import Alias, Move
    from artstore.ports import Remote
    from artstore.store.context import Context

_SETS_AT_ONCE: Final = 256


def living_sets(context: Context, remote: Remote, remote_id: bytes) -> Iterator[tuple[Digest, RemoteSet]]:
    """Each version that tags, aliases and their last moves lead to, and each input of these, with its set.

    Corrupt if the set of one that a ref names is missing or damaged: what it needs isn't known then.
    """
    with context.index.read() as reader:
        known = known_tags(reader, remote_id)
    refs = read_refs(remote, known=known)
    needed = {Digest(tag.version) for tag in refs.tags}
    needed |= {Digest(alias.version) for alias in refs.aliases if alias.version}
    moves = (move for alias in refs.aliases for move in _moves(context, remote, alias))
    left = needed | {Digest(move.target) for move in moves if move.target}
    asked: set[Digest] = set()
    while left:
        asked |= left
        inputs: set[Digest] = set()
        for version, told, _ in read_sets(remote, left):
            if told is not None:
                inputs.update(map(Digest, told.inputs))
                yield version, told
            elif version in needed:
                raise Corrupt(
                    f"version {version.hex()} has no set at {remote.url}: nothing is collected",
                    hint="`artstore push --all` from a store that has it all",
                )
        left = inputs - asked


def read_sets(remote: Remote, versions: Iterable[Digest]) -> Iterator[tuple[Digest, RemoteSet | None, str]]:
    """The set of each, in the order of ids, with its ETag; a few are held at once."""
    ordered = sorted(versions)
    for at in range(0, len(ordered), _SETS_AT_ONCE):
        part = ordered[at : at + _SETS_AT_ONCE]
        answers = read_documents(remote, RemoteSet, map(set_key, part))
        for version, found in zip(part, answers, strict=True):
            yield (version, None, "") if found is None else (version, found[0], found[1].etag)


def _moves(context: Context, remote: Remote, alias: Alias) -> Iterator[Move]:
    """The last moves of an alias, as far as it may be rolled back."""
    with context.index.read() as reader:
        here = {bytes(id): move for id, move in islice(reader.moves(alias.name), 2 * limits.ROLLBACK_MOVES_MAX)}
    id = bytes(alias.move)
    for _ in range(limits.ROLLBACK_MOVES_MAX):
        if not id:
            return
        move = here.get(id) or read_move(remote, id, context.ids)
        yield move
        id = bytes(move.previous)

"""One look at what lies at a remote: names, their versions' sets, the packs and shards that these name, a listing.

The order is that of reading names: refs, then sets, then what is there. Whoever pushes writes the other way round, so
that what a ref needs is there by then; only collection takes away, a day after the name is gone. Whoever wants to tell
damage from that looks twice.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.errors import Corrupt
from artstore.format.ids import checksum
from artstore.format.remote import (
    ALIASES,
    FORMAT_KEY,
    GC_KEY,
    HINT_KEY,
    MIRROR_KEY,
    RING_KEY,
    TAGS,
    GcState,
    RemoteAlias,
    RemoteSet,
    RemoteTag,
    all_keys,
    decode_remote,
    decode_shard,
    is_pack_key,
    move_key,
    set_key,
)
from artstore.format.version import decode_move
from artstore.model import Digest
from artstore.store.check_remote.reading import read_each, read_one
from artstore.store.check_remote.report import FarProblemKind, Flaw
from artstore.store.far.places import table_of_shard
from artstore.store.remote.pins import PINS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from artstore.format.ids import Ids
    from artstore.format.remote import ShardPack
    from artstore.model import Move
    from artstore.ports import Remote

_CHECK: Final = "check/"  # what a self-test that was killed has left
_SETS: Final = "sets/"
_MOVES: Final = "moves/"
_OURS: Final = (TAGS, ALIASES, _SETS, _MOVES, PINS, _CHECK)
_HEX: Final = frozenset("0123456789abcdef")
_ID_HEX: Final = 64


@dataclass(frozen=True, slots=True)
class Told:
    """What a shard says of a pack: its bytes, the hash of its table, and which shard that is."""

    size: int
    table: bytes
    shard: str


@dataclass(slots=True)
class View:
    """What one look saw.

    `names`: versions that refs lead to, with these; `kept`: further ones that collection spares, which may be gone:
    where aliases were, and inputs. `needed`: packs and shards that sets of `names` name, `known`: those and the ones of
    `kept`. `there`: of these the ones that lie there, with their bytes. `told`: what shards say of packs.
    `namers`: of the keys that were asked for, the versions whose sets name them. `flaws`: by kind and key.
    """

    refs: int = 0
    moves: int = 0
    names: dict[Digest, list[str]] = field(default_factory=dict[Digest, list[str]])
    kept: set[Digest] = field(default_factory=set[Digest])
    needed: set[str] = field(default_factory=set[str])
    known: set[str] = field(default_factory=set[str])
    there: dict[str, int] = field(default_factory=dict[str, int])
    told: dict[str, Told] = field(default_factory=dict[str, Told])
    namers: defaultdict[str, list[Digest]] = field(default_factory=lambda: defaultdict[str, list[Digest]](list))
    flaws: dict[tuple[FarProblemKind, str], Flaw] = field(default_factory=dict[tuple[FarProblemKind, str], Flaw])
    gone_kept: int = 0
    unneeded: int = 0
    unnamed: int = 0
    foreign: int = 0

    def add(self, kind: FarProblemKind, key: str, message: str, alias: str = "") -> None:
        """Keep a flaw."""
        self.flaws.setdefault((kind, key), Flaw(kind, key, message, alias))

    @property
    def packs(self) -> dict[str, int]:
        """The packs that are known and there, in the order of their keys."""
        return {key: self.there[key] for key in sorted(self.there) if not key.startswith("x/")}


def look_through(
    remote: Remote, ids: Ids, suspects: Collection[str] = (), *, shards: Collection[str] | None = None
) -> View:
    """Look once. `suspects`: keys of which it is to be told who names them; `shards`: which to read, None: all."""
    view = View()
    state = read_one(remote, GC_KEY, lambda data: decode_remote(GcState, data))
    if state.value is None:
        view.add(FarProblemKind.GC_STATE, GC_KEY, state.problem or f"{remote.url}/{GC_KEY} is missing")
    past: set[Digest] = set()
    _read_tags(remote, view)
    _read_aliases(remote, view, past, ids)
    _read_sets(remote, view, past, frozenset(suspects))
    _list_all(remote, view)
    wanted = sorted(key for key in view.known if key.startswith("x/") and (shards is None or key in shards))
    _read_shards(remote, view, wanted)
    return view


def _read_tags(remote: Remote, view: View) -> None:
    keys = [found.key for found in remote.list(TAGS)]
    for read in read_each(remote, keys, lambda _, data: decode_remote(RemoteTag, data)):
        view.refs += 1
        if read.problem is not None:
            view.add(FarProblemKind.TAG, read.key, read.problem)
        elif read.value is not None and read.value.version:
            view.names.setdefault(Digest(read.value.version), []).append(read.key.removeprefix(TAGS))


def _read_aliases(remote: Remote, view: View, past: set[Digest], ids: Ids) -> None:
    """Take in aliases, with their whole histories; where they were lately goes into `past`."""
    keys = [found.key for found in remote.list(ALIASES)]
    heads: dict[str, RemoteAlias] = {}
    for read in read_each(remote, keys, lambda _, data: decode_remote(RemoteAlias, data)):
        view.refs += 1
        name = read.key.removeprefix(ALIASES)
        if read.problem is not None:
            view.add(FarProblemKind.ALIAS, read.key, read.problem)
        elif read.value is not None:
            heads[name] = read.value
            if read.value.version:
                view.names.setdefault(Digest(read.value.version), []).append(name)
    left = {name: _Chain(alias) for name, alias in heads.items()}
    while left:  # all chains at once, a move of each
        wanted = {move_key(chain.next): name for name, chain in left.items()}
        for came in read_each(remote, wanted, lambda key, data: _move_of(key, data, ids)):
            name, move = wanted[came.key], came.value
            chain = left[name]
            why = chain.flaw(name, move, came.problem)
            if why is not None:
                view.add(FarProblemKind.HISTORY, came.key, f"{remote.url}/{came.key}: {why}", name)
            elif move is not None:
                view.moves += 1
                if chain.count <= limits.ROLLBACK_MOVES_MAX and move.target:
                    past.add(Digest(move.target))
                if move.previous:
                    continue
            del left[name]


@dataclass(slots=True)
class _Chain:
    """How far the history of an alias was followed back."""

    head: RemoteAlias
    next: bytes = b""
    seq: int = 0
    count: int = 0

    def __post_init__(self) -> None:
        self.next, self.seq = self.head.move, self.head.seq

    def flaw(self, name: str, move: Move | None, problem: str | None) -> str | None:
        """Why this isn't the move that should come next; else go one back."""
        if move is None:
            return problem or f"move {self.seq} of {name} is missing"
        self.count += 1
        if move.alias != name or move.seq != self.seq or (move.seq == 1) == bool(move.previous):
            return f"it is not move {self.seq} of {name}"
        if self.count == 1 and move.target != self.head.version:
            return f"{name} stands elsewhere than its last move says"
        self.next, self.seq = move.previous, self.seq - 1
        return None


def _move_of(key: str, data: bytes, ids: Ids) -> Move:
    if move_key(ids.move(data)) != key:
        raise Corrupt("it is not the move of this id")
    return decode_move(data)


def _read_sets(remote: Remote, view: View, past: set[Digest], suspects: frozenset[str]) -> None:
    """Take in the sets of all that refs lead to, of where aliases were, and of inputs."""
    left = view.names.keys() | past
    asked: set[Digest] = set()
    while left:
        asked |= left
        inputs: set[Digest] = set()
        by_key = {set_key(version): version for version in sorted(left)}
        for read in read_each(remote, by_key, lambda _, data: decode_remote(RemoteSet, data)):
            version = by_key[read.key]
            if read.problem is not None:
                view.add(FarProblemKind.SET, read.key, read.problem)
            elif read.value is None and version in view.names:
                view.add(FarProblemKind.SET_MISSING, read.key, f"version {version.hex()} has no set at {remote.url}")
            elif read.value is None:
                view.gone_kept += 1
            else:
                keys = all_keys(read.value)
                view.known.update(keys)
                if version in view.names:
                    view.needed.update(keys)
                for key in suspects.intersection(keys):
                    view.namers[key].append(version)
                inputs.update(map(Digest, read.value.inputs))
        left = inputs - asked
    view.kept = asked - view.names.keys()


def _list_all(remote: Remote, view: View) -> None:
    """What lies there: of what size are packs, what is missing, what isn't ours."""
    versions = {version.hex() for version in view.names.keys() | view.kept}
    for found in remote.list(""):
        if is_pack_key(found.key):
            if found.key in view.known:
                view.there[found.key] = found.size
            else:
                view.unneeded += 1
        elif not _is_ours(found.key):
            view.foreign += 1
        elif found.key.startswith(_SETS):
            view.unnamed += found.key.removeprefix(_SETS) not in versions
    for key in sorted(view.known - view.there.keys()):
        kind = FarProblemKind.SHARD_MISSING if key.startswith("x/") else FarProblemKind.PACK_MISSING
        if key in view.needed:
            view.add(kind, key, f"{remote.url}/{key} is missing")
        else:
            view.gone_kept += 1


def _is_ours(key: str) -> bool:
    if key in (FORMAT_KEY, GC_KEY, HINT_KEY, MIRROR_KEY, RING_KEY):
        return True
    if key.startswith((_SETS, _MOVES)):
        id = key.partition("/")[2]
        return len(id) == _ID_HEX and _HEX.issuperset(id)
    return key.startswith(_OURS)


def _read_shards(remote: Remote, view: View, shards: Iterable[str]) -> None:
    """What shards tell, and whether it fits what lies there. Of their tables a hash is held."""
    for read in read_each(remote, (key for key in shards if key in view.there), _shard_of):
        if read.problem is not None:
            view.add(FarProblemKind.SHARD, read.key, read.problem)
        for pack in read.value or ():
            if pack.key not in view.known:
                continue
            size = view.there.get(pack.key)
            view.told[pack.key] = Told(pack.size, checksum(pack.table), read.key)
            if size is not None and size != pack.size:
                why = f"{remote.url}/{pack.key} has {size} bytes, and should have {pack.size}"
                view.add(FarProblemKind.PACK, pack.key, why)


def _shard_of(_: str, data: bytes) -> list[ShardPack]:
    packs = decode_shard(data)
    for pack in packs:
        table_of_shard(pack)
    return packs

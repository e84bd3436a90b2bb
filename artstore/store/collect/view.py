"""What collection sees of the store: which versions stay and why, and what the pure plan of packs is made from.

Inside a write transaction it sees what no other process can change before that commits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt
from artstore.model import Digest
from artstore.planning.gc import GcView
from artstore.planning.roots import AliasHistory, RootsPlan, VersionFacts, plan_roots
from artstore.store.collect import records
from artstore.store.followed import followed_versions

if TYPE_CHECKING:
    from artstore.ports import IndexReader
    from artstore.store.context import Context
    from artstore.store.objects import Objects


class Facts:
    """What decides whether a version stays, read from its document once. A few hundred bytes for each version."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known: dict[Digest, VersionFacts] = {}
        self.unreadable: set[Digest] = set()

    def of_all(self, reader: IndexReader) -> dict[Digest, VersionFacts]:
        """The facts of every version of the store; a damaged document tells nothing, see `unreadable`."""
        return {version: self._of(version) for version in reader.versions()}

    def learn(self, context: Context) -> None:
        """Read what isn't known yet ahead of a transaction, which shall be short."""
        with context.index.read() as reader:
            versions = list(reader.versions())
        for version in versions:
            self._of(version)

    def _of(self, version: Digest) -> VersionFacts:
        known = self._known.get(version)
        if known is None:
            try:
                document = self._objects.version(version)
                inputs = sorted({bytes.fromhex(value) for value in document.metadata.inputs.values()})
                known = VersionFacts(document.created, tuple(Digest(value) for value in inputs))
            except Corrupt:
                self.unreadable.add(version)
                known = VersionFacts(0)
            self._known[version] = known
        return known


@dataclass(frozen=True, slots=True)
class Sight:
    """The store as one transaction sees it, and while it lasts. `roots.gone` holds versions that nothing leads to;
    `gone` are those of them that may go, the others stay for this run.
    """

    facts: Mapping[Digest, VersionFacts]
    roots: RootsPlan
    gone: frozenset[Digest]
    view: GcView


def alias_histories(reader: IndexReader) -> Iterator[AliasHistory]:
    """Aliases with as many of their last moves as hold versions."""
    for alias in reader.aliases():
        moves = [move for _, move in islice(reader.moves(alias.name), limits.ALIAS_MOVES_KEPT)]
        yield AliasHistory(alias.name, moves)


def judge(
    reader: IndexReader, facts: Facts, *, now: int, undo_ns: int = limits.UNDO_NS, strict: bool = True
) -> tuple[dict[Digest, VersionFacts], RootsPlan]:
    """Every version, and which of them stay.

    `strict`: Corrupt when a ref names a version that isn't there, or the inputs of a version that stays can't be read:
    collecting would remove more than is known to be unneeded.
    """
    versions = facts.of_all(reader)
    roots = plan_roots(
        tags=reader.tags(),
        histories=alias_histories(reader),
        versions=versions,
        now=now,
        followed=followed_versions(reader),
        undo_ns=undo_ns,
    )
    if strict:
        _refuse_doubt(facts, roots)
    return versions, roots


def _refuse_doubt(facts: Facts, roots: RootsPlan) -> None:
    for name, version in roots.missing:
        raise Corrupt(
            f"{name} names version {version.hex()}, which is not in this store",
            digest=version,
            hint="run `artstore check --rebuild-index`, or remove that name",
        )
    for version in facts.unreadable & roots.kept.keys():
        raise Corrupt(
            f"version {version.hex()} ({roots.kept[version]}) can't be read: what it was made from is unknown",
            digest=version,
            hint="run `artstore check --repair`, or `artstore rm` it",
        )


def look(
    context: Context,
    reader: IndexReader,
    facts: Facts,
    *,
    own: bytes = b"",
    allowed: frozenset[Digest] | None = None,
    undo_ns: int = limits.UNDO_NS,
    strict: bool = True,
) -> Sight:
    """All that collection needs to know. `own`: the collector's session; `allowed`: versions that may go (None: all).

    Raises as `judge`, unless `strict` is False: for who removes nothing.
    """
    now = context.clock.now_ns()
    versions, roots = judge(reader, facts, now=now, undo_ns=undo_ns, strict=strict)
    gone = frozenset(roots.gone) if allowed is None else frozenset(roots.gone) & allowed
    view = GcView(
        packs=list(reader.packs()),
        kept=_Sets(reader, frozenset(versions.keys() - gone)),
        gone=_Sets(reader, gone),
        now=now,
        gone_since=records.gone_since(reader),
        # Asked inside the transaction: a session that has named a pack by now runs, or has published or given up.
        running=frozenset(id for id, _ in context.sessions.running()) - {own},
        witnesses=records.witnesses(reader),
    )
    return Sight(versions, roots, gone, view)


class _Sets(Mapping[Digest, Sequence[int]]):
    """The sets of some versions, each read when it is asked for: together they may be too many to hold."""

    def __init__(self, reader: IndexReader, versions: Collection[Digest]) -> None:
        self._reader = reader
        self._versions = versions

    def __getitem__(self, version: Digest) -> Sequence[int]:
        if version not in self._versions:
            raise KeyError(version)
        return self._reader.version_set(version) or ()

    def __iter__(self) -> Iterator[Digest]:
        return iter(self._versions)

    def __len__(self) -> int:
        return len(self._versions)

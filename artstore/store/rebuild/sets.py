"""Finds out anew what each version needs: sets, and what trees and recipes need, from the pages themselves."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, NewerFormat
from artstore.model import Digest
from artstore.store.check.refs import names_of
from artstore.store.check.report import Hurt
from artstore.store.check.survey import Surveyor
from artstore.store.lost import put_lost
from artstore.store.partial import mark_partial

if TYPE_CHECKING:
    from collections.abc import Iterable

    from artstore.store.check.survey import VersionSurvey
    from artstore.store.context import Context
    from artstore.store.objects import Objects


@dataclass(slots=True)
class SetEntries:
    """What was entered. `partial`: versions that weren't, since they aren't whole; `elsewhere`: those that were, though
    chunks are missing, since a remote may have them.
    """

    versions: int = 0
    partial: int = 0
    elsewhere: int = 0
    hurt: list[Hurt] = field(default_factory=list[Hurt])


def enter_sets(
    context: Context,
    objects: Objects,
    versions: Iterable[Digest],
    targets: Iterable[Digest],
    *,
    has_remotes: bool = False,
) -> SetEntries:
    """A set for every version that is whole, and for those which `targets` need though they aren't.

    A version that nothing leads to and that isn't whole was most likely collected: it stays out. `has_remotes`: what is
    missing may be there.
    """
    entered = SetEntries()
    with context.index.read() as reader:
        names: dict[bytes, list[str]] = {}
        for version, name in names_of(reader):
            names.setdefault(version, []).append(name)
    rows = _PageRows(context)
    surveyor = Surveyor(context.index, objects, on_root=rows.add, partial=has_remotes)
    wanted = _with_inputs(objects, targets)
    for version in sorted(wanted.union(versions)):
        survey = surveyor.version(version)
        if (survey.is_sound and survey.is_whole) or version in wanted:
            _enter(context, version, survey)
            entered.versions += survey.version is not None
            entered.elsewhere += not survey.is_whole
            entered.hurt += [Hurt(version, path, tuple(names.get(version, ()))) for path in survey.complaints]
        else:
            entered.partial += 1
    rows.write()
    return entered


def _enter(context: Context, version: Digest, survey: VersionSurvey) -> None:
    with context.index.write() as writer:
        if survey.version is not None:
            writer.put_set(version, survey.packs)
            if not survey.is_whole:
                mark_partial(writer, version, b"")
        if survey.missing:
            put_lost(writer, survey.missing, [version])


def _with_inputs(objects: Objects, targets: Iterable[Digest]) -> set[Digest]:
    """These versions, and those that they were made from, as far as their documents can be read."""
    wanted: set[Digest] = set()
    left = deque(targets)
    while left:
        version = left.popleft()
        if version in wanted:
            continue
        wanted.add(version)
        try:
            inputs = objects.version(version).metadata.inputs
        except (Corrupt, NewerFormat):
            continue
        left.extend(Digest(bytes.fromhex(value)) for value in inputs.values())
    return wanted


class _PageRows:
    """Gathers what trees and recipes need, and writes it in batches."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rows: dict[bytes, frozenset[int]] = {}

    def add(self, root: bytes, packs: frozenset[int]) -> None:
        """One root."""
        self._rows[root] = packs
        if len(self._rows) >= limits.INDEX_BATCH:
            self.write()

    def write(self) -> None:
        """Write what waits."""
        with self._context.index.write() as writer:
            for root in sorted(self._rows):
                writer.put_page_packs(root, self._rows[root])
        self._rows = {}

"""The repair of a store, going by what a check found; what it does and in which order.

Nothing that can be read is given up. Damaged copies leave the index, so that the next commit stores them again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Busy, Corrupt
from artstore.model import PackState
from artstore.store.check.report import Hurt, ProblemKind
from artstore.store.check.survey import Surveyor
from artstore.store.context import Counters
from artstore.store.lost import put_lost
from artstore.store.objects import Objects
from artstore.store.repair.refs import restore_refs, rewrite_log
from artstore.store.repair.report import RepairReport
from artstore.store.repair.salvage import reindex, salvage

if TYPE_CHECKING:
    from artstore.model import Digest, PackRow
    from artstore.ports import Session
    from artstore.store.check.report import CheckReport, Problem
    from artstore.store.context import Context


def repair(context: Context, objects: Objects, report: CheckReport, counters: Counters | None = None) -> RepairReport:
    """Mend what a check found. Busy while other sessions run; NoSpace leaves what isn't mended yet as it is.

    Idempotent: what a killed repair left is found by the next check.
    """
    begun = time.monotonic()
    with context.sessions.begin() as session:
        others = [id for id, _ in context.sessions.running() if id != session.id]
        if others:
            raise Busy(f"{len(others)} other processes are writing to the store", hint="repair it when they are done")
        here = replace(context, far=None)  # what a remote has can't be mended from what is here
        work = _Repair(here, Objects(here), report, session, counters or Counters())
        work.run()
    objects.forget()
    return work.result(time.monotonic() - begun)


@dataclass(slots=True)
class _Repair:
    """One repair."""

    context: Context
    objects: Objects
    report: CheckReport
    session: Session
    counters: Counters
    rewritten: int = 0
    dropped: int = 0
    kept: int = 0
    quarantined: int = 0
    reindexed: int = 0
    sets_mended: int = 0
    refs_restored: int = 0
    log_rewritten: bool = False
    lost: dict[Digest, None] = field(default_factory=dict["Digest", None])
    lost_more: int = 0
    hurt: list[Hurt] = field(default_factory=list["Hurt"])
    remaining: list[Problem] = field(default_factory=list["Problem"])

    def run(self) -> None:
        """Refs first: they are small, and dear."""
        kinds = {problem.kind for problem in self.report.problems}
        if ProblemKind.INDEX in kinds:  # what the index says can't be gone by
            self.remaining = list(self.report.problems)
            return
        if ProblemKind.LOG in kinds:
            rewrite_log(self.context.index)
            self.log_rewritten = True
        elif ProblemKind.REF in kinds:
            self.refs_restored = restore_refs(self.context.index, self.context.ids)
        self._packs()
        for problem in self.report.problems:
            if problem.digest is not None and problem.kind in (ProblemKind.SET, ProblemKind.REF):
                self._mend_set(problem.digest)
        self._tell_hurt()
        self.remaining = [problem for problem in self.report.problems if self._remains(problem)]

    def _packs(self) -> None:
        hurt = self.report.hurt_packs
        misplaced = {problem.pack for problem in self.report.problems if problem.kind is ProblemKind.ROWS}
        with self.context.index.read() as reader:
            rows = [row for row in reader.packs() if row.state is not PackState.DELETING]
        chosen = [row for row in rows if row.number in hurt or row.id in misplaced]
        self.counters.files_total = len(chosen)
        for row in chosen:
            if row.number in hurt:
                self._salvage(row)
            else:
                self._reindex(row)
            self.counters.files_done += 1

    def _salvage(self, row: PackRow) -> None:
        done = salvage(self.context, self.session, row)
        self.rewritten += done.kept > 0
        self.dropped += done.kept == 0
        self.kept += done.kept
        self.quarantined += done.quarantined
        for id in done.lost:
            if len(self.lost) < limits.LOST_IDS_MAX:
                self.lost[id] = None
            else:
                self.lost_more += 1

    def _reindex(self, row: PackRow) -> None:
        try:
            reindex(self.context, row)
            self.reindexed += 1
        except Corrupt:  # damaged since it was checked
            self._salvage(row)

    def _mend_set(self, version: Digest) -> None:
        """Name exactly the packs that are there, and all that the version needs."""
        with self.context.index.read() as reader:
            old = reader.version_set(version) or ()
        survey = Surveyor(self.context.index, self.objects, prefer=frozenset(old)).version(version)
        if survey.version is None:
            return
        with self.context.index.write() as writer:
            old = writer.version_set(version) or ()
            packs = survey.packs | {number for number in old if writer.pack(number) is not None}
            for number in packs:
                row = writer.pack(number)
                if row is not None and row.state is not PackState.LIVE:
                    writer.set_pack_state(number, PackState.LIVE, 0)
            writer.put_set(version, packs)
        self.sets_mended += 1

    def _tell_hurt(self) -> None:
        """What can't be read after all that, and a note of it for whoever stores it again."""
        refs = {hurt.version: hurt.refs for hurt in self.report.hurt}
        surveyor = Surveyor(self.context.index, self.objects)
        for version in sorted(refs):
            survey = surveyor.version(version)
            self.hurt += [Hurt(version, path, refs[version]) for path in survey.complaints]
            if survey.missing:
                with self.context.index.write() as writer:
                    put_lost(writer, survey.missing, [version])

    def _remains(self, problem: Problem) -> bool:
        """Whether a repair could do nothing about it."""
        if problem.kind is ProblemKind.NAME:
            return True
        if problem.kind not in (ProblemKind.VERSION, ProblemKind.REF, ProblemKind.SET):
            return False
        hurt = {each.version for each in self.hurt}
        return problem.digest in hurt or not hurt.isdisjoint(each.version for each in problem.hurt)

    def result(self, seconds: float) -> RepairReport:
        """What was done."""
        return RepairReport(
            rewritten=self.rewritten,
            dropped=self.dropped,
            kept_objects=self.kept,
            quarantined=self.quarantined,
            lost=tuple(self.lost),
            lost_more=self.lost_more,
            reindexed=self.reindexed,
            sets_mended=self.sets_mended,
            log_rewritten=self.log_rewritten,
            refs_restored=self.refs_restored,
            hurt=tuple(self.hurt),
            remaining=tuple(self.remaining),
            needs_rebuild=any(problem.kind is ProblemKind.INDEX for problem in self.report.problems),
            seconds=seconds,
        )

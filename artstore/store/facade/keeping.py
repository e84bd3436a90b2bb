"""Keeping a store well: collection with undo, retention, check and repair, erasure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from artstore.store import identity
from artstore.store.facade.base import AnyPath, Base, Rev

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from artstore.model import Digest
    from artstore.planning.retention import Policy, RetentionPlan
    from artstore.store.check import CheckReport
    from artstore.store.collect import GcPlan, GcResult, OnlyPath, UndoResult
    from artstore.store.context import Counters
    from artstore.store.purge import PurgePlan, PurgeResult
    from artstore.store.remove import Removal
    from artstore.store.repair import RepairReport


class Keeping(Base):
    """What frees, verifies, mends and erases."""

    def gc_plan(self, *, now: bool = False) -> GcPlan:
        """What `gc` would free, and when; changes nothing. `now`: without the undo window."""
        from artstore.store.collect import gc_plan

        return gc_plan(self.context, self.objects, now=now)

    def lost_paths(self, plan: GcPlan, version: Digest) -> Iterator[OnlyPath]:
        """The topmost paths of a version in a plan that no version which stays has."""
        from artstore.store.collect import only_paths

        return only_paths(self.context, self.objects, plan, version)

    def gc(self, plan: GcPlan, *, now: bool = False) -> GcResult:
        """Free what a plan told of; for seven days it can be undone, unless `now`. Busy if `now` while writers run."""
        from artstore.store.collect import gc

        return gc(self.context, self.objects, plan, now=now)

    def gc_undo(self) -> UndoResult:
        """Bring back what was removed and collected in the last seven days, as far as its packs are still here."""
        from artstore.store.collect import undo

        return undo(self.context, self.objects, who=identity.user(), host=identity.host())

    def retention_plan(self, policy: Policy, artifacts: Sequence[str] = ()) -> RetentionPlan:
        """Which tags a retention policy would remove, of all artifacts or of some; changes nothing."""
        from artstore.store.remove import plan_removal

        return plan_removal(self.context, self.objects, policy, artifacts=artifacts)

    def retain(self, policy: Policy, plan: RetentionPlan, artifacts: Sequence[str] = ()) -> Removal:
        """Remove the tags that a retention plan told of, if the policy still lets them go."""
        from artstore.store.remove import apply_policy

        who = identity.user()
        return apply_policy(self.context, self.objects, policy, plan, artifacts=artifacts, who=who)

    def check(
        self,
        *,
        data: bool = False,
        max_duration: float | None = None,
        resume: bool = True,
        counters: Counters | None = None,
    ) -> CheckReport:
        """Look for damage: structure in seconds; with `data` every chunk is read, on from where a run was cut short."""
        from artstore.store.check import check

        return check(self.context, self.objects, data=data, max_duration=max_duration, resume=resume, counters=counters)

    def repair(self, report: CheckReport, *, counters: Counters | None = None) -> RepairReport:
        """Mend what a check found: the next commit stores again what was damaged. Busy while writers run."""
        from artstore.store.repair import repair

        return repair(self.context, self.objects, report, counters)

    def purge_plan(self, path: AnyPath, revisions: Sequence[Rev] | None = None) -> PurgePlan:
        """What erasing a path from some versions (None: from all) would do; changes nothing."""
        from artstore.store.purge import purge_plan

        versions = None if revisions is None else [self.resolve(revision).version for revision in revisions]
        return purge_plan(self.context, self.objects, os.fsencode(path), versions=versions)

    def purge(self, plan: PurgePlan, *, reason: str = "") -> PurgeResult:
        """Erase what a plan told of, for good. Busy while writers run; Conflict if versions were made meanwhile."""
        from artstore.store.purge import purge

        return purge(self.context, self.objects, plan, who=identity.user(), reason=reason)

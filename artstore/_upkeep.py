"""`artstore.Store`: what keeps remotes small and sound, and takes from them what is lost here."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from artstore import limits
from artstore._remotes import Remotes, requests_since
from artstore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore.format.remote import FormerGrace
    from artstore.store.check_remote import RemoteCheckReport
    from artstore.store.context import Counters
    from artstore.store.remote.collect import RemoteGcPlan, RemoteGcResult
    from artstore.store.remote.gc_state import CollectionStatus
    from artstore.store.remote.repack import RemoteRepack
    from artstore.store.repair.refill import RefillReport
    from artstore.store.repair_remote import RemoteRepairReport


class Upkeep(Remotes):
    """Collection, repack, scrub and repair of the remotes of a store."""

    def remote_gc_plan(self, remote: str | None = None, *, looking: bool = False) -> RemoteGcPlan:
        """What a run of collection at a remote, the home one if none is named, would do now; changes nothing.

        Busy while somebody has the remote for himself, unless this is for `looking` only.
        """
        from artstore.store.remote.collect import RemoteCollector

        with self._opened(remote, reading=True) as (there, id):
            return RemoteCollector(self.context, there, id).plan(looking=looking)

    def remote_gc(self, remote: str | None = None, *, plan: RemoteGcPlan | None = None) -> RemoteGcResult:
        """Do one run, that of `plan` if it is given: list what no ref there leads to, delete what has its time over.

        What is listed is deleted by a run that begins a `grace` (a day) after another one has seen it listed. Safe
        while others push and collect. Corrupt, and nothing is done, if a set there can't be read; Busy if somebody else
        was quicker.
        """
        from artstore.store.remote.collect import RemoteCollector

        with self._opened(remote) as (there, id):
            collector = RemoteCollector(self.context, there, id)
            return collector.collect(plan or collector.plan())

    def remote_gc_now(
        self, remote: str | None = None, *, left: Callable[[float], None] | None = None
    ) -> RemoteGcResult:
        """Hold a remote, wait until nobody can still write what relies on anything before, delete all garbage there.

        That is half of a `grace` (12 hours); `left` is told every second how many are left. Whoever writes names there
        meanwhile gets Busy. It is let go in any case, but for being killed: then another such run goes on with it.
        """
        from artstore.store import identity
        from artstore.store.remote.holding import Holder

        who = f"{identity.user()} on {identity.host()}"
        with self._opened(remote) as (there, id):
            return Holder(self.context, there, id, who, left or (lambda _: None)).collect()

    def collection_status(self, remote: str | None = None) -> CollectionStatus:
        """How long garbage waits at a remote, and who holds it; it is asked."""
        from artstore.store.remote.gc_state import collection_status

        with self._opened(remote, reading=True) as (there, _):
            return collection_status(there)

    def set_remote_grace(self, grace_s: int, *, remote: str | None = None) -> tuple[int, FormerGrace | None]:
        """Change how long garbage waits at a remote; what was said before, and the longer one that is still in force.

        Raising it is in force at once; lowering it once a run finds it lowered, and another one begins so long after
        that as was said before. UsageError if it is out of bounds.
        """
        from artstore.store.remote.holding import set_grace

        if not limits.REMOTE_GRACE_S_MIN <= grace_s <= limits.REMOTE_GRACE_S_MAX:
            raise UsageError(
                f"{grace_s} s are too few or too many for garbage to wait",
                hint="10min is the least: a push must be able to prove what it needs within half of it; 366d the most",
            )
        with self._opened(remote) as (there, _):
            return set_grace(there, grace_s)

    @contextmanager
    def remote_repack(self, remote: str | None = None, *, counters: Counters | None = None) -> Generator[RemoteRepack]:
        """Rewrite packs at a remote that are mostly dead, or small: `plan` tells what that is, `run` does it.

        What isn't here is fetched. Old packs go with the collections that follow. Safe while others push, read,
        collect and repack.
        """
        from artstore.store.context import Counters
        from artstore.store.remote.repack import RemoteRepack

        counters = counters or Counters()
        with (
            self._opened(remote, counters) as (there, id),
            RemoteRepack(self.context, self.objects, there, id, counters) as repack,
        ):
            yield repack

    def check_at_remote(
        self,
        remote: str | None = None,
        *,
        data: bool = False,
        max_duration: float | None = None,
        resume: bool = True,
        limit_rate: int | None = None,
        counters: Counters | None = None,
    ) -> RemoteCheckReport:
        """Look for damage at a remote, the home one if none is named: changes nothing there, whoever pushes meanwhile.

        Without `data`: names and histories, sets, shards, sizes of packs. With it each object there is read and
        verified, for `max_duration` (seconds); with `resume` on from where the last check ended.
        """
        from artstore.store.check_remote import check_remote

        with self.context.flow.limited(limit_rate), self._opened(remote, counters, reading=True) as (there, id):
            return check_remote(
                self.context, there, id, data=data, max_duration=max_duration, resume=resume, counters=counters
            )

    def repair_at_remote(
        self,
        remote: str | None = None,
        *,
        data: bool = False,
        packs: Sequence[str] = (),
        dry_run: bool = False,
        limit_rate: int | None = None,
        counters: Counters | None = None,
    ) -> RemoteRepairReport:
        """Mend what is damaged at a remote, the home one if none is named, with what is here, there, and elsewhere.

        It looks for damage first; packs that a check of this store found damaged are known, `packs` are keys of further
        ones that are read, with `data` all are. What the damaged ones held is sent again in new packs, and the sets of
        all versions concerned name these. Safe while others push and collect. `dry_run`: only finds out what it would
        do.
        """
        from artstore.store.repair_remote import repair_remote

        with self.context.flow.limited(limit_rate), self._opened(remote, counters, reading=True) as (there, id):
            return repair_remote(
                self.context, self.objects, there, id, data=data, packs=packs, dry_run=dry_run, counters=counters
            )

    def repair_from_remotes(self, *, limit_rate: int | None = None, counters: Counters | None = None) -> RefillReport:
        """Have what `repair` could not save here again, as far as remotes have it, each object verified."""
        from artstore.store.context import Counters
        from artstore.store.repair.refill import refill

        counters = counters or Counters()
        counters.requests = counters.requests or requests_since(self.remote_stats)
        with self.context.flow.limited(limit_rate):
            return refill(self.context, self.objects, counters)

    def lost_objects(self) -> int:
        """How many objects were lost by damage, and not stored again."""
        from artstore.store.repair.refill import lost_here

        return lost_here(self.context)

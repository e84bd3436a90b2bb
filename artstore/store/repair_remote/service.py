"""The repair of a remote, going by what a check finds there: what is mended, in which order, and what is left.

Idempotent: each part begins from what the remote says, so that a repair which was killed is gone on with by the next.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Corrupt, Erased, NotFound, NotPermitted, UsageError
from artstore.format.remote import WRITE_BYTES, is_pack_key
from artstore.model import Digest
from artstore.store.check_remote.cursor import note_bad
from artstore.store.check_remote.data import DataCheck
from artstore.store.check_remote.report import FarProblemKind
from artstore.store.check_remote.service import PACK_KINDS, SHARD_KINDS, Seen, look_for_damage, problems_of
from artstore.store.context import Counters
from artstore.store.partial import is_partial
from artstore.store.remote.presence import boot_time
from artstore.store.remote.push import Pusher
from artstore.store.remote.sent import forget_packs
from artstore.store.repair_remote.condemn import condemn
from artstore.store.repair_remote.packs import PackRepair
from artstore.store.repair_remote.refs import RefRepair
from artstore.store.repair_remote.report import RemoteRepairReport

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from artstore.ports import Remote
    from artstore.store.context import Context
    from artstore.store.objects import Objects

_SETS = "sets/"
_UNREADABLE_KINDS = (FarProblemKind.TAG, FarProblemKind.ALIAS, FarProblemKind.SET, FarProblemKind.GC_STATE)


def repair_remote(
    context: Context,
    objects: Objects,
    remote: Remote,
    remote_id: bytes,
    *,
    data: bool = False,
    packs: Collection[str] = (),
    dry_run: bool = False,
    counters: Counters | None = None,
    now: Callable[[], float] = boot_time,
) -> RemoteRepairReport:
    """Mend what is damaged at a remote, with what is here, there, and at other remotes.

    What a check found before is known, by this store; `packs` are further ones that are to be read, by their keys; with
    `data` all are. Busy while collection has the remote for
    itself. `dry_run`: finds out what would be done, for which it reads what would be sent.
    """
    strange = next((key for key in packs if not is_pack_key(key) or key.startswith("x/")), None)
    if strange is not None:
        raise UsageError(f"{strange!r} is no key of a pack", hint="write p/… or m/…, as `artstore check --remote` does")
    note_bad(context.index, remote_id, dict.fromkeys(packs, "it was named to a repair"))  # until it is read
    begun, before = time.monotonic(), remote.stats.requests
    work = _Repair(context, objects, remote, remote_id, counters or Counters(), now, RemoteRepairReport(not dry_run))
    check = DataCheck(context, remote, remote_id, work.counters) if data else None
    seen = look_for_damage(context, remote, remote_id, check, resume=False)
    work.report.found = work.report.remaining = tuple(problems_of(context, remote, seen))
    for _ in range(limits.REMOTE_REPAIRS_MAX if seen.flaws else 0):
        with context.sessions.begin():  # what is read here is not collected meanwhile
            work.run(seen)
        if dry_run:
            break
        # What has been mended may lead to what nobody could see before: an earlier move, packs that no set named.
        after = look_for_damage(context, remote, remote_id, check, resume=False)
        if not after.flaws or after.flaws == seen.flaws:
            seen = after
            break
        seen = after
    if not dry_run and work.report.found:
        work.take_out(seen)
        work.report.remaining = tuple(problems_of(context, remote, seen))
    work.report.requests = remote.stats.requests - before
    work.report.seconds = time.monotonic() - begun
    return work.report


class _Repair:
    """One repair."""

    def __init__(
        self,
        context: Context,
        objects: Objects,
        remote: Remote,
        remote_id: bytes,
        counters: Counters,
        now: Callable[[], float],
        report: RemoteRepairReport,
    ) -> None:
        self._context = context
        self._objects = objects
        self._remote = remote
        self._remote_id = remote_id
        self._now = now
        self._bad: set[str] = set()
        self.counters = counters
        self.report = report

    def run(self, seen: Seen) -> None:
        """Names first: what nobody can read leads nowhere, and is told in the next round. Then packs, then sets."""
        self.report.asked = self._remotes()
        self.report.lost.clear()
        self.report.lost_objects = 0
        refs = RefRepair(
            self._context,
            self._remote,
            self._remote_id,
            self.report,
            self._now,
            lambda: secrets.token_bytes(WRITE_BYTES),
        )
        refs.histories(seen.flaws)
        if any(flaw.kind is FarProblemKind.GC_STATE for flaw in seen.flaws):
            return  # nobody may rely on any pack: what is being deleted isn't known
        refs.names(seen.flaws)
        bad = {flaw.key for flaw in seen.flaws if flaw.kind in (*PACK_KINDS, *SHARD_KINDS)}
        packs = PackRepair(self._context, self._objects, self._remote, seen.view, bad, self.report, self._now)
        packs.run()
        self._rebuild(seen, bad, packs.unknown)
        self._bad |= bad

    def take_out(self, after: Seen) -> None:
        """Let nobody rely any more on bad packs that no set names: no push of this store, and none of others.

        Not while there is a name or a set that can't be read: it may lead to them.
        """
        gone = self._bad - {flaw.key for flaw in after.flaws} - after.view.known
        if not gone or any(flaw.kind in _UNREADABLE_KINDS for flaw in after.flaws):
            return
        self.report.replaced += sorted(gone)
        with self._context.index.write() as writer:
            forget_packs(writer, self._remote_id, gone)
            for key in gone:  # where what it held lies now is learnt when it is read
                pack = writer.far_pack_at(self._remote_id, key)
                if pack is not None:
                    writer.remove_far_pack(pack.number)
        there = {key for key in gone if self._remote.head(key) is not None}
        if not there:
            return
        try:
            self.report.listed += sorted(condemn(self._remote, there))
        except NotPermitted as error:
            self.report.notes.append(
                f"stores that sent the {len(there)} damaged packs may rely on them until `artstore gc --remote` has "
                f"listed them: {error}"
            )

    def _rebuild(self, seen: Seen, bad: set[str], unknown: set[str]) -> None:
        """Sets of versions that are here: those that can't be read, are missing, or name what nobody knows."""
        keys = {flaw.key for flaw in seen.flaws if flaw.kind in (FarProblemKind.SET, FarProblemKind.SET_MISSING)}
        damaged = {Digest(bytes.fromhex(key.removeprefix(_SETS))) for key in keys}
        wanted = damaged | {version for key in unknown for version in seen.view.namers[key]}
        versions = sorted(version for version in wanted if self._is_whole(version))
        if not versions:
            return
        if not self.report.done:
            self.report.sets_rebuilt += len(versions)
            return
        for version in versions:  # one by one: what can't be read here of one must not keep the others
            pusher = Pusher(self._context, self._objects, self._remote, self._remote_id, self.counters, now=self._now)
            try:
                done = pusher.mend([version], damaged=damaged & {version}, bad=bad)
            except (NotFound, Corrupt, Erased) as error:
                self.report.notes.append(f"version {version.hex()[:8]}: {error.message}")
                continue
            self.report.packs += done.packs
            self.report.sent_bytes += done.sent_bytes
            self.report.sets_rebuilt += done.versions

    def _is_whole(self, version: Digest) -> bool:
        with self._context.index.read() as reader:
            return reader.version_set(version) is not None and not is_partial(reader, version)

    def _remotes(self) -> list[str]:
        far = self._context.far
        found: list[str] = [self._remote.url]
        for id in far.pool.ids() if far is not None else ():
            url = far.pool.open(id).url if far is not None else ""
            if url not in found:
                found.append(url)
        return found

"""Carries a collection out: condemns and deletes packs, forgets versions, rewrites packs, sweeps leftovers.

Each step is one write transaction which judges afresh what it acts on; files are unlinked after it has committed [I4].
Killed anywhere, the next run goes on from what the index says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Busy
from artstore.model import PackState
from artstore.planning.gc import plan_gc
from artstore.store.collect import records
from artstore.store.collect.leftovers import remove_leftovers
from artstore.store.collect.repack import repack
from artstore.store.collect.shortcuts import sweep_shortcuts
from artstore.store.collect.view import Facts, look
from artstore.store.lost import heal_sets
from artstore.store.partial import mark_whole

if TYPE_CHECKING:
    from artstore.model import Digest, PackId
    from artstore.planning.gc import GcPlan as Step
    from artstore.ports import IndexWriter, Session
    from artstore.store.collect.plan import Freeing, GcPlan
    from artstore.store.collect.view import Sight
    from artstore.store.context import Context
    from artstore.store.objects import Objects

_HELD_BACK = "commits or other writers run that began before"


@dataclass(slots=True)
class GcResult:
    """What was done. `versions`: those that went; `condemned_packs`: now condemned, to be freed at the times of
    `freed_later`; `freed_bytes`: of packs unlinked and leftovers, less what was rewritten at once; `waiting`: bytes
    held back by running sessions; `repacked_*`: packs rewritten and their bytes, `rewritten_bytes` those of the new
    ones; `notes`: what could not be done, and why.
    """

    versions: set[Digest] = field(default_factory=set["Digest"])
    condemned_packs: int = 0
    freed_packs: int = 0
    freed_bytes: int = 0
    freed_later: tuple[Freeing, ...] = ()
    waiting: int = 0
    repacked_packs: int = 0
    repacked_bytes: int = 0
    rewritten_bytes: int = 0
    leftovers: int = 0
    notes: list[str] = field(default_factory=list[str])


def gc(context: Context, objects: Objects, plan: GcPlan, *, now: bool = False) -> GcResult:
    """Collect what a plan told of; versions that lost their last name since are left to the next run.

    `now`: the undo window is given up and all that can go is freed at once; Busy while other sessions run, with nothing
    done, or if one began meanwhile, with the rest left to the next run. Idempotent; safe to run twice at a time.
    """
    result = GcResult()
    with context.sessions.begin() as session:
        run = _Run(context, objects, session, plan, result, undo_ns=0 if now else limits.UNDO_NS)
        run.collect()
        done = repack(context, objects, run.facts, session, allowed=plan.ids, undo_ns=run.undo_ns)
        result.repacked_packs, result.repacked_bytes = done.packs, done.old_bytes
        result.rewritten_bytes = done.new_bytes
        result.notes += done.damaged
        if done.packs:
            run.collect()
        if now:  # otherwise the old packs stay for a while, and `freed_later` tells of them
            result.freed_bytes -= result.rewritten_bytes
        sweep_shortcuts(context)
        swept = remove_leftovers(context)
        result.leftovers, result.freed_bytes = swept.files, result.freed_bytes + swept.size
    if now and result.waiting:
        raise Busy(
            f"{_HELD_BACK}: {result.waiting} bytes can't be freed yet",
            hint="run `artstore gc --yes` when they have ended",
        )
    return result


class _Run:
    """One collection."""

    def __init__(
        self, context: Context, objects: Objects, session: Session, plan: GcPlan, result: GcResult, *, undo_ns: int
    ) -> None:
        self._context = context
        self._session = session
        self._allowed = plan.ids
        self._result = result
        self.facts = plan.facts or Facts(objects)
        self.facts.learn(context)
        self.undo_ns = undo_ns
        self._begun = False

    def collect(self) -> None:
        """Step until nothing more can be done now: what a step marks for deletion, the next one may unlink."""
        while self._step().delete:
            pass

    def _step(self) -> Step:
        context, result = self._context, self._result
        with context.index.write() as writer:
            heal_sets(writer)  # what was lost and stored again is needed by versions whose sets don't say so yet
            sight = look(context, writer, self.facts, own=self._session.id, allowed=self._allowed, undo_ns=self.undo_ns)
            if self.undo_ns == 0 and sight.view.running and not self._begun:
                raise Busy(_HELD_BACK, hint="wait for them, or leave out --now: nothing is lost by collecting later")
            self._begun = True
            step = plan_gc(sight.view, undo_ns=self.undo_ns)
            new = {version for version in sight.gone if version not in sight.view.gone_since}
            unlinked = _carry_out(writer, sight, step)
        result.versions |= new
        result.condemned_packs += len(step.condemn)
        result.freed_later, result.waiting = step.freed_later, step.waiting
        for pack, size in unlinked:
            context.packs.delete(pack)
            result.freed_packs += 1
            result.freed_bytes += size
        return step


def _carry_out(writer: IndexWriter, sight: Sight, step: Step) -> list[tuple[PackId, int]]:
    """Change the index; tell the packs whose files are to be unlinked once that is durable."""
    time = sight.view.now
    _note_suspects(writer, sight, step)
    records.put_gone(writer, step.mark_gone, time)
    records.put_gone(writer, step.forget_gone, None)
    for version in step.drop:  # I4: the version, then what it needs
        writer.remove_set(version)
        mark_whole(writer, version)
    for number in step.revive:
        writer.set_pack_state(number, PackState.LIVE, 0)
    records.put_witnesses(writer, step.revive, None)
    for number in step.condemn:
        writer.set_pack_state(number, PackState.CONDEMNED, time)
    for number in step.delete:
        writer.set_pack_state(number, PackState.DELETING, time)
    # A pack that a commit took back may be marked a second time: who ran after the first mark vouches for nothing then.
    records.put_witnesses(writer, step.delete, None)
    records.put_witnesses(writer, step.witness, sight.view.running)
    rows = [row for number in step.unlink if (row := writer.pack(number)) is not None]
    for row in rows:  # I4: the entries, then the file
        writer.remove_pack(row.number)
    records.put_witnesses(writer, step.unlink, None)
    _forget_removed_refs(writer, sight, step)
    return [(row.id, row.size) for row in rows]


def _note_suspects(writer: IndexWriter, sight: Sight, step: Step) -> None:
    """Packs of which a part may be dead now, or may be when a commit revives them."""
    kept = {number for packs in sight.view.kept.values() for number in packs}
    fresh = {
        number
        for version in (*step.mark_gone, *step.drop)
        if version not in sight.view.gone_since
        for number in sight.view.gone[version]
        if number in kept
    }
    fresh.update(step.condemn)
    known = records.suspects(writer)
    after = (known | fresh) - set(step.unlink)
    if after != known:
        records.put_suspects(writer, after)


def _forget_removed_refs(writer: IndexWriter, sight: Sight, step: Step) -> None:
    """Names can come back within the undo window, or as long as the version that goes with them can."""
    recoverable = sight.gone - frozenset(step.drop)
    over = sight.view.now - limits.UNDO_NS
    for key, ref in list(records.removed_refs(writer)):
        if writer.version_set(ref.version) is None or (ref.removed <= over and ref.version not in recoverable):
            writer.put_journal(key, None)

"""A mirror becomes home: what the old home has is copied first, if it answers, and nobody writes there meanwhile.

The order: the old home says that it is a mirror, what it has by then is copied, then the mirror says that it is home.
Killed in between there is no home, nobody writes names, and the same promotion is gone on with; never are there two. If
the old home can't be reached the mirror alone is told, and the old one at the next contact of anybody who reaches both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Busy, Conflict, NotPermitted, RemoteError
from artstore.planning.mirrors import Claim, is_promoted, next_epoch
from artstore.store.remote.claims import Claimed, put_claim, read_claim, read_or_replace
from artstore.store.remote.copying import Copier, Side
from artstore.store.remote.names import Conflicting
from artstore.store.remote.presence import look

if TYPE_CHECKING:
    from artstore.ports import Remote
    from artstore.store.context import Context, Counters


@dataclass(frozen=True, slots=True)
class Reached:
    """A remote that answers, by its name in this store, and its id."""

    name: str
    remote: Remote
    id: bytes


@dataclass(slots=True)
class Promotion:
    """What a promotion did. `epoch`: its number; `changed`: False if it had been made before, and this store follows.

    `copied`: names that were brought over from the old home; `conflicts`: what one of the two has and the other
    hasn't; `notes`: remotes that couldn't be told.
    """

    name: str
    epoch: int
    changed: bool
    copied: list[str] = field(default_factory=list[str])
    conflicts: list[Conflicting] = field(default_factory=list[Conflicting])
    notes: list[str] = field(default_factory=list[str])


class Promoter:
    """Makes `target` the home. `old`: who was it, if that one answers; `epochs`: that this store knows of."""

    def __init__(
        self,
        context: Context,
        target: Reached,
        old: Reached | None,
        others: Sequence[Reached],
        epochs: Sequence[int],
        counters: Counters,
    ) -> None:
        self._context = context
        self._target = target
        self._old = old
        self._others = others
        self._epochs = epochs
        self._counters = counters

    def promote(self) -> Promotion:
        """Do it. Conflict if somebody else promotes at the same time."""
        reached = [each for each in (self._old, *self._others) if each is not None]
        claims = [read_or_replace(each.remote, each.id).claim for each in reached]
        own = read_or_replace(self._target.remote, self._target.id)
        if is_promoted(own.claim, claims):
            told = Promotion(self._target.name, own.claim.epoch, changed=False)
        else:
            told = self._raise(own, self._epoch([own.claim, *claims]))
        for each in reached:
            self._tell(each, told)
        return told

    def _epoch(self, claims: Sequence[Claim]) -> int:
        """The promotion's number: the one of a promotion of the same remote that ended half-way, else the next one."""
        epoch = next_epoch(claims, self._epochs)
        begun = [claim for claim in claims if claim.home == self._target.id and claim.remote != self._target.id]
        return epoch - 1 if any(claim.epoch == epoch - 1 > 0 for claim in begun) and self._is_alone(claims) else epoch

    def _is_alone(self, claims: Sequence[Claim]) -> bool:
        """Has nobody else been promoted under the greatest number?"""
        last = max(claim.epoch for claim in claims)
        return all(claim.home == self._target.id for claim in claims if claim.epoch == last)

    def _raise(self, own: Claimed, epoch: int) -> Promotion:
        told = Promotion(self._target.name, epoch, changed=True)
        url = self._target.remote.url
        if self._old is not None:
            before = read_or_replace(self._old.remote, self._old.id)
            said = Claim(self._old.id, self._target.id, epoch, url)
            look(self._target.remote)  # Busy while nobody may write there: nobody is to be without home meanwhile
            if before.claim != said and not put_claim(self._old.remote, said, before):
                raise self._lost()
            # Whoever wrote names there has done so by now, or finds out as soon as he has.
            self._copy(told, Side(self._old.remote, said), Side(self._target.remote, own.claim))
        if not put_claim(self._target.remote, Claim(self._target.id, self._target.id, epoch, url), own):
            raise self._lost()
        return told

    def _copy(self, told: Promotion, home: Side, mirror: Side) -> None:
        result = Copier(self._context, home, mirror, self._counters).copy()
        told.copied += result.written
        told.conflicts += result.conflicts

    def _lost(self) -> Conflict:
        return Conflict(
            f"{self._target.name} was not promoted: somebody else promotes, too",
            hint="`artstore remote list --ask` tells who is home now",
        )

    def _tell(self, each: Reached, told: Promotion) -> None:
        """Have a mirror, or the old home, say who is home; and say what it has that home hasn't."""
        said = Claim(each.id, self._target.id, told.epoch, self._target.remote.url)
        try:
            claim = have_follow(each.remote, said)
        except (RemoteError, NotPermitted) as error:
            told.notes.append(f"{each.name} couldn't be told: {error.message}")
            return
        if claim == said and self._old is not None and each.id == self._old.id:
            home = Side(self._target.remote, read_claim(self._target.remote, self._target.id).claim)
            known = {conflict.name for conflict in told.conflicts}
            try:
                result = Copier(self._context, home, Side(each.remote, claim), self._counters).copy()
            except (RemoteError, NotPermitted, Busy) as error:
                told.notes.append(f"{each.name} is behind: {error.message}")
                return
            told.conflicts += [conflict for conflict in result.conflicts if conflict.name not in known]


def have_follow(remote: Remote, said: Claim) -> Claim:
    """Have a mirror say whom it follows, unless it has heard of a later promotion; what it says then."""
    for _ in range(limits.REMOTE_MARKS_MAX):
        before = read_or_replace(remote, said.remote)
        if before.claim.epoch > said.epoch or (before.claim.home, before.claim.epoch) == (said.home, said.epoch):
            return before.claim
        if put_claim(remote, said, before):
            return said
    raise Busy(f"{remote.url}: others say who is home all the time", hint="try again")

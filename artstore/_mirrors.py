"""`artstore.Store`: several remotes, of which one is home and others are mirrors of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore._upkeep import Upkeep
from artstore.errors import ArtstoreError, Conflict, Corrupt, NotFound, NotPermitted, RemoteError, UsageError
from artstore.wiring import reaching

if TYPE_CHECKING:
    from artstore.model import RemotePlace
    from artstore.planning.mirrors import Claim
    from artstore.ports import Remote
    from artstore.store.context import Counters
    from artstore.store.remote.copying import Side
    from artstore.store.remote.names import Conflicting
    from artstore.store.remote.promoting import Promotion, Reached
    from artstore.store.remote.push import PushResult


_UNREACHED: Final = (RemoteError, NotFound, NotPermitted, Corrupt)


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """How a mirror stands to home, when both were asked. `behind`: names that are to be copied; `conflicts`: what it
    has and home hasn't; `error`: why it couldn't be asked, or takes no copies.
    """

    name: str
    behind: list[str]
    conflicts: list[Conflicting]
    error: str | None = None


class Mirrors(Upkeep):
    """What home has is copied to its mirrors; one of them may become home."""

    def mirrors(self) -> list[str]:
        """Names of the remotes that are mirrors of home, as this store knows it."""
        places = self.remotes()
        home = next(iter(places.values()), None)
        return [name for name, place in places.items() if home is not None and place.mirror_of == (home.id or "")]

    def add_mirror(self, name: str, place: RemotePlace) -> None:
        """Note a remote that takes copies of home from now on; it says so itself. Errors as `add_remote`, Conflict if
        it is a mirror of another one, or was promoted.
        """
        from artstore.planning.mirrors import Claim
        from artstore.store.remote.claims import no_home, put_claim, read_claim, require_home

        if not self.remotes():
            raise UsageError("this store has no home to make a mirror of", hint="`artstore remote add NAME URL` first")
        with self._opened(None) as (home, home_id):
            epoch = require_home(home, home_id).epoch
            url = home.url

        def reach() -> RemotePlace:
            reached = reaching.prepare_remote(self.path, place, self.context.keychain)
            id = bytes.fromhex(reached.id or "")
            if id == home_id:
                raise Conflict(f"{place.url} is the home of this store", hint="name another place")
            there = reaching.open_remote(place, None, self.context.keychain)
            try:
                before = read_claim(there, id)
                if (before.claim.home, before.claim.epoch) != (home_id, epoch):
                    if not before.claim.is_home:
                        raise no_home(place.url, before.claim)
                    if before.claim.epoch:
                        raise Conflict(
                            f"{place.url} is a home: promotion {before.claim.epoch} made it that",
                            hint="`artstore remote add` it without --mirror, then `artstore remote promote` which of "
                            "both is to be home",
                        )
                    if not put_claim(there, Claim(id, home_id, epoch, url), before):
                        raise Conflict(f"{place.url} was made a mirror by somebody else just now", hint="try again")
            finally:
                there.close()
            return replace(reached, mirror_of=home_id.hex(), epoch=epoch)

        self._note_remote(name, place, reach=reach)

    def push(
        self,
        patterns: Sequence[str] = (),
        *,
        to: str | None = None,
        anew: bool = False,
        limit_rate: int | None = None,
        counters: Counters | None = None,
    ) -> PushResult:
        """Upload what refs lead to, as far as the remote lacks it, then write the refs there.

        `patterns`: tags, aliases, artifacts, or names with * and ?; none: all refs, of which those that were there
        when the remote was last seen are taken to be there still, unless `anew`. `to`: a remote's name, else home.
        `limit_rate`: bytes a second that may pass, over all connections of this store.

        Refs that others have written meanwhile are left alone and told; but what `commit` numbered gets its next
        number if it lost at home, here too. Where less of the disk is free than `disk.min_free` says, packs that the
        remote has are evicted, unless `local.keep` is `all`.

        `to` a mirror: what home has of these refs is copied there, be it here or not; what home hasn't is told.
        Conflict if another remote is home by now.
        """
        if to is not None and to in self.mirrors():
            with self.context.flow.limited(limit_rate):
                return self._copy_to(to, patterns, anew=anew, counters=counters)
        if to is None or to == next(iter(self.remotes()), None):
            self._require_undisputed()
        return super().push(patterns, to=to, anew=anew, limit_rate=limit_rate, counters=counters)

    def settle_mirror(self, name: str, names: Sequence[str], *, counters: Counters | None = None) -> PushResult:
        """Let what a mirror has of these names, and home hasn't, give way to what home has. NotFound, UsageError."""
        if name not in self.mirrors():
            raise UsageError(f"{name} is no mirror of this store's home", hint="`artstore remote list` shows them")
        if not names:
            raise UsageError("no names were said")
        return self._copy_to(name, names, discard=names, counters=counters)

    def promote(self, name: str, *, lost: bool = False, counters: Counters | None = None) -> Promotion:
        """Make a mirror the home, for everybody; what the old home has is copied first.

        If that one can't be reached: RemoteError, unless it is said to be `lost`. What it gets from others who still
        take it for home is told as a conflict once somebody reaches both, never merged. Was it promoted already, this
        store follows. Idempotent: killed, it is gone on with.
        """
        from artstore.store.context import Counters
        from artstore.store.remote.claims import read_or_replace
        from artstore.store.remote.local_moves import carry_local
        from artstore.store.remote.promoting import Promoter, Reached

        places = self.remotes()
        reaching.find_remote(self.path, name)
        counters = counters or Counters()
        with ExitStack() as stack:
            there, id = stack.enter_context(self._opened(name))
            target = Reached(name, there, id)
            claim = read_or_replace(there, id).claim
            if claim.is_home and not claim.epoch and places[name].mirror_of is None and name != next(iter(places)):
                raise UsageError(
                    f"{name} is no mirror: it decides its own names",
                    hint=f"`artstore remote remove {name}`, `artstore remote add {name} URL --mirror` makes it one",
                )
            reached: dict[str, Reached] = {}
            away: dict[str, ArtstoreError] = {}
            follow = self._relatives(name, claim)
            for other in [each for each in places if each != name]:
                try:
                    remote, other_id = stack.enter_context(self._opened(other))
                    if read_or_replace(remote, other_id).claim.home == id:
                        follow.add(other)
                    if other in follow:
                        reached[other] = Reached(other, remote, other_id)
                except (RemoteError, NotFound, NotPermitted) as error:
                    if other in follow:
                        away[other] = error
            former = self._former(name, claim, follow)
            old = None if former is None else reached.pop(former, None)
            is_home = (claim.is_home and claim.epoch) or (name == next(iter(places)) and claim.home in (id, b""))
            if old is None and not lost and not is_home:
                raise _not_without(name, former, away.get(former or ""))
            epochs = [place.epoch for place in places.values()]
            told = Promoter(self.context, target, old, list(reached.values()), epochs, counters).promote()
        told.notes += [f"{other} wasn't reached, and is told later: {error.message}" for other, error in away.items()]
        before = None if former is None else places[former].id
        reaching.make_home(self.path, name, epoch=told.epoch, follow=follow)
        if before is not None:
            with self.context.index.write() as writer:
                carry_local(writer, source=bytes.fromhex(before), target=id)
        self._follow(told, name, counters)
        return told

    def mirror_status(self) -> list[MirrorStatus]:
        """How each mirror stands to home; all of them are asked. Can home not be, that is each one's error, unless it
        can't be asked itself.
        """
        from artstore.store.remote.claims import require_home

        names = self.mirrors()
        if not names:
            return []
        try:
            with self._opened(None, reading=True) as (home, home_id):
                claim = require_home(home, home_id)
                return [self._stands(name, home, claim) for name in names]
        except _UNREACHED as error:
            return [self._answers(name, f"home can't be asked: {error.message}") for name in names]

    def _stands(self, name: str, home: Remote, claim: Claim) -> MirrorStatus:
        from artstore.planning.mirrors import Standing, stand
        from artstore.store.remote.claims import read_claim
        from artstore.store.remote.copied_names import NameCopier

        try:
            with self._opened(name, reading=True) as (mirror, id):
                standing = stand(claim, read_claim(mirror, id).claim)
                plan = NameCopier(self.context, home, mirror, home_id=claim.remote, mirror_id=id).plan()
        except (*_UNREACHED, Conflict) as error:
            return MirrorStatus(name, [], [], error.message)
        behind = [*(tag.name for tag in plan.tags), *(alias.name for alias in plan.aliases)]
        hears = standing in (Standing.FOLLOWS, Standing.STALE)
        return MirrorStatus(name, behind, plan.conflicts, None if hears else "another remote was promoted")

    def _answers(self, name: str, error: str) -> MirrorStatus:
        """A mirror of a home that can't be asked."""
        try:
            with self._opened(name, reading=True):
                return MirrorStatus(name, [], [], f"it answers; {error}")
        except (*_UNREACHED, Conflict) as own:
            return MirrorStatus(name, [], [], own.message)

    def known_behind(self, name: str) -> list[str]:
        """Names of this store that were seen at home as they are here, and not at this mirror. Neither is asked."""
        from artstore.store.remote.status import ahead

        home = next(iter(self.remotes().values()))
        _, place = reaching.find_remote(self.path, name)
        with self.context.index.read() as reader:
            unpushed = set(ahead(reader, bytes.fromhex(home.id or "")))
            return [each for each in ahead(reader, bytes.fromhex(place.id or "")) if each not in unpushed]

    # --- who is home

    def _require_undisputed(self) -> None:
        """Conflict if a mirror that answers knows of another home than this store: names are decided there."""
        for name in self.mirrors():
            try:
                if not self._agrees(name):
                    with self._both(name):
                        pass
            except (RemoteError, NotFound, NotPermitted):
                continue  # it is told when it can be reached; whether home can be is found out in any case

    def _agrees(self, name: str) -> bool:
        """Does a mirror say of home what this store knows? One request."""
        from artstore.store.remote.claims import read_claim

        places = self.remotes()
        home, place = next(iter(places.values())), places[name]
        remote = reaching.open_remote(
            place, self.context.flow, self.context.keychain, attempts_max=limits.REMOTE_LOOKS_MAX
        )
        try:
            claim = read_claim(remote, bytes.fromhex(place.id or "")).claim
        finally:
            remote.close()
        return (claim.home.hex(), claim.epoch) == (home.id, home.epoch)

    @contextmanager
    def _both(self, name: str, counters: Counters | None = None) -> Generator[tuple[Side, Side]]:
        """Home and a mirror, which is told of a promotion that it didn't hear of. Conflict if home itself didn't."""
        from artstore.planning.mirrors import Claim, Standing, stand
        from artstore.store.remote.claims import read_claim, require_home
        from artstore.store.remote.copying import Side
        from artstore.store.remote.promoting import have_follow

        with self._opened(None, counters) as (home, home_id), self._opened(name) as (mirror, id):
            if counters is not None:
                before = _requests(home, mirror)
                counters.requests = lambda: _requests(home, mirror) - before
            claim = require_home(home, home_id)
            theirs = read_claim(mirror, id).claim
            standing = stand(claim, theirs)
            if standing is Standing.STALE:
                theirs = have_follow(mirror, Claim(id, home_id, claim.epoch, home.url))
                standing = stand(claim, theirs)
            if standing is Standing.OVERTAKEN:
                # So that others who take it for home find out, too; who may not write that can't write names either.
                with suppress(NotPermitted):
                    have_follow(home, Claim(home_id, theirs.home, theirs.epoch, theirs.url))
                raise self._overtaken(home.url, name, theirs)
            if standing is not Standing.FOLLOWS:
                raise Conflict(
                    f"{home.url} and {mirror.url} disagree on who is home: both were promoted, or one was put back",
                    hint="`artstore remote promote NAME` says which one is; what the other one has is told then",
                )
            places = self.remotes()
            for each in (next(iter(places)), name):
                if places[each].epoch != claim.epoch:
                    reaching.put_remote(self.path, each, replace(places[each], epoch=claim.epoch), known=True)
            yield Side(home, claim), Side(mirror, theirs)

    def _overtaken(self, url: str, name: str, claim: Claim) -> Conflict:
        known = next((other for other, place in self.remotes().items() if place.id == claim.home.hex()), None)
        where = known or claim.url
        hint = (
            f"`artstore remote promote {known}` has this store follow; then push again"
            if known
            else (f"`artstore remote add NAME {claim.url or 'URL'}`, then `artstore remote promote NAME`")
        )
        return Conflict(f"{url} isn't home any more: promotion {claim.epoch} made {where} that, says {name}", hint=hint)

    def _relatives(self, name: str, claim: Claim) -> set[str]:
        """The other remotes that have, or had, one home with this one, as far as this store knows. Who decides his own
        names isn't one.
        """
        places = self.remotes()
        homes = {claim.home.hex(), claim.remote.hex(), places[name].mirror_of} - {None}
        return {
            other
            for other, place in places.items()
            if other != name and (place.id in homes or place.mirror_of in homes)
        }

    def _former(self, name: str, claim: Claim, follow: set[str]) -> str | None:
        """Who was, or is, home instead: by what the remote says, else by what this store takes for home."""
        places = self.remotes()
        said = next((other for other in follow if places[other].id == claim.home.hex()), None)
        first = next(iter(places))
        return said or (first if first in follow else None)

    def _copy_to(
        self,
        name: str,
        patterns: Sequence[str],
        *,
        discard: Sequence[str] = (),
        anew: bool = False,
        counters: Counters | None = None,
    ) -> PushResult:
        from artstore.store.context import Counters
        from artstore.store.remote.copying import Copier

        counters = counters or Counters()
        with self._both(name, counters) as (home, mirror):
            return Copier(self.context, home, mirror, counters, discard=discard, anew=anew).copy(patterns)

    def _follow(self, told: Promotion, name: str, counters: Counters) -> None:
        """Know how names stand at the new home, so that aliases move there from now on."""
        try:
            result = self.fetch(source=name, counters=counters)
        except ArtstoreError as error:
            told.notes.append(f"its names didn't come: {error.message}; `artstore fetch` brings them")
            return
        known = {conflict.name for conflict in told.conflicts}
        told.conflicts += [conflict for conflict in result.conflicts if conflict.name not in known]


def _requests(*remotes: Remote) -> int:
    return sum(remote.stats.requests for remote in remotes)


def _not_without(name: str, former: str | None, error: ArtstoreError | None) -> RemoteError:
    if former is None:
        return RemoteError(
            f"{name} is not promoted: its home is no remote of this store",
            hint="`artstore remote add` it, so that nothing of it is left behind; or, if it is lost, say --lost",
        )
    why = "" if error is None else f": {error.message}"
    return RemoteError(
        f"{name} is not promoted: {former}, which is home, can't be asked for what {name} lacks{why}",
        hint="try again; or, if it is lost, or won't be back for long, say --lost",
    )

"""A mirror is brought up to home: what names there lead to is copied, then the names. DESIGN, "Home and mirrors".

The order and the proofs are those of a push (`push`), whose steps are numbered here: packs first, names last, each
name within half of the mirror's own grace of a look at its gc/state. Killed anywhere, the journal knows what is there.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artstore import limits
from artstore.errors import Busy, Conflict
from artstore.format.remote import HINT_KEY, WRITE_BYTES, RemoteSet, all_keys, encode_remote, set_key
from artstore.model import Digest
from artstore.planning.mirrors import Claim
from artstore.revision import artifact_of
from artstore.store.remote.claims import read_claim
from artstore.store.remote.copied_names import Copies, NameCopier
from artstore.store.remote.copied_packs import PackCopier
from artstore.store.remote.documents import read_documents
from artstore.store.remote.pins import PushPin
from artstore.store.remote.plan import lacking_sets
from artstore.store.remote.presence import Look, absent, boot_time, look
from artstore.store.remote.push import PushResult
from artstore.store.remote.transfers import Transfers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from artstore.ports import Remote
    from artstore.store.context import Context, Counters


@dataclass(frozen=True, slots=True)
class Side:
    """One of two remotes, and what it has to say of who is home for as long as is copied."""

    remote: Remote
    claim: Claim

    @property
    def id(self) -> bytes:
        return self.claim.remote

    def require(self) -> None:
        """Conflict if it says something else by now."""
        now = read_claim(self.remote, self.id).claim
        if (now.home, now.epoch) != (self.claim.home, self.claim.epoch):
            raise Conflict(f"{self.remote.url}: who is home has changed meanwhile", hint="try again")


class _Again(Exception):
    """Begin anew, knowing that these packs of the mirror can't be relied on."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        super().__init__()
        self.keys = set(keys)


class Copier:
    """One copy of names, and of what they lead to. `discard`, `anew`: as `NameCopier` takes them; `now`: a clock
    that goes on while the machine sleeps.
    """

    def __init__(
        self,
        context: Context,
        home: Side,
        mirror: Side,
        counters: Counters,
        *,
        discard: Collection[str] = (),
        anew: bool = False,
        now: Callable[[], float] = boot_time,
    ) -> None:
        self._context = context
        self._home = home
        self._mirror = mirror
        self._counters = counters
        self._now = now
        self._transfers = Transfers(mirror.remote, context.flow, counters)
        self._names = NameCopier(
            context,
            home.remote,
            mirror.remote,
            home_id=home.id,
            mirror_id=mirror.id,
            discard=discard,
            anew=anew,
        )
        self._unreliable: set[str] = set()
        self._result = PushResult()

    def copy(self, patterns: Sequence[str] = ()) -> PushResult:
        """Copy names that fit, all without one; what the mirror has and home hasn't is told as a conflict."""
        before = [(side.remote.stats.requests, side.remote.stats.puts) for side in (self._home, self._mirror)]
        with self._context.sessions.begin():  # what is read here is not collected meanwhile
            failures = 0
            while not self._try(patterns):
                failures += 1
                if failures == limits.REMOTE_MOVES_MAX:
                    raise Busy(f"{self._mirror.remote.url}: others write there all the time", hint="try again later")
        for side, (requests, puts) in zip((self._home, self._mirror), before, strict=True):
            self._result.requests += side.remote.stats.requests - requests
            self._result.puts += side.remote.stats.puts - puts
        return self._result

    def _try(self, patterns: Sequence[str]) -> bool:
        """Copy all that differs now, a part of the names after the other; False if it is to be begun anew."""
        result = self._result
        copies = self._names.plan(patterns)
        written = set(result.written)
        result.unchanged = sorted(copies.same.keys() - written)
        result.conflicts = copies.conflicts
        self._names.note(copies, ())
        try:
            for part in copies.parts():
                self._copy_part(part)
                result.conflicts += part.conflicts
        except _Again as again:
            self._unreliable |= again.keys
            return False
        return True

    def _copy_part(self, copies: Copies) -> None:
        seen = look(self._mirror.remote, now=self._now)  # step 1
        told = self._home_sets(copies)
        sets = self._sets(self._mirror.remote, told)
        bad = seen.gone | self._unreliable
        new = lacking_sets(told, sets, bad)
        packs = self._packs(bad)
        packs.plan((told[version] for version in new), {artifact_of(each.name) for each in copies.tags})
        pin = PushPin(self._mirror.remote, lambda: packs.keys, self._now, grace=seen.grace)
        self._send(packs, pin)  # step 2
        self._leave_damaged(copies, told, new, packs)
        self._put_sets({version: packs.set_of(told[version]) for version in new}, sets, pin)  # step 3
        seen, keys = self._prove(told)  # step 4
        written = self._names.write(copies, self._before_each(seen, told))  # step 5
        self._names.note(copies, written.names)
        self._result.written += written.names
        if written.names:
            after = look(self._mirror.remote, now=self._now)  # step 6
            if after.remote_time - seen.remote_time > seen.grace / 2:
                raise _Again(absent(self._mirror.remote, keys, after))
            self._mirror.remote.put(HINT_KEY, secrets.token_bytes(WRITE_BYTES))  # step 7
        if not written.is_all:
            raise _Again
        pin.drop()

    def _packs(self, bad: Collection[str]) -> PackCopier:
        packs = PackCopier(
            self._context,
            self._home.remote,
            self._mirror.remote,
            self._transfers,
            home_id=self._home.id,
            mirror_id=self._mirror.id,
            bad=bad,
        )
        if self._unreliable:
            packs.forget(self._unreliable)
        return packs

    # --- versions

    def _home_sets(self, copies: Copies) -> dict[Digest, RemoteSet]:
        """Home's sets of all versions that names lead to, with their inputs and what may be rolled back to, as far as
        home has them. A name of which it lacks the version itself is left out.
        """
        needed = copies.needed()
        found: dict[Digest, RemoteSet] = {}
        asked: set[Digest] = set()
        left = {*needed, *copies.past()}
        while left:
            asked |= left
            came = self._sets(self._home.remote, sorted(left))
            found |= {version: told for version, (told, _) in came.items()}
            left = {Digest(id) for told, _ in came.values() for id in told.inputs} - asked
        for version in needed.keys() - found.keys():
            copies.leave(
                needed[version],
                f"version {version.hex()[:8]} has no set at home: `artstore push --all` from a store that has it",
            )
        return found

    def _sets(self, remote: Remote, versions: Iterable[Digest]) -> dict[Digest, tuple[RemoteSet, str]]:
        order = list(versions)
        answers = zip(order, read_documents(remote, RemoteSet, map(set_key, order)), strict=True)
        return {version: (found[0], found[1].etag) for version, found in answers if found is not None}

    def _send(self, packs: PackCopier, pin: PushPin) -> None:
        self._counters.bytes_total = self._counters.bytes_done + packs.size
        if packs.has_uploads:
            pin.put()
        for sent in packs.send():
            self._result.packs += 1
            self._result.sent_bytes += sent
            pin.renew()

    def _leave_damaged(
        self, copies: Copies, told: dict[Digest, RemoteSet], new: set[Digest], packs: PackCopier
    ) -> None:
        """What home has damaged isn't copied, nor what names it; all else is."""
        needed = copies.needed()
        hurt: dict[Digest, str] = {}
        for version in new:
            whys = (packs.damaged[key] for key in all_keys(told[version]) if key in packs.damaged)
            why = next(whys, None)
            if why is not None:
                hurt[version] = why
        if hurt and self._are_replaced(hurt, told, packs.damaged):
            raise _Again
        for version, why in hurt.items():
            new.discard(version)
            del told[version]
            if version in needed:
                copies.leave(needed[version], why)

    def _are_replaced(
        self, versions: Collection[Digest], told: dict[Digest, RemoteSet], damaged: Collection[str]
    ) -> bool:
        """Does home's set of one of these name by now less of what can't be had? It was repacked there meanwhile, or
        mended, and collected: a first copy takes days.
        """
        now = self._sets(self._home.remote, versions)
        return any(
            {*all_keys(found)}.intersection(damaged) < {*all_keys(told[version])}.intersection(damaged)
            for version, (found, _) in now.items()
        )

    def _put_sets(self, made: dict[Digest, RemoteSet], sets: dict[Digest, tuple[RemoteSet, str]], pin: PushPin) -> None:
        """One that is there already may be that of a name: it is replaced as one, by packs seen a short while ago."""
        replacing = {key for version in made.keys() & sets.keys() for key in all_keys(made[version])}
        seen: Look | None = None
        for version, new in made.items():
            pin.renew()
            data, key = encode_remote(new), set_key(version)
            if version not in sets:
                done = self._mirror.remote.create(key, data)
            else:
                if seen is None or not seen.is_fresh(self._now()):
                    seen = look(self._mirror.remote, now=self._now)
                    self._require(replacing, seen)
                done = self._mirror.remote.swap(key, data, sets[version][1])
            # Else somebody has copied the same version meanwhile: step 4 proves whatever its set names by then.
            self._result.versions += done is not None

    # --- proofs

    def _before_each(self, seen: Look, versions: Collection[Digest]) -> Callable[[], None]:
        def check() -> None:
            nonlocal seen
            if not seen.is_fresh(self._now()):
                seen, _ = self._prove(versions)

        return check

    def _prove(self, versions: Collection[Digest]) -> tuple[Look, set[str]]:
        """The mirror is one still, and has what its sets name, the sets as they are by then."""
        seen = look(self._mirror.remote, now=self._now)
        self._home.require()
        self._mirror.require()
        sets = self._sets(self._mirror.remote, versions)
        if sets.keys() != set(versions):
            raise _Again
        keys = {key for told, _ in sets.values() for key in all_keys(told)}
        self._require(keys, seen)
        return seen, keys

    def _require(self, keys: set[str], seen: Look) -> None:
        missing = absent(self._mirror.remote, keys, seen)
        if missing:
            raise _Again(missing)

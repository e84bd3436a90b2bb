"""Push: what a remote lacks is uploaded, then refs are swapped there. DESIGN, "Push", whose steps are numbered here.

Packs first, refs last: killed anywhere, what was uploaded lies there without a name, and the journal knows it for the
next push. No lock is held, no clock but the remote's is believed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from artstore import limits
from artstore.errors import Busy, Corrupt, NotFound
from artstore.format.remote import (
    HINT_KEY,
    WRITE_BYTES,
    RemoteSet,
    all_keys,
    encode_remote,
    set_key,
)
from artstore.model import Digest
from artstore.store.partial import base_of, is_partial
from artstore.store.provisional import forget_provisional, keep_name
from artstore.store.remote.claims import no_home, read_claim, require_home
from artstore.store.remote.documents import read_documents, read_or_etag
from artstore.store.remote.names import Conflicting, Wanted, put_refs
from artstore.store.remote.pins import PushPin
from artstore.store.remote.plan import Plan, Planner, lacking_sets
from artstore.store.remote.presence import Look, absent, boot_time, look
from artstore.store.remote.renumber import Renumbered
from artstore.store.remote.sent import forget_packs
from artstore.store.remote.transfer import note_ref, ref_at
from artstore.store.remote.transfers import Transfers
from artstore.store.remote.upload import Uploader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from artstore.model import PackRow
    from artstore.ports import Remote
    from artstore.store.context import Context, Counters
    from artstore.store.objects import Objects
    from artstore.store.remote.renumber import Renumberer


@dataclass(slots=True)
class PushResult:
    """What a push did: refs that were written, that stood there already, that lost; versions and packs uploaded.

    `renumbered`: tags that lost the name that `commit` chose, and have another one, which is in `written`;
    `freed_bytes`: of packs evicted since the disk is nearly full.
    """

    written: list[str] = field(default_factory=list[str])
    unchanged: list[str] = field(default_factory=list[str])
    conflicts: list[Conflicting] = field(default_factory=list[Conflicting])
    renumbered: list[Renumbered] = field(default_factory=list[Renumbered])
    versions: int = 0
    packs: int = 0
    sent_bytes: int = 0
    puts: int = 0
    requests: int = 0
    freed_bytes: int = 0


class _Again(Exception):
    """Packs that were thought to be at the remote can't be relied on: begin anew, knowing that."""

    def __init__(self, keys: set[str]) -> None:
        super().__init__()
        self.keys = keys


_UNREADABLE: Final = RemoteSet(b"", [], [], [], [])  # no set that was ever written: those have random bytes


class Pusher:
    """One push of refs of a store to a remote. `now`: a clock that goes on while the machine sleeps."""

    def __init__(
        self,
        context: Context,
        objects: Objects,
        remote: Remote,
        remote_id: bytes,
        counters: Counters,
        *,
        now: Callable[[], float] = boot_time,
    ) -> None:
        self._context = context
        self._objects = objects
        self._remote = remote
        self._remote_id = remote_id
        self._counters = counters
        self._now = now
        self._transfers = Transfers(remote, context.flow, counters)
        self._result = PushResult()
        self._unreliable: set[str] = set()
        self._damaged: frozenset[Digest] = frozenset()
        self._mends = False
        self._renumberer: Renumberer | None = None

    def push(self, wanted: Wanted, *, anew: bool = True, renumberer: Renumberer | None = None) -> PushResult:
        """Upload what these refs lead to, and write them. Corrupt, and no ref is written, if a pack can't be had.

        Conflicts are told, not raised: the other refs are written. Unless `anew`, refs that were at the remote when
        it was last seen, as they are here, cost no request. `renumberer`: provisional names that lose get other ones.
        """
        self._renumberer = renumberer
        settled = [] if anew else self._settle(wanted)
        if wanted.tags or wanted.aliases:
            self._run(wanted)
        self._result.unchanged += settled
        return self._result

    def mend(self, versions: Iterable[Digest], *, damaged: Iterable[Digest], bad: Iterable[str]) -> PushResult:
        """Give these versions, which are all here, sets that name what is there and sound; no ref is written.

        `damaged`: those whose sets can't be read there; `bad`: packs and shards that aren't relied on.
        """
        self._mends = True
        self._damaged = frozenset(damaged)
        self._unreliable |= set(bad)
        wanted = Wanted()
        wanted.add_versions(versions)
        self._run(wanted)
        return self._result

    def _run(self, wanted: Wanted) -> None:
        before = self._remote.stats.requests, self._remote.stats.puts
        with self._context.sessions.begin():  # what is read here is not collected meanwhile
            for _ in range(limits.REMOTE_PUSHES_MAX):
                try:
                    self._attempt(wanted)
                    break
                except _Again as again:
                    self._unreliable |= again.keys
                    self._forget(again.keys)
            else:
                raise Busy(
                    f"{self._remote.url}: packs go as fast as they are sent there",
                    hint="is it being collected? try again",
                )
        self._result.requests = self._remote.stats.requests - before[0]
        self._result.puts = self._remote.stats.puts - before[1]

    def _attempt(self, wanted: Wanted) -> None:
        seen = look(self._remote, now=self._now)  # step 1
        versions = self._versions(wanted)
        bases = self._bases(versions)
        sets = self._remote_sets({**versions, **dict.fromkeys(bases.values())})
        sound = {version: told for version, told in sets.items() if told[0] != _UNREADABLE}
        bad = seen.gone | self._unreliable
        self._leave_out_partial(versions, sound, bad, bases, wanted)
        planner = Planner(self._context, self._objects, self._remote, self._remote_id, bad)
        plan = planner.plan(versions, self._rows(versions), sound)
        for version in plan.new & bases.keys():
            plan.borrowed[version] = sets[bases[version]][0]
        pin = PushPin(self._remote, plan.keys, self._now, grace=seen.grace)
        if plan.has_uploads or not plan.new.isdisjoint(sets):
            self._require_home()  # before anything is sent, or replaced, for nothing
        self._upload(plan, pin)  # step 2
        self._put_sets(versions, plan, sets, pin)  # step 3
        seen, keys = self._prove(versions.keys())  # step 4
        before_each = self._before_each(seen, versions.keys())
        changed = put_refs(  # step 5
            self._context, self._remote, wanted, self._result, before_each, self._renumberer
        )
        with self._context.index.write() as writer:
            for name in (*self._result.written, *self._result.unchanged):
                note_ref(writer, self._remote_id, name, wanted.ids[name])
                # Elsewhere than at home, what home knows by another number already goes on to get that here.
                (keep_name if self._renumberer is None else forget_provisional)(writer, name)
        if changed:
            after = look(self._remote, now=self._now)  # step 6
            if after.remote_time - seen.remote_time > seen.grace / 2:
                raise _Again(absent(self._remote, keys, after))
            self._remote.put(HINT_KEY, secrets.token_bytes(WRITE_BYTES))  # step 7
            self._tell_if_overtaken()
        pin.drop()

    def _require_home(self) -> None:
        """Names are decided at home; sets are what a mirror has of its own, and mended there."""
        if not self._mends:
            require_home(self._remote, self._remote_id)

    def _tell_if_overtaken(self) -> None:
        """Another remote may have become home between the look before and the names: nobody copies these from here."""
        claim = read_claim(self._remote, self._remote_id).claim
        if not claim.is_home:
            why = no_home(self._remote.url, claim)
            told = f"it was written as that happened: {why.message}; it is to be said again there; {why.hint}"
            self._result.conflicts += [Conflicting(name, told) for name in self._result.written]
            self._result.written.clear()

    def _settle(self, wanted: Wanted) -> list[str]:
        """Take out of what is wanted the refs that are known to be there; their names."""
        with self._context.index.read() as reader:
            return wanted.drop(lambda name, id: ref_at(reader, self._remote_id, name) == id)

    def _before_each(self, seen: Look, versions: Collection[Digest]) -> Callable[[], None]:
        """To be called before each ref is swapped: what was proven must still hold."""

        def check() -> None:
            nonlocal seen
            if not seen.is_fresh(self._now()):
                seen, _ = self._prove(versions)

        return check

    def _prove(self, versions: Collection[Digest]) -> tuple[Look, set[str]]:
        """What the sets name is there, after a look at gc/state: the sets as they are by then, since somebody may have
        replaced one meanwhile, by one that names packs which nobody here has seen.
        """
        seen = look(self._remote, now=self._now)
        self._require_home()
        sets = self._remote_sets(versions)
        if sets.keys() != set(versions) | self._damaged or any(told == _UNREADABLE for told, _ in sets.values()):
            raise _Again(set())
        keys = {key for told, _ in sets.values() for key in all_keys(told)}
        self._require(keys, seen)
        return seen, keys

    def _require(self, keys: set[str], seen: Look) -> None:
        missing = absent(self._remote, keys, seen)
        if missing:
            raise _Again(missing)

    # --- what is to be done

    def _versions(self, wanted: Wanted) -> dict[Digest, tuple[int, ...]]:
        """All versions that the refs lead to, with their inputs, as far as they are here; and the packs of each."""
        found: dict[Digest, tuple[int, ...]] = {}
        left = list(wanted.versions)
        with self._context.index.read() as reader:
            while left:
                version = left.pop()
                packs = reader.version_set(version)
                if version in found or packs is None:
                    continue
                found[version] = tuple(packs)
                left += [Digest(bytes.fromhex(id)) for id in self._objects.version(version).metadata.inputs.values()]
        lost = wanted.needed - found.keys()
        if lost:
            raise NotFound(f"version {min(lost).hex()} isn't here any more", hint="`artstore check` tells why")
        return found

    def _bases(self, versions: Iterable[Digest]) -> dict[Digest, Digest]:
        """Of those that were made from a version which isn't all here, that one."""
        with self._context.index.read() as reader:
            found = {version: base_of(reader, version) for version in versions}
        return {version: base for version, base in found.items() if base is not None}

    def _remote_sets(self, versions: Iterable[Digest]) -> dict[Digest, tuple[RemoteSet, str]]:
        """The sets that are at the remote already, with their ETags. In the place of one that is being mended and can't
        be read stands _UNREADABLE.
        """
        order = [version for version in versions if version not in self._damaged]
        sets = {version: (found[0], found[1]) for version in self._damaged if (found := self._unsound_set(version))}
        answers = read_documents(self._remote, RemoteSet, map(set_key, order))
        told = zip(order, answers, strict=True)
        return sets | {version: (found[0], found[1].etag) for version, found in told if found is not None}

    def _unsound_set(self, version: Digest) -> tuple[RemoteSet, str] | None:
        found = read_or_etag(self._remote, RemoteSet, set_key(version))
        return None if found is None else (found.value or _UNREADABLE, found.etag)

    def _leave_out_partial(
        self,
        versions: dict[Digest, tuple[int, ...]],
        sets: dict[Digest, tuple[RemoteSet, str]],
        bad: Collection[str],
        bases: dict[Digest, Digest],
        wanted: Wanted,
    ) -> None:
        """What the remote lacks of a version has to be here, or with the version it was made from there: NotFound for
        one that a ref names, others stay behind.
        """
        lacking = lacking_sets({**versions, **dict.fromkeys(bases.values())}, sets, bad)
        with self._context.index.read() as reader:
            partial = [
                version
                for version in lacking & versions.keys()
                if is_partial(reader, version) and bases.get(version, version) in lacking
            ]
        for version in partial:
            if version in wanted.needed:
                raise NotFound(
                    f"version {version.hex()[:8]} can't be pushed to {self._remote.url}: a part of it isn't here",
                    hint="`artstore pull` brings it",
                )
            del versions[version]

    def _rows(self, versions: dict[Digest, tuple[int, ...]]) -> dict[int, PackRow]:
        with self._context.index.read() as reader:
            numbers = {number for packs in versions.values() for number in packs}
            rows = {number: row for number in numbers if (row := reader.pack(number)) is not None}
        gone = numbers - rows.keys()
        if gone:
            raise Corrupt(f"a version needs pack {min(gone)}, which is gone")
        return rows

    def _forget(self, keys: set[str]) -> None:
        """These packs of ours aren't at the remote after all."""
        with self._context.index.write() as writer:
            forget_packs(writer, self._remote_id, keys)

    # --- doing it

    def _upload(self, plan: Plan, pin: PushPin) -> None:
        """Upload packs, and the shards that tell of them."""
        self._counters.bytes_total = self._counters.bytes_done + plan.bytes
        if plan.has_uploads:
            pin.put()
        for sent in Uploader(self._context, self._remote, self._remote_id, plan, self._transfers).upload():
            self._result.packs += 1
            self._result.sent_bytes += sent
            pin.renew()

    def _put_sets(
        self,
        versions: dict[Digest, tuple[int, ...]],
        plan: Plan,
        sets: dict[Digest, tuple[RemoteSet, str]],
        pin: PushPin,
    ) -> None:
        """A set for each version that needs one.

        A set that is there already may be that of a ref: it is replaced as a ref is, while what it will name was seen a
        short while ago. Whoever sleeps between his uploads and this may find them collected.
        """
        made = {
            version: self._set_of(version, numbers, plan)
            for version, numbers in versions.items()
            if version in plan.new
        }
        replacing = {key for version in made.keys() & sets.keys() for key in all_keys(made[version])}
        seen: Look | None = None
        for version, new in made.items():
            pin.renew()
            if version not in sets:
                self._put_set(version, new, None)
                continue
            if seen is None or not seen.is_fresh(self._now()):
                seen = look(self._remote, now=self._now)
                self._require(replacing, seen)
            self._put_set(version, new, sets[version][1])

    def _set_of(self, version: Digest, numbers: tuple[int, ...], plan: Plan) -> RemoteSet:
        packs = {key for number in numbers for key in plan.places[number]}
        shards = {shard for number in numbers for shard in plan.shards_of(number)}
        borrowed = plan.borrowed.get(version)
        if borrowed is not None:
            packs.update(borrowed.data, borrowed.meta)
            shards.update(borrowed.shards)
        inputs = sorted(bytes.fromhex(id) for id in self._objects.version(version).metadata.inputs.values())
        return RemoteSet(
            secrets.token_bytes(WRITE_BYTES),
            sorted(key for key in packs if key.startswith("p/")),
            sorted(key for key in packs if key.startswith("m/")),
            sorted(shards),
            inputs,
        )

    def _put_set(self, version: Digest, made: RemoteSet, etag: str | None) -> None:
        data = encode_remote(made)
        key = set_key(version)
        done = self._remote.create(key, data) if etag is None else self._remote.swap(key, data, etag)
        if done is None:  # somebody else has pushed, or repacked, the same version meanwhile
            raise _Again(set())
        self._result.versions += 1

"""`artstore.Store`: its remotes, which its config names."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from artstore import limits, wiring
from artstore.errors import ArtstoreError, BadName, Conflict, NotFound, RemoteError
from artstore.model import RemotePlace, RemoteStats
from artstore.store import facade
from artstore.store.facade import AnyPath, Rev
from artstore.wiring import reaching

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore.model import Tag
    from artstore.ports import Remote
    from artstore.store.context import Counters
    from artstore.store.far.prefetch import PrefetchResult
    from artstore.store.remote.evict import EvictResult
    from artstore.store.remote.homeward import Settled
    from artstore.store.remote.names import Wanted
    from artstore.store.remote.pull import PullResult
    from artstore.store.remote.push import PushResult
    from artstore.store.remote.removing import RemoteRemoval
    from artstore.store.remote.selftest import RemoteFinding
    from artstore.store.remote.watch import RemoteWatch
    from artstore.store.sealed import Keychain


_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemoteStatus:
    """The home remote: names that are here and not there; once it was asked, those only there, those that differ, and
    who holds it, so that nobody else may write names there. `is_mirror`: the home itself isn't known here.
    """

    name: str
    url: str
    only_here: list[str]
    only_there: list[str] | None
    differing: list[str] | None
    held: str | None = None
    is_mirror: bool = False


class Remotes(facade.Store):
    """What changes and tries out the remotes of a store."""

    def remotes(self) -> dict[str, RemotePlace]:
        """By name, in the order in which they were added; the first one is the store's home, unless it is a mirror of
        one that isn't here.
        """
        return reaching.all_of(self.path)

    def add_remote(self, name: str, place: RemotePlace) -> None:
        """Note a remote, once it was reached and is empty or one of artstore's. Conflict, RemoteError, NotPermitted."""
        self._note_remote(name, place, reach=lambda: reaching.prepare_remote(self.path, place, self.context.keychain))

    def _note_remote(self, name: str, place: RemotePlace, *, reach: Callable[[], RemotePlace]) -> None:
        """The same; `reach`: what gives the place with the id of what was found there."""
        _require_name(name)
        known = self.remotes()
        if name in known:
            raise Conflict(f"there is a remote {name} already", hint="`artstore remote list` shows it")
        for other, there in known.items():
            if there.url.rstrip("/") == place.url.rstrip("/") and there.endpoint == place.endpoint:
                raise Conflict(f"{place.url} is the remote {other} already")
        reached = reach()
        first = next(iter(known.values()), None)
        is_home = first is not None and first.mirror_of is not None and first.mirror_of == reached.id
        reaching.put_remote(self.path, name, reached, known=False, home=is_home)

    def remove_remote(self, name: str) -> None:
        """Forget a remote; nothing at it is touched."""
        reaching.drop_remote(self.path, name)
        self.objects.close()  # reads are to find out, too

    def check_remote(self, name: str | None = None) -> tuple[str, list[RemoteFinding]]:
        """Try out what a remote promises, the home one if none is named; whether several may write is noted."""
        from artstore.store.remote.selftest import check_remote

        name, place = reaching.find_remote(self.path, name)
        remote = reaching.open_remote(place)
        try:
            findings = check_remote(remote)
        finally:
            remote.close()
        single = not all(finding.ok for finding in findings)
        if single != place.single_writer:
            reaching.put_remote(self.path, name, replace(place, single_writer=single), known=True)
        return name, findings

    def remove_at_remote(self, *names: str, remote: str, reason: str = "") -> RemoteRemoval:
        """Remove tags and aliases at a remote, not here. NotFound, and nothing is removed, if one isn't there.

        A tag's name is never used there again; an alias's history stays there, and goes on if it is made again.
        """
        from artstore.store import identity
        from artstore.store.remote.removing import Remover, remove_refs

        remover = Remover(identity.user(), identity.host(), self.context.clock.now_ns(), reason)
        with self._opened(remote, reading=True) as (there, id):
            return remove_refs(there, id, names, remover, self.context.ids)

    def remote_status(self, *, ask: bool = False) -> RemoteStatus | None:
        """How the home remote and this store stand to each other; None without one. `ask`: it is asked, too."""
        from artstore.store.remote.status import ahead, compare

        places = self.remotes()
        if not places:
            return None
        name, place = next(iter(places.items()))
        is_mirror = place.mirror_of is not None
        with self.context.index.read() as reader:
            unpushed = ahead(reader, bytes.fromhex(place.id or ""))
        if not ask:
            return RemoteStatus(name, place.url, unpushed, None, None, is_mirror=is_mirror)
        from artstore.store.remote.gc_state import collection_status
        from artstore.store.remote.pull import read_refs

        with self._opened(name, reading=True) as (remote, _):
            there = read_refs(remote)
            held = collection_status(remote).held
        with self.context.index.read() as reader:
            compared = compare(reader, there)
        return RemoteStatus(
            name, place.url, compared.only_here, compared.only_there, compared.differing, held, is_mirror
        )

    def unpushed(self, remote: str | None = None, prefix: str = "") -> list[Tag]:
        """Tags that were not seen at a remote, the home one if none is named, as they are here. It is not asked."""
        from artstore.store.remote.status import ahead

        _, place = reaching.find_remote(self.path, remote)
        with self.context.index.read() as reader:
            names = set(ahead(reader, bytes.fromhex(place.id or "")))
        return [tag for tag in self.tags(prefix) if tag.name in names]

    def push(
        self,
        patterns: Sequence[str] = (),
        *,
        to: str | None = None,
        anew: bool = False,
        limit_rate: int | None = None,
        counters: Counters | None = None,
    ) -> PushResult:
        """As `Store.push`, to a remote that decides its names itself."""
        from artstore.store.context import Counters
        from artstore.store.remote.homeward import Homeward
        from artstore.store.remote.push import Pusher
        from artstore.store.remote.renumber import Renumberer

        names = set(self._wanted(patterns).ids)
        counters = counters or Counters()
        with self.context.flow.limited(limit_rate), self._opened(to, counters) as (remote, id):
            before = remote.stats.requests, remote.stats.puts
            homeward = Homeward(self.context, self.objects, remote, id, counters)
            settled = homeward.settle(leave=names)
            wanted = self._wanted(patterns)
            home = next(iter(self.remotes()))
            renumberer = Renumberer(self.context, remote, id, home) if to in (None, home) else None
            result = Pusher(self.context, self.objects, remote, id, counters).push(
                wanted, anew=anew or bool(patterns), renumberer=renumberer
            )
            homeward.note_swapped(name for name in settled.left if name in {*result.written, *result.unchanged})
            result.freed_bytes = self._make_room(remote, id)
            result.requests = remote.stats.requests - before[0]
            result.puts = remote.stats.puts - before[1]
        result.written += settled.swapped
        result.conflicts += settled.conflicts
        told = {*settled.swapped, *(each.name for each in settled.conflicts)}
        result.unchanged = [name for name in result.unchanged if name not in told]
        return result

    def fetch(
        self,
        patterns: Sequence[str] = (),
        *,
        source: str | None = None,
        limit_rate: int | None = None,
        counters: Counters | None = None,
    ) -> PullResult:
        """Bring refs of a remote here, and of the versions they lead to all but the chunks: these come when they are
        read. Names and `limit_rate` as `push` takes them, `source`: a remote's name.
        """
        with self.context.flow.limited(limit_rate):
            return self._pull(patterns, source, counters, whole=False)

    def pull(
        self,
        patterns: Sequence[str] = (),
        *,
        source: str | None = None,
        limit_rate: int | None = None,
        counters: Counters | None = None,
    ) -> PullResult:
        """The same, with all chunks: these versions can be read without the remote from then on."""
        with self.context.flow.limited(limit_rate):
            return self._pull(patterns, source, counters, whole=True)

    def _pull(
        self, patterns: Sequence[str], source: str | None, counters: Counters | None, *, whole: bool
    ) -> PullResult:
        from artstore.store.context import Counters
        from artstore.store.remote.pull import Puller, known_tags, read_refs

        counters = counters or Counters()
        with self._opened(source, counters, reading=True) as (remote, id):
            settled = self._settle(remote, id, counters)
            with self.context.index.read() as reader:
                known = known_tags(reader, id)
            wanted = read_refs(remote, patterns, known)
            result = Puller(self.context, self.objects, remote, id, counters).pull(wanted, whole=whole)
            result.requests = remote.stats.requests
        result.swapped = settled.swapped
        result.conflicts += settled.conflicts
        told = {each.name for each in settled.conflicts}
        result.unchanged = [name for name in result.unchanged if name not in told]
        return result

    def _settle(self, remote: Remote, id: bytes, counters: Counters) -> Settled:
        """Whatever the contact is for: moves that were made here only are swapped in, or have lost."""
        from artstore.store.remote.homeward import Homeward

        return Homeward(self.context, self.objects, remote, id, counters).settle()

    def prefetch(
        self,
        revision: Rev,
        path: AnyPath | None = None,
        *,
        limit_rate: int | None = None,
        counters: Counters | None = None,
    ) -> PrefetchResult:
        """Have all data of a version, or of what lies at `path` of it, here: in the cache, if it is in no pack.

        `limit_rate`: bytes a second that may pass, over all connections of this store.
        NoSpace, naming `cache.size`, if the cache can't hold it; RemoteError if the remote can't be reached.
        """
        from artstore.store.context import Counters
        from artstore.store.far.prefetch import PrefetchResult, prefetch

        resolved = self.resolve(revision)
        far = self.objects.fetcher.far()
        wanted = os.fsencode(path) if path is not None else resolved.path or b""
        if far is None:
            return PrefetchResult(0, 0, 0)
        counters = counters or Counters()
        counters.requests = counters.requests or requests_since(self.remote_stats)
        with self.context.flow.limited(limit_rate):
            return prefetch(self.context, self.objects, far, resolved.version, wanted, counters)

    def evict(self, revisions: Sequence[Rev] = (), *, source: str | None = None) -> EvictResult:
        """Free the room of what a remote has: packs that no other versions need, and the cache if none are named.

        `source`: the remote that is asked, else home. UsageError if `local.keep` is `all`.
        """
        from artstore.store.remote.evict import Evictor

        versions = [self.resolve(revision).version for revision in revisions]
        far = self.objects.fetcher.far()
        assert far is not None, "a store on disk has a cache"
        with self._opened(source, reading=True) as (remote, id):
            result = Evictor(self.context, self.objects, far, remote, id).evict(versions if revisions else None)
        if not revisions:
            result.cache_bytes = far.kept.drop_all()
        return result

    def _make_room(self, remote: Remote, id: bytes) -> int:
        """Let go of what was pushed, the oldest first, if less of the disk is free than `disk.min_free` says; bytes.

        The push is done: what goes wrong is for the log.
        """
        from artstore.store.remote.evict import Evictor

        far = self.objects.fetcher.far()
        if far is None or self.context.far is None or self.context.far.keep_local or not far.kept.shortfall:
            return 0
        try:
            evictor = Evictor(self.context, self.objects, far, remote, id)
            return evictor.evict(None, bytes_max=far.kept.shortfall).freed_bytes
        except ArtstoreError as error:
            _log.warning("the disk is nearly full, and what was pushed can't be evicted: %s", error)
            return 0

    def watch_remote(self, source: str | None = None) -> RemoteWatch:
        """Looks whether names were written at a remote, one request a look; it has to be closed."""
        from artstore.store.remote.watch import RemoteWatch

        _, place = reaching.find_remote(self.path, source)
        return RemoteWatch(reaching.open_remote(place, None, self.context.keychain))

    def remote_stats(self) -> RemoteStats:
        """What reading has asked of the remotes since this store was opened by this process."""
        far = self.context.far
        total = RemoteStats()
        for stats in () if far is None else far.pool.stats():
            total.add(stats)
        return total

    def _wanted(self, patterns: Sequence[str]) -> Wanted:
        from artstore.store import refs
        from artstore.store.provisional import refuse_renumbered
        from artstore.store.remote.names import Wanted

        wanted = Wanted()
        with self.context.index.read() as reader:
            names = {row.name for pattern in patterns or (None,) for row in refs.list_refs(reader, pattern)}
            for pattern in patterns:
                refuse_renumbered(reader, pattern)
                if not any(True for _ in refs.list_refs(reader, pattern)):
                    raise NotFound(f"there is no ref {pattern}", hint="`artstore list` shows the refs")
            for name in sorted(names):
                tag, alias = reader.tag(name), reader.alias(name)
                if tag is not None:
                    wanted.add_tag(tag)
                elif alias is not None:
                    wanted.add_alias(reader, alias)
        return wanted

    @contextmanager
    def _opened(
        self, name: str | None, counters: Counters | None = None, *, reading: bool = False
    ) -> Generator[tuple[Remote, bytes]]:
        """A remote of this store and its id; its requests are counted."""
        from artstore.store.remote.opening import look_at_remote, require_known

        name, place = reaching.find_remote(self.path, name)
        keychain = self.context.keychain
        remote = reaching.open_remote(place, self.context.flow, keychain)
        if counters is not None:
            counters.requests = requests_since(lambda: remote.stats)
        try:
            chunker = wiring.load_config(self.path).chunker
            keys = b"" if keychain is None else keychain.keys.fingerprint
            told = look_at_remote(remote, chunker=chunker, keys=keys)
            require_known(remote, told, known=place.id)
            if told is None and not reading:
                told = reaching.prepare(remote, chunker=chunker, keychain=keychain)
            if told is None:
                raise RemoteError(f"nothing was pushed to {name} yet: {remote.url}")
            if keychain is not None:
                self._sync_keys(remote, keychain, reading=reading)
            if told.id.hex() != place.id or place.mirror_of == reaching.UNKNOWN:
                reaching.put_remote(self.path, name, reaching.claimed(place, remote, told.id), known=True)
            yield remote, told.id
        finally:
            remote.close()

    @staticmethod
    def _sync_keys(remote: Remote, keychain: Keychain, *, reading: bool) -> None:
        """Use the later keyring of the one here and the one there. `reading`: nothing may be written there."""
        from artstore.store.sealed.ring import meet_ring, sync_ring

        if reading:
            meet_ring(remote, keychain)
        else:
            sync_ring(remote, keychain)


def requests_since(stats: Callable[[], RemoteStats]) -> Callable[[], int]:
    """How many requests were sent from now on."""
    before = stats().requests
    return lambda: stats().requests - before


def _require_name(name: str) -> None:
    allowed = name.replace("-", "").replace("_", "").replace(".", "")
    if not allowed.isascii() or not allowed.isalnum() or name[0] in "-." or len(name) > limits.REMOTE_NAME_BYTES_MAX:
        raise BadName(f"{name!r} is no name of a remote", hint="use letters, digits, - and _: origin, nas, backup-2")

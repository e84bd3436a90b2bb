"""A remote in memory that several machines share, whose clock and whose every request a test holds in its hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from artstore import Store
from artstore.errors import Busy
from artstore.format.remote import (
    ALIASES,
    GC_KEY,
    TAGS,
    GcState,
    RemoteAlias,
    RemoteSet,
    RemoteTag,
    all_keys,
    changed_state,
    decode_remote,
    encode_remote,
    set_key,
)
from artstore.model import RemotePlace
from artstore.ports import Remote
from artstore.store.remote.holding import Holder
from artstore.store.remote.retrying import RetryingRemote
from artstore.store.sealed import Keychain, SealedRemote
from artstore.testing import Bucket, Lost, MemoryRemote
from artstore.wiring import reaching
from tests.encrypting import as_seen_by
from tests.machines import commit, noise

GRACE = 10
SIZE = 1_100_000
PLACE = RemotePlace(url="memory://bucket")
D = TypeVar("D", RemoteTag, RemoteAlias, RemoteSet, GcState)
At = Callable[[int, str, str], Lost | None]


class KilledError(BaseException):
    """The power is gone: nothing that handles errors may catch it and go on."""


@dataclass
class Space:
    """The bucket, and the machines' stores. `requests`: that were made since `watch`."""

    path: Path
    bucket: Bucket
    stores: list[Store] = field(default_factory=list[Store])
    requests: int = 0

    def new(self, name: str) -> Store:
        """A machine with an empty store."""
        store = Store.init(self.path / name)
        self.stores.append(store)
        store.add_remote("origin", PLACE)
        return store

    def clone(self, name: str, *, full: bool = False) -> Store:
        """A machine that has cloned."""
        store, result = Store.clone(PLACE, self.path / name, full=full)
        self.stores.append(store)
        assert not result.conflicts
        return store

    def pass_time(self, seconds: float) -> None:
        """On all clocks."""
        self.bucket.now += seconds

    def watch(self, at: At) -> None:
        """Call `at` before each request of whoever is watched, with its number, from 1; what it does itself isn't."""
        self.requests = 0
        inside = threading.Lock()

        def meet(name: str, key: str) -> Lost | None:
            if not inside.acquire(blocking=False):
                return None  # on whatever thread: what happens meanwhile has threads of its own
            try:
                self.requests += 1
                return at(self.requests, name, key)
            finally:
                inside.release()

        self.bucket.meet = meet

    def let_be(self) -> None:
        """Nothing is watched any more."""
        self.bucket.meet = lambda name, key: None

    def remote(self) -> Remote:
        """The remote itself, opened if it is encrypted."""
        return as_seen_by(self.stores[0], MemoryRemote(self.bucket))

    @property
    def quiet(self) -> Remote:
        """The same, whose requests nobody watches or disturbs."""
        return as_seen_by(self.stores[0], MemoryRemote(Bucket(now=self.bucket.now, objects=self.bucket.objects)))

    def document(self, kind: type[D], key: str) -> D:
        """What lies there."""
        found = self.quiet.get(key)
        assert found is not None, f"{key} is gone"
        return decode_remote(kind, found.data)

    @property
    def state(self) -> GcState:
        """What gc/state says."""
        return self.document(GcState, GC_KEY)

    def set_grace(self, seconds: int) -> None:
        """At once, as nobody may."""
        self.quiet.put(GC_KEY, encode_remote(changed_state(self.state, grace=seconds)))

    def packs(self) -> set[str]:
        """Packs and shards that lie there."""
        return {key for key in self.bucket.objects if key.startswith(("p/", "m/", "x/"))}

    def collect(self, store: Store, runs: int = 1) -> None:
        """Runs a little more than a grace apart, as another machine does them; who is slower has done nothing."""
        for _ in range(runs):
            self.pass_time(GRACE + 2)
            with suppress(Busy):
                store.remote_gc()

    def hold(self, store: Store) -> int:
        """`gc --remote --now`; the packs that went."""
        place = store.remotes()["origin"]
        assert place.id is not None
        remote = reaching.open_remote(place, None, store.context.keychain)
        holder = Holder(store.context, remote, bytes.fromhex(place.id), "me", _unseen, sleep=self.pass_time)
        return holder.collect().deleted_packs

    def require_whole(self) -> None:
        """All that each name there needs lies there."""
        versions: set[bytes] = set()
        lying = {each.key for each in self.quiet.list("")}
        for key in lying:
            if key.startswith(TAGS):
                versions.add(self.document(RemoteTag, key).version)
            elif key.startswith(ALIASES):
                versions.add(self.document(RemoteAlias, key).version)
        for version in versions - {b""}:
            assert set_key(version) in lying, f"{version.hex()} has no set"
            missing = set(all_keys(self.document(RemoteSet, set_key(version)))) - lying
            assert not missing, f"{version.hex()} needs {missing}, which are gone"


def _unseen(left: float) -> None:
    """Nobody watches the countdown."""


def set_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> Space:
    """A space in which every machine reaches the bucket, and all clocks are one."""
    space = Space(path, Bucket())

    def open_remote(
        place: RemotePlace, flow: object = None, keychain: Keychain | None = None, *, attempts_max: int | None = None
    ) -> Remote:
        remote = RetryingRemote(MemoryRemote(space.bucket, place.url), sleep=lambda _: None)
        return remote if keychain is None else SealedRemote(remote, keychain)

    monkeypatch.setattr(reaching, "open_remote", open_remote)

    def clock(_: int) -> float:
        return space.bucket.now

    monkeypatch.setattr("artstore.store.remote.presence.time.clock_gettime", clock)
    return space


def fill(space: Space) -> tuple[Store, Path]:
    """A store that has pushed m/v2, of whose pack a tenth is needed, since m/v1 has no name there any more; and g/v1,
    which has none either. Its folder has what m/v2 is made of.
    """
    one = space.new("one")
    folder = space.path / "folder"
    folder.mkdir()
    (folder / "big").write_bytes(noise(SIZE, 1))
    (folder / "kept").write_bytes(noise(SIZE // 9, 2))
    commit(one, folder, "m/v1")
    (folder / "big").unlink()
    commit(one, folder, "m/v2")
    garbage = space.path / "garbage"
    garbage.mkdir()
    (garbage / "g").write_bytes(noise(50_000, 3))
    commit(one, garbage, "g/v1")
    one.push()
    one.remove_at_remote("m/v1", "g/v1", remote="origin")
    space.set_grace(GRACE)
    return one, folder

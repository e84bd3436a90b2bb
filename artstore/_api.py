"""`artstore.Store`: how a store is found, made, opened and configured. What can be done with one is its base's."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, overload

from artstore import wiring
from artstore._keys import Keys
from artstore._settings import Setting, changes_of, settings_of
from artstore.errors import Conflict, NotFound, RemoteError, UsageError
from artstore.model import PackState, Scalar
from artstore.planning.cache import CacheBounds, free_min
from artstore.store import identity
from artstore.store.partial import partial_versions
from artstore.store.remote.flow import Flow
from artstore.wiring import keys, reaching

if TYPE_CHECKING:
    from collections.abc import Callable

    from artstore.model import RemotePlace
    from artstore.store.content import VerifiedFile
    from artstore.store.context import Counters
    from artstore.store.facade import AnyPath, Rev
    from artstore.store.rebuild import RebuildReport
    from artstore.store.remote.pull import PullResult
    from artstore.wiring.keys import Secret

HOME: Final = "origin"  # the remote of a store that was made from one


@dataclass(frozen=True, slots=True)
class Status:
    """A store at a glance; sizes in bytes, `sessions`: writers that run now.

    `elsewhere`: versions of which a part lies at a remote alone; `cached_bytes`: what is kept of remotes, of at most
    `cache_bytes_max`.
    """

    path: str
    id: str
    group: str | None
    tags: int
    aliases: int
    packs: int
    stored_bytes: int
    condemned_bytes: int
    disk_free_bytes: int
    sessions: int
    newest: str | None
    readonly: bool
    elsewhere: int
    cached_bytes: int
    cache_bytes_max: int
    encrypted: bool


class _OpenStore(Protocol):
    """`Store.open(path)`."""

    def __call__(
        self, path: str | os.PathLike[str] | None = None, *, create: bool = False, passphrase: Secret = None
    ) -> Store:
        """Open the store at `path`, else at $ARTSTORE_HOME, else the default one; `create` makes the latter two.

        `passphrase` of an encrypted store: the text, or what asks for it; None: it is where the environment says.

        Raises NotFound, NotPermitted with whom to ask, NewerFormat, Corrupt, UsageError on a network file system.
        """
        ...


class _OpenFile(Protocol):
    """`store.open(rev, path)`."""

    def __call__(self, revision: Rev, path: AnyPath | None = None) -> VerifiedFile:
        """A file of a version as a seekable binary file object; every byte is verified. `REV:PATH` works too."""
        ...


class _Open:
    """One word for both, as `open` is for files: on the class it opens a store, on a store a file of a version."""

    @overload
    def __get__(self, instance: None, owner: type[Store]) -> _OpenStore: ...
    @overload
    def __get__(self, instance: Store, owner: type[Store]) -> _OpenFile: ...
    def __get__(self, instance: Store | None, owner: type[Store]) -> _OpenStore | _OpenFile:
        return owner.open_store if instance is None else instance.open_file


class Store(Keys):
    """An opened store: `with artstore.Store.open() as store: …`.

    `Store.open(path)` opens a store, `store.open(rev, path)` a file in it. Thread-safe. A forked child may use it;
    pickled, it is opened again at the same path where it is unpickled.
    """

    open = _Open()

    @classmethod
    def open_store(
        cls, path: str | os.PathLike[str] | None = None, *, create: bool = False, passphrase: Secret = None
    ) -> Store:
        """As `Store.open`."""
        place = wiring.find(None if path is None else os.fspath(path), create=create)
        return cls(place, wiring.connect(place, passphrase))

    @classmethod
    def init(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        shared: bool | str = False,
        encrypt: str | None = None,
    ) -> Store:
        """Make a store and open it; `shared`: the group that may use it (True: your own). Conflict if taken.

        `encrypt`: the passphrase of a store that is to be encrypted. Nothing in it can be read without one.
        """
        group = wiring.own_group() if shared is True else shared or None
        where = None if path is None else os.fspath(path)
        if encrypt is None:
            place = wiring.init(where, group=group)
            return cls(place, wiring.connect(place))
        place = wiring.init(where, group=group, unlocked=keys.new_ring(encrypt, label=identity.user()))
        return cls(place, wiring.connect(place, encrypt))

    @classmethod
    def clone(
        cls,
        place: RemotePlace,
        path: str | os.PathLike[str] | None = None,
        *,
        name: str = HOME,
        full: bool = False,
        limit_rate: int | None = None,
        passphrase: Secret = None,
        counters: Counters | None = None,
    ) -> tuple[Store, PullResult]:
        """Make a store at `path`, else the default place, with this remote as its home, and fetch all names.

        Chunks come when they are read, or now if `full`. What came before an error stays: `fetch` and `pull` go on.
        `limit_rate`: bytes a second that may pass until then. `passphrase`: that of an encrypted remote, as in `open`;
        the store has the same keys.
        """
        if path is not None and wiring.is_store(wiring.place_of(os.fspath(path))):
            raise Conflict(f"{os.fspath(path)} is a store already", hint=f"artstore remote add {name} {place.url}")
        Flow.require(limit_rate)
        reached = reaching.reach_remote(place)
        store = cls._for_remote(place, wiring.place_of(None if path is None else os.fspath(path)), passphrase)
        try:
            store._note_remote(name, place, reach=lambda: reached)
            return store, (store.pull if full else store.fetch)(limit_rate=limit_rate, counters=counters)
        except BaseException:
            store.close()
            raise

    @classmethod
    def cache_of(
        cls,
        place: RemotePlace,
        path: str | os.PathLike[str] | None = None,
        *,
        passphrase: Secret = None,
        counters: Counters | None = None,
    ) -> tuple[Store, RemoteError | None]:
        """The store that is a cache of this remote, with all its names as they are now; made at its first use.

        At `path`, else below $XDG_CACHE_HOME, where it may be deleted whenever nobody uses it. If the remote can't be
        reached and there are names, they are as they were, and the error is handed back. Conflict if `path` is a store
        with another home. `passphrase`: as in `clone`.
        """
        where = wiring.cache_path(place) if path is None else wiring.place_of(os.fspath(path))
        if not wiring.is_store(where):
            reaching.reach_remote(place)
            with suppress(Conflict):  # another process was quicker
                cls._for_remote(place, where, passphrase).close()
        store = cls(where, wiring.connect(where, passphrase))
        try:
            if not store.remotes():
                with suppress(Conflict):  # the same
                    store.add_remote(HOME, place)
            home = next(iter(store.remotes().values()))
            if (home.url, home.endpoint) != (place.url, place.endpoint):
                raise Conflict(f"the home of the store {where} is {home.url}", hint="name another store")
            try:
                store.fetch(counters=counters)
            except RemoteError as error:
                if not store.tags():
                    raise
                return store, error
        except BaseException:
            store.close()
            raise
        return store, None

    @classmethod
    def _for_remote(cls, place: RemotePlace, where: str, passphrase: Secret) -> Store:
        """A new store for what lies at a remote: with its keys, if that is encrypted."""
        ring = keys.ring_at(place)
        if ring is None:
            made = wiring.init(where)
            return cls(made, wiring.connect(made))
        unlocked = keys.unlock_ring(ring, path=place.url, passphrase=passphrase)
        made = wiring.init(where, unlocked=unlocked)
        return cls(made, wiring.connect(made, unlocked))

    @staticmethod
    def rebuild_index(
        path: str | os.PathLike[str] | None = None, *, passphrase: Secret = None, counters: Counters | None = None
    ) -> RebuildReport:
        """Make the index of a store anew from its packs and refs.log. No process may have it open to write (Busy)."""
        return wiring.rebuild_index(wiring.find(None if path is None else os.fspath(path)), counters, passphrase)

    def __reduce__(self) -> tuple[Callable[[str], Store], tuple[str]]:
        return (_reopen, (self.path,))

    def status(self) -> Status:
        """The store at a glance."""
        config = wiring.load_config(self.path)
        with self.context.index.read() as reader:
            tags = list(reader.tags())
            aliases = sum(1 for _ in reader.aliases())
            packs = list(reader.packs())
            elsewhere = sum(1 for _ in partial_versions(reader))
        far = self.objects.fetcher.far()
        newest = max(tags, key=lambda tag: (tag.created, tag.name), default=None)
        space = os.statvfs(self.path)
        return Status(
            path=self.path,
            id=config.id,
            group=config.group,
            tags=len(tags),
            aliases=aliases,
            packs=len(packs),
            stored_bytes=sum(pack.size for pack in packs),
            condemned_bytes=sum(pack.size for pack in packs if pack.state is not PackState.LIVE),
            disk_free_bytes=space.f_bavail * space.f_frsize,
            sessions=len(self.context.sessions.running()),
            newest=None if newest is None else newest.name,
            readonly=self.context.readonly,
            elsewhere=elsewhere,
            cached_bytes=0 if far is None else far.kept.size(),
            cache_bytes_max=0 if far is None else far.kept.size_max,
            encrypted=self.is_encrypted,
        )

    def disk_shortfall(self) -> int:
        """Bytes that would have to be freed so that as much of the store's disk is free as `disk.min_free` says now."""
        space = os.statvfs(self.path)
        bounds = CacheBounds(min_free=wiring.load_config(self.path).min_free_bytes)
        wanted = free_min(bounds, disk=space.f_blocks * space.f_frsize)
        return max(0, wanted - space.f_bavail * space.f_frsize)

    def settings(self) -> list[Setting]:
        """All settings with their values."""
        return settings_of(wiring.load_config(self.path))

    def setting(self, key: str) -> Setting:
        """One setting; NotFound with the keys that there are."""
        settings = {setting.key: setting for setting in self.settings()}
        if key not in settings:
            raise NotFound(f"there is no setting {key!r}", hint=f"there are {', '.join(settings)}")
        return settings[key]

    def configure(self, key: str, value: Scalar) -> Setting:
        """Change a setting; it holds for whoever opens the store from now on."""
        setting = self.setting(key)
        if setting.fixed is not None:
            raise UsageError(f"{key} can't be set", hint=setting.fixed)
        wiring.change_config(self.path, **changes_of(key, value))
        return self.setting(key)

    def share(self, group: str) -> Setting:
        """Let a group use the store. NotPermitted, with whom to ask, if this user can't."""
        wiring.share(self.path, group)
        return self.setting("shared.group")


def _reopen(path: str) -> Store:
    return Store.open_store(path)

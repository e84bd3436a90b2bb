"""The composition root: the only place that names adapters. Finds, opens and makes stores."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from artstore.errors import (
    ArtstoreError,
    Conflict,
    Corrupt,
    NewerFormat,
    NotFound,
    NotPermitted,
)
from artstore.format.ids import PLAIN, Ids
from artstore.wiring import reaching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from artstore.adapters.store_folder import StoreConfig
    from artstore.format.keyring import Unlocked
    from artstore.model import RemotePlace
    from artstore.ports import Index, PackCache, PackFiles
    from artstore.store.context import Counters
    from artstore.store.facade import Connection
    from artstore.store.rebuild import RebuildReport
    from artstore.store.sealed import Keychain
    from artstore.wiring.keys import Secret


_CACHE_HEX: Final = 16


def default_path() -> str:
    """Where the store is unless somebody says otherwise: $ARTSTORE_HOME, else `artstore` in the XDG data folder."""
    named = os.environ.get("ARTSTORE_HOME")
    if named:
        return os.path.abspath(os.path.expanduser(named))
    from platformdirs import user_data_dir

    return user_data_dir("artstore")


def cache_path(place: RemotePlace) -> str:
    """Where the store lies that is a cache of a remote: in the XDG cache folder, by the remote's place."""
    from platformdirs import user_cache_dir

    from artstore.format.ids import checksum

    told = checksum(f"{place.url.rstrip('/')}\0{place.endpoint or ''}".encode())
    return os.path.join(user_cache_dir("artstore"), told.hex()[:_CACHE_HEX])


def state_path() -> str:
    """Where what runs in the background keeps its logs: the XDG state folder."""
    from platformdirs import user_state_dir

    return user_state_dir("artstore", appauthor=False)


def place_of(path: str | None) -> str:
    """The absolute path of the store that is meant; None: the default one."""
    return default_path() if path is None else os.path.abspath(os.path.expanduser(path))


def is_store(path: str) -> bool:
    """Is there a store at this path, as far as this user can see?"""
    from artstore.adapters import store_folder

    return store_folder.is_store(path)


def find(path: str | None, *, create: bool = False) -> str:
    """The path of an existing store. `create` makes the default one; one that was named must be there (NotFound)."""
    place = place_of(path)
    if is_store(place) or path is not None:
        return place  # opening tells what is wrong with it
    if not create:
        raise NotFound(f"there is no store at {place} yet", hint="`artstore commit DIR` makes it")
    if os.environ.get("ARTSTORE_HOME") and not os.path.isdir(os.path.dirname(place)):
        raise NotFound(f"$ARTSTORE_HOME is {place}, and its folder is missing", hint="is its disk mounted?")
    try:
        init(place)
    except Conflict:
        if not is_store(place):  # else another first commit was quicker
            raise
    return place


def init(path: str | None, *, group: str | None = None, unlocked: Unlocked | None = None) -> str:
    """Make a store, at the default place if none is named; Conflict if there is something already.

    `unlocked`: the keyring of one that is to be encrypted.
    """
    from artstore.adapters import store_folder
    from artstore.adapters.disk.mounts import refuse_network
    from artstore.adapters.lmdb_index import LmdbIndex
    from artstore.chunking import CHUNKER_ID

    place = place_of(path)
    refuse_network(place)
    store_folder.prepare(place, group=group)
    ids, keys, ring = PLAIN, None, b""
    if unlocked is not None:
        from artstore.format.ring import encode_ring

        ids, keys, ring = Ids(unlocked.keys.ids), unlocked.ring.keys.hex(), encode_ring(unlocked.ring)

    def make_index() -> None:
        LmdbIndex.create(place, ids, shared=group is not None).close()

    store_folder.complete(place, chunker=CHUNKER_ID, group=group, keys=keys, ring=ring, make_index=make_index)
    return place


def connect(path: str, passphrase: Secret = None) -> Connection:
    """Open a store. NotFound, NotPermitted with whom to ask, NewerFormat, Corrupt, UsageError on a network disk.

    `passphrase`: that of an encrypted store, what asks for it, or what was unlocked by it before; None: it is where the
    environment or the config say.
    """
    from artstore.adapters import store_folder
    from artstore.adapters.cache import FileCache
    from artstore.adapters.clock import SystemClock
    from artstore.adapters.disk.owners import refused
    from artstore.adapters.lmdb_index import LmdbIndex
    from artstore.adapters.packs import FilePacks
    from artstore.adapters.sessions import FileSessions
    from artstore.chunking import CHUNKER_ID
    from artstore.planning.cache import CacheBounds
    from artstore.store.context import Context, Far
    from artstore.store.facade import Connection
    from artstore.store.remote.flow import Flow
    from artstore.store.remote.pool import LazyPool

    config = store_folder.load_config(path)
    if config.chunker != CHUNKER_ID:
        raise NewerFormat(
            f"the store {path} cuts files by rule {config.chunker}, unknown here", hint="upgrade artstore"
        )
    keychain = None if config.keys is None else _unlock(path, passphrase)
    shared = config.group is not None
    ids = PLAIN if keychain is None else Ids(keychain.keys.ids)
    try:
        index = LmdbIndex(path, ids, shared=shared)
    except NotPermitted as error:
        raise refused(path) from error
    packs = FilePacks(path, shared=shared)
    flow = Flow()
    context = Context(
        path=path,
        index=index,
        packs=_sealed_packs(packs, keychain),
        sessions=FileSessions(path, shared=shared),
        clock=SystemClock(),
        ids=ids,
        level=config.level,
        shared=shared,
        readonly=index.note is not None,
        far=Far(
            pool=LazyPool(lambda: reaching.all_of(path), lambda place: reaching.open_remote(place, flow, keychain)),
            cache=_sealed_cache(FileCache(path, shared=shared), keychain),
            bounds=CacheBounds(size=config.cache_bytes, min_free=config.min_free_bytes),
            keep_local=config.keep == store_folder.KEEP_ALL,
        ),
        flow=flow,
        keychain=keychain,
    )

    def close() -> None:
        packs.close()
        index.close()

    return Connection(context, close)


def _unlock(path: str, passphrase: Secret) -> Keychain:
    from artstore.wiring.keys import unlock

    return unlock(path, passphrase)


def _sealed_packs(packs: PackFiles, keychain: Keychain | None) -> PackFiles:
    if keychain is None:
        return packs
    from artstore.store.sealed import SealedPacks

    return SealedPacks(packs, keychain)


def _sealed_cache(cache: PackCache, keychain: Keychain | None) -> PackCache:
    if keychain is None:
        return cache
    from artstore.store.sealed import SealedCache

    return SealedCache(cache, keychain)


def rebuild_index(path: str, counters: Counters | None = None, passphrase: Secret = None) -> RebuildReport:
    """Make a store's index anew from its packs and refs.log. Busy while anybody else writes to it."""
    from artstore.adapters import lmdb_index, store_folder
    from artstore.adapters.clock import SystemClock
    from artstore.adapters.disk.mounts import refuse_network
    from artstore.adapters.packs import FilePacks
    from artstore.adapters.sessions import FileSessions
    from artstore.store.rebuild import RebuildPorts, rebuild_index

    refuse_network(path)
    config = store_folder.load_config(path)
    shared = config.group is not None
    keychain = None if config.keys is None else _unlock(path, passphrase)
    ids = PLAIN if keychain is None else Ids(keychain.keys.ids)
    packs = FilePacks(path, shared=shared)
    ports = RebuildPorts(
        path=path,
        packs=_sealed_packs(packs, keychain),
        sessions=FileSessions(path, shared=shared),
        clock=SystemClock(),
        ids=ids,
        log=lmdb_index.RefsLog(os.path.join(path, store_folder.LOG), shared=shared),
        building=lambda: lmdb_index.rebuilding(path, ids, shared=shared),
        open_old=lambda: _sound_index(path, ids, shared=shared),
        written=packs.written,
        has_remotes=bool(config.remotes),
    )
    try:
        return rebuild_index(ports, counters)
    finally:
        packs.close()


def _sound_index(path: str, ids: Ids, *, shared: bool) -> Index | None:
    """The index of a store if all of it can be read, else None."""
    from artstore.adapters.lmdb_index import LmdbIndex
    from artstore.adapters.lmdb_index.index import FOLDER
    from artstore.adapters.lmdb_index.probe import require_readable

    try:
        require_readable(os.path.join(path, FOLDER))
        index = LmdbIndex(path, ids, shared=shared)
    except ArtstoreError:
        return None
    try:
        index.probe()
    except Corrupt:
        index.close()
        return None
    return index


def load_config(path: str) -> StoreConfig:
    """What the store's config.toml says."""
    from artstore.adapters import store_folder

    return store_folder.load_config(path)


def change_config(path: str, **changes: str | int | None) -> None:
    """Change settings: fields of the store's config by their names."""
    from dataclasses import replace

    from artstore.adapters import store_folder

    store_folder.change_config(path, lambda config: replace(config, **changes))  # type: ignore[arg-type]  # of these types


def section(path: str, name: str) -> dict[str, dict[str, object]]:
    """The tables of a part of a store's config that isn't the library's own, by name, in their order. Corrupt."""
    from artstore.adapters import store_folder

    return store_folder.section(store_folder.load_config(path), path, name)


def change_section(
    path: str, name: str, change: Callable[[dict[str, Mapping[str, object]]], Mapping[str, Mapping[str, object]]]
) -> None:
    """Replace these tables by what `change` makes of them."""
    from dataclasses import replace

    from artstore.adapters import store_folder

    def changed(config: StoreConfig) -> StoreConfig:
        tables = change(dict(store_folder.section(config, path, name)))
        rest = {key: value for key, value in config.rest.items() if key != name}
        return replace(
            config, rest={**rest, name: {key: dict(table) for key, table in tables.items()}} if tables else rest
        )

    store_folder.change_config(path, changed)


def refused(path: str) -> NotPermitted:
    """What to tell a user who may not write a store."""
    from artstore.adapters.disk import owners

    return owners.refused(path)


def is_told_of_changes(file_system: str) -> bool:
    """Does the system hear of all changes on such a file system? Not of those that other machines make."""
    from artstore.adapters.disk import mounts

    return file_system not in mounts.NETWORK and not file_system.startswith("fuse")


def share(path: str, group: str) -> None:
    """Let a group use the store."""
    from artstore.adapters import store_folder

    store_folder.share_with(path, group)


def own_group() -> str:
    """The name of this user's own group."""
    from artstore.adapters import store_folder

    return store_folder.own_group()


def preload(path: str) -> None:
    """Import now what reading a store imports: a release may be replaced while a process runs."""
    from artstore.adapters import allocator, cache, clock, lmdb_index, packs, remote_folder, sessions, store_folder
    from artstore.adapters.disk import mounts, owners
    from artstore.chunking import CHUNKER_ID
    from artstore.planning import cache as cache_bounds
    from artstore.store import context, facade, far
    from artstore.store.remote import flow, pool

    assert all((cache_bounds, context, facade, flow, pool))
    assert all((allocator, cache, clock, lmdb_index, packs, remote_folder, sessions, store_folder, mounts, owners))
    assert CHUNKER_ID, far
    if load_config(path).keys is not None:
        from artstore.store import sealed
        from artstore.wiring import keys

        assert all((sealed.Keychain, keys.unlock))
    # Without its packages only what isn't here can't be read, and that says so.
    needs_s3 = any(place.url.startswith("s3:") for place in reaching.all_of(path).values())
    if needs_s3 and find_spec("boto3") is not None:
        from artstore.adapters import s3

        assert s3.__name__


def prepare_process(*, one_arena: bool = False) -> bool:
    """Set this process up for much data. For programs of ours only: the allocator is the whole process's.

    `one_arena`: what some threads allocate others free.
    """
    from artstore.adapters.allocator import keep_freed_memory

    return keep_freed_memory(one_arena=one_arena)


def file_system_of(path: str) -> str:
    """The type of the file system that a path lies on; "" if the system won't tell."""
    from artstore.adapters.disk.mounts import file_system_of

    return file_system_of(path)


def is_network(kind: str) -> bool:
    """Is this the type of a network file system?"""
    from artstore.adapters.disk.mounts import NETWORK

    return kind in NETWORK

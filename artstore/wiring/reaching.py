"""The remotes that a store's config names: noted, opened, reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from artstore.errors import Conflict, NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from artstore.adapters.store_folder import StoreConfig
    from artstore.format.remote import RemoteFormat
    from artstore.model import RemotePlace
    from artstore.ports import Remote
    from artstore.store.remote.flow import Flow
    from artstore.store.sealed import Keychain

UNKNOWN: Final = ""  # in the place of a home's id: what the remote says of it was not read yet
_MAY_GO: Final = ("single_writer", "mirror_of", "epoch")  # of a remote's table, when it is written anew


def all_of(path: str) -> dict[str, RemotePlace]:
    """The remotes of a store by name; the first one is its home."""
    from artstore.adapters import store_folder

    config = store_folder.load_config(path)
    return {name: store_folder.place_of(table) for name, table in config.remotes.items()}


def put_remote(path: str, name: str, place: RemotePlace, *, known: bool, home: bool = False) -> None:
    """Note a remote: a new one, or a `known` one that has changed; `home`: before all others. Conflict, NotFound."""
    from dataclasses import replace

    from artstore.adapters import store_folder

    def change(config: StoreConfig) -> StoreConfig:
        if not known and name in config.remotes:
            raise Conflict(f"there is a remote {name} already", hint="`artstore remote list` shows it")
        if known and name not in config.remotes:
            raise _no_remote(name, config.remotes)
        # What a later release has said of it stays.
        rest = {key: value for key, value in config.remotes.get(name, {}).items() if key not in _MAY_GO}
        new = {name: {**rest, **store_folder.table_of(place)}}
        others = {other: table for other, table in config.remotes.items() if other != name}
        return replace(config, remotes={**new, **others} if home else {**config.remotes, **new})

    store_folder.change_config(path, change)


def make_home(path: str, name: str, *, epoch: int, follow: Iterable[str]) -> None:
    """Put a remote before all others, and note those that `follow` as mirrors of it, in one step. NotFound."""
    from dataclasses import replace

    from artstore.adapters import store_folder

    def change(config: StoreConfig) -> StoreConfig:
        if name not in config.remotes:
            raise _no_remote(name, config.remotes)
        bare = {
            other: {key: value for key, value in table.items() if key not in ("mirror_of", "epoch")}
            for other, table in config.remotes.items()
        }
        mirror = {"mirror_of": bare[name]["id"], "epoch": epoch}
        others = {other: {**bare[other], **mirror} for other in follow if other in bare}
        home = {name: {**bare[name], "epoch": epoch}}
        return replace(
            config, remotes={**home, **{each: config.remotes[each] for each in bare if each != name}, **others}
        )

    store_folder.change_config(path, change)


def drop_remote(path: str, name: str) -> None:
    """Forget a remote; nothing at it is touched. NotFound."""
    from dataclasses import replace

    from artstore.adapters import store_folder

    def change(config: StoreConfig) -> StoreConfig:
        if name not in config.remotes:
            raise _no_remote(name, config.remotes)
        return replace(config, remotes={other: table for other, table in config.remotes.items() if other != name})

    store_folder.change_config(path, change)


def find_remote(path: str, name: str | None = None) -> tuple[str, RemotePlace]:
    """A remote of a store, its home if none is named. NotFound with those that there are."""
    places = all_of(path)
    if name is None and places:
        return next(iter(places.items()))
    if name is None or name not in places:
        raise _no_remote(name, places)
    return name, places[name]


def open_remote(
    place: RemotePlace,
    flow: Flow | None = None,
    keychain: Keychain | None = None,
    *,
    attempts_max: int | None = None,
) -> Remote:
    """A remote that is ready to be used. UsageError for a URL that makes no sense; what it needs may be missing.

    `flow`: what its bodies move through; `keychain`: the keys of an encrypted store; `attempts_max`: of one request,
    for who would rather know than wait.
    """
    remote = _open_remote(place, flow, attempts_max)
    if keychain is None:
        return remote
    from artstore.store.sealed import SealedRemote

    return SealedRemote(remote, keychain)


def _open_remote(place: RemotePlace, flow: Flow | None, attempts_max: int | None) -> Remote:
    from artstore.planning.retry import RetryPolicy
    from artstore.store.remote.retrying import RetryingRemote

    policy = None if attempts_max is None else RetryPolicy(attempts_max=attempts_max)

    scheme = place.url.partition(":")[0]
    if scheme == "file":
        from artstore.adapters.remote_folder import FolderRemote

        return RetryingRemote(FolderRemote(place, flow), policy=policy, flow=flow)
    if scheme != "s3":
        raise UsageError(f"{place.url!r} is no URL of a remote", hint="write s3://BUCKET/PREFIX or file:///FOLDER")
    try:
        from artstore.adapters.s3 import S3Remote
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("artstore"):
            raise
        raise NotFound(
            f"what S3 needs is missing: {error.name} is not installed", hint="pip install 'artstore[s3]'"
        ) from error
    return RetryingRemote(S3Remote(place, flow), policy=policy, flow=flow)


def reach_remote(place: RemotePlace) -> RemotePlace:
    """A remote that can be read, with its id. NotFound, with its URL, if nothing was pushed there; RemoteError.

    Who is home can't be read without the keys of an encrypted one: the first contact with them finds out.
    """
    from dataclasses import replace

    from artstore.chunking import CHUNKER_ID
    from artstore.store.remote.opening import look_at_remote

    remote = open_remote(place)
    try:
        told = look_at_remote(remote, chunker=CHUNKER_ID)
        if told is None:
            raise NotFound(f"{place.url} is no remote: nothing was pushed there", hint="correct the URL")
        return replace(place, id=told.id.hex(), mirror_of=UNKNOWN) if told.keys else claimed(place, remote, told.id)
    finally:
        remote.close()


def prepare_remote(path: str, place: RemotePlace, keychain: Keychain | None = None) -> RemotePlace:
    """Reach a remote for a store, and make it one if it is empty; the place with its id."""
    from artstore.adapters import store_folder

    remote = open_remote(place, None, keychain)
    try:
        told = prepare(remote, chunker=store_folder.load_config(path).chunker, keychain=keychain)
        return claimed(place, remote, told.id)
    finally:
        remote.close()


def prepare(remote: Remote, *, chunker: int, keychain: Keychain | None) -> RemoteFormat:
    """Make an empty place a remote of a store, encrypted as the store is. Errors as `look_at_remote`."""
    from artstore.store.remote.opening import prepare_remote

    if keychain is None:
        return prepare_remote(remote, chunker=chunker)
    from artstore.format.ring import encode_ring

    keys = keychain.keys.fingerprint
    return prepare_remote(remote, chunker=chunker, keys=keys, ring=encode_ring(keychain.ring))


def claimed(place: RemotePlace, remote: Remote, id: bytes) -> RemotePlace:
    """A place with its id, and with what it says of who is home."""
    from dataclasses import replace

    from artstore.store.remote.claims import read_claim

    claim = read_claim(remote, id).claim
    return replace(place, id=id.hex(), mirror_of=None if claim.is_home else claim.home.hex(), epoch=claim.epoch)


def clock_of_remote(place: RemotePlace) -> float:
    """What time a remote says it is, s since 1970. RemoteError, NotPermitted; NotFound if nothing was pushed there."""
    from artstore.format.remote import FORMAT_KEY

    remote = open_remote(place)
    try:
        found = remote.get(FORMAT_KEY)
    finally:
        remote.close()
    if found is None:
        raise NotFound(f"{place.url} is empty", hint="`artstore push` makes it a remote")
    return found.time


def _no_remote(name: str | None, known: Iterable[str]) -> NotFound:
    names = ", ".join(known)
    message = "this store has no remote" if name is None else f"there is no remote {name!r}"
    return NotFound(message, hint=f"there are {names}" if names else "`artstore remote add NAME URL` adds one")

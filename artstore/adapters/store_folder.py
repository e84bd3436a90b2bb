"""The folder of a store: its layout, its `config.toml`, and who may use it.

`config.toml` is written last and linked into place: a folder with it is a store, a folder without is none, and of two
processes that create one store at once exactly one does.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import json
import os
import tomllib
from dataclasses import asdict, dataclass, field, replace
from datetime import date, time
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from artstore import limits
from artstore.adapters.disk import faultpoints
from artstore.adapters.disk.errnos import translating
from artstore.adapters.disk.files import (
    FILE_MODE_SHARED,
    FOLDER_MODE_SHARED,
    durable_write,
    fsync_folder,
    make_folder,
    share,
)
from artstore.adapters.disk.owners import owner_of, refused
from artstore.errors import Conflict, Corrupt, NewerFormat, NotFound, NotPermitted, UsageError
from artstore.model import RemotePlace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

FORMAT: Final = 1
SEALED_FORMAT: Final = 2  # of an encrypted store: releases that know no encryption refuse it
CONFIG: Final = "config.toml"
LOCK: Final = "config.toml.lock"
LOG: Final = "refs.log"
KEYRING: Final = "keyring"
FOLDERS: Final = ("packs", "sessions", "tmp")
_PARTS: Final = (*FOLDERS, "index.lmdb", "cache", LOG, KEYRING)
_PRIVATE: Final = 0o700  # who can read a store but not its lock can't read it safely
_KNOWN: Final = ("format", "id", "chunker")
_CONFIG_BYTES_MAX: Final = 1 << 20
_LEVEL_DEFAULT: Final = 3
KEEP_NEEDED: Final = "needed"
KEEP_ALL: Final = "all"
NOTIFY_AUTO: Final = "auto"
NOTIFY_NEVER: Final = "never"
_BELOW: Final = {
    "compression": "level",
    "shared": "group",
    "cache": "size",
    "disk": "min_free",
    "local": "keep",
    "daemon": "notify",
}
_ENCRYPTION: Final = ("keys", "passphrase_file", "passphrase_command", "keyring")
_PLACE: Final = ("url", "endpoint", "region", "profile", "addressing", "ca", "id", "mirror_of")


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """What `config.toml` says. `cache_bytes`, `min_free_bytes`: None for a part of the disk; `keep`: "all" if nothing
    that was pushed may be evicted; `notify`: "never" if the daemon shows no notifications. `remotes`: by name, in the
    order in which they were added. `keys`: the fingerprint of an encrypted store's keys, in hex; `passphrase_file`,
    `passphrase_command`, `keyring`: where its passphrase is found. `rest`: what releases that know more have written,
    kept as it is.
    """

    id: str
    chunker: int
    level: int = _LEVEL_DEFAULT
    group: str | None = None
    cache_bytes: int | None = None
    min_free_bytes: int | None = None
    keep: str = KEEP_NEEDED
    notify: str = NOTIFY_AUTO
    rest: dict[str, object] = field(default_factory=dict[str, object])
    remotes: dict[str, dict[str, object]] = field(default_factory=dict[str, dict[str, object]])
    keys: str | None = None
    passphrase_file: str | None = None
    passphrase_command: str | None = None
    keyring: bool = False


def prepare(path: str, *, group: str | None) -> None:
    """Make the folders of a new store at a missing or empty place; it is no store until `complete`. Idempotent.

    Conflict if there is a store, or anything else.
    """
    gid = None if group is None else group_id(group)
    with translating("create a store at", path):
        try:
            os.makedirs(path, mode=_PRIVATE, exist_ok=True)
        except FileExistsError as error:
            raise Conflict(f"{path} is a file", hint="choose a new folder") from error
        found = set(os.listdir(path))
        if CONFIG in found:
            raise _exists(path)
        strangers = sorted(name for name in found if name not in _PARTS and not name.startswith((CONFIG, LOG, KEYRING)))
        if strangers:
            raise Conflict(f"{path} is no store and not empty: it holds {strangers[0]!r}", hint="choose a new folder")
        if gid is None:
            os.chmod(path, _PRIVATE)  # it may have been there
        else:
            _share_folder(path, gid)
    for name in FOLDERS:
        make_folder(os.path.join(path, name), shared=group is not None)
    faultpoints.reach("store.folders")


def complete(
    path: str,
    *,
    chunker: int,
    group: str | None,
    keys: str | None = None,
    ring: bytes = b"",
    make_index: Callable[[], None] | None = None,
) -> StoreConfig:
    """Make a prepared folder a store, durably. Conflict if somebody else was first. `keys`, `ring`: those of an
    encrypted one; the keyring is there before the folder is a store. `make_index`: called while nobody else makes a
    store here, so that index, keyring and config are of one process.
    """
    config = StoreConfig(id=os.urandom(16).hex(), chunker=chunker, group=group, keys=keys)
    with _locked(path, group is not None), translating("create a store at", path):
        if is_store(path):
            raise _exists(path)  # and has a keyring of its own
        if make_index is not None:
            make_index()
        if keys is not None:
            durable_write(os.path.join(path, KEYRING), ring, shared=group is not None, exclusive=False)
            faultpoints.reach("store.keyring")
        if not _write_config(path, config, exclusive=True):
            raise _exists(path)
        fsync_folder(os.path.dirname(os.path.abspath(path)))
    faultpoints.reach("store.configured")
    return config


def load_keyring(path: str) -> bytes:
    """The keyring of an encrypted store. Corrupt if it is missing."""
    file = os.path.join(path, KEYRING)
    with translating("read", file):
        try:
            with open(file, "rb") as opened:
                return opened.read(limits.KEYRING_BYTES_MAX)
        except FileNotFoundError as error:
            raise Corrupt(
                f"{file} is missing: nothing in this store can be opened without it",
                hint="restore it from a copy; a remote of this store has one, as `keys/ring`",
            ) from error


def save_keyring(path: str, data: bytes, *, instead_of: bytes) -> bool:
    """Replace the keyring, durably, in one step, if it is still this one: another process may do so, too. False if it
    isn't, and stays as it is.
    """
    with _changing(path) as config:
        if load_keyring(path) != instead_of:
            return False
        return durable_write(os.path.join(path, KEYRING), data, shared=config.group is not None, exclusive=False)


def is_store(path: str) -> bool:
    """Is there a store at this path, as far as this user can see?"""
    return os.path.lexists(os.path.join(path, CONFIG))


def load_config(path: str) -> StoreConfig:
    """Read `config.toml`. NotFound if there is no store, NotPermitted with whom to ask, NewerFormat, Corrupt."""
    with translating("read", os.path.join(path, CONFIG)):
        try:
            with open(os.path.join(path, CONFIG), "rb") as file:
                raw = file.read(_CONFIG_BYTES_MAX)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"there is no store at {path}", hint=f"`artstore init {path}` creates one") from error
        except PermissionError as error:
            raise refused(path) from error
    try:
        values = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error
    return _config_of(path, values)


def save_config(path: str, config: StoreConfig) -> None:
    """Replace `config.toml`, durably, in one step."""
    try:
        _write_config(path, config, exclusive=False)
    except NotPermitted as error:
        raise refused(path) from error


def change_config(path: str, change: Callable[[StoreConfig], StoreConfig]) -> None:
    """Replace `config.toml` by what `change` makes of it; of several processes that do so, each sees the last one's."""
    with _changing(path):
        save_config(path, change(load_config(path)))


@contextlib.contextmanager
def _changing(path: str) -> Generator[StoreConfig, None, None]:
    """Alone in changing the config."""
    config = load_config(path)
    with _locked(path, config.group is not None):
        yield config


@contextlib.contextmanager
def _locked(path: str, shared: bool) -> Generator[None, None, None]:
    """The lock is a file that is never replaced, as config.toml is."""
    file = os.path.join(path, LOCK)
    try:
        with translating("lock", file):
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except NotPermitted as error:
        raise refused(path) from error
    try:
        if shared:
            with contextlib.suppress(PermissionError):  # not ours: who made it has done this
                share(descriptor)
        with translating("lock", file):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def share_with(path: str, group: str) -> None:
    """Let a group use the store: its folders become 2770, its files 0660, all of that group. Idempotent."""
    gid = group_id(group)
    load_config(path)
    try:
        _share(path, gid)
    except PermissionError as error:
        owner = owner_of(path)
        raise NotPermitted(
            f"only {owner} can share {path}, as a member of {group}",
            hint=f"ask {owner} to run `artstore --store {path} config shared {group}`",
        ) from error
    change_config(path, lambda config: replace(config, group=group))
    _share(path, gid)  # config.toml is a new file


def group_id(group: str) -> int:
    """The number of a group; NotFound if there is none of that name."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise NotFound(f"there is no group {group!r} on this machine", hint="`id -Gn` lists yours") from error


def own_group() -> str:
    """The name of this user's own group."""
    try:
        return grp.getgrgid(os.getgid()).gr_name
    except KeyError as error:
        raise UsageError("your group has no name on this machine", hint="name one: --shared=GROUP") from error


def section(config: StoreConfig, path: str, name: str) -> dict[str, dict[str, object]]:
    """Tables that this release leaves to others: `[NAME.KEY]`, by key, in their order. Corrupt."""
    tables = _table(config.rest, name)
    found = {} if tables is None else {key: _table(tables, key) for key in tables}
    if tables is None or any(table is None for table in found.values()):
        raise _damaged(path, f"{name} is a table of tables")
    return {key: table or {} for key, table in found.items()}


def place_of(values: dict[str, object]) -> RemotePlace:
    """A remote as its table in the config tells it; what isn't known here is left to those who wrote it."""
    told = {key: value for key, value in values.items() if key in _PLACE and isinstance(value, str)}
    single = values.get("single_writer") is True
    epoch = values.get("epoch")
    return RemotePlace(
        url=told["url"],
        endpoint=told.get("endpoint"),
        region=told.get("region"),
        profile=told.get("profile"),
        addressing=told.get("addressing"),
        ca=told.get("ca"),
        id=told.get("id"),
        single_writer=single,
        mirror_of=told.get("mirror_of"),
        epoch=epoch if isinstance(epoch, int) and epoch > 0 else 0,
    )


def table_of(place: RemotePlace) -> dict[str, object]:
    """The same the other way round: what is said, and nothing else."""
    return {key: value for key, value in asdict(place).items() if value not in (None, False)}


def _config_of(path: str, values: dict[str, object]) -> StoreConfig:
    number = values.get("format")
    if isinstance(number, int) and number > SEALED_FORMAT:
        raise NewerFormat(
            f"the store {path} has format {number}, this release knows {SEALED_FORMAT}", hint="upgrade artstore"
        )
    id, chunker = values.get("id"), values.get("chunker")
    encryption = _encryption(path, values)
    if (
        number != (FORMAT if encryption.keys is None else SEALED_FORMAT)
        or not isinstance(id, str)
        or not isinstance(chunker, int)
    ):
        raise _damaged(path, "format, id or chunker is missing")
    tables: dict[str, dict[str, object]] = {}
    for key in _BELOW:
        table = _table(values, key)
        if table is None:
            raise _damaged(path, f"{key} is a table")
        tables[key] = table
    level, group = tables["compression"].get("level", _LEVEL_DEFAULT), tables["shared"].get("group")
    if not isinstance(level, int) or not 1 <= level <= 22 or not isinstance(group, str | None):
        raise _damaged(path, "compression.level is 1 to 22, shared.group a name")
    cache, free, keep = tables["cache"].get("size"), tables["disk"].get("min_free"), tables["local"].get("keep")
    if not _is_size(cache) or not _is_size(free) or keep not in (None, KEEP_NEEDED, KEEP_ALL):
        raise _damaged(path, "cache.size and disk.min_free are bytes, local.keep is needed or all")
    notify = tables["daemon"].get("notify")
    if notify not in (None, NOTIFY_AUTO, NOTIFY_NEVER):
        raise _damaged(path, "daemon.notify is auto or never")
    named = _table(values, "remotes")
    if named is None:
        raise _damaged(path, "remotes is a table")
    remotes = {name: _table(named, name) for name in named}
    if any(place is None or not isinstance(place.get("url"), str) for place in remotes.values()):
        raise _damaged(path, "each table in remotes has a url")
    rest = {key: value for key, value in values.items() if key not in (*_KNOWN, *_BELOW, "remotes", "encryption")}
    for key, table in tables.items():
        below = {name: value for name, value in table.items() if name != _BELOW[key]}
        if below:
            rest[key] = below
    return StoreConfig(
        id,
        chunker,
        level,
        group,
        cache if isinstance(cache, int) else None,
        free if isinstance(free, int) else None,
        str(keep or KEEP_NEEDED),
        str(notify or NOTIFY_AUTO),
        rest,
        {name: place or {} for name, place in remotes.items()},
        *encryption,
    )


class _Encryption(NamedTuple):
    keys: str | None = None
    passphrase_file: str | None = None
    passphrase_command: str | None = None
    keyring: bool = False


def _encryption(path: str, values: dict[str, object]) -> _Encryption:
    table = _table(values, "encryption")
    told = {key: value for key, value in (table or {}).items() if key in _ENCRYPTION}
    texts = {key: value for key, value in told.items() if isinstance(value, str)}
    switches = {key: value for key, value in told.items() if isinstance(value, bool)}
    if (
        table is None
        or {*texts} - {"keyring"} | {*switches} & {"keyring"} != {*told}
        or (table and "keys" not in texts)
    ):
        raise _damaged(
            path, "encryption has keys, passphrase_file and passphrase_command, texts, and keyring, a switch"
        )
    return _Encryption(
        texts.get("keys"), texts.get("passphrase_file"), texts.get("passphrase_command"), switches.get("keyring", False)
    )


def _is_size(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _table(values: dict[str, object], key: str) -> dict[str, object] | None:
    found = values.get(key, {})
    return cast("dict[str, object]", found) if isinstance(found, dict) else None


def _exists(path: str) -> Conflict:
    return Conflict(f"{path} is a store already", hint=f"`artstore --store {path} status` shows it")


def _damaged(path: str, why: str) -> Corrupt:
    return Corrupt(
        f"{os.path.join(path, CONFIG)} is damaged: {why}", hint="restore that file from a copy, or mend it by hand"
    )


def _write_config(path: str, config: StoreConfig, *, exclusive: bool) -> bool:
    """False if `exclusive` and there is one already."""
    number = FORMAT if config.keys is None else SEALED_FORMAT
    values: dict[str, object] = {"format": number, "id": config.id, "chunker": config.chunker, **config.rest}
    said = {
        "compression": config.level,
        "shared": config.group,
        "cache": config.cache_bytes,
        "disk": config.min_free_bytes,
        "local": None if config.keep == KEEP_NEEDED else config.keep,
        "daemon": None if config.notify == NOTIFY_AUTO else config.notify,
    }
    for key, value in said.items():
        if value is not None:
            values[key] = {**(_table(config.rest, key) or {}), _BELOW[key]: value}
    if config.keys is not None:
        told = {key: getattr(config, key) for key in _ENCRYPTION}
        values["encryption"] = {key: value for key, value in told.items() if value not in (None, False)}
    if config.remotes:
        values["remotes"] = config.remotes
    text = "# Written by artstore; `artstore config` changes it.\n" + toml(values)
    target = os.path.join(path, CONFIG)
    if tomllib.loads(text) != values:
        raise _damaged(path, "it holds what can't be written again")
    return durable_write(target, text.encode(), shared=config.group is not None, exclusive=exclusive)


def toml(values: dict[str, object], prefix: str = "") -> str:
    """Whatever tomllib reads, as TOML: tables as such, those in arrays inline."""
    lines = [f"{_key(key)} = {_value(value)}\n" for key, value in values.items() if not isinstance(value, dict)]
    for key in values:
        below = _table(values, key)
        if isinstance(values[key], dict) and below is not None:
            name = prefix + _key(key)
            lines.append(f"\n[{name}]\n" + toml(below, name + "."))
    return "".join(lines)


def _value(value: object) -> str:
    match value:
        case bool() | str():
            # A JSON string is a TOML basic string, but for surrogates and DEL.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            return f"[{', '.join(map(_value, cast('list[object]', value)))}]"
        case dict():
            pairs = cast("dict[str, object]", value).items()
            return f"{{{', '.join(f'{_key(key)} = {_value(below)}' for key, below in pairs)}}}"
        case date() | time():
            return value.isoformat()
        case _:
            return repr(value)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _value(key)


def _share(path: str, gid: int) -> None:
    for folder, _, names in os.walk(path):
        _share_folder(folder, gid)
        for name in names:
            file = os.path.join(folder, name)
            with contextlib.suppress(FileNotFoundError):  # a temporary file of a running writer
                os.chown(file, -1, gid)
                os.chmod(file, FILE_MODE_SHARED)


def _share_folder(path: str, gid: int) -> None:
    os.chown(path, -1, gid)
    os.chmod(path, FOLDER_MODE_SHARED)

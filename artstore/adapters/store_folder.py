"""The folder of a store: its layout, its `config.toml`, who may use it, and what kind of disk it lies on.

`config.toml` is written last and linked into place: a folder with it is a store, a folder without is none, and of two
processes that create one store at once exactly one does.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import secrets
import tomllib
from dataclasses import dataclass, field, replace
from typing import Final

from artstore.errors import Conflict, Corrupt, NewerFormat, NotFound, NotPermitted, UsageError

FORMAT: Final = 1
CONFIG: Final = "config.toml"
FOLDERS: Final = ("packs", "sessions", "tmp", "index.lmdb")
NETWORK_FILE_SYSTEMS: Final = frozenset(
    {
        "afs", "beegfs", "ceph", "cifs", "coda", "fuse.ceph-fuse", "fuse.gcsfuse", "fuse.glusterfs",
        "fuse.goofys", "fuse.juicefs", "fuse.mount-s3", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "gpfs",
        "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb3", "smbfs", "wekafs",
    }
)  # fmt: skip
"""Where mmap and locks of two machines don't see each other: an LMDB index would be damaged."""

_KNOWN: Final = ("format", "id", "chunker")
_CONFIG_BYTES_MAX: Final = 1 << 20
_LEVEL_DEFAULT: Final = 3


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """What `config.toml` says. `rest`: tables of releases that know more, kept as they are."""

    id: str
    chunker: int
    level: int = _LEVEL_DEFAULT
    group: str | None = None
    rest: dict[str, object] = field(default_factory=dict[str, object])


def create(path: str, *, chunker: int, group: str | None) -> StoreConfig:
    """Make a store of a missing or empty folder. Conflict if it is one already, or holds anything else."""
    config = StoreConfig(id=secrets.token_hex(16), chunker=chunker, group=group)
    gid = None if group is None else group_id(group)
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = set(os.listdir(path))
        if CONFIG in found:
            raise Conflict(f"{path} is a store already", hint="`artstore status` shows it")
        strangers = sorted(name for name in found if name not in FOLDERS and not name.startswith(CONFIG))
        if strangers:
            raise Conflict(f"{path} is no store and not empty: it holds {strangers[0]!r}", hint="choose a new folder")
        for name in FOLDERS:
            os.makedirs(os.path.join(path, name), mode=0o700, exist_ok=True)
        if gid is not None:
            _share(path, gid)
        _write_config(path, config, exclusive=True)
    except FileExistsError as error:
        raise Conflict(f"{path} is a store already, or no folder", hint="`artstore status` shows a store") from error
    except PermissionError as error:
        raise NotPermitted(f"can't create a store at {path}: {error.strerror}", hint="choose another with --store") from error
    return config


def load_config(path: str) -> StoreConfig:
    """Read `config.toml`. NotFound if there is no store, NotPermitted with whom to ask, NewerFormat, Corrupt."""
    try:
        with open(os.path.join(path, CONFIG), "rb") as file:
            raw = file.read(_CONFIG_BYTES_MAX)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"there is no store at {path}", hint=f"`artstore init --store {path}` creates one") from error
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
    except PermissionError as error:
        raise refused(path) from error


def share_with(path: str, group: str) -> None:
    """Let a group use the store: its folders become 2770, its files 0660, all of that group. Idempotent."""
    gid = group_id(group)
    config = load_config(path)
    try:
        _share(path, gid)
    except PermissionError as error:
        owner = owner_of(path)
        raise NotPermitted(
            f"only {owner} can share {path}, as a member of {group}",
            hint=f"ask {owner} to run `artstore --store {path} config shared {group}`",
        ) from error
    save_config(path, replace(config, group=group))
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


def owner_of(path: str) -> str:
    """The name of who owns the nearest folder that can be looked at."""
    while True:
        try:
            uid = os.stat(path).st_uid
        except OSError:
            parent = os.path.dirname(path)
            if parent == path:
                return "its owner"
            path = parent
            continue
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return f"user {uid}"


def refused(path: str) -> NotPermitted:
    """What to tell a user who may not open or write this store."""
    owner = owner_of(path)
    return NotPermitted(
        f"the store {path} belongs to {owner} and is not open to you",
        hint=f"ask {owner} to run `artstore --store {path} config shared GROUP` with a group that you are in",
    )


def file_system_of(path: str, mountinfo: str = "/proc/self/mountinfo") -> str | None:
    """The type of the file system that a path lies or would lie on (`ext4`, `nfs4`), or None if the system can't tell."""
    path = os.path.realpath(path)
    best, kind = "", None
    try:
        with open(mountinfo, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                left, _, right = line.partition(" - ")
                point = _unescaped(left.split(" ")[4])
                if len(point) >= len(best) and (path + "/").startswith(point.rstrip("/") + "/"):
                    best, kind = point, right.split(" ", 1)[0]
    except (OSError, IndexError):
        return None
    return kind


def refuse_network(path: str, mountinfo: str = "/proc/self/mountinfo") -> None:
    """UsageError if the store would lie on a network file system."""
    kind = file_system_of(path, mountinfo)
    if kind in NETWORK_FILE_SYSTEMS:
        raise UsageError(
            f"{path} lies on a network file system ({kind}), which would damage the store's index",
            hint="use a folder on a local disk: --store DIR or $ARTSTORE_HOME",
        )


def _config_of(path: str, values: dict[str, object]) -> StoreConfig:
    number = values.get("format")
    if isinstance(number, int) and number > FORMAT:
        raise NewerFormat(f"the store {path} has format {number}, this release knows {FORMAT}", hint="upgrade artstore")
    id, chunker = values.get("id"), values.get("chunker")
    compression, shared = values.get("compression", {}), values.get("shared", {})
    if number != FORMAT or not isinstance(id, str) or not isinstance(chunker, int):
        raise _damaged(path, "format, id or chunker is missing")
    if not isinstance(compression, dict) or not isinstance(shared, dict):
        raise _damaged(path, "compression and shared are tables")
    level: object = compression.get("level", _LEVEL_DEFAULT)
    group: object = shared.get("group")
    if not isinstance(level, int) or not 1 <= level <= 22 or not isinstance(group, str | None):
        raise _damaged(path, "compression.level is 1 to 22, shared.group a name")
    rest = {key: value for key, value in values.items() if key not in (*_KNOWN, "compression", "shared")}
    return StoreConfig(id, chunker, level, group, rest)


def _damaged(path: str, why: str) -> Corrupt:
    return Corrupt(
        f"{os.path.join(path, CONFIG)} is damaged: {why}", hint="restore that file from a copy, or mend it by hand"
    )


def _write_config(path: str, config: StoreConfig, *, exclusive: bool) -> None:
    """FileExistsError if `exclusive` and there is one already."""
    values: dict[str, object] = {"format": FORMAT, "id": config.id, "chunker": config.chunker, **config.rest}
    values["compression"] = {"level": config.level}
    if config.group is not None:
        values["shared"] = {"group": config.group}
    target = os.path.join(path, CONFIG)
    temporary = f"{target}.{secrets.token_hex(8)}"
    mode = 0o600 if config.group is None else 0o660
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "w", encoding="utf-8") as file:
            file.write("# Written by artstore; `artstore config` changes it.\n" + toml(values))
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if exclusive:
            os.link(temporary, target)
        else:
            os.replace(temporary, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    _sync_folder(path)


def toml(values: dict[str, object], prefix: str = "") -> str:
    """Scalars, arrays of scalars and tables as TOML; a JSON string is a TOML basic string."""
    lines = [f"{_key(key)} = {json.dumps(value)}\n" for key, value in values.items() if not isinstance(value, dict)]
    for key, value in values.items():
        if isinstance(value, dict):
            name = prefix + _key(key)
            lines.append(f"\n[{name}]\n" + toml(value, name + "."))
    return "".join(lines)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _share(path: str, gid: int) -> None:
    for folder, _, names in os.walk(path):
        os.chown(folder, -1, gid)
        os.chmod(folder, 0o2770)
        for name in names:
            file = os.path.join(folder, name)
            with contextlib.suppress(FileNotFoundError):  # a temporary file of a running writer
                os.chown(file, -1, gid)
                os.chmod(file, 0o660)


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unescaped(text: str) -> str:
    """mountinfo writes blanks and backslashes as octal."""
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, sign)
    return text

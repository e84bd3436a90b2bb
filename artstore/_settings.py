"""Settings of a store: what there is to set, and what may be said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from artstore.errors import UsageError

if TYPE_CHECKING:
    from artstore.model import Scalar

_SHARE: Final = "`artstore config shared GROUP` does it"
_FIXED: Final = "it is the store's for ever"
_LEVEL_DEFAULT: Final = 3
_KEEP: Final = ("needed", "all")
_NOTIFY: Final = ("auto", "never")
_SIZE: Final = re.compile(r"(\d{1,15}) ?([kKMGT]?)(i?)B?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a store. `fixed`: how else it is changed, for what `configure` doesn't change."""

    key: str
    value: Scalar
    default: Scalar
    about: str
    fixed: str | None = None


class Configured(Protocol):
    """What a store's config says."""

    @property
    def id(self) -> str: ...
    @property
    def chunker(self) -> int: ...
    @property
    def level(self) -> int: ...
    @property
    def group(self) -> str | None: ...
    @property
    def cache_bytes(self) -> int | None: ...
    @property
    def min_free_bytes(self) -> int | None: ...
    @property
    def keep(self) -> str: ...
    @property
    def notify(self) -> str: ...
    @property
    def keys(self) -> str | None: ...
    @property
    def passphrase_file(self) -> str | None: ...
    @property
    def passphrase_command(self) -> str | None: ...
    @property
    def keyring(self) -> bool: ...


def settings_of(config: Configured) -> list[Setting]:
    """All settings, as a store's config has them."""
    return [
        Setting(
            "compression.level", config.level, _LEVEL_DEFAULT, "zstd's level for what is stored from now on, 1 to 22"
        ),
        Setting(
            "cache.size",
            config.cache_bytes,
            None,
            "bytes kept of what remotes have; unset: a tenth of the disk, at most 100 GB",
        ),
        Setting("disk.min_free", config.min_free_bytes, None, "bytes left free on the disk; unset: a twentieth of it"),
        Setting("local.keep", config.keep, _KEEP[0], "needed, or all: what was pushed is never evicted"),
        Setting(
            "daemon.notify", config.notify, _NOTIFY[0], "auto: on desktops the daemon shows what went wrong; or never"
        ),
        *_encryption(config),
        Setting("shared.group", config.group, None, "the group that may use the store", _SHARE),
        Setting("id", config.id, None, "tells this store from others", _FIXED),
        Setting("chunker", config.chunker, None, "how files are cut", _FIXED),
    ]


def _encryption(config: Configured) -> list[Setting]:
    if config.keys is None:
        return []
    return [
        Setting("encryption.passphrase_file", config.passphrase_file, None, "the file with this store's passphrase"),
        Setting("encryption.passphrase_command", config.passphrase_command, None, "the command that prints it"),
        Setting(
            "encryption.keyring",
            config.keyring,
            False,
            "whether this system's keyring has it",
            "`artstore key remember` and `artstore key forget` change it",
        ),
        Setting("encryption.keys", config.keys, None, "tells these keys from others", _FIXED),
    ]


def changes_of(key: str, value: Scalar) -> dict[str, str | int | None]:
    """The fields of the config that change when a setting is said to be `value`. UsageError if it makes no sense."""
    if key == "compression.level":
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 22:
            raise UsageError(f"{key} is a number from 1 to 22, not {value!r}")
        return {"level": value}
    if key == "local.keep":
        if value not in _KEEP:
            raise UsageError(f"{key} is needed or all, not {value!r}")
        return {"keep": str(value)}
    if key == "daemon.notify":
        if value not in _NOTIFY:
            raise UsageError(f"{key} is auto or never, not {value!r}")
        return {"notify": str(value)}
    if key in ("encryption.passphrase_file", "encryption.passphrase_command"):
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{key} is text, not {value!r}")
        return {key.removeprefix("encryption."): value or None}
    assert key in ("cache.size", "disk.min_free")
    return {"cache_bytes" if key == "cache.size" else "min_free_bytes": _bytes_of(key, value)}


def _bytes_of(key: str, value: Scalar) -> int | None:
    """A size: 500M and 2GB as disks are sold, 2GiB in powers of 1024; None, or "": unset."""
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    size = parse_size(value) if isinstance(value, str) else None
    if size is None:
        raise UsageError(f"{key} is a size, not {value!r}", hint="write for instance 20G, 500MB or 2GiB")
    return size


def parse_size(text: str) -> int | None:
    """Bytes as people write them; None if that is no size."""
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    base = 1024 if found[3] else 1000
    factor: int = base ** " KMGT".index(found[2].upper() or " ")
    return int(found[1]) * factor

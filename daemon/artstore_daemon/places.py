"""Where a daemon is met: its lock, socket, log and token, each by the store it serves.

The lock lies in the store, so that two machines or users that share one don't both watch over it; the rest is this
user's alone.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Final

from artstore import wiring

LOCK: Final = "daemon.lock"
_SOCKET_BYTES_MAX: Final = 107  # of a unix socket's path: sun_path of <sys/un.h>
_SHORT_ID: Final = 16


@dataclass(frozen=True, slots=True)
class Places:
    """Of one store."""

    store: str
    store_id: str
    runtime: str
    state: str

    @property
    def lock(self) -> str:
        """Held while a daemon runs; it says which process."""
        return os.path.join(self.store, LOCK)

    @property
    def socket(self) -> str:
        """Where it is asked."""
        return os.path.join(self.runtime, f"{self.store_id[:_SHORT_ID]}.sock")

    @property
    def port(self) -> str:
        """On which port it can be asked over TCP, if it can."""
        return os.path.join(self.runtime, f"{self.store_id[:_SHORT_ID]}.port")

    @property
    def log(self) -> str:
        """What it has to say, unless somebody else keeps that."""
        return os.path.join(self.state, f"daemon-{self.store_id[:_SHORT_ID]}.log")

    @property
    def token(self) -> str:
        """What lets others in over TCP."""
        return os.path.join(self.state, f"daemon-{self.store_id[:_SHORT_ID]}.token")

    def prepare(self) -> None:
        """Make the folders, for this user alone."""
        for folder in (self.runtime, self.state):
            os.makedirs(folder, mode=0o700, exist_ok=True)


def places_of(path: str | None) -> Places:
    """Of the store at a path, or the default one. NotFound if there is none."""
    store = wiring.find(path)
    state = wiring.state_path()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = os.path.join(runtime, "artstore") if _is_own(runtime) else os.path.join(state, "run")
    places = Places(store, wiring.load_config(store).id, folder, state)
    if len(os.fsencode(places.socket)) > _SOCKET_BYTES_MAX:
        folder = f"/tmp/artstore-{os.getuid()}"  # noqa: S108 - it is made for this user alone, and checked
        places = Places(store, places.store_id, folder, state)
    return places


def require_own(folder: str) -> None:
    """PermissionError unless a folder is this user's, and nobody else may write there."""
    if not _is_own(folder):
        raise PermissionError(f"{folder} is not yours alone")


def _is_own(folder: str) -> bool:
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022

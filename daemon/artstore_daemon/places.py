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
from artstore.errors import NotPermitted
from artstore_daemon import lock

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
        """Make the folders, for this user alone. NotPermitted: who can write there can answer in the daemon's name."""
        for folder, variable in ((self.runtime, "XDG_RUNTIME_DIR"), (self.state, "XDG_STATE_HOME")):
            try:
                os.makedirs(folder, mode=0o700, exist_ok=True)
            except OSError as error:
                raise NotPermitted(
                    f"the daemon can't make {folder}: {error.strerror}", hint=f"set {variable} to a folder of yours"
                ) from error
        if not _is_own(self.runtime):
            raise NotPermitted(
                f"{self.runtime}, where the daemon is to answer, isn't a folder of yours that only you write to",
                hint="move it away, or set XDG_RUNTIME_DIR to such a folder",
            )

    def answering(self) -> str:
        """Where the daemon that runs is asked: it may have been started in another environment."""
        return lock.socket_of(self.lock) or self.socket


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


def _is_own(folder: str) -> bool:
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022

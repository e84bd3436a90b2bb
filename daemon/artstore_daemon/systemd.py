"""What a service manager is told, and hands over: sd_notify(3), sd_listen_fds(3). Without one, nothing happens."""

from __future__ import annotations

import os
import socket
from typing import Final

_LISTEN_FIRST: Final = 3  # SD_LISTEN_FDS_START


def notify(*lines: str) -> None:
    """Tell the service manager: `READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=…`."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
        try:
            told.connect(address)
            told.send("\n".join(lines).encode())
        except OSError:  # it doesn't listen any more: nobody would be helped by an error
            return


def watchdog_s() -> float | None:
    """How often it has to be told `WATCHDOG=1` at least; None: not at all."""
    said = os.environ.get("WATCHDOG_USEC", "")
    own = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(said) / 1e6 if said.isdigit() and int(said) > 0 and own == str(os.getpid()) else None


def listening() -> int | None:
    """The first socket that was handed over, to listen on; None if none was."""
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdigit() or int(count) < 1:
        return None
    os.set_inheritable(_LISTEN_FIRST, False)
    return _LISTEN_FIRST

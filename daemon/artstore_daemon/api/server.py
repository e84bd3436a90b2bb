"""Serves the API: on a unix socket, which file permissions guard, and over TCP if that is asked for."""

from __future__ import annotations

import logging
import os
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio
from hypercorn.config import Config

from artstore import limits
from artstore.errors import Busy, Conflict
from artstore_daemon.api.app import application
from artstore_daemon.api.connections import Connections
from artstore_daemon.api.security import Gate
from artstore_daemon.api.tokens import token_of

if TYPE_CHECKING:
    from artstore_daemon.daemon import Daemon

_log: Final = logging.getLogger(__name__)
_BACKLOG: Final = 64
HTTP_LOGGER: Final = "artstore_daemon.http"
_PROBE_S: Final = 5.0  # that somebody who listens, but is too busy to answer, is waited for


async def serve(
    daemon: Daemon,
    *,
    socket_path: str,
    inherited: int | None,
    tcp: bool,
    port_path: str,
    token_path: str,
    stop: trio.Event,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer until `stop`. `inherited`: a socket that a service manager has opened, instead of one at `socket_path`."""
    listening = _at(socket_path) if inherited is None else _adopted(inherited, socket_path)
    # One that lies there already is the service manager's, who goes on listening on it.
    is_ours = inherited is None or listening.getsockname() != socket_path
    limiter = trio.CapacityLimiter(limits.API_CALLS_MAX)
    _forget(port_path)  # of a daemon that was killed
    try:
        async with trio.open_nursery() as nursery:
            answer = Connections(application(daemon, stop=stop, gate=None, limiter=limiter), _config())
            await nursery.start(answer.serve, listening, stop)
            if tcp:
                listening, gate = _on_tcp(token_path)
                answer = Connections(application(daemon, stop=stop, gate=gate, limiter=limiter), _config())
                await nursery.start(answer.serve, listening, stop)
                _note(port_path, gate.port)
                _log.info("it answers on 127.0.0.1:%d to who has the token in %s", gate.port, token_path)
            task_status.started()
    finally:
        if is_ours:
            _forget(socket_path)
        _forget(port_path)


def _config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = logging.getLogger(HTTP_LOGGER)
    config.loglevel = "WARNING"
    config.keep_alive_timeout = limits.API_IDLE_S
    config.include_server_header = False
    return config


def _on_tcp(token_path: str) -> tuple[socket.socket, Gate]:
    """A socket on a port of this machine's own, and what is asked of requests there."""
    token = token_of(token_path)
    listening = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    return listening, Gate(token, listening.getsockname()[1])


def _note(path: str, port: int) -> None:
    """Whole, or not at all: somebody may be waiting for it."""
    made = f"{path}.new"
    _forget(made)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(f"{port}\n")
    os.replace(made, path)


def _forget(path: str) -> None:
    with suppress(OSError):  # nothing depends on it
        os.unlink(path)


def _at(path: str) -> socket.socket:
    """A new socket, for this user alone. Busy if somebody answers there; what a daemon that was killed left goes."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            pass
        except TimeoutError:
            raise _somebody(path) from None
        else:
            raise _somebody(path)
    _make_way(path)
    made = socket.socket(socket.AF_UNIX)
    try:
        made.bind(path)
        os.chmod(path, 0o600)  # nobody gets in before somebody listens
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _somebody(path: str) -> Busy:
    return Busy(f"somebody answers at {path} already", hint="`artstore daemon status` asks")


def _make_way(path: str) -> None:
    """Remove what a daemon has left that was killed. Conflict if it is something else."""
    with suppress(FileNotFoundError):
        mode = os.lstat(path).st_mode
        if not (stat.S_ISSOCK(mode) or stat.S_ISLNK(mode)):
            raise Conflict(f"{path} is no socket, and would be replaced", hint="move it away")
        os.unlink(path)


def _adopted(descriptor: int, path: str) -> socket.socket:
    """A socket that was handed over; a link to it lies where the daemon of this store is looked for."""
    given = socket.socket(fileno=descriptor)
    there: object = given.getsockname()
    if given.family == socket.AF_UNIX and isinstance(there, str) and os.path.isabs(there) and there != path:
        _make_way(path)
        os.symlink(there, path)
    return given

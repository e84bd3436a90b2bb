"""Serves the API: on a unix socket, which file permissions guard, and over TCP if that is asked for."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

import trio
from hypercorn import trio as hypercorn_trio
from hypercorn.config import Config

from artstore import limits
from artstore.errors import Busy
from artstore_daemon.api.app import application
from artstore_daemon.api.security import Gate
from artstore_daemon.api.tokens import token_of

if TYPE_CHECKING:
    from artstore_daemon.daemon import Daemon

_log: Final = logging.getLogger(__name__)
_BACKLOG: Final = 64
# Its own types are those of another ASGI library than Starlette's.
_serve_asgi: Final = cast("Callable[..., Awaitable[None]]", hypercorn_trio.serve)  # pyright: ignore[reportUnknownMemberType]
HTTP_LOGGER: Final = "artstore_daemon.http"
_PRIVATE: Final = 0o177  # taken from the modes of what is made


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
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(_serve, daemon, listening, None, stop)
            if tcp:
                await _serve_tcp(nursery, daemon, port_path, token_path, stop)
            task_status.started()
    finally:
        for path in (socket_path, port_path):
            with suppress(OSError):
                os.unlink(path)


async def _serve_tcp(nursery: trio.Nursery, daemon: Daemon, port_path: str, token_path: str, stop: trio.Event) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    port: int = listening.getsockname()[1]
    gate = Gate(token_of(token_path), port)
    await nursery.start(_serve, daemon, listening, gate, stop)
    _note(port_path, port)
    _log.info("it answers on 127.0.0.1:%d to who has the token in %s", port, token_path)


async def _serve(
    daemon: Daemon,
    listening: socket.socket,
    gate: Gate | None,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]  # whose it is from now on
    config.accesslog = None
    config.errorlog = logging.getLogger(HTTP_LOGGER)
    config.loglevel = "WARNING"
    config.graceful_timeout = limits.API_STOP_S
    config.shutdown_timeout = limits.API_STOP_S
    config.keep_alive_timeout = limits.API_IDLE_S
    config.include_server_header = False
    app = application(daemon, stop=stop, gate=gate)

    async def started(*, task_status: trio.TaskStatus[None]) -> None:
        await _serve_asgi(app, config, shutdown_trigger=stop.wait, mode="asgi", task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(started)
        task_status.started()


def _note(path: str, port: int) -> None:
    with open(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w", encoding="ascii"
    ) as file:
        file.write(f"{port}\n")


def _at(path: str) -> socket.socket:
    """A new socket, for this user alone. Busy if somebody answers there; what a daemon that was killed left goes."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            pass
        else:
            raise Busy(f"somebody answers at {path} already", hint="`artstore daemon status` asks")
    with suppress(FileNotFoundError):
        os.unlink(path)
    made = socket.socket(socket.AF_UNIX)
    before = os.umask(_PRIVATE)
    try:
        made.bind(path)
    finally:
        os.umask(before)
    made.listen(_BACKLOG)
    return made


def _adopted(descriptor: int, path: str) -> socket.socket:
    """A socket that was handed over; a link to it lies where the daemon of this store is looked for."""
    given = socket.socket(fileno=descriptor)
    there: object = given.getsockname()
    if given.family == socket.AF_UNIX and isinstance(there, str) and os.path.isabs(there) and there != path:
        with suppress(FileNotFoundError):
            os.unlink(path)
        os.symlink(there, path)
    return given

"""Connections, each by itself: one that breaks ends alone, and none keeps the daemon from ending.

Hypercorn's own server, as a nursery does, ends as a whole when one of its connections breaks, which a client that goes
away in the middle of a body brings about; what it sends it shields from being cancelled, so that a client that reads
nothing would keep it for ever; and one that has gone it holds until it has been silent for long enough, or for ever if
it had asked for more than it took. So connections are accepted and held here, and Hypercorn serves each of them.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

from artstore import limits

if TYPE_CHECKING:
    from hypercorn.config import Config
    from starlette.types import ASGIApp

_log: Final = logging.getLogger(__name__)


class Connections:
    """Those of one listening socket."""

    def __init__(self, app: ASGIApp, config: Config) -> None:
        # Its types are those of another ASGI library than Starlette's.
        self._app = ASGIWrapper(cast("Any", app))
        self._config = config
        self._open: set[_Connection] = set()

    async def serve(
        self,
        listening: socket.socket,
        stop: trio.Event,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Answer until `stop`; what is under way then has API_STOP_S to end. The socket is closed."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as answering:
                async with trio.open_nursery() as accepting:
                    accept = partial(trio.serve_listeners, self._hold, [listener], handler_nursery=answering)
                    accepting.start_soon(accept)
                    task_status.started()
                    await stop.wait()
                    accepting.cancel_scope.cancel()
                for each in list(self._open):
                    await each.end()
                nursery.start_soon(self._cut, answering.cancel_scope)
            nursery.cancel_scope.cancel()

    async def _hold(self, stream: trio.SocketStream) -> None:
        if len(self._open) >= limits.API_CONNECTIONS_MAX:
            await trio.aclose_forcefully(stream)
            return
        held = _Connection(stream)
        self._open.add(held)
        # It has the methods of a stream that are called, and what is awaited is an object, no coroutine.
        server = TCPServer(self._app, self._config, held.worker, {}, cast("Any", held))
        try:
            with held.scope:
                await cast("Awaitable[None]", server)
        except* Exception as errors:  # noqa: BLE001 - the rim of a connection: the others go on
            _log.warning("a connection broke: %r", errors.exceptions[0])
        finally:
            self._open.discard(held)
            await trio.aclose_forcefully(stream)

    async def _cut(self, answering: trio.CancelScope) -> None:
        """Who reads nothing of what is being sent, or is still being answered, has had its time."""
        await trio.sleep(limits.API_STOP_S)
        _log.info("%d connections are cut off", len(self._open))
        for each in list(self._open):
            await each.aclose()
        answering.cancel()


class _Connection:
    """A stream as Hypercorn uses it, and what it takes for its worker, which ends here with each connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.worker = WorkerContext(None)
        self.scope = trio.CancelScope()
        self.socket = stream.socket
        self._stream = stream

    async def end(self) -> None:
        """Nothing more is answered than what has been asked."""
        await self.worker.terminated.set()

    async def receive_some(self, size: int) -> bytes:
        """What comes; nothing more is asked by who says nothing more."""
        data = b""
        try:
            data = bytes(await self._stream.receive_some(size))
        finally:
            if not data:
                await self.end()
        return data

    async def send_all(self, data: bytes) -> None:
        """Send. If nobody takes it any more this is the end of the connection: what has been asked is done by then, it
        is told when it is.
        """
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError) as error:
            self.scope.cancel()
            raise trio.BrokenResourceError from error

    async def send_eof(self) -> None:
        """Nothing more is sent."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Whoever waits for it is told."""
        await self._stream.aclose()

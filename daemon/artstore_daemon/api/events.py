"""What happens, as server-sent events: each with its number, so that whoever reconnects goes on behind the last one.

Numbers begin anew with each daemon, and the last ones alone are remembered: a gap in them says that some are forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import trio
from starlette.responses import StreamingResponse

from artstore import limits
from artstore_daemon.api import views
from artstore_daemon.api.encoding import encode
from artstore_daemon.api.routes import EVENTS

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from artstore_daemon.daemon import Daemon, Happening


class EventStream(StreamingResponse):
    """All that has happened behind a number and is remembered, then what happens, until `stop`, or nobody listens.

    Starlette's own way of noticing that nobody does is to cancel what is being sent; Hypercorn, which says so also when
    the last of it is sent, would be cancelled while it closes the connection, and leave it open.
    """

    def __init__(self, daemon: Daemon, *, after: int, stop: trio.Event) -> None:
        self._daemon = daemon
        self._stop = stop
        self._gone = trio.Event()
        super().__init__(self._frames(after), media_type=EVENTS, headers={"cache-control": "no-store"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, receive)
            await self.stream_response(send)
            nursery.cancel_scope.cancel()

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def _frames(self, after: int) -> AsyncIterator[bytes]:
        yield b": it goes on from here\n\n"
        remembered = self._daemon.happenings()
        if not remembered or after > remembered[-1].number:
            after = 0  # that was another daemon's: nothing of this one is known
        while not self._is_over:
            told = await self._next(after)
            if told:
                after = told[-1].number
                yield b"".join(map(event, told))
            elif not self._is_over:
                yield b": still here\n\n"

    @property
    def _is_over(self) -> bool:
        return self._stop.is_set() or self._gone.is_set()

    async def _next(self, after: int) -> list[Happening]:
        """What happens next; nothing if it is the end, or if nothing happens for a while."""
        told: list[Happening] = []
        async with trio.open_nursery() as nursery:

            async def end_with(ended: trio.Event) -> None:
                await ended.wait()
                nursery.cancel_scope.cancel()

            nursery.cancel_scope.deadline = trio.current_time() + limits.API_EVENTS_S
            nursery.start_soon(end_with, self._stop)
            nursery.start_soon(end_with, self._gone)
            told = await self._daemon.wait_for_happening(after)
            nursery.cancel_scope.cancel()
        return told


def event(told: Happening) -> bytes:
    """One event. JSON has no line ends of its own, so that its data is one line."""
    return f"id: {told.number}\nevent: {told.kind}\ndata: {encode(views.happening(told)).decode()}\n\n".encode()

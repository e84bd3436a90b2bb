"""A daemon that answers on a unix socket and on a port, on a thread of the test, and those who ask it."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self, TypeVar

import trio

from artstore import Store
from artstore_daemon.api.server import serve
from artstore_daemon.client import Client
from artstore_daemon.daemon import Daemon
from tests.daemon.live import WAIT_S

T = TypeVar("T")
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Answer:
    """What was told over TCP. `headers`: by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Any: JSON."""
        return json.loads(self.body)


class Serving:
    """Such a daemon: a context. `place`: where its socket, port and token lie."""

    def __init__(self, store: Store, place: Path, *, tcp: bool = True, inherited: int | None = None) -> None:
        self.socket, self.port_path, self.token_path = (str(place / name) for name in ("sock", "port", "token"))
        self._store, self._tcp, self._inherited = store, tcp, inherited
        self._ready = Event()
        self._error: BaseException | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop: trio.Event | None = None
        self._daemon: Daemon | None = None
        self._thread = Thread(target=self._run, name="serving daemon")

    @property
    def client(self) -> Client:
        return Client(self.socket, timeout_s=WAIT_S)

    @property
    def daemon(self) -> Daemon:
        assert self._daemon is not None
        return self._daemon

    @property
    def port(self) -> int:
        return int(Path(self.port_path).read_text())

    @property
    def token(self) -> str:
        return Path(self.token_path).read_text().strip()

    def call(self, work: Callable[[], T]) -> T:
        """Do something in the daemon's loop."""
        return trio.from_thread.run_sync(work, trio_token=self._token)

    def tell(self, name: str) -> None:
        """Have something happen."""
        self.call(lambda: self.daemon.tell("version", name, "of a test"))

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Over TCP, with the token unless `headers` say otherwise."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request(method, path, body, {"authorization": f"Bearer {self.token}", **(headers or {})})
            answer = connection.getresponse()
            given = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, given, answer.read())
        finally:
            connection.close()

    def connect(self, said: bytes = b"") -> socket.socket:
        """A connection to the unix socket on which that has been said."""
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(WAIT_S)
        made.connect(self.socket)
        made.sendall(said)
        return made

    def raw(self, said: bytes) -> bytes:
        """All that comes over the unix socket for bytes that were sent there."""
        with self.connect(said) as connection:
            return b"".join(iter(partial(connection.recv, 1 << 16), b""))

    def end(self) -> float:
        """Have it end; after how many seconds it has."""
        began = time.monotonic()
        if self._token is not None and self._stop is not None and self._thread.is_alive():
            self._token.run_sync_soon(self._stop.set)
        self.wait()
        return time.monotonic() - began

    def wait(self) -> None:
        """Until it has ended."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "it doesn't end"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self._error = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._token, self._stop = trio.lowlevel.current_trio_token(), trio.Event()
        self._daemon = Daemon(self._store)
        async with trio.open_nursery() as nursery, trio.open_nursery() as working:
            working.start_soon(self._daemon.run)
            answer = partial(
                serve,
                self._daemon,
                socket_path=self.socket,
                inherited=self._inherited,
                tcp=self._tcp,
                port_path=self.port_path,
                token_path=self.token_path,
                stop=self._stop,
            )
            await nursery.start(answer)
            self._ready.set()
            await self._stop.wait()
            working.cancel_scope.cancel()


def until(holds: Callable[[], T]) -> T:
    """What is there, once it is."""
    end = time.monotonic() + WAIT_S
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def body_of(document: object) -> bytes:
    """As it is sent."""
    return json.dumps(document).encode()

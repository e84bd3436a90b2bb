"""An HTTP proxy between a client and a server that does to requests what networks and services do.

One thread for each connection. The client's Host header is passed on, so that signatures stay valid. Bodies are as
long as their Content-Length says, or chunked (RFC 9112, section 7.1). What passes is counted; with a certificate
clients speak TLS, the server doesn't.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import IO, Final, Self

_LINE_BYTES_MAX: Final = 65_536
_COPY_BYTES: Final = 65_536
_LINGER_AT_ONCE: Final = struct.pack("ii", 1, 0)
_DRAIN_S: Final = 1.0


class Fault(Enum):
    """What may happen to a request."""

    DELAY = "delay"  # it takes longer
    SLOW_DOWN = "slow down"  # 503, with Retry-After
    SERVER_ERROR = "server error"  # 500, and nothing was done
    RESET_REQUEST = "reset request"  # the connection is reset in the middle of what is sent
    RESET_REPLY = "reset reply"  # … of what is answered
    SHORT_REPLY = "short reply"  # the answer ends in the middle, without a word
    FLIPPED_REPLY = "flipped reply"  # a bit of its body
    FLIPPED_REQUEST = "flipped request"
    LOST_REPLY = "lost reply"  # it was done, and nobody is told
    EXPIRED_TOKEN = "expired token"  # noqa: S105 - 400, as AWS says it: who asks must sign in again


_REFUSALS: Final = {
    Fault.SLOW_DOWN: ("SlowDown", 503),
    Fault.SERVER_ERROR: ("InternalError", 500),
    Fault.EXPIRED_TOKEN: ("ExpiredToken", 400),
}

Choose = Callable[[str, str], Fault | None]
"""`choose(method, path)`: what happens to a request; None: nothing."""


@dataclass(slots=True)
class _Message:
    """The head of a request or reply, and how long its body is; `chunked`: that is told as it comes."""

    lines: list[bytes]
    size: int
    chunked: bool = False

    @property
    def first(self) -> list[str]:
        return self.lines[0].decode("latin-1").split()

    def header(self, name: bytes) -> bytes | None:
        """A header's value."""
        for line in self.lines[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name:
                return value.strip()
        return None


class From:
    """Chooses nothing until the `count`-th request of which `fits(method, path)` holds; then `act` is called, once, and
    `fault` befalls whatever comes, that request included.
    """

    def __init__(
        self,
        count: int,
        fits: Callable[[str, str], bool],
        *,
        act: Callable[[], None] | None = None,
        fault: Fault | None = None,
    ) -> None:
        self._left = count
        self._fits = fits
        self._act = act
        self._fault = fault
        self._lock = threading.Lock()
        self.happened = False

    def __call__(self, method: str, path: str) -> Fault | None:
        with self._lock:  # nobody passes while it happens
            if not self.happened and self._fits(method, path):
                self._left -= 1
                if self._left == 0:
                    self.happened = True
                    if self._act is not None:
                        self._act()
            return self._fault if self.happened else None


class FaultProxy:
    """Before the server at `target` (host, port). A context; `url` is where clients go.

    `tls`: what clients are shown, if they are to speak TLS. `requests` and `moved_bytes` count what passed: requests,
    and bytes of bodies in both directions; both are free to be set.
    """

    def __init__(self, target: tuple[str, int], choose: Choose, *, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._choose = choose
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.done: list[Fault] = []  # what was done, in order
        self.requests = 0
        self.moved_bytes = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="fault-proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, ValueError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            with (
                client,
                socket.create_connection(self._target) as server,
                client.makefile("rb") as asked,
                server.makefile("rb") as answered,
            ):
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while self._exchange(client, asked, server, answered):
                    pass

    def _exchange(self, client: socket.socket, asked: IO[bytes], server: socket.socket, answered: IO[bytes]) -> bool:
        """One request and its reply; whether the connection goes on."""
        request = _read_head(asked)
        if request is None:
            return False
        method, path = request.first[:2]
        fault = self._choose(method, path)
        if fault is not None:
            self.done.append(fault)
        if fault is Fault.DELAY:
            time.sleep(0.2)
        if fault in _REFUSALS:
            return _refuse(client, asked, method, fault)
        if request.header(b"expect") == b"100-continue":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.lines = [line for line in request.lines if not line.lower().startswith(b"expect:")]
        server.sendall(b"".join(request.lines) + b"\r\n")
        half = request.size // 2
        if fault is Fault.RESET_REQUEST:
            _copy(asked, server, half)
            return _reset(client, server)
        with self._lock:
            self.requests += 1
        if request.chunked:
            _copy_chunks(asked, server, flip=fault is Fault.FLIPPED_REQUEST, count=self._count_moved)
        else:
            self._count_moved(request.size)
            _copy(asked, server, request.size, flip=half if fault is Fault.FLIPPED_REQUEST else None)
        reply = _read_head(answered)
        if reply is None:
            return False
        if method == "HEAD" or int(reply.first[1]) in (204, 304):
            reply.size, reply.chunked = 0, False
        if fault is Fault.LOST_REPLY:
            return _reset(client, server)
        client.sendall(b"".join(reply.lines) + b"\r\n")
        if fault in (Fault.RESET_REPLY, Fault.SHORT_REPLY):
            _copy(answered, client, reply.size // 2)
            return _reset(client, server) if fault is Fault.RESET_REPLY else False
        _pass_on(reply, answered, client, flip=fault is Fault.FLIPPED_REPLY, count=self._count_moved)
        return (reply.header(b"connection") or b"").lower() != b"close"

    def _count_moved(self, size: int) -> None:
        """Before they are passed on: who has got a reply finds it counted."""
        with self._lock:
            self.moved_bytes += size


def _read_head(source: IO[bytes]) -> _Message | None:
    """The next head; None if the other side has ended."""
    lines: list[bytes] = []
    while (line := source.readline(_LINE_BYTES_MAX)) not in (b"", b"\r\n", b"\n"):
        lines.append(line)
    if not lines:
        return None
    message = _Message(lines, 0)
    message.chunked = message.header(b"transfer-encoding") is not None
    message.size = int(message.header(b"content-length") or 0)
    return message


def _copy(source: IO[bytes], target: socket.socket, size: int, *, flip: int | None = None) -> None:
    """So many bytes of a body, with one bit changed at `flip`."""
    position = 0
    while position < size:
        part = source.read(min(size - position, _COPY_BYTES))
        if not part:
            raise ValueError("cut short")
        if flip is not None and position <= flip < position + len(part):
            changed = bytearray(part)
            changed[flip - position] ^= 0x10
            part = bytes(changed)
        target.sendall(part)
        position += len(part)


def _pass_on(
    reply: _Message, source: IO[bytes], target: socket.socket, *, flip: bool, count: Callable[[int], None]
) -> None:
    """A whole body."""
    if reply.chunked:
        _copy_chunks(source, target, flip=flip, count=count)
    else:
        count(reply.size)
        _copy(source, target, reply.size, flip=reply.size // 2 if flip else None)


def _copy_chunks(source: IO[bytes], target: socket.socket, *, flip: bool, count: Callable[[int], None]) -> None:
    """A chunked body to its end, with one bit of the first chunk changed."""
    while True:
        head = source.readline(_LINE_BYTES_MAX)
        size = int(head.split(b";")[0], 16)
        count(size)
        target.sendall(head)
        _copy(source, target, size, flip=size // 2 if flip and size else None)
        flip = False
        target.sendall(source.readline(_LINE_BYTES_MAX))  # behind each chunk, and behind the last one
        if size == 0:
            return


def _refuse(client: socket.socket, asked: IO[bytes], method: str, fault: Fault) -> bool:
    code, status = _REFUSALS[fault]
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>as was wished</Message></Error>'.encode()
    again = "Retry-After: 0\r\n" if fault is Fault.SLOW_DOWN else ""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n{again}"
    client.sendall(head.encode() + b"Connection: close\r\n\r\n" + (b"" if method == "HEAD" else body))
    client.settimeout(_DRAIN_S)  # what the client still sends has to go somewhere, else it sees a reset
    while asked.read1(_COPY_BYTES):  # type: ignore[attr-defined]  # a BufferedReader
        pass
    return False


def _reset(*ends: socket.socket) -> bool:
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_AT_ONCE)
        end.shutdown(socket.SHUT_RD)
        end.close()
    return False

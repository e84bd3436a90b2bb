"""What the command line asks the daemon with: HTTP over its unix socket. Nothing else is needed for that."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from artstore import errors
from artstore.errors import ArtstoreError, Busy

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT_S: Final = 30.0


class NotRunning(Busy):
    """No daemon answers."""

    code = "not_running"


class _Connection(HTTPConnection):
    """HTTP to a unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """Asks one daemon. What it refuses is raised as the error that it is."""

    def __init__(self, socket_path: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._path = socket_path
        self._timeout_s = timeout_s

    def get(self, path: str) -> Any:
        """What is told, as JSON holds it; text of anything else. Any: JSON."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: object = None) -> Any:
        """Have something done."""
        return self._ask("POST", path, body)

    def patch(self, path: str, body: object) -> Any:
        """Have something changed."""
        return self._ask("PATCH", path, body)

    def delete(self, path: str) -> None:
        """Have something removed."""
        self._ask("DELETE", path, None)

    def events(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """What happens, as it happens, until the daemon ends."""
        connection = self._connected()
        try:
            connection.request("GET", f"/v1/events?after={after}")
            answer = connection.getresponse()
            connection.sock.settimeout(None)
            for line in answer:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: object) -> Any:
        connection = self._connected()
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            connection.request(
                method, quote(path, safe="/?=&~:@"), None if body is None else json.dumps(body).encode(), headers
            )
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, HTTPException) as error:
            raise Busy(f"the daemon doesn't answer: {error}", hint="see `artstore daemon logs`") from error
        finally:
            connection.close()
        kind = answer.headers.get_content_type()
        told: Any = json.loads(data) if data and kind.endswith("json") else data.decode("utf-8", "replace")
        if answer.status >= 400:
            raise _error_of(told)
        return told

    def _connected(self) -> _Connection:
        connection = _Connection(self._path, self._timeout_s)
        try:
            connection.connect()
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            connection.close()
            raise NotRunning("no daemon answers for this store", hint="`artstore daemon start` starts it") from error
        return connection


def _error_of(told: Any) -> ArtstoreError:
    """The error that a problem tells of, as far as this release knows its kind."""
    if not isinstance(told, dict):
        return ArtstoreError(f"the daemon refused: {told}")
    said = cast("dict[str, Any]", told)
    known = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ArtstoreError)]
    kinds = {kind.code: kind for kind in known}
    kind = kinds.get(str(said.get("code")), ArtstoreError)
    message, hint = str(said.get("detail", "the daemon refused")), said.get("hint")
    try:
        error = kind(message, hint=hint)
    except TypeError:  # one that is made of more than words
        error = ArtstoreError(message, hint=hint)
    error.code, error.exit_code = str(said.get("code", error.code)), int(said.get("exit_code", error.exit_code))
    return error

"""What the command line asks the daemon with: HTTP over its unix socket. Nothing else is needed for that."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPException, IncompleteRead
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from artstore import errors, limits
from artstore.errors import Ambiguous, ArtstoreError, Busy

if TYPE_CHECKING:
    from collections.abc import Generator

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

    def events(self, after: int = 0) -> Generator[dict[str, Any], None, None]:
        """What happens, as it happens, until the daemon ends, in good order or not. `after`: the number of the last one
        that is known. Busy if it falls silent, without so much as saying that it is there.
        """
        connection = self._connected(max(self._timeout_s, 2 * limits.API_EVENTS_S))
        try:
            connection.request("GET", f"/v1/events?after={after}")
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _error_of(_told(answer.headers.get_content_type(), answer.read()))
            for line in answer:
                if line.startswith(b"data: ") and line.endswith(b"\n"):  # one that was cut off is the last
                    yield json.loads(line.removeprefix(b"data: "))
        except (ConnectionResetError, IncompleteRead):  # killed
            return
        except (OSError, HTTPException) as error:
            raise _silent(error) from error
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: object) -> Any:
        connection = self._connected(self._timeout_s)
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            connection.request(
                method, quote(path, safe="/?=&~:@"), None if body is None else json.dumps(body).encode(), headers
            )
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, HTTPException) as error:
            raise _silent(error) from error
        finally:
            connection.close()
        told = _told(answer.headers.get_content_type(), data)
        if answer.status >= 400:
            raise _error_of(told)
        return told

    def _connected(self, timeout_s: float) -> _Connection:
        connection = _Connection(self._path, timeout_s)
        try:
            connection.connect()
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            connection.close()
            raise NotRunning("no daemon answers for this store", hint="`artstore daemon start` starts it") from error
        except OSError as error:
            connection.close()
            raise _silent(error) from error
        return connection


def _told(kind: str, data: bytes) -> Any:
    # Any: JSON.
    return json.loads(data) if data and kind.endswith("json") else data.decode("utf-8", "replace")


def _silent(error: Exception) -> Busy:
    return Busy(f"the daemon doesn't answer: {error}", hint="see `artstore daemon logs`")


def _error_of(told: Any) -> ArtstoreError:
    """The error that a problem tells of, as far as this release knows its kind."""
    if not isinstance(told, dict):
        return ArtstoreError(f"the daemon refused: {told}")
    said = cast("dict[str, Any]", told)
    known = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ArtstoreError)]
    kinds = {kind.code: kind for kind in known}
    kind = kinds.get(str(said.get("code")), ArtstoreError)
    message, hint = str(said.get("detail", "the daemon refused")), said.get("hint")
    if kind is Ambiguous:  # which makes its message of more than that; which ones these were it has said there
        error: ArtstoreError = Ambiguous("", ())
        ArtstoreError.__init__(error, message, hint=hint)
    else:
        error = kind(message, hint=hint)
    error.code, error.exit_code = str(said.get("code", error.code)), int(said.get("exit_code", error.exit_code))
    return error

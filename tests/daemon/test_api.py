"""The HTTP API of a real daemon, over its unix socket and over TCP."""

from __future__ import annotations

import http.client
import importlib
import json
import logging
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import pytest
import trio

from artstore import Store
from artstore import errors as our_errors
from artstore.errors import ArtstoreError, Busy, Conflict, NotFound, NotPermitted, UsageError
from artstore.model import RemotePlace
from artstore_daemon import settings
from artstore_daemon.api import documents, errors, openapi
from artstore_daemon.api.routes import ROUTES
from artstore_daemon.api.security import Gate, refuse
from artstore_daemon.api.server import serve
from artstore_daemon.api.tokens import token_of
from artstore_daemon.client import Client, NotRunning
from artstore_daemon.daemon import Daemon
from artstore_daemon.logs import without_secrets
from tests.daemon.live import WAIT_S, spec

JSON = {"content-type": "application/json"}


class Served:
    """A daemon that answers on a unix socket and on a port: a context."""

    def __init__(self, store: Store, place: Path) -> None:
        self._store = store
        self.socket, self.port_path, self.token_path = (str(place / name) for name in ("sock", "port", "token"))
        self._ready = Event()
        self._error: BaseException | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop: trio.Event | None = None
        self._thread = Thread(target=self._run, name="served daemon")

    @property
    def client(self) -> Client:
        return Client(self.socket)

    @property
    def port(self) -> int:
        return int(Path(self.port_path).read_text())

    @property
    def token(self) -> str:
        return Path(self.token_path).read_text().strip()

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, object]]:
        """Over TCP; the status, and what was said."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request(method, path, body, {"authorization": f"Bearer {self.token}", **(headers or {})})
            answer = connection.getresponse()
            said = answer.read()
            return answer.status, json.loads(said) if answer.headers.get_content_type().endswith("json") else {}
        finally:
            connection.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None and self._stop is not None and self._thread.is_alive():
            self._token.run_sync_soon(self._stop.set)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "it doesn't end"
        if self._error is not None:
            raise self._error

    def wait(self) -> None:
        """Until it has ended by itself."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        async def main() -> None:
            self._token, self._stop = trio.lowlevel.current_trio_token(), trio.Event()
            daemon = Daemon(self._store)
            async with trio.open_nursery() as nursery, trio.open_nursery() as working:
                working.start_soon(daemon.run)
                answer = partial(
                    serve,
                    daemon,
                    socket_path=self.socket,
                    inherited=None,
                    tcp=True,
                    port_path=self.port_path,
                    token_path=self.token_path,
                    stop=self._stop,
                )
                await nursery.start(answer)
                self._ready.set()
                await self._stop.wait()
                working.cancel_scope.cancel()

        try:
            trio.run(main)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self._error = error
        finally:
            self._ready.set()


@pytest.fixture
def served(store: Store, tmp_path: Path) -> Iterator[Served]:
    place = tmp_path / "rt"
    place.mkdir(mode=0o700)
    with Served(store, place) as running:
        yield running


def until(holds: Callable[[], object]) -> None:
    """Wait for something."""
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_watches(served: Served, store: Store, folder: Path) -> None:
    """A program could not do what a person does with `artstore watch`."""
    client = served.client
    body = {"artifact": "a/b", "folder": str(folder), "settle_s": 0.3, "every_s": 60.0}
    made = client.post("/v1/watches", body)
    assert [item["artifact"] for item in made["watches"]] == ["a/b"]
    assert settings.watches(store.path)["a/b"].folder == str(folder)
    (folder / "file").write_bytes(b"1")
    until(lambda: client.get("/v1/watches/a/b")["last_tag"] == "a/b/v1")
    client.patch("/v1/watches/a/b", {"paused": True})
    until(lambda: client.get("/v1/watches/a/b")["how"] == "paused")
    client.patch("/v1/watches/a/b", {"paused": False})
    assert client.post("/v1/watches/a/b/now") == {"names": ["a/b"]}
    assert client.get("/v1/status")["watches"][0]["folder"] == str(folder)
    client.delete("/v1/watches/a/b")
    assert client.get("/v1/watches") == {"watches": []}
    assert settings.watches(store.path) == {}


def test_follows(served: Served, store: Store, folder: Path, tmp_path: Path) -> None:
    """The same of `artstore follow`."""
    (folder / "file").write_bytes(b"1")
    store.commit(folder, artifact="m")
    store.set_alias("m/production", "m/v1")
    client = served.client
    client.post("/v1/follows", {"alias": "m/production", "to": str(tmp_path / "served"), "poll_s": 0.1})
    until(lambda: client.get("/v1/follows/m/production")["current"])
    assert (tmp_path / "served" / "file").read_bytes() == b"1"
    assert client.post("/v1/follows/m/production/now") == {"names": ["m/production"]}
    client.delete("/v1/follows/m/production")
    assert client.get("/v1/follows") == {"follows": []}
    assert store.followed() == {}


def test_versions_and_refs(served: Served, store: Store, folder: Path) -> None:
    """A dashboard would have to run a command for each version."""
    for number in range(1, 8):
        (folder / "file").write_bytes(b"%d" % number)
        store.commit(folder, artifact="m", params={"lr": 0.1}, metrics={"loss": number})
    store.set_alias("m/production", "m/v3")
    client = served.client
    seen: list[str] = []
    after = ""
    while True:
        page = client.get(f"/v1/versions?artifact=m&limit=3&after={after}")
        seen += [item["tag"] for item in page["versions"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [f"m/v{number}" for number in range(1, 8)]
    one = client.get("/v1/versions/m/production")
    assert (one["tags"], one["metrics"], one["params"], one["here"]) == (["m/v3"], {"loss": 3}, {"lr": 0.1}, True)
    assert client.get("/v1/refs")["aliases"] == [{"alias": "m/production", "id": one["id"], "moves": 1}]


def test_events(served: Served, store: Store, folder: Path) -> None:
    """Who wants to know when a version is there would have to ask again and again, or miss one."""
    settings.add_watch(store.path, spec("m", folder))
    client = served.client
    client.post("/v1/reload")
    events = client.events()
    for number in range(1, 4):
        (folder / "file").write_bytes(b"%d" % number)
        assert next(events)["name"] == f"m/v{number}"
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(served.socket)
    connection.sendall(b"GET /v1/events HTTP/1.1\r\nhost: x\r\nlast-event-id: 2\r\n\r\n")
    said = b""
    while b"data: " not in said:
        said += connection.recv(4096)
    assert b"id: 3\n" in said
    assert b"id: 2\n" not in said
    connection.close()


def test_metrics_and_health(served: Served, store: Store, folder: Path, tmp_path: Path) -> None:
    """Nobody would be called when a folder hasn't become a version for a week."""
    store.add_remote("origin", RemotePlace(url=f"file://{tmp_path / 'remote'}"))
    settings.add_watch(store.path, spec("m", folder, push=("origin",)))
    client = served.client
    client.post("/v1/reload")
    (folder / "file").write_bytes(b"1")
    until(lambda: 'artstore_watch_commits_total{artifact="m"} 1' in client.get("/metrics"))
    lines = client.get("/metrics").splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert all(len(line.rpartition(" ")) == 3 and float(line.rpartition(" ")[2]) >= 0 for line in samples)
    assert any(line.startswith('artstore_push_waiting{artifact="m",remote="origin"} ') for line in samples)
    assert len({line.split()[2] for line in lines if line.startswith("# TYPE")}) == sum("# TYPE" in x for x in lines)
    assert client.get("/healthz") == "ok\n"


def test_problems(served: Served, folder: Path, tmp_path: Path) -> None:
    """A program would have to read prose to know what to do."""
    client = served.client
    body = {"artifact": "m", "folder": str(folder)}
    client.post("/v1/watches", body)
    with pytest.raises(Conflict, match="is made of"):
        client.post("/v1/watches", body)
    with pytest.raises(NotFound, match="isn't watched"):
        client.get("/v1/watches/other")
    wrongs: list[object] = [{"artifact": "x"}, {**body, "more": 1}, {**body, "folder": "relative"}, []]
    wrongs.append({**body, "settle_s": -1})
    for wrong in wrongs:
        with pytest.raises(UsageError):
            client.post("/v1/watches", wrong)
    with pytest.raises(UsageError, match="limit is a number from 1 to 1000"):
        client.get("/v1/versions?limit=5000")
    with pytest.raises(UsageError, match="no parameter"):
        client.get("/v1/versions?limits=5")
    status, said = served.ask("GET", "/v1/versions/nothing")
    assert status == 404
    assert (said["code"], said["exit_code"], said["status"]) == ("not_found", 3, 404)
    assert served.ask("GET", "/nowhere")[0] == 404
    assert served.ask("PUT", "/v1/status")[0] == 405
    with pytest.raises(NotRunning, match="no daemon answers"):
        Client(str(tmp_path / "none")).get("/v1/status")


def test_every_error_has_a_status() -> None:
    """A conflict would be a bug of the server's to whoever reads the number alone."""
    kinds = [kind for kind in vars(our_errors).values() if isinstance(kind, type) and issubclass(kind, ArtstoreError)]
    for kind in kinds[1:]:
        assert any(issubclass(kind, known) for known, _ in errors.STATUSES), kind
    assert errors.status_of(NotPermitted("no")) == 403


def test_who_has_no_token_is_refused(served: Served) -> None:
    """Every user of the machine could make versions, or end the daemon."""
    for token in ("", "Bearer ", "Bearer wrong", f"Basic {served.token}", f"Bearer {served.token[:-1]}"):
        status, said = served.ask("GET", "/v1/status", {"authorization": token})
        assert (status, said["code"]) == (401, "unauthorized")
    assert served.ask("GET", "/v1/status")[0] == 200
    assert served.ask("GET", "/healthz", {"authorization": ""})[0] == 200


def test_a_hostile_web_page(served: Served, folder: Path) -> None:
    """A page that somebody looks at would watch his home directory and push it to its own bucket."""
    body = json.dumps({"artifact": "m", "folder": str(folder)}).encode()
    for headers in (
        {"origin": "https://evil.example", **JSON},
        {"origin": "null", **JSON},
        {"sec-fetch-site": "cross-site", **JSON},
        {"sec-fetch-site": "same-site", **JSON},
    ):
        assert served.ask("POST", "/v1/watches", headers, body)[0] == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        assert served.ask("POST", "/v1/watches", {"content-type": kind}, body)[0] == 415
    for host in ("evil.example", f"evil.example:{served.port}", f"127.0.0.1:{served.port + 1}", "127.0.0.1", ""):
        assert served.ask("GET", "/v1/status", {"host": host})[0] in (400, 421)
    assert served.ask("GET", "/v1/status", {"host": f"localhost:{served.port}"})[0] == 200
    assert served.client.get("/v1/watches") == {"watches": []}


def test_the_gate_knows_each_case() -> None:
    """What isn't decided on purpose would be let in."""
    gate = Gate("secret", 80)
    good = {"host": "127.0.0.1:80", "authorization": "bearer secret"}
    assert refuse(gate, "GET", "/v1/status", good) is None
    assert refuse(None, "GET", "/v1/status", {}) is None
    assert refuse(None, "POST", "/v1/watches", {"content-length": "5", "content-type": "text/plain"}) is not None
    assert refuse(None, "POST", "/v1/watches", {"transfer-encoding": "chunked"}) is not None
    assert refuse(gate, "GET", "/healthz", {"host": "127.0.0.1:80"}) is None
    assert refuse(gate, "GET", "/healthz", {"host": "evil:80"}) is not None


def test_the_token_is_its_owners_alone(tmp_path: Path) -> None:
    """Whoever can read it is let in."""
    path = tmp_path / "token"
    made = token_of(str(path))
    assert len(made) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token_of(str(path)) == made
    path.chmod(0o640)
    with pytest.raises(NotPermitted, match="others can read"):
        token_of(str(path))
    os.rename(path, tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(NotPermitted):
        token_of(str(path))


def test_only_its_owner_reaches_the_socket(served: Served) -> None:
    """The same of the socket."""
    assert stat.S_IMODE(os.stat(served.socket).st_mode) & 0o077 == 0
    assert stat.S_IMODE(os.stat(served.port_path).st_mode) == 0o600


def test_no_secret_is_logged(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """A log that is sent with a bug report would let others in."""
    with caplog.at_level(logging.DEBUG):
        served.ask("GET", "/v1/status")
        served.ask("GET", "/v1/nothing", {"authorization": f"Bearer {served.token}x"})
        served.ask("POST", "/v1/watches", JSON, served.token.encode())
    assert served.token not in caplog.text
    for text in (
        "Authorization: Bearer abc.def",
        "AWS_SECRET_ACCESS_KEY=abc/def",
        '{"token": "abc.def"}',
        "s3://key:abc.def@host/bucket",
        "password = abc.def",
    ):
        assert "abc" not in without_secrets(text), text
    assert without_secrets("version m/v1: 3 files") == "version m/v1: 3 files"


def test_a_body_without_end(served: Served) -> None:
    """Whoever sends a gigabyte would have it held in memory."""
    body = json.dumps({"artifact": "m", "folder": "x" * 3_000_000}).encode()
    status, said = served.ask("POST", "/v1/watches", JSON, body)
    assert status == 400
    assert "more than" in str(said["detail"])


def test_who_hangs_does_not_keep_it_from_ending(store: Store, tmp_path: Path) -> None:
    """A shutdown would wait for a browser tab."""
    with Served(store, tmp_path) as served:
        hanging = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for each, said in zip(
            hanging, (b"", b"GET /v1/st", b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n"), strict=True
        ):
            each.connect(served.socket)
            each.sendall(said)
        assert served.client.post("/v1/stop") == {"names": [str(os.getpid())]}
        served.wait()
        for each in hanging:
            each.close()
    assert not os.path.exists(served.socket)


def test_what_a_killed_daemon_left_is_taken_over(store: Store, tmp_path: Path) -> None:
    """It would not start again until somebody removes a file."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "sock"))
    left.close()
    with Served(store, tmp_path) as served:
        assert served.client.get("/healthz") == "ok\n"
        with pytest.raises(BaseExceptionGroup) as caught, Served(store, tmp_path):
            pass
        assert caught.group_contains(Busy, match="answers at")


def test_the_document_tells_of_all_routes() -> None:
    """A program that is made from it would lack what it needs."""
    told = openapi.document()
    assert {(path, method) for path, item in told["paths"].items() for method in item} == {
        (route.path, route.method.lower()) for route in ROUTES
    }
    assert set(told["components"]["schemas"]) >= {"Status", "Problem", "NewWatch", "WatchItem"}
    assert documents.Problem.__doc__ is not None


def test_whatever_the_document_allows_is_answered(served: Served) -> None:
    """A program that keeps to the document would meet a bug of the server's."""
    from hypothesis import HealthCheck, Phase, given
    from hypothesis import settings as examples

    # Any: most of its types are its plugins' own.
    schemathesis: Any = importlib.import_module("schemathesis")
    document = openapi.document()
    for path in ("/v1/events", "/v1/stop"):  # the one never ends, the other ends it
        del document["paths"][path]

    def ask(case: Any) -> None:
        headers = {"authorization": f"Bearer {served.token}"}
        answer = case.call(base_url=f"http://127.0.0.1:{served.port}", headers=headers, timeout=WAIT_S)
        case.validate_response(answer, checks=[schemathesis.checks.not_a_server_error])

    asked = 0
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        limited = examples(
            max_examples=12,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        )
        limited(given(case=found.ok().as_strategy())(ask))()
        asked += 1
    assert asked == len(ROUTES) - 2

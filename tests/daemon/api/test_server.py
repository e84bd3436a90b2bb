"""Where it is answered, by whom, and how that ends."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from artstore import Store, limits
from artstore.errors import Busy, Conflict
from artstore_daemon.client import Client
from tests.daemon.api.serving import JSON, Serving, until
from tests.daemon.live import WAIT_S

HALF = b"POST /v1/watches HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
STATUS = b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n"
EVENTS = b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture
def many(store: Store, folder: Path) -> Store:
    """A store with so many names that a few pages of them fill the buffers of a connection."""
    (folder / "file").write_text("1")
    store.commit(folder, artifact="m")
    for number in range(100):
        store.tag(f"m/{'x' * 300}-{number}", "m/v1")
    return store


def test_both_are_their_owners_alone(serving: Serving, place: Path) -> None:
    """Every user of the machine could make versions, or end the daemon."""
    assert {each.name: stat.S_IMODE(each.stat().st_mode) for each in place.iterdir()} == {
        "sock": 0o600,
        "port": 0o600,
        "token": 0o600,
    }
    serving.end()
    assert [each.name for each in place.iterdir()] == ["token"], "what was made for this daemon goes with it"


def test_tcp_is_this_machines_own(serving: Serving) -> None:
    """The network could ask."""
    assert serving.ask("GET", "/healthz").body == b"ok\n"
    found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    others = {str(each[4][0]) for each in found} - {"127.0.0.1"}
    for address in [*others, "127.0.0.2"]:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address, serving.port), timeout=WAIT_S).close()


def test_a_killed_daemons_socket_is_taken_over(store: Store, place: Path) -> None:
    """The daemon would not start again until somebody removes a file."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(place / "sock"))
    left.close()
    (place / "port").write_text("1\n")
    (place / "port").chmod(0o644)
    with Serving(store, place) as serving:
        assert serving.client.get("/healthz") == "ok\n"
        assert serving.ask("GET", "/healthz").status == 200
        assert stat.S_IMODE(os.stat(serving.port_path).st_mode) == 0o600


def test_somebodys_file_is_not(store: Store, place: Path) -> None:
    """A wrong path would cost a file."""
    (place / "sock").write_text("precious")
    with pytest.raises(BaseExceptionGroup) as caught, Serving(store, place):
        pass
    assert caught.group_contains(Conflict, match="is no socket")
    assert (place / "sock").read_text() == "precious"


def test_where_somebody_answers_nobody_else_does(serving: Serving, store: Store, place: Path) -> None:
    """Two daemons would watch the same folders, and each be asked now and then."""
    with pytest.raises(BaseExceptionGroup) as caught, Serving(store, place):
        pass
    assert caught.group_contains(Busy, match="answers at")
    assert serving.client.get("/healthz") == "ok\n", "the first one still does"
    assert serving.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize("is_same", [True, False])
def test_a_socket_that_was_handed_over_stays(store: Store, place: Path, is_same: bool) -> None:
    """A service manager listens on it when the daemon has ended: nobody would start it again."""
    path = str(place / ("sock" if is_same else "given"))
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(path)
        given.listen()
        with Serving(store, place, inherited=os.dup(given.fileno())) as serving:
            assert serving.client.get("/healthz") == "ok\n"
            assert Client(path).get("/healthz") == "ok\n"
        with socket.socket(socket.AF_UNIX) as later:
            later.settimeout(WAIT_S)
            later.connect(path)
            given.settimeout(WAIT_S)
            given.accept()[0].close()
    assert os.path.lexists(place / "sock") is is_same


@pytest.mark.parametrize("said", [b"", b"GET /v1/st", HALF, EVENTS], ids=["nothing", "line", "body", "events"])
def test_who_hangs_does_not_keep_it_from_ending(serving: Serving, said: bytes) -> None:
    """A shutdown would wait for a browser's tab."""
    with serving.connect(said):
        assert serving.client.post("/v1/stop") == {"names": [str(os.getpid())]}
        assert serving.end() < limits.DAEMON_STOP_S
        assert not os.path.exists(serving.socket)


def test_neither_does_who_reads_nothing(many: Store, place: Path) -> None:
    """A client that is stopped in a debugger would keep the daemon until it is killed."""
    pages = b"GET /v1/versions?limit=1000 HTTP/1.1\r\nhost: x\r\n\r\n" * 60
    with Serving(many, place) as serving, serving.connect(pages):
        with serving.connect(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n") as waiting:
            assert waiting.recv(12) == b"HTTP/1.1 200", "others are answered meanwhile"
        assert serving.end() < limits.DAEMON_STOP_S


@pytest.mark.parametrize("over", ["socket", "tcp"])
def test_who_goes_away_takes_nobody_along(serving: Serving, over: str) -> None:
    """One program that is killed while it asks would end the daemon, and with it what is watched."""

    def connect(said: bytes) -> socket.socket:
        if over == "socket":
            return serving.connect(said)
        made = socket.create_connection(("127.0.0.1", serving.port), timeout=WAIT_S)
        host = f"host: 127.0.0.1:{serving.port}\r\nauthorization: Bearer {serving.token}".encode()
        made.sendall(said.replace(b"host: x", host))
        return made

    odd = HALF.replace(b"length: 99", b"length: 1") + b"zz"
    for said in (b"", b"GE", b"\0\1\2", HALF, STATUS, STATUS * 50, STATUS + HALF, odd):
        going = [connect(said) for _ in range(8)]
        for each in going:
            each.close()
        assert serving.client.get("/healthz") == "ok\n"
    listening = [connect(EVENTS) for _ in range(4)]
    for each in listening:
        assert each.recv(12) == b"HTTP/1.1 200"
        each.close()
    serving.tell("m/v1")
    with closing(serving.client.events()) as events:
        assert next(events)["name"] == "m/v1"
    assert serving.end() < limits.API_STOP_S, "nobody is held who has gone"


def test_who_has_gone_holds_nothing(serving: Serving) -> None:
    """A script that asks every few moments would use up the daemon's descriptors: it could commit nothing."""

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for _ in range(50):
        serving.client.get("/v1/status")
        serving.ask("GET", "/healthz")
    assert until(lambda: descriptors() <= before)


def test_who_has_said_all_is_answered(serving: Serving) -> None:
    """`nc -N` says at once that it has nothing more to say."""
    with serving.connect(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" * 3) as connection:
        connection.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: connection.recv(4096), b""))
    assert said.count(b"HTTP/1.1 200") == said.count(b"ok\n") == 3


def test_too_many_are_hung_up_on(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens connections without end would use up the daemon's descriptors."""
    monkeypatch.setattr(limits, "API_CONNECTIONS_MAX", 3)
    held = [serving.connect(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n") for _ in range(3)]
    assert all(each.recv(12) == b"HTTP/1.1 200" for each in held)
    with serving.connect() as further:
        assert further.recv(1) == b""
    with pytest.raises(Busy, match="doesn't answer"):
        serving.client.get("/healthz")
    assert serving.ask("GET", "/healthz").status == 200, "over TCP they are others"
    for each in held:
        each.close()

    def is_answered() -> bool:
        try:
            return bool(serving.client.get("/healthz"))
        except Busy:
            return False

    assert until(is_answered)


def test_it_ends_when_it_is_told_to(serving: Serving) -> None:
    """`POST /v1/stop` would be answered with a broken connection, or not end anything."""
    answer = serving.ask("POST", "/v1/stop", JSON)
    assert (answer.status, answer.json) == (202, {"names": [str(os.getpid())]})
    serving.wait()

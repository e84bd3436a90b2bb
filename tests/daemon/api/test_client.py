"""What the command line asks the daemon with."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from artstore import Store
from artstore.errors import Busy, NotFound, UsageError
from artstore_daemon.client import Client, NotRunning
from tests.daemon.api.serving import Serving
from tests.daemon.live import WAIT_S


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[socket.socket]:
    """Somebody who listens and doesn't answer; `tmp_path/mute`."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "mute"))
        made.listen()
        yield made


def test_each_way_of_asking(serving: Serving, folder: Path) -> None:
    """A command would do nothing, or not what was asked."""
    client = serving.client
    made = client.post("/v1/watches", {"artifact": "a/b.c-d", "folder": str(folder)})
    assert made["watches"][0]["artifact"] == "a/b.c-d"
    assert client.post("/v1/watches/a/b.c-d/now") == {"names": ["a/b.c-d"]}
    assert client.patch("/v1/watches/a/b.c-d", {"paused": True})["watches"][0]["artifact"] == "a/b.c-d"
    assert client.get("/v1/watches/a/b.c-d")["folder"] == str(folder)
    assert client.post("/v1/reload") == ""
    client.delete("/v1/watches/a/b.c-d")
    with pytest.raises(NotFound, match=r"a/b\.c-d isn't watched"):
        client.get("/v1/watches/a/b.c-d")
    with pytest.raises(UsageError):
        client.get("/v1/versions?limit=0")
    with pytest.raises(NotFound):
        client.get("/v1/versions/m/production@{1}~2")


def test_events_come_until_the_end(serving: Serving) -> None:
    """A program that listens would end with an error whenever the daemon does."""
    serving.tell("m/v1")
    serving.tell("m/v2")
    events = serving.client.events(after=1)
    assert next(events)["name"] == "m/v2"
    serving.tell("m/v3")
    assert next(events)["number"] == 3
    serving.end()
    assert list(events) == []


def test_events_of_a_daemon_that_is_killed_end(tmp_path: Path) -> None:
    """The same of one that has no time to say so."""
    program = """
import socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print(flush=True)
connection, _ = listening.accept()
connection.recv(9999)
head = b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n"
data = b'data: {"number":1}\\ndata: {"num'
connection.sendall(head + b"%x\\r\\n" % len(data) + data + b"\\r\\n")
connection.recv(1)
"""
    path = str(tmp_path / "sock")
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        events = Client(path).events()
        assert next(events) == {"number": 1}
        os.kill(process.pid, signal.SIGKILL)
        assert list(events) == []


def test_events_that_are_refused_are_an_error(serving: Serving) -> None:
    """A wrong number would look like a daemon in which nothing happens."""
    with pytest.raises(UsageError, match="after is a number"):
        next(serving.client.events(after=-1))


def test_nobody_there(tmp_path: Path) -> None:
    """Whoever gets `Connection refused` doesn't know that `artstore daemon start` helps."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "left"))
    left.close()
    for name in ("none", "left", "left/below"):
        with pytest.raises(NotRunning, match="`artstore daemon start` starts it") as caught:
            Client(str(tmp_path / name)).get("/v1/status")
        assert isinstance(caught.value, Busy)
        assert caught.value.exit_code == 8
    with pytest.raises(NotRunning):
        next(Client(str(tmp_path / "none")).events())
    with pytest.raises(Busy, match="doesn't answer"):
        Client(str(tmp_path / ("x" * 200))).get("/v1/status")


def test_somebody_who_does_not_answer(tmp_path: Path, mute: socket.socket) -> None:
    """`artstore status` would hang with the daemon."""
    with pytest.raises(Busy, match="the daemon doesn't answer") as caught:
        Client(str(tmp_path / "mute"), timeout_s=0.05).get("/v1/status")
    assert caught.value.hint == "see `artstore daemon logs`"


def test_somebody_else_answers(tmp_path: Path, mute: socket.socket) -> None:
    """A stranger at the socket would end in a traceback."""

    def answer() -> None:
        connection, _ = mute.accept()
        with connection:
            connection.recv(9999)
            connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

    thread = Thread(target=answer)
    thread.start()
    with pytest.raises(Busy, match="the daemon doesn't answer"):
        Client(str(tmp_path / "mute")).get("/v1/status")
    thread.join(WAIT_S)


def test_it_costs_little_to_import() -> None:
    """`artstore status` would load a web server to ask one."""
    program = "import sys, artstore_daemon.client; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in told.stdout.split()}
    assert not loaded & {"trio", "starlette", "hypercorn", "msgspec", "anyio", "h11", "structlog", "watchdog", "lmdb"}


def test_a_store_is_served_without_tcp(store: Store, place: Path) -> None:
    """A port would be open that nobody has asked for."""
    (place / "port").write_text("4711\n")
    with Serving(store, place, tcp=False) as serving:
        assert serving.client.get("/healthz") == "ok\n"
        assert [each.name for each in place.iterdir()] == ["sock"]

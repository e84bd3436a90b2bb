"""Notifications, over a real bus, to a program that shows them."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import pytest
import trio

from artstore import Store
from artstore_daemon.daemon import Daemon, Happening
from artstore_daemon.desktop import Desktop, Notice, NotShown, bus_of, notice_of, show_people
from tests.daemon.live import WAIT_S

NAME = "org.freedesktop.Notifications"
# Of a connection that fails jeepney leaves the socket to be collected.
LEAVES = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
NEEDS_BUS = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="dbus-daemon is not installed")
HOME = Notice("remote home", "artstore: remote home", "it can't be reached <&>", is_trouble=True)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[str]:
    """Its address."""
    command = ["dbus-daemon", "--session", "--nofork", "--print-address", f"--address=unix:path={tmp_path / 'bus'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


class Shower:
    """Owns the name of those who show notifications, and notes what it is to show: a context. `able`: what it says it
    can do.
    """

    def __init__(self, bus: str, *, able: tuple[str, ...] = ("body", "body-markup"), refuses: bool = False) -> None:
        self.shown: list[tuple[Any, ...]] = []
        self._able = able
        self._refuses = refuses
        self._jeepney: Any = importlib.import_module("jeepney")
        blocking: Any = importlib.import_module("jeepney.io.blocking")
        self._connection = blocking.open_dbus_connection(bus=bus)
        asked = self._jeepney.message_bus.RequestName(NAME)
        self._connection.send_and_get_reply(asked, timeout=WAIT_S)
        self._is_over = Event()
        self._thread = Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(WAIT_S)
        self._connection.close()

    def wait_for(self, count: int, wait_s: float) -> None:
        """Until so much is shown, or for so long."""
        until = time.monotonic() + wait_s
        while len(self.shown) < count and time.monotonic() < until:
            time.sleep(0.02)

    def _serve(self) -> None:
        while not self._is_over.is_set():
            try:
                asked = self._connection.receive(timeout=0.05)
            except TimeoutError:
                continue
            if asked.header.message_type is not self._jeepney.MessageType.method_call:
                continue
            self._connection.send(self._answer(asked))

    def _answer(self, asked: Any) -> Any:
        method = asked.header.fields[self._jeepney.HeaderFields.member]
        if method == "GetCapabilities":
            return self._jeepney.new_method_return(asked, "as", (list(self._able),))
        if self._refuses:
            return self._jeepney.new_error(asked, f"{NAME}.Error", "s", ("too many",))
        self.shown.append(asked.body)
        return self._jeepney.new_method_return(asked, "u", (asked.body[1] or len(self.shown) + 10,))


@NEEDS_BUS
def test_it_is_shown_as_the_specification_says(bus: str) -> None:
    """Nobody would see it, or `<` would end it."""
    desktop = Desktop(bus)
    with Shower(bus) as shower:
        desktop.show(HOME)
        desktop.show(Notice("follower m", "artstore: follower m", "\udce9\0", is_trouble=False))
        desktop.show(Notice("remote home", "artstore: remote home", "it is well again", is_trouble=False))
    texts = [(name, replaced, title, text) for name, replaced, _, title, text, *_ in shower.shown]
    assert texts == [
        ("artstore", 0, "artstore: remote home", "it can't be reached &lt;&amp;&gt;"),
        ("artstore", 0, "artstore: follower m", "\\udce9\\0"),
        ("artstore", 11, "artstore: remote home", "it is well again"),
    ]
    assert [shown[6]["urgency"] for shown in shower.shown] == [("y", 1), ("y", 0), ("y", 0)]


@NEEDS_BUS
def test_plain_text_for_who_shows_no_markup(bus: str) -> None:
    """People would read `&lt;`."""
    with Shower(bus, able=("body",)) as shower:
        Desktop(bus).show(HOME)
    assert shower.shown[0][4] == HOME.text


@NEEDS_BUS
@LEAVES
def test_nobody_shows_anything(bus: str, tmp_path: Path) -> None:
    """A window manager without notifications, or one that has gone, would end the daemon."""
    with pytest.raises(NotShown, match="GetCapabilities"):
        Desktop(bus).show(HOME)
    with Shower(bus, refuses=True), pytest.raises(NotShown, match="too many"):
        Desktop(bus).show(HOME)
    with pytest.raises(OSError, match=r"."):
        Desktop(f"unix:path={tmp_path / 'nowhere'}").show(HOME)


@NEEDS_BUS
@LEAVES
@pytest.mark.parametrize("setting", ["auto", "never"])
def test_what_happens_is_shown_unless_nobody_wants_it(
    store: Store, bus: str, setting: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """People would learn of a failure when they look for the version that isn't there."""
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path / 'nowhere'}")
    store.configure("daemon.notify", setting)

    async def main() -> None:
        daemon = Daemon(store)
        daemon.tell("error", "watch m", "before anybody looked")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(show_people, daemon)
            await trio.sleep(0.05)
            monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
            nursery.start_soon(show_people, daemon)  # the first one has another bus, where nobody answers
            await trio.sleep(0.05)
            daemon.tell("version", "m/v1", "3 files")
            daemon.tell("error", "remote home", "password=abc")
            daemon.tell("recovered", "remote home", "it is well again")
            await trio.to_thread.run_sync(shower.wait_for, 2, WAIT_S if setting == "auto" else 0.5)
            nursery.cancel_scope.cancel()

    with Shower(bus) as shower:
        trio.run(main)
    expected = ["password=***", "it is well again"] if setting == "auto" else []
    assert [shown[4] for shown in shower.shown] == expected


@pytest.mark.parametrize(
    ("environment", "bus"),
    [
        ({"DISPLAY": ":0", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/a"}, "unix:path=/a"),
        ({"WAYLAND_DISPLAY": "wayland-0", "XDG_RUNTIME_DIR": "/run/user/7"}, "unix:path=/run/user/7/bus"),
        ({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/a", "XDG_RUNTIME_DIR": "/run/user/7"}, None),
        ({"DISPLAY": ":0"}, None),
        ({}, None),
    ],
)
def test_servers_have_no_desktop(environment: dict[str, str], bus: str | None) -> None:
    """Each error would wait for a bus that nobody looks at."""
    assert bus_of(environment) == bus


def test_what_is_as_it_should_be_is_not_shown() -> None:
    """Whoever is told of each checkpoint looks at none of it."""
    kinds = ("version", "pushed", "refused", "switched", "error", "recovered")
    shown = [kind for kind in kinds if notice_of(Happening(1, 0.0, kind, "m", "text")) is not None]
    assert shown == ["refused", "switched", "error", "recovered"]

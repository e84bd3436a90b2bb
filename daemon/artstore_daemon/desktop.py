"""Shows people at a desktop what they have to know: Desktop Notifications Specification 1.2, over D-Bus.

On a server, where nobody would see it, there is no desktop, and nothing is shown. What is shown is in the log, too.
"""

from __future__ import annotations

import html
import importlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import trio

from artstore import limits, wiring
from artstore_daemon.logs import without_secrets

if TYPE_CHECKING:
    from artstore_daemon.daemon import Daemon, Happening

_log: Final = logging.getLogger(__name__)
_PLACE: Final = "/org/freedesktop/Notifications"
_NAME: Final = "org.freedesktop.Notifications"
_NEVER: Final = "never"
_LOW, _NORMAL = 0, 1  # urgency
_BY_ITSELF: Final = -1  # the time after which it vanishes: the desktop's own


class NotShown(Exception):
    """There is nobody who shows notifications, or they refuse."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is shown. It replaces what was shown `about` the same before."""

    about: str
    title: str
    text: str
    is_trouble: bool


def notice_of(told: Happening) -> Notice | None:
    """What people have to know of something that has happened; None for what is as it should be."""
    match told.kind:
        case "error" | "refused":
            return Notice(told.name, f"artstore: {told.name}", without_secrets(told.text), is_trouble=True)
        case "recovered" | "switched":
            return Notice(told.name, f"artstore: {told.name}", told.text, is_trouble=False)
        case _:
            return None


def bus_of(environment: Mapping[str, str]) -> str | None:
    """The address of the bus of the desktop that a process belongs to; None without one."""
    if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        return None
    runtime = environment.get("XDG_RUNTIME_DIR")
    there = environment.get("DBUS_SESSION_BUS_ADDRESS") or (runtime and f"unix:path={runtime}/bus")
    return there or None


class Desktop:
    """Who shows notifications on a bus. Its calls block."""

    def __init__(self, bus: str) -> None:
        self._bus = bus
        self._shown: dict[str, int] = {}

    def show(self, notice: Notice) -> None:
        """Show it. NotShown, OSError, and what else an odd bus makes of it."""
        # Any: jeepney has no types.
        blocking: Any = importlib.import_module("jeepney.io.blocking")
        with blocking.open_dbus_connection(bus=self._bus) as connection:
            (able,) = self._call(connection, "GetCapabilities")
            text = html.escape(notice.text, quote=False) if "body-markup" in able else notice.text
            urgency = ("y", _NORMAL if notice.is_trouble else _LOW)
            hints = {"urgency": urgency, "desktop-entry": ("s", "artstore-daemon")}
            actions: list[str] = []
            before = self._shown.get(notice.about, 0)
            said = (_printable(notice.title), _printable(text), actions, hints, _BY_ITSELF)
            (number,) = self._call(connection, "Notify", "susssasa{sv}i", ("artstore", before, "", *said))
            self._shown[notice.about] = int(number)

    @staticmethod
    def _call(connection: Any, method: str, signature: str | None = None, body: tuple[object, ...] = ()) -> Any:
        """Any: jeepney has no types."""
        jeepney: Any = importlib.import_module("jeepney")
        address = jeepney.DBusAddress(_PLACE, bus_name=_NAME, interface=_NAME)
        asked = jeepney.new_method_call(address, method, signature, body)
        answer = connection.send_and_get_reply(asked, timeout=limits.DESKTOP_S)
        if answer.header.message_type is jeepney.MessageType.error:
            raise NotShown(f"{method}: {answer.body}")
        return answer.body


async def show_people(daemon: Daemon) -> None:
    """Show what happens from now on, for as long as there is a desktop; until cancelled."""
    bus = bus_of(os.environ)
    if bus is None:
        return
    desktop = Desktop(bus)
    after = max((each.number for each in daemon.happenings()), default=0)
    while True:
        for told in await daemon.wait_for_happening(after):
            after = told.number
            notice = notice_of(told)
            if notice is not None:
                await _show(daemon, desktop, notice)


async def _show(daemon: Daemon, desktop: Desktop, notice: Notice) -> None:
    def show() -> None:
        if wiring.load_config(daemon.store.path).notify != _NEVER:
            desktop.show(notice)

    try:
        await trio.to_thread.run_sync(show, abandon_on_cancel=True)
    except Exception as error:  # noqa: BLE001 - the rim of a desktop, of which there are many kinds
        _log.info("the desktop doesn't show it: %r", error)


def _printable(text: str) -> str:
    """Strings of D-Bus are UTF-8 without NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[: limits.DESKTOP_CHARS_MAX]

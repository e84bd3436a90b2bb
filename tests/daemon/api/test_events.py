"""What happens, as it is told to those who listen."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from artstore import limits
from artstore_daemon.api.documents import HappeningItem
from tests.daemon.api.serving import Serving

ASK = b"GET /v1/events HTTP/1.1\r\nhost: x\r\n"


class Listener:
    """Somebody who reads a stream of events."""

    def __init__(self, serving: Serving, *, last: str | None = None) -> None:
        said = ASK + (b"" if last is None else b"last-event-id: " + last.encode() + b"\r\n") + b"\r\n"
        self._connection: socket.socket = serving.connect(said)
        self._read = self._connection.makefile("rb")
        self._frames = self._each()
        self.status = int(self._read.readline().split()[1])

    def next(self) -> dict[str, str]:
        """The next event or comment, as its fields; a comment has none but ''."""
        return next(self._frames)

    def event(self) -> dict[str, str]:
        """The next event."""
        return next(frame for frame in self._frames if "data" in frame)

    def rest(self) -> list[dict[str, str]]:
        """All that is still to come, until the end of it."""
        return list(self._frames)

    def close(self) -> None:
        self._read.close()
        self._connection.close()

    def _each(self) -> Iterator[dict[str, str]]:
        while self._read.readline().strip():  # headers
            pass
        text = ""
        while size := int(self._read.readline() or b"0", 16):
            text += self._read.read(size).decode()
            self._read.readline()
            *whole, text = text.split("\n\n")
            for frame in whole:
                yield dict(re.findall(r"^(\w*): (.*)$", frame, re.MULTILINE))


@pytest.fixture
def listen(serving: Serving) -> Iterator[Any]:
    """Make listeners; they are closed with the test."""
    made: list[Listener] = []

    def begin(last: str | None = None) -> Listener:
        made.append(Listener(serving, last=last))
        return made[-1]

    yield begin
    for each in made:
        each.close()


def test_an_event_is_whole(serving: Serving, listen: Any) -> None:
    """A browser would show it as nothing, or as another kind."""
    listener = listen()
    serving.tell("m/v1")
    told = listener.event()
    item = json.loads(told["data"])
    assert (told["id"], told["event"]) == ("1", "version")
    assert set(item) == set(HappeningItem.__struct_fields__)
    assert (item["number"], item["name"], item["text"]) == (1, "m/v1", "of a test")


def test_who_reconnects_misses_nothing(serving: Serving, listen: Any) -> None:
    """A page that was asleep would not know of a version until the next one."""
    first = listen()
    serving.tell("m/v1")
    last = first.event()["id"]
    first.close()
    for number in range(2, 6):
        serving.tell(f"m/v{number}")
    again = listen(last)
    assert [again.event()["id"] for _ in range(4)] == ["2", "3", "4", "5"]
    serving.tell("m/v6")
    assert again.event()["id"] == "6"


def test_who_knew_another_daemon_is_told_all(serving: Serving, listen: Any) -> None:
    """After the daemon has started anew nothing would be told until its numbers come so far."""
    serving.tell("m/v1")
    listener = listen("5000")
    assert listener.event()["id"] == "1"
    serving.tell("m/v2")
    assert listener.event()["id"] == "2"


@pytest.mark.parametrize("last", ["", "x", "-1", "1.5", "9" * 5000, "\u0663"])
def test_what_is_no_number_is_none(serving: Serving, listen: Any, last: str) -> None:
    """A mistake of a proxy would end in an error that nobody sees."""
    serving.tell("m/v1")
    listener = listen(last)
    assert listener.status == 200
    assert listener.event()["id"] == "1"


def test_many_at_once_come_in_order_and_once(serving: Serving, listen: Any) -> None:
    """A list that is kept by the events would have holes."""
    listeners = [listen() for _ in range(3)]
    for number in range(300):
        serving.tell(f"m/v{number}")
    for listener in listeners:
        assert [int(listener.event()["id"]) for _ in range(300)] == list(range(1, 301))


def test_a_silent_stream_says_that_it_is_there(serving: Serving, listen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would end it, and whoever listens couldn't tell it from a dead one."""
    monkeypatch.setattr(limits, "API_EVENTS_S", 0.05)
    listener = listen()
    assert [listener.next() for _ in range(3)] == [{"": "it goes on from here"}, *[{"": "still here"}] * 2]
    serving.tell("m/v1")
    assert listener.event()["id"] == "1"


def test_it_ends_with_the_daemon(serving: Serving, listen: Any) -> None:
    """Whoever listens would wait for a daemon that is gone, and the daemon for them."""
    listener = listen()
    listener.next()
    took = serving.end()
    assert listener.rest() == []
    assert took < limits.API_STOP_S, "nobody had to be cut off"


def test_heads_of_it_end(serving: Serving) -> None:
    """A probe that asks for the head alone would hang."""
    told = serving.raw(b"HEAD /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 200")
    assert b"text/event-stream" in told
    assert told.endswith(b"\r\n\r\n")


def test_names_that_are_no_text_are_told(serving: Serving, listen: Any) -> None:
    """One file with a name from an old disk would end all streams."""
    serving.tell("caf\udce9")
    assert json.loads(listen().event()["data"])["name"] == "caf\\xe9"
